//! Bindings of `zensaibo_core::raster`.

use numpy::{PyArray1, PyArray3, PyArrayMethods, PyReadonlyArray1, PyReadonlyArray2};
use pyo3::prelude::*;
use zensaibo_core::options::Options;
use zensaibo_core::raster::{self, Colors, RasterOptions, Rgba};

use crate::errors::to_python;
use crate::run::run;

/// An (n, 4) array as colours.
fn table(colors: &PyReadonlyArray2<'_, u8>) -> PyResult<Vec<Rgba>> {
    let view = colors.as_array();
    if view.ncols() != 4 {
        let message = format!("`colors`: expected shape (n, 4), found (n, {})", view.ncols());
        return Err(pyo3::exceptions::PyValueError::new_err(message));
    }
    Ok(view.rows().into_iter().map(|row| [row[0], row[1], row[2], row[3]]).collect())
}

/// Points as an image: (pixels (height, width, 4) uint8, (left, right, bottom, top), points without coordinates).
///
/// With `codes`, `colors` are those of the categories; with `values` (between 0 and 1, NaN for none) a table from low
/// to high; with neither, one colour for each point, or a single one for all.
#[pyfunction]
#[pyo3(signature = (x, y, colors, missing, options, codes=None, values=None, threads=None, progress=None))]
#[allow(clippy::type_complexity)] // taken apart at once in Python
fn raster_points<'py>(
    py: Python<'py>,
    x: PyReadonlyArray1<'py, f32>,
    y: PyReadonlyArray1<'py, f32>,
    colors: PyReadonlyArray2<'py, u8>,
    missing: Rgba,
    options: &str,
    codes: Option<PyReadonlyArray1<'py, u32>>,
    values: Option<PyReadonlyArray1<'py, f32>>,
    threads: Option<usize>,
    progress: Option<Py<PyAny>>,
) -> PyResult<(Bound<'py, PyArray3<u8>>, [f64; 4], usize)> {
    let options = RasterOptions::from_json(options).map_err(|error| to_python(py, error))?;
    let table = table(&colors)?;
    let (x, y) = (x.as_slice()?, y.as_slice()?);
    let colors = match (&codes, &values) {
        (Some(codes), _) => Colors::Categories { codes: codes.as_slice()?, table: &table, missing },
        (None, Some(values)) => {
            Colors::Values { values: values.as_slice()?, low: 0.0, high: 1.0, table: &table, missing }
        }
        (None, None) if table.len() == 1 => Colors::One(table[0]),
        (None, None) => Colors::Each(&table),
    };
    let picture = run(py, threads, progress, |ctx| raster::draw(x, y, colors, &options, ctx))?;
    let shape = [picture.height, picture.width, 4];
    let pixels = PyArray1::from_vec(py, picture.pixels).reshape(shape)?;
    Ok((pixels, picture.extent, picture.not_finite))
}

/// Distinct colours for n categories, as "#rrggbb".
#[pyfunction]
fn category_colors(n: usize) -> Vec<String> {
    raster::palette(n).into_iter().map(|[r, g, b, _]| format!("#{r:02x}{g:02x}{b:02x}")).collect()
}

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(raster_points, module)?)?;
    module.add_function(wrap_pyfunction!(category_colors, module)?)
}
