//! Writing one element of an h5ad file, in the encodings of anndata 0.11 and 0.12.

use hdf5_metno::Group;

use crate::h5::{
    FieldData, Outcome, Stream, put_encoding, put_null, put_numbers, put_numbers_attr, put_records, put_text_attr,
    put_texts, put_texts_attr,
};
use crate::rows::MatrixLayout;
use crate::table::{Column, Table};
use crate::value::{SparseArray, Value};
use crate::values::Values;

fn new_group(parent: &Group, name: &str) -> Outcome<Group> {
    parent.create_group(name).map_err(|error| error.to_string())
}

fn lengths(shape: &[usize]) -> Vec<u64> {
    shape.iter().map(|&n| n as u64).collect()
}

/// Writes `value` as `name` in `parent`, which holds nothing of that name.
pub(super) fn put_value(parent: &Group, name: &str, value: &Value, gzip: Option<u8>) -> Outcome<()> {
    if name.is_empty() || name.contains('/') {
        return Err(format!("a name may not be empty or hold a slash: {name:?}"));
    }
    match value {
        Value::Null => put_encoding(&*put_null(parent, name)?, "null", "0.1.0"),
        Value::Text(text) => put_encoding(&*put_texts(parent, name, &[], &[text])?, "string", "0.2.0"),
        Value::Scalar(values) => {
            if values.len() != 1 {
                return Err(format!("a scalar of {} values", values.len()));
            }
            put_encoding(&*put_numbers(parent, name, &[], values, None)?, "numeric-scalar", "0.2.0")
        }
        Value::Array { shape, values } => put_array(parent, name, shape, values, gzip),
        Value::Texts { shape, values } => {
            check_size(shape, values.len())?;
            put_encoding(&*put_texts(parent, name, &lengths(shape), values)?, "string-array", "0.2.0")
        }
        Value::Sparse(matrix) => put_sparse(parent, name, matrix, gzip),
        Value::Table(table) => put_table(parent, name, table),
        Value::Column(column) => put_column(parent, name, column),
        Value::Records(fields) => {
            let count = fields.first().map_or(0, |(_, column)| column.len());
            let fields = fields
                .iter()
                .map(|(field, column)| match column {
                    column if column.len() != count => {
                        Err(format!("field {field} of {} rows, not {count}", column.len()))
                    }
                    Column::Numbers(values) => Ok((field.as_str(), FieldData::Numbers(values))),
                    Column::Strings(texts) => Ok((field.as_str(), FieldData::Texts(texts))),
                    _ => Err(format!("field {field} is neither numbers nor strings")),
                })
                .collect::<Outcome<Vec<_>>>()?;
            put_encoding(&*put_records(parent, name, count, &fields)?, "rec-array", "0.2.0")
        }
        Value::Dict(members) => {
            let group = new_group(parent, name)?;
            put_encoding(&group, "dict", "0.1.0")?;
            members.iter().try_for_each(|(name, value)| put_value(&group, name, value, gzip))
        }
    }
}

fn check_size(shape: &[usize], len: usize) -> Outcome<()> {
    if shape.iter().product::<usize>() == len { Ok(()) } else { Err(format!("{len} values for the shape {shape:?}")) }
}

fn put_array(parent: &Group, name: &str, shape: &[usize], values: &Values, gzip: Option<u8>) -> Outcome<()> {
    check_size(shape, values.len())?;
    put_encoding(&*put_numbers(parent, name, &lengths(shape), values, gzip)?, "array", "0.2.0")
}

fn put_sparse(parent: &Group, name: &str, matrix: &SparseArray, gzip: Option<u8>) -> Outcome<()> {
    let group = sparse_group(parent, name, matrix.layout, matrix.n_rows, matrix.n_cols)?;
    for (part, values) in [("data", &matrix.values), ("indices", &matrix.indices), ("indptr", &matrix.indptr)] {
        let mut stream = Stream::new(&group, part, values.dtype(), &[], values.len() as u64, gzip)?;
        stream.push(values.bytes())?;
        put_encoding(&*stream.finish()?, "array", "0.2.0")?;
    }
    Ok(())
}

/// The group of a sparse matrix, with its encoding and shape.
pub(super) fn sparse_group(
    parent: &Group,
    name: &str,
    layout: MatrixLayout,
    n_rows: usize,
    n_cols: usize,
) -> Outcome<Group> {
    let group = new_group(parent, name)?;
    let kind = match layout {
        MatrixLayout::Csr => "csr_matrix",
        MatrixLayout::Csc => "csc_matrix",
        MatrixLayout::Dense => return Err("a dense matrix among the sparse".into()),
    };
    put_encoding(&group, kind, "0.1.0")?;
    put_numbers_attr(&group, "shape", &Values::I64(vec![n_rows as i64, n_cols as i64]), &[2])?;
    Ok(group)
}

/// Writes a data frame.
pub(super) fn put_table(parent: &Group, name: &str, table: &Table) -> Outcome<()> {
    let group = new_group(parent, name)?;
    let index_name = table.index_name.as_deref().unwrap_or("_index");
    if table.columns.iter().any(|(column, _)| column == index_name) {
        return Err(format!("the column {index_name} has the name of the row names"));
    }
    put_encoding(&group, "dataframe", "0.2.0")?;
    put_text_attr(&group, "_index", index_name)?;
    put_order(&group, table.columns.iter().map(|(name, _)| name.as_str()).collect())?;
    put_column(&group, index_name, &Column::Strings(table.index.clone()))?;
    for (name, column) in &table.columns {
        if column.len() != table.len() {
            return Err(format!("column {name} of {} rows in a table of {}", column.len(), table.len()));
        }
        put_column(&group, name, column)?;
    }
    Ok(())
}

/// Writes the order of the columns of a data frame.
pub(super) fn put_order(group: &Group, names: Vec<&str>) -> Outcome<()> {
    put_texts_attr(group, "column-order", &names)
}

/// Writes a column.
pub(super) fn put_column(parent: &Group, name: &str, column: &Column) -> Outcome<()> {
    let count = [column.len() as u64];
    match column {
        Column::Numbers(values) => put_array(parent, name, &[values.len()], values, None),
        Column::Strings(texts) => put_encoding(&*put_texts(parent, name, &count, texts)?, "string-array", "0.2.0"),
        Column::OptionalStrings(texts) => {
            let group = new_group(parent, name)?;
            put_encoding(&group, "nullable-string-array", "0.1.0")?;
            let filled: Vec<&str> = texts.iter().map(|text| text.as_deref().unwrap_or("")).collect();
            put_encoding(&*put_texts(&group, "values", &count, &filled)?, "string-array", "0.2.0")?;
            let missing: Vec<bool> = texts.iter().map(Option::is_none).collect();
            put_array(&group, "mask", &[missing.len()], &missing.into(), None)
        }
        Column::Optional { values, missing } => {
            if values.len() != missing.len() {
                return Err(format!("{} values and {} marks of missing ones", values.len(), missing.len()));
            }
            let group = new_group(parent, name)?;
            let kind = if values.dtype() == crate::Dtype::Bool { "nullable-boolean" } else { "nullable-integer" };
            put_encoding(&group, kind, "0.1.0")?;
            put_array(&group, "values", &[values.len()], values, None)?;
            put_array(&group, "mask", &[missing.len()], &missing.clone().into(), None)
        }
        Column::Categories { codes, categories, ordered } => {
            let n = categories.len();
            if let Some(code) = codes.iter().find(|&&code| code < -1 || code >= 0 && code as usize >= n) {
                return Err(format!("category {code} of {n}"));
            }
            let group = new_group(parent, name)?;
            put_encoding(&group, "categorical", "0.2.0")?;
            put_numbers_attr(&group, "ordered", &Values::Bool(vec![u8::from(*ordered)]), &[])?;
            put_column(&group, "categories", categories)?;
            // The narrowest type, as pandas chooses it.
            let codes: Values = if n <= i8::MAX as usize {
                codes.iter().map(|&code| code as i8).collect::<Vec<_>>().into()
            } else if n <= i16::MAX as usize {
                codes.iter().map(|&code| code as i16).collect::<Vec<_>>().into()
            } else {
                codes.clone().into()
            };
            put_array(&group, "codes", &[codes.len()], &codes, None)
        }
    }
}
