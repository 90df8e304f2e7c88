//! Whatever an h5ad file can hold under `uns`, `obsm` and the like.

use crate::rows::MatrixLayout;
use crate::table::{Column, Table};
use crate::values::Values;

/// A sparse matrix in the types of its file.
#[derive(Clone, Debug, PartialEq)]
pub struct SparseArray {
    /// By rows or by columns.
    pub layout: MatrixLayout,
    /// Rows.
    pub n_rows: usize,
    /// Columns.
    pub n_cols: usize,
    /// Where each row (or column) starts.
    pub indptr: Values,
    /// Column (or row) of each value.
    pub indices: Values,
    /// The values.
    pub values: Values,
}

/// A column of [`Value::Records`].
pub type RecordField = Column;

/// An element of an h5ad file.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Nothing (`None` in Python).
    Null,
    /// A string.
    Text(String),
    /// A number or boolean.
    Scalar(Values),
    /// Numbers in any number of dimensions, in row order.
    Array {
        /// Length of each dimension.
        shape: Vec<usize>,
        /// The numbers.
        values: Values,
    },
    /// Strings in any number of dimensions, in row order.
    Texts {
        /// Length of each dimension.
        shape: Vec<usize>,
        /// The strings.
        values: Vec<String>,
    },
    /// A sparse matrix.
    Sparse(SparseArray),
    /// A data frame.
    Table(Table),
    /// One column that stands alone: categorical, or with missing values.
    Column(Column),
    /// Records of named fields (numpy's structured array), as `rank_genes_groups` uses them. Each field is
    /// numbers or strings.
    Records(Vec<(String, RecordField)>),
    /// Named elements.
    Dict(Vec<(String, Value)>),
}

impl Value {
    /// A whole number.
    pub fn int(x: i64) -> Self {
        Self::Scalar(Values::I64(vec![x]))
    }

    /// A number.
    pub fn float(x: f64) -> Self {
        Self::Scalar(Values::F64(vec![x]))
    }

    /// A boolean.
    pub fn flag(x: bool) -> Self {
        Self::Scalar(Values::Bool(vec![u8::from(x)]))
    }

    /// A string.
    pub fn text(x: impl Into<String>) -> Self {
        Self::Text(x.into())
    }

    /// A vector of numbers.
    pub fn vector(values: impl Into<Values>) -> Self {
        let values = values.into();
        Self::Array { shape: vec![values.len()], values }
    }

    /// A matrix of numbers, row after row.
    pub fn matrix(n_rows: usize, n_cols: usize, values: impl Into<Values>) -> Self {
        Self::Array { shape: vec![n_rows, n_cols], values: values.into() }
    }

    /// A vector of strings.
    pub fn texts<S: Into<String>>(values: impl IntoIterator<Item = S>) -> Self {
        let values: Vec<String> = values.into_iter().map(Into::into).collect();
        Self::Texts { shape: vec![values.len()], values }
    }

    /// Named elements.
    pub fn dict<S: Into<String>>(members: impl IntoIterator<Item = (S, Value)>) -> Self {
        Self::Dict(members.into_iter().map(|(name, value)| (name.into(), value)).collect())
    }

    /// The member of that name, for dictionaries.
    pub fn get(&self, name: &str) -> Option<&Value> {
        match self {
            Self::Dict(members) => members.iter().find(|(present, _)| present == name).map(|(_, value)| value),
            _ => None,
        }
    }
}
