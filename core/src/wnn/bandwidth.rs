//! How wide the kernel of each cell is: as far as cells reach that share hardly a neighbour with it.

use rayon::prelude::*;

use super::{Local, distance};
use crate::parallel::pieces;
use crate::{Ctx, Result};

/// Cells per task.
const PIECE: usize = 256;

/// Mean distance of each cell to the `wanted` cells of lowest positive Jaccard similarity of neighbours, the farthest
/// first among equals, and of those the first by number.
pub(super) fn widths(local: &Local<'_>, n: usize, wanted: usize, ctx: &Ctx) -> Result<Vec<f64>> {
    // Who names each cell as a neighbour.
    let mut starts = vec![0usize; n + 1];
    local.neighbors.iter().for_each(|&cell| starts[cell as usize + 1] += 1);
    for cell in 0..n {
        starts[cell + 1] += starts[cell];
    }
    let mut next = starts.clone();
    let mut named_by = vec![0u32; local.neighbors.len()];
    for cell in 0..n {
        for &neighbor in local.neighbors_of(cell) {
            named_by[next[neighbor as usize]] = cell as u32;
            next[neighbor as usize] += 1;
        }
    }
    let parts = pieces(n, PIECE)
        .into_par_iter()
        .with_max_len(1)
        .map(|cells| {
            ctx.check()?;
            let mut shared = vec![0u32; n];
            let mut touched: Vec<u32> = Vec::new();
            let mut found: Vec<(u32, f64, u32)> = Vec::new();
            let mut out = Vec::with_capacity(cells.len());
            for cell in cells {
                for &neighbor in local.neighbors_of(cell) {
                    for &other in &named_by[starts[neighbor as usize]..starts[neighbor as usize + 1]] {
                        if other as usize != cell {
                            if shared[other as usize] == 0 {
                                touched.push(other);
                            }
                            shared[other as usize] += 1;
                        }
                    }
                }
                // All lists are equally long, so fewer shared means less similar.
                found.clear();
                for other in touched.drain(..) {
                    let common = std::mem::take(&mut shared[other as usize]);
                    found.push((common, 0.0, other));
                }
                found.sort_unstable_by_key(|&(common, _, other)| (common, other));
                // Distances only where they decide.
                let last = found.get(wanted.min(found.len()).wrapping_sub(1)).map_or(0, |entry| entry.0);
                found.retain(|entry| entry.0 <= last);
                for entry in &mut found {
                    entry.1 = distance(local.point(cell), local.point(entry.2 as usize));
                }
                found.sort_unstable_by(|a, b| a.0.cmp(&b.0).then(b.1.total_cmp(&a.1)).then(a.2.cmp(&b.2)));
                found.truncate(wanted);
                out.push(if found.is_empty() {
                    // Nobody shares a neighbour: as far as its own neighbours reach.
                    let own = local.neighbors_of(cell);
                    let sum: f64 = own.iter().map(|&to| distance(local.point(cell), local.point(to as usize))).sum();
                    sum / own.len() as f64
                } else {
                    found.iter().map(|entry| entry.1).sum::<f64>() / found.len() as f64
                });
            }
            Ok(out)
        })
        .collect::<Vec<Result<Vec<f64>>>>();
    let mut widths = Vec::with_capacity(n);
    for part in parts {
        widths.extend(part?);
    }
    Ok(widths)
}
