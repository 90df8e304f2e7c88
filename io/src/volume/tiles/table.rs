//! A table of tiles.

use std::path::Path;

use zensaibo_core::{DataFault, Error, Result};

use super::{TileOptions, TileVolume, on_grid};
use crate::columns::{Columns, read_columns};
use crate::table::Column;

pub(super) fn open(path: &Path, options: &TileOptions) -> Result<Vec<TileVolume>> {
    let table = read_columns(path)?;
    let fault = |expected: &str, found: String| {
        Error::data(DataFault::Invalid, path.display().to_string(), expected.to_string(), found)
    };
    let names = || table.columns.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ");
    let files = match table.get("file") {
        Some(Column::Strings(files)) => files.clone(),
        Some(Column::Categories { .. }) => return Err(fault("a column file of text", "categories".into())),
        Some(_) => return Err(fault("a column file with a name in every row", "numbers or gaps".into())),
        None => return Err(fault("a column file", format!("columns {}", names()))),
    };
    let column = |names: [&str; 3]| -> Result<Vec<[f64; 3]>> {
        let first = if table.get(names[0]).is_some() { table.numbers(path, names[0])? } else { vec![0.0; files.len()] };
        let (second, third) = (numbers(&table, path, names[1])?, numbers(&table, path, names[2])?);
        Ok((0..files.len()).map(|row| [first[row], second[row], third[row]]).collect())
    };
    let has = |name: &str| table.get(name).is_some();
    let measured = has("y") && has("x");
    let places = match (measured, has("row") && has("column")) {
        (true, _) => column(["z", "y", "x"])?,
        (false, true) => column(["layer", "row", "column"])?,
        _ => return Err(fault("columns y and x in micrometres, or row and column", format!("columns {}", names()))),
    };
    let folder = path.parent().unwrap_or(Path::new(""));
    let mut tiles = Vec::new();
    for (file, &position) in files.iter().zip(&places) {
        let volume = options.open(&folder.join(file), None)?;
        tiles.push(TileVolume { name: file.clone(), volume, position });
    }
    if measured {
        return Ok(tiles);
    }
    let mut cells = Vec::new();
    for (row, place) in places.iter().enumerate() {
        if let Some(wrong) = place.iter().find(|x| x.fract() != 0.0 || x.abs() > 1e9) {
            return Err(fault("rows and columns as whole numbers", format!("{wrong} in row {row}")));
        }
        cells.push(place.map(|x| x as i64));
    }
    on_grid(tiles, &cells, options)
}

fn numbers(table: &Columns, path: &Path, name: &str) -> Result<Vec<f64>> {
    let found = table.numbers(path, name)?;
    match found.iter().position(|x| !x.is_finite()) {
        None => Ok(found),
        Some(row) => {
            let what = format!("{}, column {name}", path.display());
            Err(Error::data(DataFault::NotFinite, what, "numbers", format!("{} in row {row}", found[row])))
        }
    }
}
