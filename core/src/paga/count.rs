//! Edges between groups.

use rayon::prelude::*;

use crate::graph::Graph;
use crate::parallel::pieces;
use crate::{Ctx, DataFault, Error, Result};

/// More groups than this are refused: their table would not fit.
const MOST: usize = 10_000;

/// Stored edges from each group to each (groups x groups, row by row), and cells per group.
pub(super) struct Counts {
    pub(super) edges: Vec<u64>,
    pub(super) sizes: Vec<u64>,
}

/// Counts edges, whatever their weight; with `positive`, only those of positive weight.
pub(super) fn count(graph: &Graph, labels: &[u32], groups: usize, positive: bool, ctx: &Ctx) -> Result<Counts> {
    if labels.len() != graph.n {
        let expected = format!("{} labels, one for each cell", graph.n);
        return Err(Error::data(DataFault::Shape, "groups", expected, labels.len()));
    }
    if groups > MOST {
        return Err(Error::Limit { what: "groups".into(), needed: groups.to_string(), limit: MOST.to_string() });
    }
    if let Some(cell) = labels.iter().position(|&label| label as usize >= groups) {
        let found = format!("{} at cell {cell}", labels[cell]);
        return Err(Error::data(DataFault::Invalid, "groups", format!("labels below {groups}"), found));
    }
    let mut sizes = vec![0u64; groups];
    labels.iter().for_each(|&label| sizes[label as usize] += 1);
    // Few tables, for they may be large: whole numbers add up to the same in any order.
    let size = (graph.n / 16).max(4096);
    let parts: Vec<Vec<u64>> = pieces(graph.n, size)
        .into_par_iter()
        .map(|piece| {
            let mut table = vec![0u64; groups * groups];
            for cell in piece {
                if cell & 0xfff == 0 {
                    ctx.check()?;
                }
                let row = labels[cell] as usize * groups;
                let (targets, weights) = graph.row(cell);
                for (&target, &weight) in targets.iter().zip(weights) {
                    table[row + labels[target as usize] as usize] += u64::from(!positive || weight > 0.0);
                }
            }
            Ok(table)
        })
        .collect::<Result<_>>()?;
    let mut edges = vec![0u64; groups * groups];
    for part in &parts {
        edges.iter_mut().zip(part).for_each(|(sum, part)| *sum += part);
    }
    Ok(Counts { edges, sizes })
}
