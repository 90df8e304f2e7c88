//! Which groups a cell counts in: that of its label, or with a graph those of its label beside each label it touches.

use zensaibo_core::{DataFault, Error, Result};

use crate::Edges;
use crate::centrality::Undirected;

/// The graph of who touches whom, if groups are of cells in contact.
pub(super) enum Layout {
    /// Group a: the cells of label a.
    Labels,
    /// Group a * k + b: the cells of label a with a neighbour of label b, in either direction.
    Contact(Undirected),
}

impl Layout {
    pub(super) fn new(edges: Option<&Edges<'_>>, n: usize) -> Result<Self> {
        match edges {
            None => Ok(Self::Labels),
            Some(edges) if edges.len() == n => Ok(Self::Contact(Undirected::new(edges))),
            Some(edges) => {
                let expected = format!("{n} cells, as in the matrix");
                Err(Error::data(DataFault::Shape, "graph of neighbours", expected, edges.len()))
            }
        }
    }

    /// Number of groups.
    pub(super) fn groups(&self, k: usize) -> usize {
        match self {
            Self::Labels => k,
            Self::Contact(_) => k * k,
        }
    }

    /// The group of the sender's cells and that of the receiver's, for a pair of labels.
    pub(super) fn sides(&self, from: u32, to: u32, k: usize) -> (usize, usize) {
        let (from, to) = (from as usize, to as usize);
        match self {
            Self::Labels => (from, to),
            Self::Contact(_) => (from * k + to, to * k + from),
        }
    }

    /// The groups of every cell.
    pub(super) fn slots(&self, labels: &[u32], k: usize) -> Slots {
        let Self::Contact(graph) = self else {
            return Slots { starts: None, groups: labels.to_vec() };
        };
        let (mut starts, mut groups) = (Vec::with_capacity(labels.len() + 1), Vec::with_capacity(labels.len()));
        // The last cell that was seen to touch each label.
        let mut seen = vec![usize::MAX; k];
        starts.push(0u32);
        for (cell, &label) in labels.iter().enumerate() {
            for &other in graph.of(cell) {
                let touched = labels[other as usize];
                if std::mem::replace(&mut seen[touched as usize], cell) != cell {
                    groups.push(label * k as u32 + touched);
                }
            }
            starts.push(groups.len() as u32);
        }
        Slots { starts: Some(starts), groups }
    }
}

/// Groups of cells, cell by cell.
pub(super) struct Slots {
    /// `None`: one group each.
    starts: Option<Vec<u32>>,
    groups: Vec<u32>,
}

impl Slots {
    #[inline]
    pub(super) fn of(&self, cell: usize) -> &[u32] {
        match &self.starts {
            None => &self.groups[cell..=cell],
            Some(starts) => &self.groups[starts[cell] as usize..starts[cell + 1] as usize],
        }
    }

    /// Cells in each group.
    pub(super) fn sizes(&self, groups: usize) -> Vec<u32> {
        let mut sizes = vec![0; groups];
        self.groups.iter().for_each(|&group| sizes[group as usize] += 1);
        sizes
    }
}
