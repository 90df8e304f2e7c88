//! What recipes on tissue read of an h5ad: places, labels, units.

use std::path::Path;

use zensaibo_core::{Ctx, DataFault, Error, Result};
use zensaibo_io::{AnnDataFile, Column, Value, Values};

/// Units of length that a file may name, with what is written instead.
const UNITS: [(&str, &str); 15] = [
    ("micrometer", "µm"),
    ("micrometre", "µm"),
    ("um", "µm"),
    ("µm", "µm"),
    ("μm", "µm"),
    ("nanometer", "nm"),
    ("nanometre", "nm"),
    ("nm", "nm"),
    ("millimeter", "mm"),
    ("millimetre", "mm"),
    ("mm", "mm"),
    ("pixel", "px"),
    ("px", "px"),
    ("voxel", "voxel"),
    ("unit", ""),
];

/// How a unit is written; an error for one that is not known.
pub(super) fn unit_of(name: &str) -> Result<&'static str> {
    UNITS.iter().find(|(known, _)| *known == name).map(|(_, short)| *short).ok_or_else(|| {
        let known = UNITS.map(|(known, _)| known).join(", ");
        Error::parameter("unit", format!("one of {known}"), name)
    })
}

/// Labels of cells as numbers, with the names in use.
#[derive(Clone, Debug, Default)]
pub(super) struct Labels {
    pub(super) codes: Vec<u32>,
    pub(super) names: Vec<String>,
}

impl Labels {
    fn of(all: &[String]) -> Self {
        match Column::categorical(all) {
            Column::Categories { codes, categories, .. } => {
                Self { codes: codes.into_iter().map(|code| code as u32).collect(), names: categories.labels() }
            }
            _ => Self::default(),
        }
    }
}

/// The coordinates as double precision.
pub(super) fn places(file: &AnnDataFile, path: &Path, key: &str, n: usize, ctx: &Ctx) -> Result<(Vec<f64>, usize)> {
    if !file.has(&format!("obsm/{key}")) {
        return Err(Error::key(key, format!("obsm of {}", path.display()), file.names("obsm")?));
    }
    let fault = |found: String| {
        let expected = format!("{n} x 2 or 3 numbers");
        Error::data(DataFault::Shape, format!("{}: obsm/{key}", path.display()), expected, found)
    };
    match file.value(&format!("obsm/{key}"), ctx)? {
        Value::Array { shape, values } => match shape[..] {
            [rows, columns @ (2 | 3)] if rows == n => {
                let numbers = as_f64(&values).ok_or_else(|| fault("no numbers".into()))?;
                Ok((numbers, columns))
            }
            _ => Err(fault(format!("{shape:?}"))),
        },
        Value::Table(table) => {
            let columns: Option<Vec<Vec<f64>>> = table
                .columns
                .iter()
                .map(|(_, column)| match column {
                    Column::Numbers(values) => as_f64(values),
                    _ => None,
                })
                .collect();
            match columns {
                Some(columns) if (2..=3).contains(&columns.len()) && table.len() == n => {
                    let row = |cell: usize| columns.iter().map(move |column| column[cell]);
                    Ok(((0..n).flat_map(row).collect(), columns.len()))
                }
                _ => Err(fault(format!("a table of {} columns", table.columns.len()))),
            }
        }
        _ => Err(fault("something else".into())),
    }
}

pub(super) fn as_f64(values: &Values) -> Option<Vec<f64>> {
    match values {
        Values::F64(all) => Some(all.clone()),
        Values::F32(all) => Some(all.iter().map(|&x| f64::from(x)).collect()),
        Values::I64(all) => Some(all.iter().map(|&x| x as f64).collect()),
        Values::I32(all) => Some(all.iter().map(|&x| f64::from(x)).collect()),
        Values::I16(all) => Some(all.iter().map(|&x| f64::from(x)).collect()),
        Values::I8(all) => Some(all.iter().map(|&x| f64::from(x)).collect()),
        Values::U64(all) => Some(all.iter().map(|&x| x as f64).collect()),
        Values::U32(all) => Some(all.iter().map(|&x| f64::from(x)).collect()),
        Values::U16(all) => Some(all.iter().map(|&x| f64::from(x)).collect()),
        Values::U8(all) => Some(all.iter().map(|&x| f64::from(x)).collect()),
        Values::F16(_) | Values::Bool(_) => None,
    }
}

/// Refuses coordinates that are not finite; says so where it looks like sections without a third coordinate among others.
pub(super) fn check_places(places: &[f64], dimensions: usize, key: &str) -> Result<()> {
    let row = |cell: usize| &places[cell * dimensions..(cell + 1) * dimensions];
    let n = places.len() / dimensions;
    let bad: Vec<usize> = (0..n).filter(|&cell| row(cell).iter().any(|x| !x.is_finite())).collect();
    let Some(&first) = bad.first() else { return Ok(()) };
    let flat = dimensions == 3 && bad.iter().all(|&cell| row(cell)[..2].iter().all(|x| x.is_finite()));
    let hint = if flat && bad.len() < n {
        "; are cells of two and of three dimensions mixed? Give those in the plane a third coordinate"
    } else {
        ""
    };
    let found = format!("{} cells without (the first is cell {first}: {:?}){hint}", bad.len(), row(first));
    Err(Error::data(DataFault::NotFinite, format!("obsm/{key}"), "finite coordinates", found))
}

/// Codes of strings that may be missing (-1), and their names.
pub(super) fn optional(all: &[Option<String>]) -> Result<(Vec<i32>, Vec<String>)> {
    let given: Vec<&str> = all.iter().flatten().map(String::as_str).collect();
    let Column::Categories { codes, categories, .. } = Column::categorical(&given) else {
        return Err(Error::Internal("labels that are no categories".into()));
    };
    let mut next = codes.into_iter();
    let codes = all.iter().map(|one| one.as_ref().and_then(|_| next.next()).unwrap_or(-1)).collect();
    Ok((codes, categories.labels()))
}

/// A column of labels; every cell must have one.
pub(super) fn labels(file: &AnnDataFile, key: &str, option: &str, ctx: &Ctx) -> Result<Labels> {
    let column = file.column("obs", key, ctx)?;
    let (codes, names) = match &column {
        Column::Categories { codes, categories, .. } => (codes.clone(), categories.labels()),
        Column::OptionalStrings(all) => optional(all)?,
        Column::Strings(all) => return Ok(Labels::of(all)),
        Column::Numbers(values) if !matches!(values, Values::F16(_) | Values::F32(_) | Values::F64(_)) => {
            return Ok(Labels::of(&column.labels()));
        }
        _ => {
            return Err(Error::parameter(option, "a column of labels", format!("`{key}`, which holds other numbers")));
        }
    };
    let missing = codes.iter().filter(|code| **code < 0).count();
    if let Some(first) = codes.iter().position(|code| *code < 0) {
        let found = format!("{missing} without one (the first is cell {first})");
        return Err(Error::data(DataFault::Invalid, format!("obs/{key}"), "a label for every cell", found));
    }
    // Categories that no cell has are left out.
    let mut place = vec![u32::MAX; names.len()];
    codes.iter().for_each(|&code| place[code as usize] = 0);
    let mut kept = Vec::new();
    for (at, name) in names.into_iter().enumerate() {
        if place[at] == 0 {
            place[at] = kept.len() as u32;
            kept.push(name);
        }
    }
    Ok(Labels { codes: codes.iter().map(|&code| place[code as usize]).collect(), names: kept })
}

/// The unit that the file names.
pub(super) fn stored_unit(file: &AnnDataFile, path: &Path, ctx: &Ctx) -> Result<&'static str> {
    const KEY: &str = "uns/spatial_space";
    if !file.has(KEY) {
        return Ok("");
    }
    match file.value(KEY, ctx)?.get("unit") {
        Some(Value::Text(unit)) => unit_of(unit).map_err(|error| {
            Error::format(path, KEY, "a unit of length that is known (or say it: input.unit)", error.to_string())
        }),
        _ => Ok(""),
    }
}

/// Some names for a message.
pub(super) fn few(names: &[&str]) -> String {
    let shown = names[..names.len().min(8)].join(", ");
    if names.len() > 8 { format!("{shown} and {} more", names.len() - 8) } else { shown }
}
