//! Bindings of `zensaibo_imaging::compare`.

use numpy::{IntoPyArray, PyArray1, PyArray3, PyArrayMethods, PyReadonlyArray2, PyReadonlyArray3};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use zensaibo_core::data::{Grid, VolumeBlocks};
use zensaibo_core::options::Options;
use zensaibo_imaging::compare::{self, CompareRegionsOptions, CompareVolumesOptions, RegionEffect};

use crate::errors::to_python;
use crate::run::run;
use crate::volume::PyVolume;

/// One coefficient of a log-linear model of counts (samples x structures): columns by name, one value per structure.
#[pyfunction]
#[pyo3(signature = (counts, offsets, design, names, samples, coefficient, parents, options, threads=None, progress=None))]
fn im_compare_regions<'py>(
    py: Python<'py>,
    counts: PyReadonlyArray2<'py, f64>,
    offsets: PyReadonlyArray2<'py, f64>,
    design: PyReadonlyArray2<'py, f64>,
    names: Vec<String>,
    samples: Vec<String>,
    coefficient: usize,
    parents: Vec<Option<usize>>,
    options: &str,
    threads: Option<usize>,
    progress: Option<Py<PyAny>>,
) -> PyResult<Bound<'py, PyDict>> {
    let options = CompareRegionsOptions::from_json(options).map_err(|error| to_python(py, error))?;
    let (counts, offsets, design) = (counts.as_slice()?, offsets.as_slice()?, design.as_slice()?);
    let found = run(py, threads, progress, |ctx| {
        compare::compare_regions(counts, offsets, design, names, samples, coefficient, &parents, &options, ctx)
    })?;
    let column = |pick: &dyn Fn(&RegionEffect) -> f64| -> Bound<'py, PyArray1<f64>> {
        found.effects.iter().map(pick).collect::<Vec<f64>>().into_pyarray(py)
    };
    let out = PyDict::new(py);
    out.set_item("log2_fold_change", column(&|e| e.log2_fold_change))?;
    out.set_item("std_err", column(&|e| e.std_err))?;
    out.set_item("ci_low", column(&|e| e.interval[0]))?;
    out.set_item("ci_high", column(&|e| e.interval[1]))?;
    out.set_item("t", column(&|e| e.t))?;
    out.set_item("df", column(&|e| e.df))?;
    out.set_item("p_value", column(&|e| e.p))?;
    out.set_item("quasi_dispersion", column(&|e| e.quasi_dispersion))?;
    out.set_item("fdr", found.corrected.flat.into_pyarray(py))?;
    out.set_item("fdr_tree", found.corrected.levels.into_pyarray(py))?;
    out.set_item("fwer_tree", found.corrected.whole.into_pyarray(py))?;
    out.set_item("dispersion", found.dispersion)?;
    out.set_item("prior_df", found.prior.df)?;
    out.set_item("prior_variance", found.prior.variance)?;
    out.set_item("finest", found.finest)?;
    Ok(out)
}

fn array<T: numpy::Element>(py: Python<'_>, grid: Grid<T>) -> PyResult<Bound<'_, PyArray3<T>>> {
    grid.data.into_pyarray(py).reshape(grid.shape)
}

/// Volumes of two groups, the first `first` against the rest: grids by name, the largest statistics, clusters as rows
/// (voxels, peak, (z, y, x), p).
#[pyfunction]
#[pyo3(signature = (volumes, first, mask, options, memory=None, threads=None, progress=None))]
fn im_compare_volumes<'py>(
    py: Python<'py>,
    volumes: Vec<PyRef<'py, PyVolume>>,
    first: usize,
    mask: Option<PyReadonlyArray3<'py, u8>>,
    options: &str,
    memory: Option<u64>,
    threads: Option<usize>,
    progress: Option<Py<PyAny>>,
) -> PyResult<Bound<'py, PyDict>> {
    let options = CompareVolumesOptions::from_json(options).map_err(|error| to_python(py, error))?;
    let held: Vec<_> = volumes.iter().map(|volume| volume.source.clone()).collect();
    let mask = match &mask {
        None => None,
        Some(mask) => {
            let (depth, height, width) = mask.as_array().dim();
            Some(Grid { shape: [depth, height, width], data: mask.as_slice()?.to_vec() })
        }
    };
    let found = run(py, threads, progress, |ctx| {
        let sources: Vec<&dyn VolumeBlocks> = held.iter().map(|volume| volume as &dyn VolumeBlocks).collect();
        compare::compare_volumes(&sources, first, mask.as_ref(), &options, memory, ctx)
    })?;
    let out = PyDict::new(py);
    out.set_item("difference", array(py, found.difference)?)?;
    out.set_item("statistic", array(py, found.statistic)?)?;
    out.set_item("p_value", array(py, found.p)?)?;
    out.set_item("p_corrected", array(py, found.p_corrected)?)?;
    out.set_item("largest", found.largest.into_pyarray(py))?;
    out.set_item("exact", found.exact)?;
    if let Some((clusters, numbers)) = found.clusters {
        let rows: Vec<(u64, f64, [usize; 3], f64)> = clusters.iter().map(|c| (c.voxels, c.peak, c.at, c.p)).collect();
        out.set_item("clusters", rows)?;
        out.set_item("labels", array(py, numbers)?)?;
    }
    Ok(out)
}

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(im_compare_regions, module)?)?;
    module.add_function(wrap_pyfunction!(im_compare_volumes, module)?)
}
