//! Coordinate systems and what leads to them (OME-NGFF 0.6, RFC-5; scale and translation of the versions before).
//!
//! Transformations are put together as one affine map. A volume has a spacing and axes, so of all maps those can be
//! honoured that send every axis of the array onto one axis of the system: scales, shifts, and axes in another order,
//! however they are written. Others are refused by name: voxels would lie where no spacing says.

use std::path::{Component, Path};

use serde_json::Value as Json;

use super::store;
use crate::place::below;

/// What was expected, and what was found.
pub(super) type Fault = (String, String);

/// An axis, as the metadata describes it.
pub(super) struct Axis {
    pub(super) name: String,
    /// "space", "time", "channel", "array", ...
    pub(super) kind: Option<String>,
    pub(super) unit: Option<String>,
    /// The side where index 0 lies, as a word.
    pub(super) side: Option<String>,
}

impl Axis {
    pub(super) fn of(json: &Json) -> Self {
        let text = |key: &str| json[key].as_str().map(str::to_string);
        let side = json["orientation"]["value"].as_str().or(json["orientation"].as_str());
        Self {
            name: json.as_str().map(str::to_string).or_else(|| text("name")).unwrap_or_default(),
            kind: text("type"),
            unit: text("unit"),
            side: side.and_then(|value| value.split("-to-").next()).map(str::to_string),
        }
    }

    /// Its letter of "tczyx": by its name, else by its type (names are free from 0.6 on), or the name that has none.
    pub(super) fn letter(&self) -> String {
        let name = self.name.to_lowercase();
        match self.kind.as_deref() {
            _ if name.len() == 1 && "tczyx".contains(&name) => name,
            Some("time") => "t".into(),
            Some("channel") => "c".into(),
            _ => name,
        }
    }
}

pub(super) fn list(json: &Json) -> &[Json] {
    json.as_array().map_or(&[], Vec::as_slice)
}

/// A reference to a system by `input` or `output`: the path of a group or array if it names one, and the name. Strings were
/// names before 0.6rc0.
pub(super) fn reference(json: &Json) -> (Option<&str>, Option<&str>) {
    (json["path"].as_str().filter(|path| !path.is_empty()), json.as_str().or(json["name"].as_str()))
}

/// Rows of the places of the system over columns of those of the array, and a last column of shifts.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Map {
    rows: Vec<Vec<f64>>,
}

/// Where the axes of the array lie in the system.
#[derive(Debug, PartialEq)]
pub(super) struct Straight {
    /// For every axis of the array: the axis of the system, how far one voxel reaches along it, and where the first one lies.
    pub(super) axes: Vec<(usize, f64, f64)>,
}

impl Map {
    pub(super) fn identity(rank: usize) -> Self {
        Self { rows: (0..rank).map(|row| (0..=rank).map(|at| f64::from(u8::from(at == row))).collect()).collect() }
    }

    /// Adds a step after those that are there. `folder` is that of the metadata, for parameters in arrays.
    pub(super) fn then(&mut self, folder: &Path, step: &Json) -> Result<(), Fault> {
        self.step(folder, step, 0)
    }

    fn step(&mut self, folder: &Path, step: &Json, depth: usize) -> Result<(), Fault> {
        let rank = self.rows.len();
        if depth > 8 {
            return Err(("steps that lie at most 8 deep within each other".into(), "deeper ones".into()));
        }
        match step["type"].as_str().unwrap_or("nothing") {
            "identity" => {}
            "scale" => {
                for (row, factor) in self.rows.iter_mut().zip(vector(folder, step, "scale", rank)?) {
                    row.iter_mut().for_each(|value| *value *= factor);
                }
            }
            "translation" => {
                for (row, by) in self.rows.iter_mut().zip(vector(folder, step, "translation", rank)?) {
                    row[rank] += by;
                }
            }
            "affine" => self.after(&matrix(folder, step, "affine", rank, rank + 1)?),
            "rotation" => {
                let mut turn = matrix(folder, step, "rotation", rank, rank)?;
                turn.iter_mut().for_each(|row| row.push(0.0));
                self.after(&turn);
            }
            "mapAxis" => {
                let from = indices(&step["mapAxis"], rank);
                let from = from.filter(|from| from.len() == rank && distinct(from)).ok_or_else(|| {
                    (format!("the numbers 0 to {} in some order for `mapAxis`", rank - 1), step["mapAxis"].to_string())
                })?;
                self.rows = from.into_iter().map(|at| self.rows[at].clone()).collect();
            }
            "sequence" => {
                for inner in list(&step["transformations"]) {
                    self.step(folder, inner, depth + 1)?;
                }
            }
            // Its inverse is for those who go back.
            "bijection" => self.step(folder, &step["forward"], depth + 1)?,
            "byDimension" => self.by_dimension(folder, step, depth)?,
            other => {
                let expected = "identity, scale, translation, mapAxis, rotation, affine, or a sequence, bijection or \
                                byDimension of them; the array itself can be opened for voxels without a place";
                return Err((expected.into(), other.into()));
            }
        }
        Ok(())
    }

    /// Applies a matrix with a column of shifts after this.
    fn after(&mut self, next: &[Vec<f64>]) {
        let rank = self.rows.len();
        self.rows = next
            .iter()
            .map(|row| {
                let column = |at: usize| -> f64 { (0..rank).map(|k| row[k] * self.rows[k][at]).sum() };
                let mut out: Vec<f64> = (0..=rank).map(column).collect();
                out[rank] += row[rank];
                out
            })
            .collect();
    }

    fn by_dimension(&mut self, folder: &Path, step: &Json, depth: usize) -> Result<(), Fault> {
        let rank = self.rows.len();
        let mut rows: Vec<Option<Vec<f64>>> = vec![None; rank];
        for part in list(&step["transformations"]) {
            let axes = |new: &str, old: &str| {
                let given = if part[new].is_null() { &part[old] } else { &part[new] };
                indices(given, rank).filter(|axes| distinct(axes))
            };
            let sides = axes("inputAxes", "input_axes").zip(axes("outputAxes", "output_axes"));
            let Some((from, to)) = sides.filter(|(from, to)| from.len() == to.len()) else {
                let expected = format!("as many different `inputAxes` as `outputAxes`, of 0 to {}", rank - 1);
                return Err((expected, part.to_string()));
            };
            let mut inner = Self::identity(from.len());
            inner.step(folder, &part["transformation"], depth + 1)?;
            for (row, &to) in inner.rows.iter().zip(&to) {
                let mut wide = vec![0.0; rank + 1];
                from.iter().zip(row).for_each(|(&at, &value)| wide[at] = value);
                wide[rank] = row[from.len()];
                if rows[to].replace(wide).is_some() {
                    return Err(("every output axis in one part of `byDimension`".into(), format!("{to} in several")));
                }
            }
        }
        let all: Option<Vec<Vec<f64>>> = rows.into_iter().collect();
        let all = all.ok_or_else(|| ("every output axis in one part of `byDimension`".into(), step.to_string()))?;
        self.after(&all);
        Ok(())
    }

    /// Where every axis of the array leads.
    ///
    /// # Errors
    /// Where an axis leads along several, or several along one.
    pub(super) fn straight(&self) -> Result<Straight, Fault> {
        let rank = self.rows.len();
        let mut axes = vec![None; rank];
        for (to, row) in self.rows.iter().enumerate() {
            // A turn by a right angle is seldom written without a trace of the other axes.
            let largest = row[..rank].iter().fold(0.0f64, |most, value| most.max(value.abs()));
            let mut along = (0..rank).filter(|&at| row[at].abs() > 1e-9 * largest);
            let at = match (along.next(), along.next()) {
                (Some(at), None) if axes[at].is_none() => at,
                // A factor of nothing says as much as no factor; the axis is the one of the same number.
                (None, _) if axes[to].is_none() && self.rows.iter().all(|row| row[to] == 0.0) => to,
                _ => {
                    let expected = "a map that sends every axis along one other: no turn by odd angles, shear or \
                                    projection; the array itself can be opened for voxels without a place";
                    return Err((expected.into(), format!("{:?}", self.rows)));
                }
            };
            axes[at] = Some((to, row[at], row[rank]));
        }
        Ok(Straight { axes: axes.into_iter().flatten().collect() })
    }
}

fn distinct(all: &[usize]) -> bool {
    all.iter().enumerate().all(|(at, one)| !all[..at].contains(one))
}

/// A list of axes by number.
fn indices(json: &Json, rank: usize) -> Option<Vec<usize>> {
    let all = json.as_array()?.iter().map(|value| usize::try_from(value.as_u64()?).ok());
    all.collect::<Option<Vec<usize>>>().filter(|all| all.iter().all(|&at| at < rank))
}

fn vector(folder: &Path, step: &Json, key: &str, length: usize) -> Result<Vec<f64>, Fault> {
    if step[key].is_null() && step["path"].is_string() {
        return stored(folder, step, &[length]);
    }
    numbers(&step[key], length).ok_or_else(|| (format!("{length} numbers for `{key}`"), step[key].to_string()))
}

fn numbers(json: &Json, length: usize) -> Option<Vec<f64>> {
    let all: Option<Vec<f64>> = json.as_array()?.iter().map(|x| x.as_f64().filter(|x| x.is_finite())).collect();
    all.filter(|all| all.len() == length)
}

fn matrix(folder: &Path, step: &Json, key: &str, rows: usize, columns: usize) -> Result<Vec<Vec<f64>>, Fault> {
    // Where both are there, the stored one counts.
    if step["path"].is_string() {
        let flat = stored(folder, step, &[rows, columns])?;
        return Ok(flat.chunks_exact(columns).map(<[f64]>::to_vec).collect());
    }
    let all: Option<Vec<Vec<f64>>> =
        step[key].as_array().and_then(|all| all.iter().map(|row| numbers(row, columns)).collect());
    all.filter(|all| all.len() == rows)
        .ok_or_else(|| (format!("{rows} rows of {columns} numbers for `{key}`"), step[key].to_string()))
}

/// Parameters that stand in an array of floating-point numbers below the metadata.
fn stored(folder: &Path, step: &Json, shape: &[usize]) -> Result<Vec<f64>, Fault> {
    let place = step["path"].as_str().unwrap_or_default();
    let expected = || format!("an array of {shape:?} finite numbers at `path`");
    if !Path::new(place).components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir)) {
        return Err(("a `path` below the metadata".into(), place.into()));
    }
    let found = store::open_level(&below(folder, place)).and_then(|(array, _)| array.numbers());
    let (own, values) = found.map_err(|error| (expected(), error.to_string()))?;
    if own != shape || !values.iter().all(|x| x.is_finite()) {
        return Err((expected(), format!("{own:?}: {values:?}")));
    }
    Ok(values)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn map(rank: usize, step: Json) -> Result<Map, Fault> {
        let mut map = Map::identity(rank);
        map.then(Path::new("."), &step).map(|()| map)
    }

    fn straight(rank: usize, step: Json) -> Result<Vec<(usize, f64, f64)>, Fault> {
        map(rank, step)?.straight().map(|found| found.axes)
    }

    /// The functions that the specification writes beside its examples, at a point.
    #[test]
    fn examples_of_the_specification() {
        let at = |rank: usize, step: Json, point: &[f64]| -> Vec<f64> {
            let map = map(rank, step).unwrap();
            let value = |row: &Vec<f64>| row[..rank].iter().zip(point).map(|(a, b)| a * b).sum::<f64>() + row[rank];
            map.rows.iter().map(value).collect()
        };
        let point = [5.0, 7.0];
        assert_eq!(at(2, json!({ "type": "identity" }), &point), [5.0, 7.0]);
        assert_eq!(at(2, json!({ "type": "translation", "translation": [9, -1.42] }), &point), [14.0, 7.0 - 1.42]);
        assert_eq!(at(2, json!({ "type": "scale", "scale": [3.12, 2] }), &point), [5.0 * 3.12, 14.0]);
        assert_eq!(at(2, json!({ "type": "affine", "affine": [[1, 2, 3], [4, 5, 6]] }), &point), [22.0, 61.0]);
        assert_eq!(at(2, json!({ "type": "rotation", "rotation": [[0, -1], [1, 0]] }), &point), [-7.0, 5.0]);
        assert_eq!(at(2, json!({ "type": "mapAxis", "mapAxis": [1, 0] }), &point), [7.0, 5.0]);
        let sequence = json!({ "type": "sequence", "transformations": [
            { "type": "translation", "translation": [0.1, 0.9] }, { "type": "scale", "scale": [2, 3] } ] });
        let there = at(2, sequence, &point);
        assert!((there[0] - 10.2).abs() < 1e-12 && (there[1] - 23.7).abs() < 1e-12, "{there:?}");
        let parts = json!({ "type": "byDimension", "transformations": [
            { "inputAxes": [1], "outputAxes": [1], "transformation": { "type": "translation", "translation": [-1.0] } },
            { "inputAxes": [0], "outputAxes": [0], "transformation": { "type": "scale", "scale": [2.0] } } ] });
        assert_eq!(at(2, parts, &point), [10.0, 6.0]);
        let parts = json!({ "type": "byDimension", "transformations": [
            { "input_axes": [0], "output_axes": [1], "transformation": { "type": "identity" } },
            { "input_axes": [2, 1], "output_axes": [0, 2], "transformation": { "type": "scale", "scale": [2, 3] } } ] });
        assert_eq!(at(3, parts, &[5.0, 7.0, 11.0]), [22.0, 5.0, 21.0]);
        let both = json!({ "type": "bijection", "forward": { "type": "scale", "scale": [2, 2] },
            "inverse": { "type": "displacements", "path": "back" } });
        assert_eq!(at(2, both, &point), [10.0, 14.0]);
    }

    #[test]
    fn axes_may_be_reordered_but_not_mixed() {
        let right = std::f64::consts::FRAC_PI_2;
        let turn = |angle: f64| json!([[angle.cos(), -angle.sin()], [angle.sin(), angle.cos()]]);
        let turned = straight(2, json!({ "type": "rotation", "rotation": turn(right) })).unwrap();
        assert_eq!(turned, [(1, 1.0, 0.0), (0, -1.0, 0.0)]);
        let steps = json!({ "type": "sequence", "transformations": [
            { "type": "scale", "scale": [1, 2, 3] }, { "type": "mapAxis", "mapAxis": [2, 0, 1] },
            { "type": "translation", "translation": [10, 20, 30] } ] });
        assert_eq!(straight(3, steps).unwrap(), [(1, 1.0, 20.0), (2, 2.0, 30.0), (0, 3.0, 10.0)]);
        // There and back again is no turn.
        let back = json!({ "type": "sequence", "transformations": [
            { "type": "rotation", "rotation": turn(0.3) }, { "type": "rotation", "rotation": turn(-0.3) } ] });
        assert_eq!(straight(2, back).unwrap().iter().map(|axis| axis.0).collect::<Vec<_>>(), [0, 1]);
        for (rank, step) in [
            (2, json!({ "type": "rotation", "rotation": turn(0.3) })),
            (2, json!({ "type": "affine", "affine": [[1, 0.1, 0], [0, 1, 0]] })),
            (2, json!({ "type": "affine", "affine": [[1, 0, 0], [1, 0, 0]] })),
            (2, json!({ "type": "affine", "affine": [[0, 1, 0], [0, 0, 0]] })),
        ] {
            let (expected, _) = straight(rank, step.clone()).unwrap_err();
            assert!(expected.contains("every axis along one other"), "{step}: {expected}");
        }
        // Placeholders of files that know no spacing.
        assert_eq!(straight(2, json!({ "type": "scale", "scale": [0, 2] })).unwrap(), [(0, 0.0, 0.0), (1, 2.0, 0.0)]);
    }

    #[test]
    fn what_cannot_be_honoured_is_named() {
        let one = |inputs: [usize; 1], outputs: [usize; 1]| json!({ "inputAxes": inputs, "outputAxes": outputs, "transformation": { "type": "identity" } });
        for (step, word) in [
            (json!({ "type": "displacements", "path": "field" }), "displacements"),
            (json!({ "type": "coordinates", "path": "field" }), "coordinates"),
            (json!({ "type": "projectAxis", "droppedInputs": [0] }), "projectAxis"),
            (json!({ "type": "inverseOf", "transformation": { "type": "identity" } }), "inverseOf"),
            (json!({ "type": "sequence", "transformations": [{ "type": "coordinates" }] }), "coordinates"),
            (json!({}), "nothing"),
            (json!({ "type": "scale", "scale": [1] }), "[1]"),
            (json!({ "type": "scale", "scale": [1, "2"] }), "[1,\"2\"]"),
            (json!({ "type": "affine", "affine": [[1, 0], [0, 1]] }), "[[1,0],[0,1]]"),
            (json!({ "type": "mapAxis", "mapAxis": [0, 0] }), "[0,0]"),
            (json!({ "type": "mapAxis", "mapAxis": { "x": "y" } }), "{\"x\":\"y\"}"),
            (json!({ "type": "rotation", "path": "../turn" }), "../turn"),
            // The two that the specification calls invalid: an axis that is not there, and one that two parts make.
            (json!({ "type": "byDimension", "transformations": [one([0], [2]), one([1], [1])] }), "[2]"),
            (json!({ "type": "byDimension", "transformations": [one([0], [1]), one([1], [1])] }), "in several"),
            (json!({ "type": "byDimension", "transformations": [one([0], [0])] }), "byDimension"),
        ] {
            let (expected, found) = straight(2, step.clone()).unwrap_err();
            assert!(found.contains(word), "{step}: {expected}: {found}");
        }
    }
}
