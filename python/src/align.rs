//! Bindings of the alignment of clouds of cells.

use numpy::{IntoPyArray, PyArray1, PyArray2, PyArrayMethods, PyReadonlyArray1, PyReadonlyArray2};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use zensaibo_align::{AlignOptions, Cloud, DriftOptions, LandmarkOptions, Linear, Matches, Point, PointMap, Start};
use zensaibo_core::options::Options;
use zensaibo_core::{Error, Result};

use crate::errors::to_python;
use crate::run::run;

type Places<'py> = PyReadonlyArray2<'py, f64>;

fn cloud(name: &str, places: &Places<'_>) -> Result<Cloud> {
    let dimensions = places.as_array().ncols();
    let values: Vec<f64> = places.as_array().iter().copied().collect();
    Cloud::new(name, dimensions, &values)
}

fn array<'py>(py: Python<'py>, points: &[Point], dimensions: usize) -> PyResult<Bound<'py, PyArray2<f64>>> {
    let values: Vec<f64> = points.iter().flat_map(|point| point[..dimensions].to_vec()).collect();
    values.into_pyarray(py).reshape([points.len(), dimensions])
}

/// From (dimensions, dimensions + 1) numbers.
fn linear(matrix: &Places<'_>) -> Linear {
    let given = matrix.as_array();
    let mut map = Linear::IDENTITY;
    let dimensions = given.nrows();
    for row in 0..dimensions {
        for column in 0..dimensions {
            map.matrix[row][column] = given[(row, column)];
        }
        map.shift[row] = given[(row, dimensions)];
    }
    map
}

fn json(map: &PointMap) -> PyResult<String> {
    serde_json::to_string(map).map_err(|error| pyo3::exceptions::PyValueError::new_err(error.to_string()))
}

/// Pairs and their numbers, put into `out`.
fn store<'py>(py: Python<'py>, out: &Bound<'py, PyDict>, found: &Matches) -> PyResult<()> {
    let column = |value: fn(&zensaibo_align::Match) -> f64| -> Bound<'py, PyArray1<f64>> {
        found.pairs.iter().map(value).collect::<Vec<f64>>().into_pyarray(py)
    };
    let pairs: Vec<i64> = found.pairs.iter().flat_map(|pair| [i64::from(pair.moving), i64::from(pair.fixed)]).collect();
    out.set_item("pairs", pairs.into_pyarray(py).reshape([found.pairs.len(), 2])?)?;
    out.set_item("distance", column(|pair| pair.distance))?;
    out.set_item("probability", column(|pair| pair.probability))?;
    out.set_item("rate", column(|pair| pair.false_match_rate))?;
    out.set_item("false_match_rate", found.false_match_rate)?;
    out.set_item("expected_false", found.expected_false)?;
    out.set_item("decoy_rate", found.decoy_rate)?;
    out.set_item("inside", found.inside)?;
    out.set_item("scatter", found.scatter)?;
    out.set_item("share", found.share)?;
    out.set_item("gate", found.gate)
}

/// See `zensaibo.arrays.align_points`.
#[pyfunction]
#[pyo3(signature = (moving, fixed, options, landmarks=None, initial=None, features=None, threads=None, progress=None))]
#[allow(clippy::too_many_arguments)]
fn align_points<'py>(
    py: Python<'py>,
    moving: Places<'py>,
    fixed: Places<'py>,
    options: &str,
    landmarks: Option<(Places<'py>, Places<'py>, Option<PyReadonlyArray1<'py, f64>>)>,
    initial: Option<Places<'py>>,
    features: Option<(Places<'py>, Places<'py>)>,
    threads: Option<usize>,
    progress: Option<Py<PyAny>>,
) -> PyResult<Bound<'py, PyDict>> {
    let options = AlignOptions::from_json(options).map_err(|error| to_python(py, error))?;
    let start = || -> Result<(Cloud, Cloud, Start)> {
        let start = match (&landmarks, &initial) {
            (Some((from, to, weights)), _) => Start::Landmarks(
                cloud("landmarks of the moving side", from)?,
                cloud("landmarks of the fixed side", to)?,
                weights.as_ref().map(|weights| weights.as_array().to_vec()),
            ),
            (None, Some(map)) => Start::Map(linear(map)),
            (None, None) => Start::Geometry,
        };
        Ok((cloud("moving cells", &moving)?, cloud("fixed cells", &fixed)?, start))
    };
    let (from, to, start) = start().map_err(|error| to_python(py, error))?;
    let features = features.as_ref().map(|(a, b)| (a.as_array(), b.as_array()));
    let found = run(py, threads, progress, |ctx| zensaibo_align::align(&from, &to, &start, features, &options, ctx))?;
    let out = PyDict::new(py);
    store(py, &out, &found.matches)?;
    out.set_item("map", json(&found.map)?)?;
    out.set_item("placed", array(py, &found.placed, from.dimensions())?)?;
    out.set_item("spacing", found.spacing)?;
    out.set_item("landmark_residuals", found.landmark_residuals.into_pyarray(py))?;
    out.set_item("seeds", found.seeds)?;
    out.set_item("faults", found.faults)?;
    Ok(out)
}

/// See `zensaibo.arrays.match_points`.
#[pyfunction]
#[pyo3(signature = (moving, fixed, options, features=None, threads=None, progress=None))]
fn match_points<'py>(
    py: Python<'py>,
    moving: Places<'py>,
    fixed: Places<'py>,
    options: &str,
    features: Option<(Places<'py>, Places<'py>)>,
    threads: Option<usize>,
    progress: Option<Py<PyAny>>,
) -> PyResult<Bound<'py, PyDict>> {
    let options = AlignOptions::from_json(options).map_err(|error| to_python(py, error))?;
    let clouds = || Ok((cloud("moving cells", &moving)?, cloud("fixed cells", &fixed)?));
    let (from, to) = clouds().map_err(|error| to_python(py, error))?;
    let features = features.as_ref().map(|(a, b)| (a.as_array(), b.as_array()));
    let found = run(py, threads, progress, |ctx| zensaibo_align::match_points(&from, &to, features, &options, ctx))?;
    let out = PyDict::new(py);
    store(py, &out, &found)?;
    Ok(out)
}

/// JSON of the map, and the distance left at each landmark.
#[pyfunction]
#[pyo3(signature = (moving, fixed, options, weights=None))]
fn landmark_transform<'py>(
    py: Python<'py>,
    moving: Places<'py>,
    fixed: Places<'py>,
    options: &str,
    weights: Option<PyReadonlyArray1<'py, f64>>,
) -> PyResult<(String, Bound<'py, PyArray1<f64>>)> {
    let weights = weights.map(|weights| weights.as_array().to_vec());
    let fit = || {
        let options = LandmarkOptions::from_json(options)?;
        let (from, to) =
            (cloud("landmarks of the moving side", &moving)?, cloud("landmarks of the fixed side", &fixed)?);
        let (map, left) = zensaibo_align::landmark_map(&from, &to, weights.as_deref(), &options)?;
        Ok((PointMap::linear(to.dimensions(), map), left))
    };
    let (map, left) = fit().map_err(|error| to_python(py, error))?;
    Ok((json(&map)?, left.into_pyarray(py)))
}

/// JSON of the map, places after it, squared width, iterations, converged.
#[pyfunction]
#[pyo3(signature = (moving, fixed, options, threads=None, progress=None))]
#[allow(clippy::type_complexity)]
fn coherent_point_drift<'py>(
    py: Python<'py>,
    moving: Places<'py>,
    fixed: Places<'py>,
    options: &str,
    threads: Option<usize>,
    progress: Option<Py<PyAny>>,
) -> PyResult<(String, Bound<'py, PyArray2<f64>>, f64, usize, bool)> {
    let options = DriftOptions::from_json(options).map_err(|error| to_python(py, error))?;
    let clouds = || Ok((cloud("moving points", &moving)?, cloud("fixed points", &fixed)?));
    let (from, to) = clouds().map_err(|error| to_python(py, error))?;
    let found = run(py, threads, progress, |ctx| zensaibo_align::drift(&from, &to, &options, ctx))?;
    let placed = array(py, &found.placed, from.dimensions())?;
    Ok((json(&found.map)?, placed, found.sigma2, found.iterations, found.converged))
}

/// Points through a map of JSON, forth or back; NaN where nothing leads back.
#[pyfunction]
#[pyo3(signature = (map, points, inverse=false, threads=None, progress=None))]
fn map_through<'py>(
    py: Python<'py>,
    map: &str,
    points: Places<'py>,
    inverse: bool,
    threads: Option<usize>,
    progress: Option<Py<PyAny>>,
) -> PyResult<Bound<'py, PyArray2<f64>>> {
    let read = || -> Result<(PointMap, Vec<Point>)> {
        let map: PointMap = serde_json::from_str(map)
            .map_err(|error| Error::parameter("transform", "a map as it is saved", error.to_string()))?;
        if !(2..=3).contains(&map.dimensions) || map.controls.len() != map.weights.len() {
            let expected = "2 or 3 dimensions and a weight for each control point";
            return Err(Error::parameter("transform", expected, "others"));
        }
        let dimensions = points.as_array().ncols();
        if dimensions != map.dimensions {
            return Err(Error::parameter(
                "points",
                format!("{} coordinates, as the map has", map.dimensions),
                dimensions,
            ));
        }
        let rows = points.as_array();
        let rows = rows.rows().into_iter().map(|row| [row[0], row[1], row.get(2).copied().unwrap_or(0.0)]).collect();
        Ok((map, rows))
    };
    let (map, rows) = read().map_err(|error| to_python(py, error))?;
    let found = run(py, threads, progress, |ctx| map.map(&rows, inverse, ctx))?;
    array(py, &found, map.dimensions)
}

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(align_points, module)?)?;
    module.add_function(wrap_pyfunction!(match_points, module)?)?;
    module.add_function(wrap_pyfunction!(landmark_transform, module)?)?;
    module.add_function(wrap_pyfunction!(coherent_point_drift, module)?)?;
    module.add_function(wrap_pyfunction!(map_through, module)?)
}
