//! Annotations of cells or genes: named columns of equal length.

use zensaibo_core::{DataFault, Error, Result};

use crate::values::{Values, each_values};

/// One column of a [`Table`].
#[derive(Clone, Debug, PartialEq)]
pub enum Column {
    /// Numbers or booleans.
    Numbers(Values),
    /// Strings.
    Strings(Vec<String>),
    /// Strings of which some are missing.
    OptionalStrings(Vec<Option<String>>),
    /// Numbers or booleans of which some are missing (true in `missing`).
    Optional {
        /// The values; what stands at a missing place means nothing.
        values: Values,
        /// Which are missing.
        missing: Vec<bool>,
    },
    /// One of a few values per row.
    Categories {
        /// Category of each row, -1 where missing.
        codes: Vec<i32>,
        /// The categories: strings or numbers.
        categories: Box<Column>,
        /// Whether the categories have an order.
        ordered: bool,
    },
}

impl Column {
    /// A categorical column of strings: categories sorted by name, as pandas does.
    pub fn categorical<S: AsRef<str>>(labels: &[S]) -> Self {
        let mut names: Vec<&str> = labels.iter().map(AsRef::as_ref).collect();
        names.sort_unstable();
        names.dedup();
        let codes = labels.iter().map(|label| names.partition_point(|name| *name < label.as_ref()) as i32).collect();
        let categories = Box::new(Self::Strings(names.into_iter().map(String::from).collect()));
        Self::Categories { codes, categories, ordered: false }
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        match self {
            Self::Numbers(values) => values.len(),
            Self::Strings(texts) => texts.len(),
            Self::OptionalStrings(texts) => texts.len(),
            Self::Optional { missing, .. } => missing.len(),
            Self::Categories { codes, .. } => codes.len(),
        }
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Each row as text; missing ones are "nan".
    pub fn labels(&self) -> Vec<String> {
        match self {
            Self::Numbers(values) => match values {
                Values::Bool(v) => v.iter().map(|&x| if x != 0 { "True" } else { "False" }.to_string()).collect(),
                Values::F16(_) => values.to_f64().iter().map(f64::to_string).collect(),
                other => each_values!(other, v => v.iter().map(ToString::to_string).collect()),
            },
            Self::Strings(texts) => texts.clone(),
            Self::OptionalStrings(texts) => {
                texts.iter().map(|text| text.clone().unwrap_or_else(|| "nan".into())).collect()
            }
            Self::Optional { values, missing } => {
                let mut labels = Self::Numbers(values.clone()).labels();
                labels.iter_mut().zip(missing).filter(|(_, gone)| **gone).for_each(|(label, _)| *label = "nan".into());
                labels
            }
            Self::Categories { codes, categories, .. } => {
                let names = categories.labels();
                let name = |&code: &i32| usize::try_from(code).ok().and_then(|at| names.get(at)).cloned();
                codes.iter().map(|code| name(code).unwrap_or_else(|| "nan".into())).collect()
            }
        }
    }

    /// The rows at these places.
    pub fn take(&self, rows: &[usize]) -> Self {
        match self {
            Self::Numbers(values) => Self::Numbers(values.take(rows, 1)),
            Self::Strings(texts) => Self::Strings(rows.iter().map(|&row| texts[row].clone()).collect()),
            Self::OptionalStrings(texts) => Self::OptionalStrings(rows.iter().map(|&row| texts[row].clone()).collect()),
            Self::Optional { values, missing } => {
                Self::Optional { values: values.take(rows, 1), missing: rows.iter().map(|&row| missing[row]).collect() }
            }
            Self::Categories { codes, categories, ordered } => Self::Categories {
                codes: rows.iter().map(|&row| codes[row]).collect(),
                categories: categories.clone(),
                ordered: *ordered,
            },
        }
    }
}

/// Row names and columns.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Table {
    /// Name of the column of row names, where it has one.
    pub index_name: Option<String>,
    /// Row names.
    pub index: Vec<String>,
    /// Columns in order, each as long as the index.
    pub columns: Vec<(String, Column)>,
}

impl Table {
    /// A table of row names alone.
    pub fn of_names(index: Vec<String>) -> Self {
        Self { index_name: None, index, columns: Vec::new() }
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.index.len()
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.index.is_empty()
    }

    /// The column of that name.
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|(present, _)| present == name).map(|(_, column)| column)
    }

    /// Adds or replaces a column.
    ///
    /// # Errors
    /// [`Error::Data`] when it is not as long as the index.
    pub fn set(&mut self, name: &str, column: Column) -> Result<()> {
        if column.len() != self.len() {
            let expected = format!("{} rows", self.len());
            return Err(Error::data(DataFault::Shape, format!("column `{name}`"), expected, column.len()));
        }
        match self.columns.iter_mut().find(|(present, _)| present == name) {
            Some((_, place)) => *place = column,
            None => self.columns.push((name.to_string(), column)),
        }
        Ok(())
    }

    /// The rows at these places.
    pub fn take(&self, rows: &[usize]) -> Self {
        Self {
            index_name: self.index_name.clone(),
            index: rows.iter().map(|&row| self.index[row].clone()).collect(),
            columns: self.columns.iter().map(|(name, column)| (name.clone(), column.take(rows))).collect(),
        }
    }
}

/// Makes names unique as anndata does: the second `x` becomes `x-1`, skipping names that are taken.
pub fn make_unique(names: &mut [String]) -> bool {
    use std::collections::{HashMap, HashSet};
    let mut seen: HashSet<String> = HashSet::with_capacity(names.len());
    let repeated: Vec<usize> = (0..names.len()).filter(|&at| !seen.insert(names[at].clone())).collect();
    let mut counter: HashMap<String, usize> = HashMap::new();
    for &at in &repeated {
        let base = names[at].clone();
        let count = counter.entry(base.clone()).or_insert(0);
        let name = loop {
            *count += 1;
            let candidate = format!("{base}-{count}");
            if !seen.contains(&candidate) {
                break candidate;
            }
        };
        seen.insert(name.clone());
        names[at] = name;
    }
    !repeated.is_empty()
}

/// The first name that occurs twice.
pub fn first_repeated(names: &[String]) -> Option<&str> {
    let mut seen = std::collections::HashSet::with_capacity(names.len());
    names.iter().find(|name| !seen.insert(name.as_str())).map(String::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unique_names_skip_those_that_are_taken() {
        let mut names: Vec<String> = ["a", "a", "a-1", "b", "a"].map(String::from).to_vec();
        assert_eq!(first_repeated(&names), Some("a"));
        assert!(make_unique(&mut names));
        assert_eq!(names, ["a", "a-2", "a-1", "b", "a-3"]);
        assert!(!make_unique(&mut names));
    }

    #[test]
    fn categories_sort_by_name() {
        let column = Column::categorical(&["b", "a", "b"]);
        assert_eq!(column.labels(), ["b", "a", "b"]);
        assert_eq!(column.take(&[1]).labels(), ["a"]);
        let Column::Categories { codes, .. } = column else { panic!() };
        assert_eq!(codes, [1, 0, 1]);
    }
}
