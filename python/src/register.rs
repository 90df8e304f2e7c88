//! Bindings of registration and of atlases.

use std::sync::Arc;

use numpy::{
    IntoPyArray, PyArray1, PyArray2, PyArray3, PyArrayMethods, PyReadonlyArray1, PyReadonlyArray2, PyReadonlyArray3,
};
use pyo3::prelude::*;
use zensaibo_cli::recipe::{load_registration, save_registration};
use zensaibo_core::data::{Frame, Grid, Orientation};
use zensaibo_core::options::Options;
use zensaibo_core::{DataFault, Error, Result};
use zensaibo_imaging::atlas::{
    self, Atlas, AtlasParts, DensityOptions, Growth, Half, Place, StructureRecord, StructureTree,
};
use zensaibo_imaging::register::{Interpolation, Landmark, RegisterOptions, Registration, Sample, phase_shift};
use zensaibo_imaging::space::Spacing;
use zensaibo_imaging::transform::{Affine, Field};

use crate::errors::to_python;
use crate::run::run;
use crate::volume::PyVolume;

/// A contiguous array as a grid.
fn grid<T: numpy::Element + Copy>(array: &PyReadonlyArray3<'_, T>) -> PyResult<Grid<T>> {
    let view = array.as_array();
    let (depth, height, width) = view.dim();
    Ok(Grid { shape: [depth, height, width], data: array.as_slice()?.to_vec() })
}

fn array<'py, T: numpy::Element>(py: Python<'py>, grid: Grid<T>) -> PyResult<Bound<'py, PyArray3<T>>> {
    grid.data.into_pyarray(py).reshape(grid.shape)
}

/// (n, 3) places.
fn places(points: &PyReadonlyArray2<'_, f64>) -> PyResult<Vec<[f64; 3]>> {
    let flat = points.as_slice()?;
    match points.as_array().ncols() {
        3 => Ok(flat.as_chunks::<3>().0.to_vec()),
        other => {
            let message = format!("`points`: expected shape (n, 3), found (n, {other})");
            Err(pyo3::exceptions::PyValueError::new_err(message))
        }
    }
}

/// A registration that was found or read.
#[pyclass(name = "Registration", frozen)]
struct PyRegistration {
    found: Arc<Registration>,
}

#[pymethods]
impl PyRegistration {
    /// From its parts: vectors (z, y, x, 3) float32 in micrometres, their spacing, the affine map (3 x 4), shapes and
    /// spacings of both volumes, the quality as JSON, where the first voxel of the moving volume lies.
    #[new]
    #[pyo3(signature = (vectors, field_spacing, affine, fixed, moving, quality, origin=[0.0; 3]))]
    #[allow(clippy::too_many_arguments)] // the parts of a registration
    fn new(
        py: Python<'_>,
        vectors: numpy::PyReadonlyArray4<'_, f32>,
        field_spacing: [f64; 3],
        affine: PyReadonlyArray2<'_, f64>,
        fixed: ([usize; 3], [f64; 3]),
        moving: ([usize; 3], [f64; 3]),
        quality: &str,
        origin: [f64; 3],
    ) -> PyResult<Self> {
        let (depth, height, width, _) = vectors.as_array().dim();
        let flat = vectors.as_slice()?.as_chunks::<3>().0.to_vec();
        let rows = affine.as_array();
        let make = || -> Result<Registration> {
            if rows.dim() != (3, 4) {
                let found = format!("{:?}", rows.dim());
                return Err(Error::data(DataFault::Shape, "affine map", "3 x 4 numbers", found));
            }
            let map = Affine {
                matrix: std::array::from_fn(|row| std::array::from_fn(|at| rows[[row, at]])),
                shift: std::array::from_fn(|row| rows[[row, 3]]),
            };
            let field = Field::new([depth, height, width], field_spacing, flat.clone())?;
            let mut found = Registration::new(field, map, fixed, moving)?;
            found.moving_origin = origin;
            found.quality = serde_json::from_str(quality)
                .map_err(|error| Error::parameter("quality", "the report of a registration", error))?;
            Ok(found)
        };
        Ok(Self { found: Arc::new(make().map_err(|error| to_python(py, error))?) })
    }

    /// Displacements (z, y, x, 3) in micrometres.
    fn vectors<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, numpy::PyArray4<f32>>> {
        let field = &self.found.field;
        let [depth, height, width] = field.shape;
        field.vectors.as_flattened().to_vec().into_pyarray(py).reshape([depth, height, width, 3])
    }

    /// The displacements that lead back, on the same grid: (z, y, x, 3) in micrometres.
    #[pyo3(signature = (threads=None, progress=None))]
    fn inverse_vectors<'py>(
        &self,
        py: Python<'py>,
        threads: Option<usize>,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<Bound<'py, numpy::PyArray4<f32>>> {
        let found = self.found.clone();
        let field = run(py, threads, progress, |_| Ok(found.field.inverse().0))?;
        let [depth, height, width] = field.shape;
        field.vectors.as_flattened().to_vec().into_pyarray(py).reshape([depth, height, width, 3])
    }

    #[getter]
    fn field_spacing(&self) -> [f64; 3] {
        self.found.field.spacing
    }

    /// 3 x 4.
    #[getter]
    fn affine<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyArray2<f64>>> {
        let map = &self.found.affine;
        let rows: Vec<f64> = (0..3).flat_map(|row| map.matrix[row].into_iter().chain([map.shift[row]])).collect();
        rows.into_pyarray(py).reshape([3, 4])
    }

    #[getter]
    fn fixed(&self) -> ([usize; 3], [f64; 3]) {
        self.found.fixed
    }

    #[getter]
    fn moving(&self) -> ([usize; 3], [f64; 3]) {
        self.found.moving
    }

    /// Where the first voxel of the moving volume lies, in micrometres.
    #[getter]
    fn origin(&self) -> [f64; 3] {
        self.found.moving_origin
    }

    /// The quality report as JSON.
    #[getter]
    fn quality(&self) -> String {
        serde_json::to_string(&self.found.quality).unwrap_or_default()
    }

    #[getter]
    fn trustworthy(&self) -> bool {
        self.found.quality.trustworthy()
    }

    /// (n, 3) places in the other space.
    #[pyo3(signature = (points, to_moving, threads=None, progress=None))]
    fn map_points<'py>(
        &self,
        py: Python<'py>,
        points: PyReadonlyArray2<'py, f64>,
        to_moving: bool,
        threads: Option<usize>,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<Bound<'py, PyArray2<f64>>> {
        let points = places(&points)?;
        let found = self.found.clone();
        let out = run(py, threads, progress, |ctx| found.map_points(&points, to_moving, ctx))?;
        out.as_flattened().to_vec().into_pyarray(py).reshape([out.len(), 3])
    }

    /// A float32 image on the other grid.
    #[pyo3(signature = (voxels, to_moving, threads=None, progress=None))]
    fn warp_image<'py>(
        &self,
        py: Python<'py>,
        voxels: PyReadonlyArray3<'py, f32>,
        to_moving: bool,
        threads: Option<usize>,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<Bound<'py, PyArray3<f32>>> {
        self.warp(py, &voxels, Interpolation::Linear, to_moving, |value| value as f32, (threads, progress))
    }

    /// uint32 labels on the other grid.
    #[pyo3(signature = (labels, to_moving, threads=None, progress=None))]
    fn warp_labels<'py>(
        &self,
        py: Python<'py>,
        labels: PyReadonlyArray3<'py, u32>,
        to_moving: bool,
        threads: Option<usize>,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<Bound<'py, PyArray3<u32>>> {
        self.warp(py, &labels, Interpolation::Nearest, to_moving, |value| value as u32, (threads, progress))
    }

    /// Writes into a folder.
    fn save(&self, py: Python<'_>, path: std::path::PathBuf) -> PyResult<()> {
        let found = self.found.clone();
        run(py, None, None, |ctx| save_registration(&found, &path, ctx))
    }

    /// Reads what `save` wrote.
    #[staticmethod]
    fn load(py: Python<'_>, path: std::path::PathBuf) -> PyResult<Self> {
        let found = run(py, None, None, |_| load_registration(&path))?;
        Ok(Self { found: Arc::new(found) })
    }

    /// Growth of small volumes of the fixed space on their way to the moving one, on the grid of the field.
    fn jacobian<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyArray3<f32>>> {
        array(py, py.detach(|| self.found.jacobian()))
    }
}

impl PyRegistration {
    /// Voxels on the other grid.
    fn warp<'py, T: numpy::Element + Copy + Default + Send + Sync + Into<f64>>(
        &self,
        py: Python<'py>,
        voxels: &PyReadonlyArray3<'py, T>,
        interpolation: Interpolation,
        to_moving: bool,
        narrow: impl Fn(f64) -> T + Send + Sync,
        (threads, progress): (Option<usize>, Option<Py<PyAny>>),
    ) -> PyResult<Bound<'py, PyArray3<T>>> {
        let voxels = grid(voxels)?;
        let found = self.found.clone();
        let out = run(py, threads, progress, |ctx| found.warp(&voxels, interpolation, to_moving, &narrow, ctx))?;
        array(py, out)
    }
}

/// Registers volumes to others (one per channel, one frame each); each with spacing, orientation or None, mask or None.
/// `landmarks`: (n, 6), the place in the moving and in the fixed volume.
#[pyfunction]
#[pyo3(signature = (moving, moving_spacing, moving_orientation, moving_mask, fixed, fixed_spacing, fixed_orientation, fixed_mask, landmarks, options, memory=None, threads=None, progress=None))]
fn im_register<'py>(
    py: Python<'py>,
    moving: Vec<PyRef<'py, PyVolume>>,
    moving_spacing: [f64; 3],
    moving_orientation: Option<&str>,
    moving_mask: Option<PyRef<'py, PyVolume>>,
    fixed: Vec<PyRef<'py, PyVolume>>,
    fixed_spacing: [f64; 3],
    fixed_orientation: Option<&str>,
    fixed_mask: Option<PyRef<'py, PyVolume>>,
    landmarks: PyReadonlyArray2<'py, f64>,
    options: &str,
    memory: Option<u64>,
    threads: Option<usize>,
    progress: Option<Py<PyAny>>,
) -> PyResult<PyRegistration> {
    let options = RegisterOptions::from_json(options).map_err(|error| to_python(py, error))?;
    let sample =
        |volumes: &[PyRef<'py, PyVolume>], mask: Option<PyRef<'py, PyVolume>>, spacing, sides: Option<&str>| {
            let sample = || -> Result<Sample> {
                Ok(Sample {
                    channels: volumes.iter().map(|volume| (volume.source.clone(), Frame::default())).collect(),
                    spacing: Spacing::new(spacing)?,
                    orientation: sides.map(str::parse).transpose()?,
                    mask: mask.map(|mask| mask.source.clone()),
                })
            };
            sample().map_err(|error| to_python(py, error))
        };
    let moving = sample(&moving, moving_mask, moving_spacing, moving_orientation)?;
    let fixed = sample(&fixed, fixed_mask, fixed_spacing, fixed_orientation)?;
    let pairs = landmarks.as_slice()?.as_chunks::<6>().0.iter();
    let pairs: Vec<Landmark> =
        pairs.map(|&[a, b, c, d, e, f]| Landmark { moving: [a, b, c], fixed: [d, e, f] }).collect();
    let (found, _) = run(py, threads, progress, |ctx| moving.register(&fixed.whole()?, &pairs, &options, memory, ctx))?;
    Ok(PyRegistration { found: Arc::new(found) })
}

/// Factors of growth and their spacing.
fn grown(growth: Option<&(PyReadonlyArray3<'_, f32>, [f64; 3])>) -> PyResult<Option<(Grid<f32>, [f64; 3])>> {
    growth.map(|(factors, spacing)| Ok((grid(factors)?, *spacing))).transpose()
}

/// An atlas with ids of any type in place of those of `rest`.
fn atlas_of<T: numpy::Element + Copy + Into<u64> + Send + Sync>(
    py: Python<'_>,
    rest: AtlasParts<u8>,
    ids: &PyReadonlyArray3<'_, T>,
) -> PyResult<PyAtlas> {
    let annotation = grid(ids)?;
    let AtlasParts { name, template, hemispheres, spacing, orientation, tree, .. } = rest;
    let parts = AtlasParts { name, annotation, template, hemispheres, spacing, orientation, tree };
    let made = py.detach(|| Atlas::new(parts));
    Ok(PyAtlas { atlas: Arc::new(made.map_err(|error| to_python(py, error))?) })
}

/// An atlas.
#[pyclass(name = "Atlas", frozen)]
struct PyAtlas {
    atlas: Arc<Atlas>,
}

#[pymethods]
impl PyAtlas {
    /// From its parts; ids are uint8 to uint64, a structure is (id, acronym, name, id of the parent or None, (red, green,
    /// blue)).
    #[new]
    #[pyo3(signature = (name, annotation, spacing, orientation, structures, hemispheres=None))]
    #[allow(clippy::type_complexity)] // rows of a table
    fn new(
        py: Python<'_>,
        name: String,
        annotation: &Bound<'_, PyAny>,
        spacing: [f64; 3],
        orientation: &str,
        structures: Vec<(u64, String, String, Option<u64>, [u8; 3])>,
        hemispheres: Option<PyReadonlyArray3<'_, u8>>,
    ) -> PyResult<Self> {
        let hemispheres = hemispheres.as_ref().map(grid).transpose()?;
        let records = structures
            .into_iter()
            .map(|(id, acronym, name, parent, rgb)| StructureRecord { id, acronym, name, parent, rgb })
            .collect();
        let tree = StructureTree::new(records).map_err(|error| to_python(py, error))?;
        let parsed = Spacing::new(spacing).and_then(|spacing| Ok((spacing, orientation.parse::<Orientation>()?)));
        let (spacing, orientation) = parsed.map_err(|error| to_python(py, error))?;
        let rest = AtlasParts {
            name,
            annotation: Grid { shape: [0; 3], data: Vec::<u8>::new() },
            template: None,
            hemispheres,
            spacing,
            orientation,
            tree,
        };
        match annotation.extract::<PyReadonlyArray3<'_, u32>>() {
            Ok(ids) => atlas_of(py, rest, &ids),
            Err(_) => match annotation.extract::<PyReadonlyArray3<'_, u16>>() {
                Ok(ids) => atlas_of(py, rest, &ids),
                Err(_) => match annotation.extract::<PyReadonlyArray3<'_, u8>>() {
                    Ok(ids) => atlas_of(py, rest, &ids),
                    Err(_) => atlas_of(py, rest, &annotation.extract::<PyReadonlyArray3<'_, u64>>()?),
                },
            },
        }
    }

    /// 1 left, 2 right at every voxel.
    fn hemispheres<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyArray3<u8>>> {
        array(py, py.detach(|| self.atlas.hemispheres()))
    }

    /// Cells per cubic millimetre at every voxel; cells on the grid, outside, without a place. `growth` is (factors,
    /// spacing).
    #[pyo3(signature = (points, options, growth=None, threads=None, progress=None))]
    #[allow(clippy::type_complexity)] // taken apart at once in Python
    fn density<'py>(
        &self,
        py: Python<'py>,
        points: PyReadonlyArray2<'py, f64>,
        options: &str,
        growth: Option<(PyReadonlyArray3<'py, f32>, [f64; 3])>,
        threads: Option<usize>,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<(Bound<'py, PyArray3<f32>>, [u64; 3])> {
        let options = DensityOptions::from_json(options).map_err(|error| to_python(py, error))?;
        let points = places(&points)?;
        let growth = grown(growth.as_ref())?;
        let found = run(py, threads, progress, |ctx| {
            let growth = growth.as_ref().map(|(grid, spacing)| Growth { grid, spacing: *spacing });
            atlas::density(&points, &self.atlas, growth.as_ref(), &options, ctx)
        })?;
        Ok((array(py, found.density)?, [found.cells, found.outside, found.lost]))
    }

    /// (id, acronym, name, parent or None, depth, end, rgb) of every structure, each before its parts.
    #[allow(clippy::type_complexity)] // rows of a table
    fn structures(&self) -> Vec<(u64, String, String, Option<usize>, usize, usize, [u8; 3])> {
        let row = |s: &atlas::Structure| {
            let r = &s.record;
            (r.id, r.acronym.clone(), r.name.clone(), s.parent, s.depth, s.end, r.rgb)
        };
        self.atlas.tree.structures().iter().map(row).collect()
    }

    #[getter]
    fn remarks(&self) -> Vec<String> {
        self.atlas.remarks.clone()
    }

    /// For each point: index of its structure (-1 background, -2 outside, -3 without a place), and whether it lies left.
    #[pyo3(signature = (points, threads=None, progress=None))]
    fn locate<'py>(
        &self,
        py: Python<'py>,
        points: PyReadonlyArray2<'py, f64>,
        threads: Option<usize>,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<(Bound<'py, PyArray1<i32>>, Bound<'py, PyArray1<bool>>)> {
        let points = places(&points)?;
        let found = run(py, threads, progress, |ctx| atlas::locate(&points, &self.atlas, ctx))?;
        let index = |place: &Place| match *place {
            Place::Structure(index, _) => index as i32,
            Place::Background => -1,
            Place::Outside => -2,
            Place::Lost => -3,
        };
        let left: Vec<bool> = found.iter().map(|place| matches!(place, Place::Structure(_, Half::Left))).collect();
        Ok((found.iter().map(index).collect::<Vec<i32>>().into_pyarray(py), left.into_pyarray(py)))
    }

    /// Per structure: own cells, cells with parts, volume in mm^3 (each structures x (left, right)); and the numbers in the
    /// background, outside, without a place. `growth` is (factors, spacing).
    #[pyo3(signature = (structures, left, growth=None, threads=None, progress=None))]
    #[allow(clippy::type_complexity)] // becomes a table in Python
    fn count<'py>(
        &self,
        py: Python<'py>,
        structures: PyReadonlyArray1<'py, i32>,
        left: PyReadonlyArray1<'py, bool>,
        growth: Option<(PyReadonlyArray3<'py, f32>, [f64; 3])>,
        threads: Option<usize>,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<(Bound<'py, PyArray2<u64>>, Bound<'py, PyArray2<u64>>, Bound<'py, PyArray2<f64>>, [u64; 3])> {
        let growth = grown(growth.as_ref())?;
        let n = self.atlas.tree.structures().len();
        let mut found = Vec::with_capacity(structures.len()?);
        for (&index, &left) in structures.as_slice()?.iter().zip(left.as_slice()?) {
            found.push(match index {
                -1 => Place::Background,
                -2 => Place::Outside,
                index if (0..n as i32).contains(&index) => {
                    Place::Structure(index as usize, if left { Half::Left } else { Half::Right })
                }
                _ => Place::Lost,
            });
        }
        let counts = run(py, threads, progress, |ctx| {
            let growth = growth.as_ref().map(|(grid, spacing)| Growth { grid, spacing: *spacing });
            atlas::count_regions(&found, &self.atlas, growth.as_ref(), ctx)
        })?;
        let regions = &counts.regions;
        let table = |pick: &dyn Fn(&atlas::RegionCount) -> [u64; 2]| {
            regions.iter().flat_map(pick).collect::<Vec<u64>>().into_pyarray(py).reshape([n, 2])
        };
        let volume = regions.iter().flat_map(|r| r.volume).collect::<Vec<f64>>().into_pyarray(py).reshape([n, 2])?;
        Ok((table(&|r| r.own)?, table(&|r| r.cells)?, volume, [counts.background, counts.outside, counts.lost]))
    }
}

/// The shift of two images of one spacing, (z, y, x): voxels to add to places of the second for those of the first, the height of the
/// peak, and that of its rival over it.
#[pyfunction]
#[pyo3(signature = (fixed, moving, progress=None))]
fn im_phase_shift(
    py: Python<'_>,
    fixed: PyReadonlyArray3<'_, f32>,
    moving: PyReadonlyArray3<'_, f32>,
    progress: Option<Py<PyAny>>,
) -> PyResult<([f64; 3], f64, f64)> {
    let (fixed, moving) = (grid(&fixed)?, grid(&moving)?);
    let found = run(py, Some(1), progress, |ctx| phase_shift(&fixed, &moving, ctx))?;
    Ok((found.voxels, found.peak, found.rival))
}

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<PyRegistration>()?;
    module.add_class::<PyAtlas>()?;
    module.add_function(wrap_pyfunction!(im_phase_shift, module)?)?;
    module.add_function(wrap_pyfunction!(im_register, module)?)
}
