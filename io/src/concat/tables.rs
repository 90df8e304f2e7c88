//! Tables of several files, one after the other.

use crate::table::{Column, Table};
use crate::values::Values;

/// Rows of tables one after the other: the columns that all of them have, in the order of the first.
///
/// Columns of one kind stay that kind: numbers of one type keep it and others become f64, categories of strings are joined in
/// order of appearance. Columns of different kinds become strings.
pub fn concat_tables(tables: &[Table]) -> Table {
    let Some(first) = tables.first() else { return Table::default() };
    let index = tables.iter().flat_map(|table| table.index.iter().cloned()).collect();
    let columns = first.columns.iter().filter_map(|(name, _)| {
        let found: Vec<&Column> = tables.iter().filter_map(|table| table.column(name)).collect();
        (found.len() == tables.len()).then(|| (name.clone(), concat_columns(&found)))
    });
    let columns = columns.collect();
    let same = tables.iter().all(|table| table.index_name == first.index_name);
    Table { index_name: first.index_name.clone().filter(|_| same), index, columns }
}

/// Columns one after the other.
fn concat_columns(columns: &[&Column]) -> Column {
    let numbers = |column: &&Column| match column {
        Column::Numbers(values) => Some(values.clone()),
        _ => None,
    };
    if let Some(parts) = columns.iter().map(numbers).collect::<Option<Vec<Values>>>() {
        return Column::Numbers(concat_values(parts));
    }
    let optional = |column: &&Column| match column {
        Column::Numbers(values) => Some((values.clone(), vec![false; values.len()])),
        Column::Optional { values, missing } => Some((values.clone(), missing.clone())),
        _ => None,
    };
    if let Some(parts) = columns.iter().map(optional).collect::<Option<Vec<(Values, Vec<bool>)>>>() {
        let (values, missing): (Vec<Values>, Vec<Vec<bool>>) = parts.into_iter().unzip();
        let same = values.iter().all(|part| part.dtype() == values[0].dtype());
        // Whole numbers of which some are missing are not kept in f64.
        if same {
            return Column::Optional { values: concat_values(values), missing: missing.concat() };
        }
    }
    if let Some(joined) = concat_categories(columns) {
        return joined;
    }
    let texts = |column: &&Column| match column {
        Column::OptionalStrings(texts) => texts.clone(),
        Column::Optional { missing, .. } => {
            column.labels().into_iter().zip(missing).map(|(text, &gone)| (!gone).then_some(text)).collect()
        }
        Column::Categories { codes, .. } => {
            column.labels().into_iter().zip(codes).map(|(text, &code)| (code >= 0).then_some(text)).collect()
        }
        other => other.labels().into_iter().map(Some).collect(),
    };
    let all: Vec<Option<String>> = columns.iter().flat_map(texts).collect();
    if all.iter().all(Option::is_some) {
        Column::Strings(all.into_iter().flatten().collect())
    } else {
        Column::OptionalStrings(all)
    }
}

/// Values one after the other, in their type where all have it and in f64 otherwise.
pub(super) fn concat_values(parts: Vec<Values>) -> Values {
    let dtype = parts.first().map(Values::dtype);
    if !parts.iter().all(|part| Some(part.dtype()) == dtype) {
        return Values::F64(parts.iter().flat_map(Values::to_f64).collect());
    }
    let mut parts = parts.into_iter();
    let mut all = parts.next().unwrap_or(Values::F64(Vec::new()));
    for part in parts {
        all.append(part);
    }
    all
}

/// Categories whose names are strings, joined; none where a column is of another kind.
fn concat_categories(columns: &[&Column]) -> Option<Column> {
    let mut names: Vec<String> = Vec::new();
    let mut codes = Vec::new();
    let mut orders: Vec<(bool, &Vec<String>)> = Vec::new();
    for column in columns {
        let Column::Categories { codes: own, categories, ordered } = column else { return None };
        let Column::Strings(labels) = &**categories else { return None };
        orders.push((*ordered, labels));
        let new: Vec<i32> = labels
            .iter()
            .map(|label| {
                let at = names.iter().position(|name| name == label).unwrap_or(names.len());
                if at == names.len() {
                    names.push(label.clone());
                }
                at as i32
            })
            .collect();
        codes.extend(own.iter().map(|&code| usize::try_from(code).map_or(-1, |code| new[code])));
    }
    // An order holds on where all have the same.
    let ordered = orders.iter().all(|order| *order == orders[0]) && orders[0].0;
    Some(Column::Categories { codes, categories: Box::new(Column::Strings(names)), ordered })
}

/// The columns of genes that say the same in all files: `places[f]` is the row in table `f` of each gene that is kept.
pub fn same_columns(tables: &[Table], places: &[Vec<usize>]) -> Vec<(String, Column)> {
    let Some((first, rest)) = tables.split_first() else { return Vec::new() };
    let kept = |(name, column): &(String, Column)| {
        let own = column.take(&places[0]);
        let same = rest
            .iter()
            .zip(&places[1..])
            .all(|(table, at)| table.column(name).is_some_and(|other| other.take(at).labels() == own.labels()));
        same.then(|| (name.clone(), own))
    };
    first.columns.iter().filter_map(kept).collect()
}

impl Values {
    /// Puts values of the same type behind these.
    fn append(&mut self, other: Values) {
        macro_rules! same {
            ($($kind:ident),*) => {
                match (self, other) {
                    $((Values::$kind(all), Values::$kind(more)) => all.extend(more),)*
                    (all, more) => {
                        let mut both = all.to_f64();
                        both.extend(more.to_f64());
                        *all = Values::F64(both);
                    }
                }
            };
        }
        same!(I8, I16, I32, I64, U8, U16, U32, U64, F16, F32, F64, Bool);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(index: &[&str], columns: Vec<(&str, Column)>) -> Table {
        let mut made = Table::of_names(index.iter().map(ToString::to_string).collect());
        columns.into_iter().for_each(|(name, column)| made.set(name, column).unwrap());
        made
    }

    fn strings(texts: &[&str]) -> Column {
        Column::Strings(texts.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn columns_of_each_kind() {
        let optional =
            |values: Vec<i64>, missing: &[bool]| Column::Optional { values: values.into(), missing: missing.to_vec() };
        let one = table(
            &["a", "b"],
            vec![
                ("type", Column::categorical(&["x", "y"])),
                ("n", Column::Numbers(vec![1i32, 2].into())),
                ("mixed", Column::Numbers(vec![1i64, 2].into())),
                ("own", strings(&["p", "q"])),
                ("kinds", Column::categorical(&["k", "l"])),
                ("maybe", optional(vec![5, 6], &[false, true])),
            ],
        );
        let other = table(
            &["a"],
            vec![
                ("mixed", Column::Numbers(vec![0.5f32].into())),
                ("type", Column::categorical(&["w"])),
                ("n", Column::Numbers(vec![3i32].into())),
                ("kinds", strings(&["m"])),
                ("maybe", Column::Numbers(vec![7i64].into())),
            ],
        );
        let joined = concat_tables(&[one, other]);
        assert_eq!(joined.index, ["a", "b", "a"]);
        let names: Vec<&str> = joined.columns.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["type", "n", "mixed", "kinds", "maybe"]);
        assert_eq!(joined.column("type").unwrap().labels(), ["x", "y", "w"]);
        assert_eq!(joined.column("n"), Some(&Column::Numbers(vec![1i32, 2, 3].into())));
        assert_eq!(joined.column("mixed"), Some(&Column::Numbers(vec![1.0f64, 2.0, 0.5].into())));
        assert_eq!(joined.column("kinds"), Some(&strings(&["k", "l", "m"])));
        assert_eq!(joined.column("maybe"), Some(&optional(vec![5, 6, 7], &[false, true, false])));
    }

    #[test]
    fn columns_of_genes_that_agree() {
        let one = table(&["g", "h"], vec![("id", strings(&["1", "2"])), ("kind", strings(&["a", "a"]))]);
        let other =
            table(&["h", "x", "g"], vec![("id", strings(&["2", "9", "1"])), ("kind", strings(&["a", "a", "b"]))]);
        let kept = same_columns(&[one, other], &[vec![0, 1], vec![2, 0]]);
        assert_eq!(kept, [("id".to_string(), strings(&["1", "2"]))]);
    }
}
