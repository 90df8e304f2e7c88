//! Flat tables of cells and tracks in files: Parquet with metadata, CSV; places in cellfinder's XML.
//!
//! [`read_columns`] and [`write_columns`] go by the ending of the name. What is written reads back with the same types
//! and the same bits: CSV holds the shortest text that gives each number, and its types are told from the text, so that
//! whole numbers come back as int64 and others as float64.

mod csv;
mod markers;
mod parquet;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use zensaibo_core::{DataFault, Error, Result};

use crate::table::Column;
use crate::values::Values;

pub use markers::{Marker, read_markers, write_markers};

/// Lines of CSV with the number of each, cut at commas. The number of the line in which a quote stays open is the error.
pub(crate) fn text_rows(text: &str) -> std::result::Result<Vec<(usize, Vec<String>)>, usize> {
    csv::split(text.trim_start_matches('\u{feff}'))
}

/// Named columns of one length, and what is said of them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Columns {
    /// Names and columns in order: numbers, strings, or either with gaps.
    pub columns: Vec<(String, Column)>,
    /// Keys and texts; Parquet only.
    pub metadata: Vec<(String, String)>,
}

impl Columns {
    /// Rows.
    pub fn len(&self) -> usize {
        self.columns.first().map_or(0, |(_, column)| column.len())
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The column of a name.
    pub fn get(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|(present, _)| present == name).map(|(_, column)| column)
    }

    /// What is said under a key.
    pub fn said(&self, key: &str) -> Option<&str> {
        self.metadata.iter().find(|(present, _)| present == key).map(|(_, text)| text.as_str())
    }

    /// The numbers of a column as f64.
    ///
    /// # Errors
    /// [`Error::Data`] naming file, column and what was found: no such column, text, a gap.
    pub fn numbers(&self, path: &Path, name: &str) -> Result<Vec<f64>> {
        let what = || format!("{}, column {name}", path.display());
        match self.get(name) {
            Some(Column::Numbers(values)) => Ok(values.to_f64()),
            Some(Column::Optional { values, missing }) => match missing.iter().position(|&gone| gone) {
                None => Ok(values.to_f64()),
                Some(row) => {
                    Err(Error::data(DataFault::NotFinite, what(), "a number in each row", format!("none in row {row}")))
                }
            },
            // Of an empty table nobody can tell the type.
            Some(column) if column.is_empty() => Ok(Vec::new()),
            Some(_) => Err(Error::data(DataFault::Invalid, what(), "numbers", "text")),
            None => {
                let names: Vec<&str> = self.columns.iter().map(|(name, _)| name.as_str()).collect();
                let expected = format!("a column {name}");
                Err(Error::data(
                    DataFault::Shape,
                    path.display().to_string(),
                    expected,
                    format!("columns {}", names.join(", ")),
                ))
            }
        }
    }

    fn check(&self) -> Result<()> {
        let rows = self.len();
        for (place, (name, column)) in self.columns.iter().enumerate() {
            if column.len() != rows {
                let what = format!("column `{name}`");
                return Err(Error::data(DataFault::Shape, what, format!("{rows} rows"), column.len()));
            }
            if self.columns[..place].iter().any(|(other, _)| other == name) {
                return Err(Error::data(DataFault::Invalid, "columns", "different names", format!("{name} twice")));
            }
        }
        Ok(())
    }
}

/// How a table is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Parquet,
    Csv,
}

fn kind(path: &Path) -> Option<Kind> {
    match path.extension()?.to_str()?.to_lowercase().as_str() {
        "parquet" => Some(Kind::Parquet),
        "csv" => Some(Kind::Csv),
        _ => None,
    }
}

/// Reads a table from a .parquet (flat columns; not compressed, Snappy or Zstandard) or .csv file.
///
/// # Errors
/// [`Error::Io`]; [`Error::Format`] for another ending, a damaged file, columns of kinds that are not read.
pub fn read_columns(path: &Path) -> Result<Columns> {
    match kind(path) {
        Some(Kind::Parquet) => parquet::read(path),
        Some(Kind::Csv) => csv::read(path),
        None => Err(Error::format(path, "file", "a table ending in .parquet or .csv", "another ending")),
    }
}

/// Writes a table as .parquet (Snappy) or .csv, beside the target and then renamed. Metadata goes into Parquet alone.
///
/// # Errors
/// [`Error::Parameter`] for another ending; [`Error::Data`] for columns of different length or the same name;
/// [`Error::Io`] when the disk is full or the system refuses: what stood at the target then stands there still.
pub fn write_columns(path: &Path, table: &Columns) -> Result<()> {
    table.check()?;
    let kind =
        kind(path).ok_or_else(|| Error::parameter("path", "a name ending in .parquet or .csv", path.display()))?;
    replace(path, |file| match kind {
        Kind::Parquet => parquet::write(file, table),
        Kind::Csv => csv::write(file, table),
    })
}

/// Writes a file beside `path` by `job`, brings it to the disk and renames it.
fn replace(path: &Path, job: impl FnOnce(&mut fs::File) -> std::io::Result<()>) -> Result<()> {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let io = |error| Error::io(path, "write", error);
    // A link is followed, so that what it points at is replaced and the link stays.
    let target: PathBuf = fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
    let name = target.file_name().ok_or_else(|| io(std::io::ErrorKind::InvalidInput.into()))?;
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let partial = target.with_file_name(format!(".{}.{}-{number}.partial", name.to_string_lossy(), std::process::id()));
    let outcome = fs::File::create_new(&partial).and_then(|mut file| {
        job(&mut file)?;
        file.flush()?;
        if let Ok(old) = fs::metadata(&target) {
            file.set_permissions(old.permissions())?;
        }
        file.sync_all()?;
        fs::rename(&partial, &target)
    });
    outcome.map_err(|error| {
        let _ = fs::remove_file(&partial);
        io(error)
    })
}

/// Numbers, or numbers with gaps where there are any.
fn with_gaps(values: Values, missing: Vec<bool>) -> Column {
    if missing.contains(&true) { Column::Optional { values, missing } } else { Column::Numbers(values) }
}

/// Texts, or texts with gaps where there are any.
fn texts_with_gaps(texts: Vec<Option<String>>) -> Column {
    if texts.iter().any(Option::is_none) {
        Column::OptionalStrings(texts)
    } else {
        Column::Strings(texts.into_iter().flatten().collect())
    }
}
