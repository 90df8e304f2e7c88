//! The cells within a range of distances of each cell.

use rayon::prelude::*;
use zensaibo_core::{Ctx, Error, Result};

use crate::Places;
use crate::places::largest_square;

const PIECE: usize = 1024;

/// Compressed rows of neighbours; cells rise within a row.
#[derive(Clone, Debug, PartialEq)]
pub struct Within {
    /// n + 1 row pointers.
    pub indptr: Vec<i64>,
    /// Cells.
    pub indices: Vec<i32>,
    /// Euclidean distances in the unit of the positions.
    pub distances: Vec<f64>,
}

/// All other cells at distances from `least` to `most`, both included. Cells at one place are neighbours at distance 0 where
/// `least` is 0.
///
/// Cost: about n (log n + neighbours); memory 24 bytes per pair found and 60 per cell. Threads change the time alone.
///
/// # Errors
/// [`Error::Parameter`] (`radius`) unless 0 <= least <= most, both finite; [`Error::Interrupted`].
pub fn within(places: &Places, least: f64, most: f64, ctx: &Ctx) -> Result<Within> {
    if !(least >= 0.0 && most >= least && most.is_finite()) {
        let found = format!("{least} to {most}");
        return Err(Error::parameter("radius", "finite distances of at least 0, the smaller one first", found));
    }
    let n = places.len();
    let stage = ctx.stage("cells within the radius", n as u64);
    let (tree, limit) = (places.tree(), largest_square(most));
    let cells: Vec<usize> = (0..n).collect();
    let found: Vec<(Vec<u32>, Vec<(i32, f64)>)> = cells
        .par_chunks(PIECE)
        .map(|cells| {
            stage.advance(cells.len() as u64)?;
            let (mut counts, mut pairs) = (Vec::with_capacity(cells.len()), Vec::new());
            for &cell in cells {
                let point = &places.points()[cell];
                let first = pairs.len();
                tree.within(point, limit, |squared, other| {
                    let distance = squared.sqrt();
                    if other as usize != cell && distance >= least {
                        pairs.push((other as i32, distance));
                    }
                });
                pairs[first..].sort_unstable_by_key(|&(other, _)| other);
                counts.push((pairs.len() - first) as u32);
            }
            Ok((counts, pairs))
        })
        .collect::<Result<_>>()?;
    let total = found.iter().map(|(_, pairs)| pairs.len()).sum();
    let mut rows = Within { indptr: vec![0], indices: Vec::with_capacity(total), distances: Vec::with_capacity(total) };
    let mut end = 0;
    for (counts, pairs) in found {
        for count in counts {
            end += i64::from(count);
            rows.indptr.push(end);
        }
        rows.indices.extend(pairs.iter().map(|pair| pair.0));
        rows.distances.extend(pairs.iter().map(|pair| pair.1));
    }
    Ok(rows)
}
