//! Rings around each cell of a grid: how many steps away others lie.

use rayon::prelude::*;
use zensaibo_core::{Ctx, Error, Result};

use crate::Edges;

const PIECE: usize = 1024;

/// Compressed rows of the cells in the rings; cells rise within a row.
#[derive(Clone, Debug, PartialEq)]
pub struct Rings {
    /// n + 1 row pointers.
    pub indptr: Vec<i64>,
    /// Cells.
    pub indices: Vec<i32>,
    /// The ring, 1 for neighbours: the least number of steps along edges.
    pub steps: Vec<u32>,
}

/// All cells that at most `n_rings` steps along the edges lead to, the cell itself left out.
///
/// Cost: time and memory in proportion to the edges of the cells found; 8 bytes per cell and thread beside.
///
/// # Errors
/// [`Error::Parameter`] for no rings, [`Error::Interrupted`].
pub fn rings(edges: &Edges<'_>, n_rings: usize, ctx: &Ctx) -> Result<Rings> {
    if n_rings == 0 {
        return Err(Error::parameter("n_rings", "at least 1", 0));
    }
    let n = edges.len();
    let stage = ctx.stage("rings", n as u64);
    let cells: Vec<usize> = (0..n).collect();
    let found: Vec<(Vec<u32>, Vec<(i32, u32)>)> = cells
        .par_chunks(PIECE)
        .map_init(
            // Which start each cell was last reached from.
            || vec![usize::MAX; n],
            |reached, cells| {
                stage.advance(cells.len() as u64)?;
                let (mut counts, mut all) = (Vec::with_capacity(cells.len()), Vec::new());
                for &cell in cells {
                    reached[cell] = cell;
                    let first = all.len();
                    let mut next = first;
                    visit(edges, cell, cell, 1, reached, &mut all);
                    for step in 2..=n_rings as u32 {
                        let end = all.len();
                        for at in next..end {
                            let (from, _) = all[at];
                            visit(edges, from as usize, cell, step, reached, &mut all);
                        }
                        next = end;
                        if all.len() == end {
                            break;
                        }
                    }
                    all[first..].sort_unstable_by_key(|&(other, _)| other);
                    counts.push((all.len() - first) as u32);
                }
                Ok((counts, all))
            },
        )
        .collect::<Result<_>>()?;
    let mut rows = Rings { indptr: vec![0], indices: Vec::new(), steps: Vec::new() };
    let mut end = 0;
    for (counts, all) in found {
        for count in counts {
            end += i64::from(count);
            rows.indptr.push(end);
        }
        rows.indices.extend(all.iter().map(|pair| pair.0));
        rows.steps.extend(all.iter().map(|pair| pair.1));
    }
    Ok(rows)
}

/// Adds the neighbours of `from` that were not reached yet from `start`.
fn visit(edges: &Edges<'_>, from: usize, start: usize, step: u32, reached: &mut [usize], all: &mut Vec<(i32, u32)>) {
    for &other in edges.of(from) {
        if reached[other as usize] != start {
            reached[other as usize] = start;
            all.push((other, step));
        }
    }
}
