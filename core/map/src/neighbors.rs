//! The nearest cells of the other side, and what each of them counts.

use rayon::prelude::*;
use zensaibo_core::data::Csr;
use zensaibo_core::knn::{Metric, Points, knn_between};
use zensaibo_core::options::Options;
use zensaibo_core::{Ctx, Result};

use crate::options::NeighborWeightsOptions;

/// Rows handled at once.
const PIECE: usize = 1024;

/// What [`neighbor_weights`] returns.
#[derive(Clone, Debug, PartialEq)]
pub struct NeighborWeights {
    /// Queries x reference: rows sum to 1, or are empty where no neighbour lies within a right angle.
    pub weights: Csr,
    /// Weighted mean of the cosines to the neighbours; 0 for an empty row.
    pub similarity: Vec<f64>,
}

/// Weights of the nearest rows of `reference` for each row of `queries`, by the cosine distance d as in SpaGE: of the `n_neighbors` nearest
/// those with d < 1 are kept, m of them, each weighing (1 - d / sum of d) / (m - 1). A single one weighs 1; where all d are 0 all weigh
/// alike.
///
/// Cost: that of [`knn_between`]; 8 bytes per neighbour. No chance in the exact search; the same bits for any number of threads.
///
/// # Errors
/// Those of [`knn_between`]; [`zensaibo_core::Error::Parameter`].
pub fn neighbor_weights(
    reference: &Points<'_>,
    queries: &Points<'_>,
    options: &NeighborWeightsOptions,
    ctx: &Ctx,
) -> Result<NeighborWeights> {
    options.validate()?;
    let k = options.n_neighbors.min(reference.n());
    let found = knn_between(reference, queries, k, Metric::Cosine, options.algorithm, ctx)?;
    let pieces: Vec<Piece> = found
        .indices
        .par_chunks(PIECE * k)
        .zip(found.distances.par_chunks(PIECE * k))
        .map(|(indices, distances)| {
            let mut piece = Piece::default();
            for (indices, distances) in indices.chunks_exact(k).zip(distances.chunks_exact(k)) {
                piece.add(indices, distances);
            }
            piece
        })
        .collect();
    let (mut indptr, mut similarity) = (vec![0u64], Vec::with_capacity(found.n));
    let (mut indices, mut values) = (Vec::new(), Vec::new());
    for piece in pieces {
        let before = indices.len() as u64;
        indptr.extend(piece.ends.iter().map(|end| before + end));
        indices.extend(piece.entries.iter().map(|entry| entry.0));
        values.extend(piece.entries.iter().map(|entry| entry.1));
        similarity.extend(piece.similarity);
    }
    Ok(NeighborWeights { weights: Csr::new(found.n, reference.n(), indptr, indices, values)?, similarity })
}

/// Some rows of the result.
#[derive(Default)]
struct Piece {
    ends: Vec<u64>,
    entries: Vec<(u32, f32)>,
    similarity: Vec<f64>,
}

impl Piece {
    fn add(&mut self, indices: &[u32], distances: &[f32]) {
        // Nearest first: those within a right angle come first.
        let m = distances.partition_point(|&distance| distance < 1.0);
        let total: f64 = distances[..m].iter().map(|&distance| f64::from(distance)).sum();
        let start = self.entries.len();
        let mut similarity = 0.0;
        for (&index, &distance) in indices[..m].iter().zip(distances) {
            let distance = f64::from(distance);
            let weight = if m == 1 {
                1.0
            } else if total == 0.0 {
                1.0 / m as f64
            } else {
                (1.0 - distance / total) / (m - 1) as f64
            };
            similarity += weight * (1.0 - distance);
            self.entries.push((index, weight as f32));
        }
        self.entries[start..].sort_unstable_by_key(|entry| entry.0);
        self.ends.push(self.entries.len() as u64);
        self.similarity.push(similarity);
    }
}
