//! Tables of structures: CSV as the Allen Institute lists them, JSON as BrainGlobe does.

use std::collections::HashMap;
use std::path::Path;

use serde_json::Value as Json;
use zensaibo_core::{DataFault, Error, Result};

use crate::columns::text_rows;

/// One structure of an atlas as a table lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StructureRow {
    /// The number that stands in the annotation.
    pub id: u64,
    /// Short name, such as VISp.
    pub acronym: String,
    /// Full name.
    pub name: String,
    /// Id of the structure that it is part of; none for the whole.
    pub parent: Option<u64>,
    /// Red, green, blue.
    pub rgb: [u8; 3],
}

/// The structures of a table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StructureTable {
    /// In the order of the table.
    pub rows: Vec<StructureRow>,
    /// Where other numbers than the ids stand in the annotation: the id that each stands for.
    pub values: Option<HashMap<u64, u64>>,
}

/// Columns of BrainGlobe's version 3 by the names that other tables use.
const OTHER_NAMES: [(&str, &str); 4] = [
    ("identifier", "id"),
    ("abbreviation", "acronym"),
    ("parent_identifier", "parent_structure_id"),
    ("root_identifier_path", "structure_id_path"),
];

/// Structures without a colour of their own.
const GREY: [u8; 3] = [128; 3];

/// Reads a table of structures: a .json as BrainGlobe writes it, anything else as CSV (see [`structures_of_csv`]).
///
/// # Errors
/// [`Error::Io`]; [`Error::Format`] for text that is neither; [`Error::Data`] naming row and column.
pub fn read_structures(path: &Path) -> Result<StructureTable> {
    let text = std::fs::read_to_string(path).map_err(|error| Error::io(path, "read", error))?;
    let json = path.extension().is_some_and(|end| end.eq_ignore_ascii_case("json"));
    if json {
        Ok(StructureTable { rows: of_json(&text, path)?, values: None })
    } else {
        structures_of_csv(&text, &path.display().to_string())
    }
}

/// Structures from CSV text with columns id, acronym, name; structure_id_path, or parent_structure_id or parent_id; and
/// color_hex_triplet, or rgb_triplet or rgb as [1, 2, 3], or red, green and blue, where there are colours. Whole numbers may be written as 12.0. `name` is for messages.
///
/// # Errors
/// [`Error::Data`] naming row and column.
pub fn structures_of_csv(text: &str, name: &str) -> Result<StructureTable> {
    let fault = |place: String, expected: &str, found: String| Error::data(DataFault::Invalid, place, expected, found);
    let rows = text_rows(text)
        .map_err(|line| fault(format!("{name}, line {line}"), "a quote at the end of the text", "none".into()))?;
    let mut rows = rows.into_iter();
    let names: Vec<String> = match rows.next() {
        Some((_, names)) => {
            let other = |name: &str| OTHER_NAMES.iter().find(|(other, _)| *other == name).map(|(_, name)| *name);
            names.into_iter().map(|name| other(name.trim()).unwrap_or(name.trim()).to_string()).collect()
        }
        None => return Err(fault(name.into(), "a table of structures", "nothing".into())),
    };
    let column = |wanted: &str| names.iter().position(|name| name == wanted);
    let required = |wanted: &str| {
        column(wanted)
            .ok_or_else(|| fault(name.into(), &format!("a column {wanted}"), format!("columns {}", names.join(", "))))
    };
    let (id, acronym, full) = (required("id")?, required("acronym")?, required("name")?);
    let trail = column("structure_id_path");
    let parent = column("parent_structure_id").or_else(|| column("parent_id"));
    if trail.is_none() && parent.is_none() {
        let expected = "a column structure_id_path, or parent_structure_id";
        return Err(fault(name.into(), expected, format!("columns {}", names.join(", "))));
    }
    let hex = column("color_hex_triplet");
    let channels = [column("red"), column("green"), column("blue")];
    let triplet = column("rgb_triplet").or_else(|| column("rgb"));
    let value = column("annotation_value");
    let mut values: HashMap<u64, u64> = HashMap::new();
    let mut structures = Vec::new();
    for (line, row) in rows {
        let place = |what: &str| format!("{name}, line {line}, {what}");
        if row.len() != names.len() {
            let expected = format!("{} values", names.len());
            return Err(fault(format!("{name}, line {line}"), &expected, row.len().to_string()));
        }
        let own = whole(&row[id]).ok_or_else(|| fault(place("id"), "a whole number", format!("{:?}", row[id])))?;
        let from_trail = match trail.map(|at| row[at].as_str()).filter(|text| !text.trim().is_empty()) {
            Some(text) => Some(parent_of(text, own).ok_or_else(|| {
                fault(place("structure_id_path"), &format!("ids apart by / that end in {own}"), format!("{text:?}"))
            })?),
            None => None,
        };
        let parent = match (from_trail, parent.map(|at| row[at].trim()).filter(|text| !text.is_empty())) {
            (Some(parent), _) => parent,
            (None, None) => None,
            (None, Some(text)) => {
                let id = whole(text).ok_or_else(|| fault(place("parent"), "a whole number", format!("{text:?}")))?;
                (id != 0).then_some(id)
            }
        };
        let rgb = match (hex.map(|at| row[at].trim()).filter(|text| !text.is_empty()), channels) {
            (Some(text), _) => of_hex(text)
                .ok_or_else(|| fault(place("color_hex_triplet"), "six hexadecimal digits", format!("{text:?}")))?,
            (None, [Some(red), Some(green), Some(blue)]) => {
                let part = |at: usize| whole(&row[at]).and_then(|value| u8::try_from(value).ok());
                match [red, green, blue].map(part) {
                    [Some(red), Some(green), Some(blue)] => [red, green, blue],
                    _ => return Err(fault(place("red, green, blue"), "three numbers up to 255", format!("{row:?}"))),
                }
            }
            _ => match triplet.map(|at| row[at].trim()).filter(|text| !text.is_empty()) {
                Some(text) => {
                    three(text).ok_or_else(|| fault(place("rgb"), "three numbers up to 255", format!("{text:?}")))?
                }
                None => GREY,
            },
        };
        if let Some(text) = value.map(|at| row[at].trim()).filter(|text| !text.is_empty()) {
            let number =
                whole(text).ok_or_else(|| fault(place("annotation_value"), "a whole number", format!("{text:?}")))?;
            if let Some(other) = values.insert(number, own).filter(|&other| other != own) {
                let found = format!("{number} for {other} and {own}");
                return Err(fault(place("annotation_value"), "every value once", found));
            }
        }
        structures.push(StructureRow { id: own, acronym: row[acronym].clone(), name: row[full].clone(), parent, rgb });
    }
    let values = Some(values).filter(|values| values.iter().any(|(value, id)| value != id));
    Ok(StructureTable { rows: structures, values })
}

/// The id before the last of "/997/8/567/" or "[997, 8, 567]", which ends in `own`; none where it stands alone.
#[allow(clippy::option_option)] // no trail at all, and a trail of one
fn parent_of(text: &str, own: u64) -> Option<Option<u64>> {
    let parts = text.split(|c: char| !(c.is_ascii_digit() || c == '.')).filter(|part| !part.is_empty());
    let ids: Vec<u64> = parts.map(whole).collect::<Option<_>>()?;
    match ids.as_slice() {
        [.., parent, last] if *last == own => Some(Some(*parent)),
        [last] if *last == own => Some(None),
        _ => None,
    }
}

/// "12" or "12.0".
fn whole(text: &str) -> Option<u64> {
    let text = text.trim();
    text.parse().ok().or_else(|| {
        let value: f64 = text.parse().ok()?;
        // Beyond this a float no longer tells whole numbers apart.
        (value >= 0.0 && value.fract() == 0.0 && value < 9e15).then_some(value as u64)
    })
}

/// "[1, 2, 3]" or "(1, 2, 3)".
fn three(text: &str) -> Option<[u8; 3]> {
    let parts: Vec<&str> = text.trim_matches(['[', ']', '(', ')']).split(',').collect();
    let numbers: Option<Vec<u8>> = parts.iter().map(|part| u8::try_from(whole(part)?).ok()).collect();
    numbers?.try_into().ok()
}

fn of_hex(text: &str) -> Option<[u8; 3]> {
    let text = text.trim_start_matches('#');
    // Leading zeros are lost where a spreadsheet took the digits for a number.
    let value = u32::from_str_radix(text, 16).ok().filter(|_| text.len() <= 6)?;
    Some([(value >> 16) as u8, (value >> 8) as u8, value as u8])
}

/// BrainGlobe's list: id, acronym, name, structure_id_path, rgb_triplet.
fn of_json(text: &str, path: &Path) -> Result<Vec<StructureRow>> {
    let json: Json = serde_json::from_str(text).map_err(|error| Error::format(path, "file", "JSON", error))?;
    let Json::Array(rows) = json else {
        return Err(Error::format(path, "file", "a list of structures", "something else"));
    };
    let row = |(number, row): (usize, &Json)| {
        let fault = |field: &str, expected: &str| {
            let found = row.get(field).map_or("nothing".to_string(), Json::to_string);
            Error::data(DataFault::Invalid, format!("{}, structure {number}, {field}", path.display()), expected, found)
        };
        let text = |field: &str| {
            row.get(field).and_then(Json::as_str).map(str::to_string).ok_or_else(|| fault(field, "a text"))
        };
        let own = row.get("id").and_then(Json::as_u64).ok_or_else(|| fault("id", "a whole number"))?;
        let parent = match row.get("structure_id_path") {
            Some(Json::Array(trail)) => {
                let ids: Option<Vec<u64>> = trail.iter().map(Json::as_u64).collect();
                match ids.as_deref() {
                    Some([.., parent, last]) if *last == own => Some(*parent),
                    Some([last]) if *last == own => None,
                    _ => return Err(fault("structure_id_path", &format!("whole numbers that end in {own}"))),
                }
            }
            Some(Json::String(trail)) => parent_of(trail, own)
                .ok_or_else(|| fault("structure_id_path", &format!("ids apart by / that end in {own}")))?,
            _ => match row.get("parent_structure_id") {
                Some(Json::Null) => None,
                Some(parent) => Some(parent.as_u64().ok_or_else(|| fault("parent_structure_id", "a whole number"))?),
                None => return Err(fault("structure_id_path", "a list of ids")),
            },
        };
        let rgb = match row.get("rgb_triplet") {
            None | Some(Json::Null) => GREY,
            Some(colour) => serde_json::from_value(colour.clone())
                .map_err(|_| fault("rgb_triplet", "three whole numbers up to 255"))?,
        };
        Ok(StructureRow { id: own, acronym: text("acronym")?, name: text("name")?, parent, rgb })
    };
    rows.iter().enumerate().map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn allens_and_others_tables() {
        let allen = "id,name,acronym,parent_structure_id,structure_id_path,color_hex_triplet\n\
                     997,root,root,,/997/,FFFFFF\n8,\"Basic, grey\",grey,997,/997/8/,BFDAE3\n526157192,L5,5,8.0,,10\n";
        let rows = structures_of_csv(allen, "t").unwrap().rows;
        assert_eq!(rows[0].parent, None);
        assert_eq!(
            (rows[1].name.as_str(), rows[1].parent, rows[1].rgb),
            ("Basic, grey", Some(997), [0xBF, 0xDA, 0xE3])
        );
        assert_eq!((rows[2].id, rows[2].parent, rows[2].rgb), (526_157_192, Some(8), [0, 0, 0x10]));
        let plain = structures_of_csv("id,acronym,name,parent_id,red,green,blue\n1,a,A,,1,2,3\n2,b,B,1,4,5,255\n", "t")
            .unwrap()
            .rows;
        assert_eq!((plain[1].parent, plain[1].rgb), (Some(1), [4, 5, 255]));
        let frame =
            structures_of_csv("id,acronym,name,parent_id,rgb\n1,a,A,,\"(1, 2, 3)\"\n2,b,B,1,\n", "t").unwrap().rows;
        assert_eq!((frame[0].rgb, frame[1].rgb), ([1, 2, 3], GREY));
    }

    #[test]
    fn numbers_that_stand_for_ids() {
        let head = "identifier,abbreviation,name,root_identifier_path,annotation_value\n";
        let table = structures_of_csv(
            &format!("{head}997,root,Root,[997],\n8,a,A,\"[997, 8]\",1\n9,b,B,\"[997, 9]\",2\n"),
            "t",
        )
        .unwrap();
        assert_eq!((table.rows[1].parent, table.values), (Some(997), Some(HashMap::from([(1, 8), (2, 9)]))));
        let same = structures_of_csv(&format!("{head}8,a,A,[8],8\n"), "t").unwrap();
        assert_eq!(same.values, None);
        let twice = structures_of_csv(&format!("{head}8,a,A,[8],1\n9,b,B,[9],1\n"), "t").unwrap_err().to_string();
        assert!(twice.contains("1 for 8 and 9"), "{twice}");
    }

    #[test]
    fn what_is_wrong_is_named() {
        let refused = |text: &str| structures_of_csv(text, "tree.csv").unwrap_err().to_string();
        assert!(refused("id,name\n1,a\n").contains("a column acronym"));
        assert!(refused("id,acronym,name\n1,a,b\n").contains("structure_id_path"));
        let with = |row: &str| refused(&format!("id,acronym,name,structure_id_path,color_hex_triplet\n{row}\n"));
        assert!(with("x,a,b,/1/,").contains("line 2, id"));
        assert!(with("1.5,a,b,/1/,").contains("line 2, id"));
        assert!(with("1,a,b,/1/2/,").contains("end in 1"));
        assert!(with("1,a,b,/1/,GG0000").contains("hexadecimal"));
        assert!(with("1,a,b,/1/").contains("5 values"));
    }

    #[test]
    fn brainglobes_list() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("structures.json");
        let write = |text: &str| std::fs::write(&path, text).unwrap();
        write(
            r#"[{"id": 997, "acronym": "root", "name": "root", "structure_id_path": [997], "rgb_triplet": [255, 0, 1]},
                  {"id": 8, "acronym": "grey", "name": "Grey", "structure_id_path": [997, 8]}]"#,
        );
        let rows = read_structures(&path).unwrap().rows;
        assert_eq!((rows[0].parent, rows[0].rgb, rows[1].parent, rows[1].rgb), (None, [255, 0, 1], Some(997), GREY));
        write(r#"[{"id": 8, "acronym": "grey", "name": "Grey", "structure_id_path": [8, 9]}]"#);
        assert!(read_structures(&path).unwrap_err().to_string().contains("end in 8"));
        write("{}");
        assert!(read_structures(&path).unwrap_err().to_string().contains("list of structures"));
    }
}
