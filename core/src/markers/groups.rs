//! Which cells are compared with which.

use crate::{DataFault, Error, Result};

/// Cells sorted into groups, and what each group is compared with.
#[derive(Clone, Debug)]
pub struct Grouping {
    labels: Vec<u32>,
    names: Vec<String>,
    reference: Option<usize>,
    sizes: Vec<usize>,
}

impl Grouping {
    /// Groups `0..names.len()`, named `names`; `labels` holds the group of each cell, below 0 for none. With
    /// a `reference` each group is compared with that group, and cells of no group count nowhere; without,
    /// with all other cells, those of no group included.
    ///
    /// # Errors
    /// [`Error::Data`] for no groups, a label out of range, a group with fewer than two cells, or a group that
    /// holds every cell when there is no reference; [`Error::Parameter`] for a reference out of range.
    pub fn new(labels: &[i32], names: Vec<String>, reference: Option<usize>) -> Result<Self> {
        let n_groups = names.len();
        if n_groups == 0 {
            return Err(Error::data(DataFault::Empty, "groups", "at least one group", "none"));
        }
        if let Some(reference) = reference.filter(|&reference| reference >= n_groups) {
            return Err(Error::parameter("reference", format!("a group below {n_groups}"), reference));
        }
        let mut sizes = vec![0usize; n_groups];
        for (cell, &label) in labels.iter().enumerate() {
            if label >= n_groups as i32 {
                let found = format!("{label} at cell {cell}");
                return Err(Error::data(DataFault::Invalid, "groups", format!("labels below {n_groups}"), found));
            }
            if label >= 0 {
                sizes[label as usize] += 1;
            }
        }
        let few = |wanted: &dyn Fn(usize) -> bool| -> Vec<&str> {
            names.iter().zip(&sizes).filter(|(_, size)| wanted(**size)).map(|(name, _)| name.as_str()).collect()
        };
        for (size, words) in [(0, "no sample"), (1, "only one sample")] {
            let found = few(&|n| n == size);
            if !found.is_empty() {
                return Err(Error::data(
                    DataFault::TooFew,
                    format!(
                        "Could not calculate statistics for groups {} since they contain {words}",
                        found.join(", ")
                    ),
                    "at least 2 samples in each group",
                    size,
                ));
            }
        }
        if reference.is_none()
            && let Some(group) = sizes.iter().position(|&size| size == labels.len())
        {
            return Err(Error::data(
                DataFault::TooFew,
                format!("group {}", names[group]),
                "cells outside the group to compare it with",
                "a group that holds every cell",
            ));
        }
        let labels = labels.iter().map(|&label| if label < 0 { n_groups as u32 } else { label as u32 }).collect();
        Ok(Self { labels, names, reference, sizes })
    }

    /// Group of each cell; [`Grouping::n_groups`] for cells of no group.
    pub(super) fn labels(&self) -> &[u32] {
        &self.labels
    }

    /// Cells in each group.
    pub fn sizes(&self) -> &[usize] {
        &self.sizes
    }

    /// Number of groups.
    pub fn n_groups(&self) -> usize {
        self.sizes.len()
    }

    /// Names of the groups.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The group that others are compared with, if it is one group.
    pub fn reference(&self) -> Option<usize> {
        self.reference
    }

    /// The groups that get a table: all but the reference.
    pub fn tested(&self) -> impl Iterator<Item = usize> + use<'_> {
        (0..self.n_groups()).filter(|&group| Some(group) != self.reference)
    }

    /// Cells on the other side of `group`.
    pub(super) fn other_size(&self, group: usize) -> usize {
        self.reference.map_or(self.labels.len() - self.sizes[group], |reference| self.sizes[reference])
    }
}
