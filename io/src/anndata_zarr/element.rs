//! The tables of cells and genes in a Zarr store.

use serde_json::Value as Json;
use zensaibo_core::{Ctx, Result};

use super::array::{Absent, is_text, numbers, strings};
use super::store::{Node, Store};
use crate::table::{Column, Table};

/// Reads a data frame.
pub(super) fn read_table(store: &Store, key: &str, ctx: &Ctx) -> Result<Table> {
    let (node, attributes) = store.need(key)?;
    if node != Node::Group {
        return Err(store.fault(key, "a data frame", "an array"));
    }
    let index_key = index_of(&attributes);
    let index = read_index(store, key, ctx)?;
    let order = attributes["column-order"].as_array();
    let order: Vec<String> = match order {
        Some(names) => names.iter().filter_map(Json::as_str).map(String::from).collect(),
        None => {
            let other = |name: &String| *name != index_key && name != "__categories";
            store.members(key)?.into_iter().filter(other).collect()
        }
    };
    let mut columns = Vec::with_capacity(order.len());
    for name in order {
        let at = format!("{key}/{name}");
        let column = read_column(store, &at, ctx)?;
        if column.len() != index.len() {
            return Err(store.fault(&at, format!("{} rows, as the index has", index.len()), column.len()));
        }
        columns.push((name, column));
    }
    Ok(Table { index_name: (index_key != "_index").then_some(index_key), index, columns })
}

fn index_of(attributes: &Json) -> String {
    attributes["_index"].as_str().unwrap_or("_index").to_string()
}

/// Reads the row names of a data frame and nothing else of it.
pub(super) fn read_index(store: &Store, key: &str, ctx: &Ctx) -> Result<Vec<String>> {
    let (_, attributes) = store.need(key)?;
    Ok(match read_column(store, &format!("{key}/{}", index_of(&attributes)), ctx)? {
        Column::Strings(names) => names,
        other => other.labels(),
    })
}

/// Reads one column of a data frame.
fn read_column(store: &Store, key: &str, ctx: &Ctx) -> Result<Column> {
    ctx.check()?;
    let (node, attributes) = store.need(key)?;
    if node == Node::Array {
        let column = read_flat(store, key, ctx)?;
        // anndata 0.7: the codes name the array of their categories, which lies beside them.
        return match (attributes["categories"].as_str(), &column) {
            (Some(place), Column::Numbers(_)) => {
                let parent = key.rsplit_once('/').map_or("", |(parent, _)| parent);
                let place = format!("{parent}/{place}");
                let ordered = store.need(&place)?.1["ordered"].as_bool().unwrap_or(false);
                categories(store, key, column, read_flat(store, &place, ctx)?, ordered)
            }
            _ => Ok(column),
        };
    }
    match attributes["encoding-type"].as_str() {
        Some("categorical") => {
            let ordered = attributes["ordered"].as_bool().unwrap_or(false);
            let names = read_column(store, &format!("{key}/categories"), ctx)?;
            categories(store, key, read_flat(store, &format!("{key}/codes"), ctx)?, names, ordered)
        }
        Some("nullable-integer" | "nullable-boolean" | "nullable-string-array") => {
            let Column::Numbers(mask) = read_flat(store, &format!("{key}/mask"), ctx)? else {
                return Err(store.fault(key, "a mask of numbers", "strings"));
            };
            let missing: Vec<bool> = mask.to_f64().iter().map(|&x| x != 0.0).collect();
            let values = read_flat(store, &format!("{key}/values"), ctx)?;
            if values.len() != missing.len() {
                return Err(store.fault(key, format!("{} entries of the mask", values.len()), missing.len()));
            }
            Ok(match values {
                Column::Numbers(values) => Column::Optional { values, missing },
                Column::Strings(texts) => Column::OptionalStrings(
                    texts.into_iter().zip(missing).map(|(text, gone)| (!gone).then_some(text)).collect(),
                ),
                other => other,
            })
        }
        other => Err(store.fault(key, "a column", other.map_or_else(|| "a group".into(), |name| format!("`{name}`")))),
    }
}

fn categories(store: &Store, key: &str, codes: Column, names: Column, ordered: bool) -> Result<Column> {
    let whole = match &codes {
        Column::Numbers(values) => values.to_i64(),
        _ => None,
    };
    let Some(whole) = whole else { return Err(store.fault(key, "codes of categories", "no whole numbers")) };
    let n = names.len() as i64;
    if let Some(row) = whole.iter().position(|&code| code < -1 || code >= n) {
        return Err(store.fault(key, format!("codes from -1 to {}", n - 1), format!("{} in row {row}", whole[row])));
    }
    let codes = whole.into_iter().map(|code| code as i32).collect();
    Ok(Column::Categories { codes, categories: Box::new(names), ordered })
}

fn read_flat(store: &Store, key: &str, ctx: &Ctx) -> Result<Column> {
    if is_text(store, key)? {
        return strings(store, key).map(Column::Strings);
    }
    let array = numbers(store, key, Absent::Fill)?;
    if array.shape.len() != 1 {
        return Err(store.fault(key, "one dimension", array.shape.len()));
    }
    Ok(Column::Numbers(array.read_values(ctx)?))
}
