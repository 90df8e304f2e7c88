//! The mapping, and what it carries over.

use rayon::prelude::*;
use zensaibo_core::data::Csr;
use zensaibo_core::graph::Graph;
use zensaibo_core::knn::{ConnectivitiesOptions, KnnOptions, Points, connectivities, knn};
use zensaibo_core::matrix::{RowBlocks, ValueSlice};
use zensaibo_core::pca::{PcaOptions, pca};
use zensaibo_core::random::Stream;
use zensaibo_core::umap::{UmapOptions, umap};
use zensaibo_core::{Ctx, Error, Result};
use zensaibo_map::{
    TangramInput, candidates, label_shares, neighbor_weights, principal_vectors, tangram, weighted_rows,
};

use super::config::{MapConfig, MapMethod};
use super::read::{Places, Reference, Shared, columns};
use crate::recipe::sections::within;
use crate::recipe::tissue::Labels;

/// Components of the reference's embedding.
const COMPONENTS: usize = 30;
/// Cells of the reference that may go to a place whatever lies nearer to them, as in Python.
const PER_PLACE: usize = 20;

/// Types of cells in place.
pub(super) struct Types {
    /// Share of each type in the weights of a cell, cell by cell; NaN for a cell without weights.
    pub(super) shares: Vec<f32>,
    /// The type of the largest share, the first of several; -1 for a cell without weights.
    pub(super) codes: Vec<i32>,
    /// That share; 0 for a cell without weights.
    pub(super) confidence: Vec<f32>,
    /// Cells of each type.
    pub(super) sizes: Vec<usize>,
}

impl Types {
    pub(super) fn mean_confidence(&self) -> f64 {
        self.confidence.iter().map(|&value| f64::from(value)).sum::<f64>() / self.confidence.len().max(1) as f64
    }
}

/// Genes that a mapping did not see, with the correlation of what it predicts and what was measured; NaN where either does not vary.
pub(super) struct HeldOut {
    pub(super) genes: Vec<String>,
    pub(super) scores: Vec<f64>,
    /// The part each was dealt to.
    pub(super) parts: Vec<i64>,
}

impl HeldOut {
    /// Over the genes that have a score.
    pub(super) fn mean(&self) -> f64 {
        let told: Vec<f64> = self.scores.iter().copied().filter(|score| score.is_finite()).collect();
        if told.is_empty() { f64::NAN } else { told.iter().sum::<f64>() / told.len() as f64 }
    }
}

/// Cells in place x cells of the reference, rows summing to 1 or empty, and the cosines of the shared directions. Both matrices hold the shared
/// genes.
pub(super) fn weights(
    places: &Csr,
    reference: &Csr,
    density: &[f64],
    config: &MapConfig,
    ctx: &Ctx,
) -> Result<(Csr, Vec<f64>)> {
    let vectors =
        principal_vectors(reference, places, &config.vectors, ctx).map_err(|error| within("vectors", error))?;
    let q = vectors.len();
    let known = Points::new(reference.n_rows, q, ValueSlice::F64(&vectors.cells))?;
    let asked = Points::new(places.n_rows, q, ValueSlice::F64(&vectors.places))?;
    if config.method.name == MapMethod::PrincipalVectors {
        let found =
            neighbor_weights(&known, &asked, &config.neighbors, ctx).map_err(|error| within("neighbors", error))?;
        return Ok((found.weights, vectors.cosines[..q].to_vec()));
    }
    let pairs = candidates(&known, &asked, config.method.candidates, PER_PLACE, config.neighbors.algorithm, ctx)
        .map_err(|error| within("method", error))?;
    // A gene that one side never has says nothing of where a cell belongs.
    let expressed = |matrix: &Csr| {
        let mut seen = vec![false; matrix.n_cols];
        matrix.indices.iter().zip(&matrix.values).for_each(|(&gene, &value)| seen[gene as usize] |= value > 0.0);
        seen
    };
    let (here, there) = (expressed(places), expressed(reference));
    let used: Vec<usize> = (0..places.n_cols).filter(|&gene| here[gene] && there[gene]).collect();
    let (cells, spots) = (dense(&columns(reference, &used)?), dense(&columns(places, &used)?));
    let input = TangramInput {
        n_genes: used.len(),
        cells: &cells,
        places: &spots,
        candidates: &pairs,
        density: Some(density),
        masses: None,
    };
    let found = tangram(&input, &config.tangram, ctx).map_err(|error| within("tangram", error))?;
    let mut weights = found.weights.transpose();
    for row in 0..weights.n_rows {
        let range = weights.indptr[row] as usize..weights.indptr[row + 1] as usize;
        let values = &mut weights.values[range];
        let sum: f64 = values.iter().map(|&value| f64::from(value)).sum();
        if sum > 0.0 {
            values.iter_mut().for_each(|value| *value = (f64::from(*value) / sum) as f32);
        }
    }
    Ok((weights, vectors.cosines[..q].to_vec()))
}

/// Share of each place in all expression: how cells should lie.
pub(super) fn density(places: &Csr) -> Vec<f64> {
    let sums: Vec<f64> =
        (0..places.n_rows).map(|row| places.row(row).1.iter().map(|&value| f64::from(value)).sum()).collect();
    let total: f64 = sums.iter().sum();
    sums.iter().map(|sum| sum / total).collect()
}

fn dense(matrix: &Csr) -> Vec<f32> {
    let mut values = vec![0f32; matrix.n_rows * matrix.n_cols()];
    for (row, out) in values.chunks_exact_mut(matrix.n_cols().max(1)).enumerate() {
        let (genes, stored) = matrix.row(row);
        genes.iter().zip(stored).for_each(|(&gene, &value)| out[gene as usize] = value);
    }
    values
}

pub(super) fn types(weights: &Csr, labels: &Labels, ctx: &Ctx) -> Result<Types> {
    let k = labels.names.len();
    let shares = label_shares(weights, &labels.codes, k, None, ctx)?;
    let mut sizes = vec![0; k];
    let (codes, confidence) = shares
        .chunks_exact(k)
        .map(|row| {
            // NaN is above nothing.
            let best = (0..k).fold(None, |best: Option<usize>, at| match best {
                Some(known) if row[known] >= row[at] => best,
                _ if row[at].is_nan() => best,
                _ => Some(at),
            });
            match best {
                Some(at) => {
                    sizes[at] += 1;
                    (at as i32, row[at])
                }
                None => (-1, 0.0),
            }
        })
        .unzip();
    Ok(Types { shares, codes, confidence, sizes })
}

/// The genes whose expression is carried over; an error for a name that the reference does not have.
pub(super) fn wanted(reference: &Reference, names: &[String]) -> Result<Option<Vec<usize>>> {
    if names.is_empty() {
        return Ok(None);
    }
    if names == ["*"] {
        return Ok(Some((0..reference.genes.len()).collect()));
    }
    let place = |name: &String| {
        reference
            .genes
            .iter()
            .position(|known| known == name)
            .ok_or_else(|| Error::key(name, "genes of the reference (output.impute)", &reference.genes))
    };
    names.iter().map(place).collect::<Result<_>>().map(Some)
}

/// Expression of some genes of the reference at each place, place by place; NaN for places without weights.
pub(super) fn carried(weights: &Csr, reference: &Reference, genes: &[usize], ctx: &Ctx) -> Result<Vec<f32>> {
    weighted_rows(weights, &columns(&reference.matrix, genes)?, f32::NAN, ctx)
}

/// Deals the shared genes into parts, and predicts each from the others.
pub(super) fn held_out(
    places: &Places,
    reference: &Reference,
    shared: &Shared,
    config: &MapConfig,
    ctx: &Ctx,
) -> Result<HeldOut> {
    let g = shared.names.len();
    let folds = config.held_out.folds;
    let density = density(&places.matrix);
    let mut order: Vec<usize> = (0..g).collect();
    Stream::new(config.held_out.seed, 0).shuffle(&mut order);
    let (mut scores, mut parts) = (vec![f64::NAN; g], vec![0; g]);
    let chosen = |side: &[usize], genes: &[usize]| genes.iter().map(|&gene| side[gene]).collect::<Vec<_>>();
    for fold in 0..folds {
        let (mut out, mut seen) = (Vec::new(), Vec::new());
        for (at, &gene) in order.iter().enumerate() {
            if at % folds == fold { out.push(gene) } else { seen.push(gene) }
        }
        out.sort_unstable();
        seen.sort_unstable();
        let (weights, _) = weights(
            &columns(&places.matrix, &chosen(&shared.places, &seen))?,
            &columns(&reference.matrix, &chosen(&shared.reference, &seen))?,
            &density,
            config,
            ctx,
        )?;
        let predicted = carried(&weights, reference, &chosen(&shared.reference, &out), ctx)?;
        let measured = dense(&columns(&places.matrix, &chosen(&shared.places, &out))?);
        let found: Vec<f64> =
            (0..out.len()).into_par_iter().map(|at| correlation(&predicted, &measured, at, out.len())).collect();
        for (&gene, score) in out.iter().zip(found) {
            (scores[gene], parts[gene]) = (score, fold as i64);
        }
    }
    Ok(HeldOut { genes: shared.names.clone(), scores, parts })
}

/// Pearson's, of a column of two tables; cells that either lacks are left out.
fn correlation(a: &[f32], b: &[f32], column: usize, columns: usize) -> f64 {
    let pairs = || {
        a.chunks_exact(columns)
            .zip(b.chunks_exact(columns))
            .map(|(a, b)| (f64::from(a[column]), f64::from(b[column])))
            .filter(|(a, b)| a.is_finite() && b.is_finite())
    };
    let n = pairs().count() as f64;
    let (sum_a, sum_b) = pairs().fold((0.0, 0.0), |(x, y), (a, b)| (x + a, y + b));
    let (mean_a, mean_b) = (sum_a / n, sum_b / n);
    let (mut cross, mut own, mut other) = (0.0, 0.0, 0.0);
    for (a, b) in pairs() {
        cross += (a - mean_a) * (b - mean_b);
        own += (a - mean_a).powi(2);
        other += (b - mean_b).powi(2);
    }
    if own > 0.0 && other > 0.0 { cross / (own * other).sqrt() } else { f64::NAN }
}

/// UMAP of the reference on its components; `None` for too few cells or genes.
pub(super) fn embedding(matrix: &Csr, ctx: &Ctx) -> Result<Option<Vec<[f32; 2]>>> {
    const NEIGHBORS: usize = 15;
    let most = matrix.n_rows().min(matrix.n_cols()) - usize::from(matrix.n_rows().min(matrix.n_cols()) > 0);
    if matrix.n_rows() < 2 * NEIGHBORS || most < 2 {
        return Ok(None);
    }
    let found = pca(matrix, &PcaOptions { n_comps: Some(COMPONENTS.min(most)), ..Default::default() }, ctx)?;
    let points = Points::new(found.n_rows, found.n_comps, ValueSlice::F32(&found.scores))?;
    let neighbors = knn(&points, &KnnOptions { n_neighbors: NEIGHBORS, ..Default::default() }, ctx)?;
    let graph: Graph = connectivities(&neighbors, &ConnectivitiesOptions::default(), ctx)?;
    let layout = umap(&graph, &UmapOptions::default(), ctx)?;
    Ok(Some(layout.coordinates.chunks_exact(2).map(|row| [row[0], row[1]]).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_by_hand() {
        // Three cells: two labels tied, one clear, one without weights.
        let weights = Csr::new(3, 4, vec![0, 2, 4, 4], vec![0, 3, 1, 2], vec![0.5, 0.5, 0.25, 0.75]).unwrap();
        let labels = Labels { codes: vec![1, 0, 1, 0], names: vec!["a".into(), "b".into()] };
        let found = types(&weights, &labels, &Ctx::quiet()).unwrap();
        assert_eq!(found.codes, [0, 1, -1]);
        assert_eq!(found.confidence, [0.5, 0.75, 0.0]);
        assert_eq!(found.sizes, [1, 1]);
        assert!(found.shares[4].is_nan() && found.shares[5].is_nan());
        assert!((found.mean_confidence() - 1.25 / 3.0).abs() < 1e-9);
    }

    #[test]
    fn correlations_by_hand() {
        let a = [1.0, 0.0, 2.0, 0.0, 3.0, 0.0, f32::NAN, 0.0];
        let b = [2.0, 5.0, 4.0, 6.0, 6.0, 7.0, 100.0, 8.0];
        assert!((correlation(&a, &b, 0, 2) - 1.0).abs() < 1e-12);
        assert!(correlation(&a, &b, 1, 2).is_nan());
    }
}
