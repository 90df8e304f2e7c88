//! Some rows and columns of an element.

use crate::rows::MatrixLayout;
use crate::value::{SparseArray, Value};
use crate::values::Values;

/// What was expected and what was found.
type Fault = (String, String);

/// Keeps rows and columns at these rising places (`None` keeps all).
pub(super) fn subset(value: Value, rows: Option<&[usize]>, columns: Option<&[usize]>) -> Result<Value, Fault> {
    match value {
        Value::Table(table) => Ok(Value::Table(match rows {
            Some(rows) => {
                check(rows, table.len())?;
                table.take(rows)
            }
            None => table,
        })),
        Value::Array { shape, values } => {
            let width = shape.iter().skip(1).product::<usize>();
            let mut shape = shape;
            let mut values = values;
            if let Some(rows) = rows {
                check(rows, shape.first().copied().unwrap_or(0))?;
                values = values.take(rows, width);
                shape[0] = rows.len();
            }
            if let (Some(columns), [n, m]) = (columns, &mut shape[..]) {
                check(columns, *m)?;
                let places: Vec<usize> =
                    (0..*n).flat_map(|row| columns.iter().map(move |column| row * width + column)).collect();
                values = values.take(&places, 1);
                *m = columns.len();
            }
            Ok(Value::Array { shape, values })
        }
        Value::Sparse(matrix) => {
            let (mut n_rows, mut n_cols) = (matrix.n_rows, matrix.n_cols);
            let SparseArray { layout, indptr, indices, values, .. } = matrix;
            let (major, minor) = if layout == MatrixLayout::Csc { (columns, rows) } else { (rows, columns) };
            let (majors, minors) = if layout == MatrixLayout::Csc { (n_cols, n_rows) } else { (n_rows, n_cols) };
            let wrong = || ("whole numbers".to_string(), "others".to_string());
            let pointers = indptr.to_i64().ok_or_else(wrong)?;
            let minor_of = indices.to_i64().ok_or_else(wrong)?;
            if let Some(major) = major {
                check(major, majors)?;
            }
            let mut renumbered: Vec<i64> = (0..minors as i64).collect();
            if let Some(minor) = minor {
                check(minor, minors)?;
                renumbered.fill(-1);
                minor.iter().enumerate().for_each(|(new, &old)| renumbered[old] = new as i64);
            }
            let all: Vec<usize> = (0..majors).collect();
            let mut places = Vec::new();
            let mut kept_minors = Vec::new();
            let mut ends = vec![0i64];
            for &line in major.unwrap_or(&all) {
                for at in pointers[line] as usize..pointers[line + 1] as usize {
                    let new = renumbered[minor_of[at] as usize];
                    if new >= 0 {
                        places.push(at);
                        kept_minors.push(new);
                    }
                }
                ends.push(places.len() as i64);
            }
            if let Some(rows) = rows {
                n_rows = rows.len();
            }
            if let Some(columns) = columns {
                n_cols = columns.len();
            }
            let narrow = |whole: Vec<i64>, like: &Values| match like {
                Values::I32(_) => Values::I32(whole.into_iter().map(|x| x as i32).collect()),
                _ => Values::I64(whole),
            };
            Ok(Value::Sparse(SparseArray {
                layout,
                n_rows,
                n_cols,
                indptr: narrow(ends, &indptr),
                indices: narrow(kept_minors, &indices),
                values: values.take(&places, 1),
            }))
        }
        Value::Null => Ok(Value::Null),
        _ => Err(("a table, an array or a sparse matrix".into(), "another kind of element".into())),
    }
}

fn check(places: &[usize], n: usize) -> Result<(), Fault> {
    match places.iter().find(|&&place| place >= n) {
        None => Ok(()),
        Some(place) => Err((format!("more than {place} entries along the axis"), n.to_string())),
    }
}
