//! Bindings of `zensaibo_imaging::phantom`.

use std::sync::Arc;

use numpy::IntoPyArray;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use zensaibo_core::Result;
use zensaibo_core::data::{Frame, Region, VolumeBlocks, VolumeInfo};
use zensaibo_core::options::Options;
use zensaibo_imaging::phantom::{Phantom, PhantomOptions};

use crate::errors::to_python;
use crate::run::run;
use crate::volume::PyVolume;

/// The true labels, which hold on to the phantom they are of.
struct Labels {
    phantom: Arc<Phantom>,
    info: VolumeInfo,
}

impl VolumeBlocks for Labels {
    fn info(&self) -> &VolumeInfo {
        &self.info
    }

    fn read(&self, frame: Frame, region: &Region, out: &mut [u8]) -> Result<()> {
        self.phantom.labels().read(frame, region, out)
    }
}

/// The phantom as a handle of its own: an `Arc` is a volume only behind the trait.
struct Picture(Arc<Phantom>);

impl VolumeBlocks for Picture {
    fn info(&self) -> &VolumeInfo {
        self.0.info()
    }

    fn read(&self, frame: Frame, region: &Region, out: &mut [u8]) -> Result<()> {
        self.0.read(frame, region, out)
    }
}

/// The picture, the labels, and the nuclei as columns: centre (n x 3), radii (n x 3), intensity, paired.
#[pyfunction]
fn im_phantom<'py>(py: Python<'py>, options: &str) -> PyResult<(PyVolume, PyVolume, Bound<'py, PyDict>)> {
    let options = PhantomOptions::from_json(options).map_err(|error| to_python(py, error))?;
    let phantom = Arc::new(run(py, None, None, |_| Phantom::new(&options))?);
    let nuclei = phantom.nuclei();
    let table = PyDict::new(py);
    let flat = |values: fn(&zensaibo_imaging::phantom::Nucleus) -> [f64; 3]| -> Vec<f64> {
        nuclei.iter().flat_map(values).collect()
    };
    table.set_item("centre", flat(|nucleus| nucleus.centre).into_pyarray(py))?;
    table.set_item("radii", flat(|nucleus| nucleus.radii).into_pyarray(py))?;
    let intensity: Vec<f64> = nuclei.iter().map(|nucleus| nucleus.intensity).collect();
    table.set_item("intensity", intensity.into_pyarray(py))?;
    let paired: Vec<bool> = nuclei.iter().map(|nucleus| nucleus.paired).collect();
    table.set_item("paired", paired.into_pyarray(py))?;
    let labels = Labels { info: phantom.labels().info().clone(), phantom: phantom.clone() };
    Ok((PyVolume::new(Arc::new(Picture(phantom))), PyVolume::new(Arc::new(labels)), table))
}

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(im_phantom, module)?)
}
