//! Places of cells out of tables of every kind.

use std::path::Path;

use zensaibo_core::{Ctx, Error, Result};
use zensaibo_imaging::space::Spacing;
use zensaibo_io::{AnnDataFile, Columns, Marker, Value, read_columns, read_markers};

/// Whether a name ends as tables do; anything else is a volume.
pub(super) fn is_table(path: &Path) -> bool {
    let ending = path.extension().and_then(|end| end.to_str()).unwrap_or_default().to_lowercase();
    matches!(ending.as_str(), "parquet" | "csv" | "xml" | "h5ad")
}

/// One table as it was read: places in micrometres, and other columns.
pub(super) struct Places {
    pub(super) points: Vec<[f64; 3]>,
    pub(super) columns: Columns,
}

/// Reads cells from a table: micrometres, or voxels where `scale` says how many micrometres they are.
///
/// # Errors
/// [`Error::Format`], [`Error::Data`] for tables without places; [`Error::Parameter`] where places need a spacing and have none, or
/// are micrometres and are given one; [`Error::Io`].
pub(super) fn read_places(path: &Path, scale: Option<[f64; 3]>, ctx: &Ctx) -> Result<Places> {
    if !is_table(path) {
        return Err(Error::format(path, "file", "a table (.parquet, .csv, .h5ad, .xml)", "another ending"));
    }
    let ending = path.extension().and_then(|end| end.to_str()).unwrap_or_default().to_lowercase();
    let scaled = |points: Vec<[f64; 3]>| match scale {
        None => Ok(points),
        Some(um) => Spacing::new(um).map(|um| points.into_iter().map(|point| um.point_um(point)).collect()),
    };
    if ending == "xml" {
        if scale.is_none() {
            let expected = format!("micrometres per voxel (--spacing Z,Y,X): {} holds voxels", path.display());
            return Err(Error::parameter("spacing", expected, "none"));
        }
        return Ok(Places { points: scaled(read_markers(path, Marker::Cell)?)?, columns: Columns::default() });
    }
    let in_um =
        || Error::parameter("spacing", format!("none: places of {} are micrometres", path.display()), "a spacing");
    if ending == "h5ad" {
        if scale.is_some() {
            return Err(in_um());
        }
        let file = AnnDataFile::open(path)?;
        let columns = Columns { columns: file.obs(ctx)?.columns, metadata: Vec::new() };
        let wrong = |found: String| Error::format(path, "obsm/spatial", "(x, y) or (x, y, z) for each cell", found);
        let Value::Array { shape, values } = file.value("obsm/spatial", ctx)? else {
            return Err(wrong("no array of numbers".into()));
        };
        let (flat, width) = (values.to_f64(), shape.get(1).copied().unwrap_or(0));
        if shape.len() != 2 || !(2..=3).contains(&width) {
            return Err(wrong(format!("shape {shape:?}")));
        }
        let place = |row: &[f64]| [row.get(2).copied().unwrap_or(0.0), row[1], row[0]];
        return Ok(Places { points: flat.chunks_exact(width).map(place).collect(), columns });
    }
    let columns = read_columns(path)?;
    let detected = columns.get("score").is_some() && columns.get("noise").is_some();
    if scale.is_some() && (columns.said("unit") == Some("micrometer") || detected) {
        return Err(in_um());
    }
    let (y, x) = (columns.numbers(path, "y")?, columns.numbers(path, "x")?);
    let z = if columns.get("z").is_some() { columns.numbers(path, "z")? } else { vec![0.0; y.len()] };
    let points = (0..y.len()).map(|row| [z[row], y[row], x[row]]).collect();
    Ok(Places { points: scaled(points)?, columns })
}
