//! How structures nest.

use std::collections::HashMap;

use zensaibo_core::{DataFault, Error, Result};

/// A structure as tables list it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StructureRecord {
    /// The number that stands in the annotation; above 0.
    pub id: u64,
    /// Short name, such as VISp.
    pub acronym: String,
    /// Full name.
    pub name: String,
    /// The structure that it is part of; none for the whole.
    pub parent: Option<u64>,
    /// Red, green, blue.
    pub rgb: [u8; 3],
}

/// A structure in its tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Structure {
    /// What the table says.
    pub record: StructureRecord,
    /// Index of the structure that it is part of.
    pub parent: Option<usize>,
    /// How many structures it is part of.
    pub depth: usize,
    /// Index after that of its last part: its parts are the structures from its own index + 1 up to this.
    pub end: usize,
}

/// All structures of an atlas, each before its parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StructureTree {
    structures: Vec<Structure>,
    by_id: HashMap<u64, usize>,
}

impl StructureTree {
    /// The tree of a table. Structures come in the order of the table, each followed by its parts.
    ///
    /// # Errors
    /// [`Error::Data`] for an empty table, an id that is 0 or listed twice, a parent that is not listed, structures that
    /// are parts of themselves.
    pub fn new(records: Vec<StructureRecord>) -> Result<Self> {
        let fault =
            |expected: &str, found: String| Err(Error::data(DataFault::Invalid, "structure table", expected, found));
        if records.is_empty() {
            return Err(Error::data(DataFault::Empty, "structure table", "at least one structure", "none"));
        }
        let mut rows: HashMap<u64, usize> = HashMap::with_capacity(records.len());
        for (row, record) in records.iter().enumerate() {
            if record.id == 0 {
                return fault("ids above 0, which is what lies outside", format!("0 for {:?}", record.name));
            }
            if let Some(other) = rows.insert(record.id, row) {
                let names = format!("{} for {:?} and {:?}", record.id, records[other].name, record.name);
                return fault("every id once", names);
            }
        }
        let mut parts: Vec<Vec<usize>> = vec![Vec::new(); records.len()];
        let mut roots = Vec::new();
        for (row, record) in records.iter().enumerate() {
            match record.parent {
                None => roots.push(row),
                Some(parent) => match rows.get(&parent) {
                    Some(&parent) => parts[parent].push(row),
                    None => {
                        let found = format!("{parent}, of which {:?} ({}) is part", record.name, record.id);
                        return fault("every parent in the table", found);
                    }
                },
            }
        }
        let mut structures: Vec<Structure> = Vec::with_capacity(records.len());
        let mut by_id = HashMap::with_capacity(records.len());
        // Rows to visit, and the index of the structure that each is part of; `None` in place of a row closes one.
        let mut left: Vec<(Option<usize>, Option<usize>)> = roots.iter().rev().map(|&row| (Some(row), None)).collect();
        while let Some((row, parent)) = left.pop() {
            let Some(row) = row else {
                if let Some(index) = parent {
                    structures[index].end = structures.len();
                }
                continue;
            };
            let index = structures.len();
            let depth = parent.map_or(0, |parent| structures[parent].depth + 1);
            by_id.insert(records[row].id, index);
            structures.push(Structure { record: records[row].clone(), parent, depth, end: index + 1 });
            left.push((None, Some(index)));
            left.extend(parts[row].iter().rev().map(|&part| (Some(part), Some(index))));
        }
        if structures.len() < records.len() {
            let lost = records.iter().find(|record| !by_id.contains_key(&record.id));
            let name =
                lost.map_or_else(String::new, |record| format!("{:?} ({}) is part of itself", record.name, record.id));
            return fault("a tree", name);
        }
        Ok(Self { structures, by_id })
    }

    /// The structures, each before its parts.
    pub fn structures(&self) -> &[Structure] {
        &self.structures
    }

    /// Index of the structure with an id.
    pub fn index_of(&self, id: u64) -> Option<usize> {
        self.by_id.get(&id).copied()
    }

    /// Sums over every structure and its parts of numbers that each has of its own.
    pub fn roll_up(&self, own: &[f64]) -> Vec<f64> {
        let mut all = own.to_vec();
        // Parts come after the whole, so from the end every sum is complete when it is passed on.
        for index in (0..self.structures.len()).rev() {
            if let Some(parent) = self.structures[index].parent {
                all[parent] += all[index];
            }
        }
        all
    }
}
