//! Bindings of stitching.

use std::path::PathBuf;
use std::sync::Arc;

use pyo3::prelude::*;
use zensaibo_core::{Error, Result};
use zensaibo_imaging::stitch::{self, FuseOptions, Fused, StitchOptions, Stitching, Tile};
use zensaibo_io::volume::{TileOptions, open_tiles};

use crate::errors::to_python;
use crate::run::run;
use crate::volume::PyVolume;

fn placed(tiles: &[Py<PyVolume>], positions: &[[f64; 3]]) -> Vec<Tile> {
    tiles.iter().zip(positions).map(|(tile, &position)| Tile { volume: tile.get().source.clone(), position }).collect()
}

fn said(order: &str, grid: Option<[usize; 2]>) -> Result<TileOptions> {
    Ok(TileOptions { grid, order: order.parse()?, ..TileOptions::default() })
}

/// Tiles and where they are said to lie: [(name, volume, (z, y, x))].
#[pyfunction]
#[pyo3(signature = (paths, spacing=None, axes=None, overlap=None, grid=None, order="rows"))]
#[allow(clippy::type_complexity)] // taken apart at once in Python
fn im_open_tiles(
    py: Python<'_>,
    paths: Vec<PathBuf>,
    spacing: Option<[f64; 3]>,
    axes: Option<String>,
    overlap: Option<[f64; 3]>,
    grid: Option<[usize; 2]>,
    order: &str,
) -> PyResult<Vec<(String, PyVolume, [f64; 3])>> {
    let tiles = said(order, grid).and_then(|options| {
        let options = TileOptions { spacing, axes, overlap, ..options };
        py.detach(|| open_tiles(&paths, &options))
    });
    let tiles = tiles.map_err(|error| to_python(py, error))?;
    Ok(tiles.into_iter().map(|tile| (tile.name, PyVolume::new(tile.volume), tile.position)).collect())
}

/// Row and column of each of `n` tiles of a grid.
#[pyfunction]
fn im_grid_cells(py: Python<'_>, n: usize, grid: [usize; 2], order: &str) -> PyResult<Vec<[usize; 2]>> {
    let cells = said(order, Some(grid)).and_then(|options| (0..n).map(|index| options.cell(index)).collect());
    cells.map_err(|error| to_python(py, error))
}

/// Where tiles lie, as JSON of a `Stitching`.
#[pyfunction]
#[pyo3(signature = (tiles, positions, spacing, options, threads=None, progress=None))]
fn im_stitch(
    py: Python<'_>,
    tiles: Vec<Py<PyVolume>>,
    positions: Vec<[f64; 3]>,
    spacing: [f64; 3],
    options: &str,
    threads: Option<usize>,
    progress: Option<Py<PyAny>>,
) -> PyResult<String> {
    let (spacing, options) = crate::volume::spaced::<StitchOptions>(py, spacing, options)?;
    let tiles = placed(&tiles, &positions);
    let found = run(py, threads, progress, |ctx| stitch::stitch(&tiles, spacing, &options, ctx))?;
    text(py, &found)
}

fn text(py: Python<'_>, value: &impl serde::Serialize) -> PyResult<String> {
    serde_json::to_string(value).map_err(|error| to_python(py, Error::Internal(error.to_string())))
}

/// The numbers of a `Stitching` (JSON) in short, as JSON.
#[pyfunction]
fn im_stitch_summary(py: Python<'_>, found: &str) -> PyResult<String> {
    let found: Stitching = serde_json::from_str(found)
        .map_err(|error| to_python(py, Error::parameter("stitching", "what stitch returned", error)))?;
    text(py, &found.summary())
}

/// Tiles as one volume.
#[pyfunction]
fn im_fuse(
    py: Python<'_>,
    tiles: Vec<Py<PyVolume>>,
    positions: Vec<[f64; 3]>,
    gains: Vec<f64>,
    dark: f64,
    spacing: [f64; 3],
    options: &str,
) -> PyResult<PyVolume> {
    let (spacing, options) = crate::volume::spaced::<FuseOptions>(py, spacing, options)?;
    let tiles = placed(&tiles, &positions);
    let fused = Fused::new(&tiles, &gains, dark, spacing, &options).map_err(|error| to_python(py, error))?;
    Ok(PyVolume::new(Arc::new(fused)))
}

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(im_open_tiles, module)?)?;
    module.add_function(wrap_pyfunction!(im_grid_cells, module)?)?;
    module.add_function(wrap_pyfunction!(im_stitch, module)?)?;
    module.add_function(wrap_pyfunction!(im_stitch_summary, module)?)?;
    module.add_function(wrap_pyfunction!(im_fuse, module)?)
}
