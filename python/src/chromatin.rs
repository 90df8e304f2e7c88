//! Bindings of the chromatin transforms.

use numpy::PyReadonlyArray1;
use pyo3::prelude::*;
use zensaibo_core::chromatin::{Interval, Overlaps, TfidfOptions};
use zensaibo_core::options::Options;

use crate::errors::to_python;
use crate::matrix::Matrix;
use crate::protein::csr_parts;

type Parts<'py> = (Bound<'py, PyAny>, Bound<'py, PyAny>, Bound<'py, PyAny>, (usize, usize));

/// TF-IDF as parts of a CSR matrix.
#[pyfunction]
#[pyo3(signature = (matrix, options, threads=None, progress=None))]
fn tfidf<'py>(
    py: Python<'py>,
    matrix: &Bound<'py, PyAny>,
    options: &str,
    threads: Option<usize>,
    progress: Option<Py<PyAny>>,
) -> PyResult<Parts<'py>> {
    let options = TfidfOptions::from_json(options).map_err(|error| to_python(py, error))?;
    let matrix = Matrix::new(matrix, "X")?;
    let parts = matrix.parts()?;
    let found = crate::run::run(py, threads, progress, |ctx| {
        zensaibo_core::chromatin::tfidf(parts.source()?.rows(), &options, ctx)
    })?;
    Ok(csr_parts(py, found))
}

/// Columns chromosome (numbers), start, end of a set of intervals.
type Columns<'py> = (PyReadonlyArray1<'py, u32>, PyReadonlyArray1<'py, u64>, PyReadonlyArray1<'py, u64>);

fn intervals(columns: &Columns<'_>) -> PyResult<Vec<Interval>> {
    let (chromosomes, starts, ends) = (columns.0.as_slice()?, columns.1.as_slice()?, columns.2.as_slice()?);
    let places = chromosomes.iter().zip(starts).zip(ends);
    Ok(places.map(|((&chromosome, &start), &end)| Interval { chromosome, start, end }).collect())
}

/// Peaks summed over the genes that they overlap (parts of a CSR matrix), and the number of peaks of each gene.
#[pyfunction]
#[pyo3(signature = (matrix, peaks, genes, threads=None, progress=None))]
fn gene_activity<'py>(
    py: Python<'py>,
    matrix: &Bound<'py, PyAny>,
    peaks: Columns<'py>,
    genes: Columns<'py>,
    threads: Option<usize>,
    progress: Option<Py<PyAny>>,
) -> PyResult<(Parts<'py>, Vec<usize>)> {
    let matrix = Matrix::new(matrix, "X")?;
    let parts = matrix.parts()?;
    let (peaks, genes) = (intervals(&peaks)?, intervals(&genes)?);
    let (found, counts) = crate::run::run(py, threads, progress, |ctx| {
        let overlaps = Overlaps::find(&peaks, &genes)?;
        let mut counts = vec![0usize; genes.len()];
        overlaps.indices.iter().for_each(|&gene| counts[gene as usize] += 1);
        Ok((zensaibo_core::chromatin::gene_activity(parts.source()?.rows(), &overlaps, ctx)?, counts))
    })?;
    Ok((csr_parts(py, found), counts))
}

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(tfidf, module)?)?;
    module.add_function(wrap_pyfunction!(gene_activity, module)?)
}
