//! Columns apart by commas (RFC 4180).

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;

use zensaibo_core::{Error, Result};

use super::{Columns, texts_with_gaps, with_gaps};
use crate::table::Column;
use crate::values::Values;

pub(super) fn write(file: &mut File, table: &Columns) -> std::io::Result<()> {
    let mut out = BufWriter::new(file);
    let names: Vec<String> = table.columns.iter().map(|(name, _)| quoted(name)).collect();
    writeln!(out, "{}", names.join(","))?;
    let mut line = String::new();
    for row in 0..table.len() {
        line.clear();
        for (place, (_, column)) in table.columns.iter().enumerate() {
            if place > 0 {
                line.push(',');
            }
            put(&mut line, column, row);
        }
        line.push('\n');
        out.write_all(line.as_bytes())?;
    }
    out.flush()
}

fn put(line: &mut String, column: &Column, row: usize) {
    match column {
        Column::Numbers(values) => put_number(line, values, row),
        Column::Optional { values, missing } => {
            if !missing[row] {
                put_number(line, values, row);
            }
        }
        Column::Strings(texts) => line.push_str(&quoted(&texts[row])),
        Column::OptionalStrings(texts) => line.push_str(&texts[row].as_deref().map(quoted).unwrap_or_default()),
        Column::Categories { codes, categories, .. } => {
            if let Ok(code) = usize::try_from(codes[row]) {
                put(line, categories, code);
            }
        }
    }
}

/// The shortest text that gives the number back; True and False as Python writes them.
fn put_number(line: &mut String, values: &Values, row: usize) {
    use std::fmt::Write as _;
    let _ = match values {
        Values::I8(v) => write!(line, "{}", v[row]),
        Values::I16(v) => write!(line, "{}", v[row]),
        Values::I32(v) => write!(line, "{}", v[row]),
        Values::I64(v) => write!(line, "{}", v[row]),
        Values::U8(v) => write!(line, "{}", v[row]),
        Values::U16(v) => write!(line, "{}", v[row]),
        Values::U32(v) => write!(line, "{}", v[row]),
        Values::U64(v) => write!(line, "{}", v[row]),
        Values::F16(v) => write!(line, "{:?}", crate::values::half_to_f64(v[row])),
        Values::F32(v) => write!(line, "{:?}", v[row]),
        Values::F64(v) => write!(line, "{:?}", v[row]),
        Values::Bool(v) => write!(line, "{}", if v[row] != 0 { "True" } else { "False" }),
    };
}

fn quoted(text: &str) -> String {
    if text.contains(['"', ',', '\n', '\r']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text.into() }
}

pub(super) fn read(path: &Path) -> Result<Columns> {
    let bytes = std::fs::read(path).map_err(|error| Error::io(path, "read", error))?;
    let fault = |place: String, expected: &str, found: String| Error::format(path, place, expected, found);
    let text = std::str::from_utf8(&bytes)
        .map_err(|error| fault("file".into(), "text in UTF-8", format!("other bytes at {}", error.valid_up_to())))?;
    let rows = split(text.trim_start_matches('\u{feff}'))
        .map_err(|line| fault(format!("line {line}"), "a quote at the end of the text", "none".into()))?;
    let mut rows = rows.into_iter();
    let (_, names) = rows.next().ok_or_else(|| fault("file".into(), "a line of names", "an empty file".into()))?;
    let names: Vec<String> = names.into_iter().map(|name| name.trim().to_string()).collect();
    let mut cells: Vec<Vec<String>> = vec![Vec::new(); names.len()];
    for (line, row) in rows {
        if row.len() != names.len() {
            let expected = format!("{} values", names.len());
            return Err(fault(format!("line {line}"), &expected, row.len().to_string()));
        }
        row.into_iter().zip(&mut cells).for_each(|(value, column)| column.push(value));
    }
    let columns = names.into_iter().zip(cells.into_iter().map(typed)).collect();
    let table = Columns { columns, metadata: Vec::new() };
    table.check().map_err(|error| fault("line 1".into(), "different names", error.to_string()))?;
    Ok(table)
}

/// Lines with the number of each, cut at commas. The number of the line in which a quote stays open is the error.
pub(super) fn split(text: &str) -> std::result::Result<Vec<(usize, Vec<String>)>, usize> {
    let mut rows = Vec::new();
    let (mut row, mut value) = (Vec::new(), String::new());
    let (mut line, mut begun) = (1, 1);
    let (mut inside, mut was_quoted) = (false, false);
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '"' if inside && letters.peek() == Some(&'"') => {
                value.push('"');
                letters.next();
            }
            '"' if inside => inside = false,
            '"' if value.is_empty() && !was_quoted => (inside, was_quoted) = (true, true),
            ',' if !inside => {
                row.push(std::mem::take(&mut value));
                was_quoted = false;
            }
            '\r' if !inside && letters.peek() == Some(&'\n') => {}
            '\n' if !inside => {
                // A line without anything is no row.
                if !(row.is_empty() && value.is_empty() && !was_quoted) {
                    row.push(std::mem::take(&mut value));
                    rows.push((begun, std::mem::take(&mut row)));
                }
                was_quoted = false;
                line += 1;
                begun = line;
            }
            other => {
                line += usize::from(other == '\n');
                value.push(other);
            }
        }
    }
    if inside {
        return Err(begun);
    }
    if !(row.is_empty() && value.is_empty() && !was_quoted) {
        row.push(value);
        rows.push((begun, row));
    }
    Ok(rows)
}

/// Truths, whole numbers, numbers or texts, whichever all values are; empty ones are gaps.
fn typed(texts: Vec<String>) -> Column {
    let missing: Vec<bool> = texts.iter().map(String::is_empty).collect();
    fn all<T: Default>(texts: &[String], read: impl Fn(&str) -> Option<T>) -> Option<Vec<T>> {
        texts.iter().map(|text| if text.is_empty() { Some(T::default()) } else { read(text.trim()) }).collect()
    }
    let truth = |text: &str| match text {
        "True" | "true" | "TRUE" => Some(true),
        "False" | "false" | "FALSE" => Some(false),
        _ => None,
    };
    if missing.iter().all(|&gone| gone) {
        return if texts.is_empty() {
            Column::Strings(Vec::new())
        } else {
            Column::OptionalStrings(vec![None; texts.len()])
        };
    }
    if let Some(values) = all(&texts, truth) {
        return with_gaps(values.into(), missing);
    }
    if let Some(values) = all(&texts, |text| text.parse::<i64>().ok()) {
        return with_gaps(values.into(), missing);
    }
    if let Some(values) = all(&texts, |text| text.parse::<f64>().ok()) {
        return with_gaps(values.into(), missing);
    }
    texts_with_gaps(texts.into_iter().zip(missing).map(|(text, gone)| (!gone).then_some(text)).collect())
}
