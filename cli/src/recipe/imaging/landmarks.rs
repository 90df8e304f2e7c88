//! Places that are known to belong together, out of a table.

use std::path::Path;

use zensaibo_core::{DataFault, Error, Result, options};
use zensaibo_imaging::register::Landmark;
use zensaibo_io::read_columns;

options! {
    /// Landmarks.
    pub struct LandmarksOptions("landmarks") {
        /// Table (.csv or .parquet) with the columns moving_z, moving_y, moving_x, fixed_z, fixed_y and fixed_x, in micrometres.
        /// Unset: no landmarks.
        pub file: Option<String> = None,
    }
}

impl LandmarksOptions {
    fn check(&self) -> Result<()> {
        Ok(())
    }

    /// The landmarks of the table; none where there is no table.
    ///
    /// # Errors
    /// [`Error::Io`] and [`Error::Format`] of the table; [`Error::Data`] naming a column that is missing or holds no numbers, for a
    /// table without rows, and for places that are not finite.
    pub(super) fn read(&self) -> Result<Vec<Landmark>> {
        let Some(path) = self.file.as_deref().map(Path::new) else {
            return Ok(Vec::new());
        };
        let table = read_columns(path)?;
        let of = |side: &str| -> Result<[Vec<f64>; 3]> {
            let [z, y, x] = ["z", "y", "x"].map(|axis| table.numbers(path, &format!("{side}_{axis}")));
            Ok([z?, y?, x?])
        };
        let (moving, fixed) = (of("moving")?, of("fixed")?);
        let rows = table.len();
        if rows == 0 {
            return Err(Error::data(DataFault::Shape, path.display().to_string(), "a row for each landmark", "no row"));
        }
        let finite = |row: usize| moving.iter().chain(&fixed).all(|column| column[row].is_finite());
        if let Some(row) = (0..rows).find(|&row| !finite(row)) {
            let found = format!("one that is not in row {row}");
            return Err(Error::data(DataFault::NotFinite, path.display().to_string(), "finite places", found));
        }
        let place = |columns: &[Vec<f64>; 3], row: usize| [columns[0][row], columns[1][row], columns[2][row]];
        Ok((0..rows).map(|row| Landmark { moving: place(&moving, row), fixed: place(&fixed, row) }).collect())
    }
}
