//! The statistics of `space`, library by library where it matters.

use zensaibo_core::options::Options;
use zensaibo_core::stats::{benjamini_hochberg, ln_normal_two_sided};
use zensaibo_core::{Ctx, Error, Result};
use zensaibo_spatial::autocorr::{AutocorrOptions, Columns, Mode, spatial_autocorr};
use zensaibo_spatial::cooccurrence::pairs_by_distance;
use zensaibo_spatial::enrichment::{self, Enrichment};
use zensaibo_spatial::neighbors::{self, SpatialKnnOptions};
use zensaibo_spatial::variable::{SETS, spatially_variable};
use zensaibo_spatial::{Edges, Places};

use super::SpaceConfig;
use super::config::Method;
use super::read::{Cells, Genes};
use crate::recipe::tissue::Labels;

/// A graph over all cells, by rows; columns rise.
#[derive(Clone, Debug, Default)]
pub(super) struct Graph {
    pub(super) indptr: Vec<i64>,
    pub(super) indices: Vec<i32>,
    /// Distances, or rings on a grid.
    pub(super) distances: Vec<f64>,
}

impl Graph {
    pub(super) fn ones(&self) -> Vec<f64> {
        vec![1.0; self.indices.len()]
    }

    /// Cells without a neighbour.
    pub(super) fn lonely(&self) -> usize {
        self.indptr.windows(2).filter(|pair| pair[0] == pair[1]).count()
    }
}

/// The rows of one library: where each starts, cells of the library, distances.
type Rows = (Vec<i64>, Vec<i32>, Vec<f64>);

/// Neighbours of all cells, each within its library.
pub(super) fn neighbours(cells: &Cells, config: &SpaceConfig, ctx: &Ctx) -> Result<Graph> {
    let mut of_cell: Vec<(usize, usize)> = vec![(0, 0); cells.len()];
    let mut parts: Vec<Rows> = Vec::new();
    for (library, members) in cells.members.iter().enumerate() {
        let places = Places::new(members.len(), cells.dimensions, &cells.of(members))?;
        let found = rows(&places, config, ctx).map_err(|error| match error {
            Error::Data { fault, what, expected, found } if cells.members.len() > 1 => {
                let what = format!("library {}: {what}", cells.libraries.names[library]);
                Error::Data { fault, what, expected, found }
            }
            other => other,
        })?;
        members.iter().enumerate().for_each(|(at, &cell)| of_cell[cell] = (library, at));
        parts.push(found);
    }
    let mut graph = Graph { indptr: vec![0], ..Graph::default() };
    for &(library, at) in &of_cell {
        let (indptr, indices, distances) = &parts[library];
        let range = indptr[at] as usize..indptr[at + 1] as usize;
        // Members rise, so that columns still do.
        graph.indices.extend(indices[range.clone()].iter().map(|&other| cells.members[library][other as usize] as i32));
        graph.distances.extend_from_slice(&distances[range]);
        graph.indptr.push(graph.indices.len() as i64);
    }
    Ok(graph)
}

fn rows(places: &Places, config: &SpaceConfig, ctx: &Ctx) -> Result<Rows> {
    let options = &config.neighbors;
    if options.method == Method::Radius {
        let found = neighbors::within(places, 0.0, options.radius.unwrap_or_default(), ctx)?;
        return Ok((found.indptr, found.indices, found.distances));
    }
    let found = neighbors::nearest(places, &SpatialKnnOptions { n_neighs: options.n_neighs }, ctx)?;
    let limit = if options.method == Method::Grid {
        let mut sorted = found.distances.clone();
        1.3 * zensaibo_core::stats::median(&mut sorted)
    } else {
        f64::INFINITY
    };
    let (mut indptr, mut indices, mut distances) = (vec![0i64], Vec::new(), Vec::new());
    let mut row: Vec<(i32, f64)> = Vec::new();
    for cell in 0..places.len() {
        let span = cell * found.k..(cell + 1) * found.k;
        row.clear();
        let pairs = found.indices[span.clone()].iter().zip(&found.distances[span]);
        row.extend(pairs.filter(|(_, far)| **far < limit).map(|(&other, &far)| (other as i32, far)));
        row.sort_unstable_by_key(|pair| pair.0);
        indices.extend(row.iter().map(|pair| pair.0));
        distances.extend(row.iter().map(|pair| pair.1));
        indptr.push(indices.len() as i64);
    }
    if options.method == Method::Knn {
        return Ok((indptr, indices, distances));
    }
    let ones = vec![1.0; indices.len()];
    let found = neighbors::rings(&Edges::new(&indptr, &indices, &ones)?, options.n_rings, ctx)?;
    Ok((found.indptr, found.indices, found.steps.into_iter().map(f64::from).collect()))
}

/// Edges between labels: how many, and what random labels give.
pub(super) fn enrichment(
    graph: &Graph,
    labels: &Labels,
    cells: &Cells,
    config: &SpaceConfig,
    ctx: &Ctx,
) -> Result<Enrichment> {
    let ones = graph.ones();
    let edges = Edges::new(&graph.indptr, &graph.indices, &ones)?;
    let (k, libraries, count) = (labels.names.len(), &cells.libraries.codes, cells.members.len());
    if config.nhood.n_perms.is_some() {
        enrichment::permuted(&edges, &labels.codes, k, libraries, count, &config.nhood, ctx)
    } else {
        enrichment::exact(&edges, &labels.codes, k, libraries, count, ctx)
    }
}

/// Standard scores; NaN where chance leaves no choice.
pub(super) fn scores(found: &Enrichment) -> Vec<f64> {
    let all = found.counts.iter().zip(&found.means).zip(&found.variances);
    all.map(
        |((&count, mean), &variance)| {
            if variance > 0.0 { (count as f64 - mean) / variance.sqrt() } else { f64::NAN }
        },
    )
    .collect()
}

/// How much more often labels are found near others, as `zensaibo.sp.co_occurrence`.
pub(super) struct CoOccurrence {
    pub(super) distances: Vec<f64>,
    /// labels x labels x (distances - 1).
    pub(super) ratios: Vec<f64>,
}

pub(super) fn co_occurrence(cells: &Cells, labels: &Labels, config: &SpaceConfig, ctx: &Ctx) -> Result<CoOccurrence> {
    let options = &config.co_occurrence;
    let most = options.max_distance.unwrap_or_else(|| longest_side(cells) / 4.0);
    if !(most > 0.0) {
        return Err(Error::parameter(
            "co_occurrence.max_distance",
            "a distance, since all cells lie at one place",
            "none",
        ));
    }
    let layers = options.interval - 1;
    let distances: Vec<f64> = (0..=layers).map(|at| most * at as f64 / layers as f64).collect();
    let k = labels.names.len();
    let mut counts = vec![0u64; distances.len() * k * k];
    for members in &cells.members {
        let places = Places::new(members.len(), cells.dimensions, &cells.of(members))?;
        let of: Vec<u32> = members.iter().map(|&cell| labels.codes[cell]).collect();
        let found = pairs_by_distance(&places, &of, k, &distances, None, ctx)?;
        counts.iter_mut().zip(found).for_each(|(sum, count)| *sum += count);
    }
    if !options.annular {
        for at in k * k..counts.len() {
            counts[at] += counts[at - k * k];
        }
    }
    let mut ratios = vec![f64::NAN; k * k * layers];
    for layer in 0..layers {
        let counts = &counts[(layer + 1) * k * k..][..k * k];
        let near: Vec<f64> = counts.chunks_exact(k).map(|row| row.iter().sum::<u64>() as f64).collect();
        let all: f64 = near.iter().sum();
        for c in 0..k {
            for i in 0..k {
                let ratio = counts[c * k + i] as f64 / near[c] / (near[i] / all);
                if ratio.is_finite() {
                    ratios[(i * k + c) * layers + layer] = ratio;
                }
            }
        }
    }
    Ok(CoOccurrence { distances, ratios })
}

fn longest_side(cells: &Cells) -> f64 {
    let side = |members: &Vec<usize>, axis: usize| {
        let of = members.iter().map(|&cell| cells.places[cell * cells.dimensions + axis]);
        let (low, high) = of.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), x| (low.min(x), high.max(x)));
        high - low
    };
    let all = cells.members.iter().flat_map(|members| (0..cells.dimensions).map(move |axis| side(members, axis)));
    all.fold(0.0, f64::max)
}

/// Moran's I or Geary's C of genes, the most alike first; genes without variance last.
pub(super) struct Scored {
    pub(super) genes: Vec<String>,
    pub(super) scores: Vec<f64>,
    pub(super) pvals: Vec<f64>,
    pub(super) variance: f64,
    pub(super) corrected: Vec<f64>,
    pub(super) permuted: Option<[Vec<f64>; 3]>,
}

pub(super) fn autocorr(graph: &Graph, genes: &Genes, options: &AutocorrOptions, ctx: &Ctx) -> Result<Scored> {
    options.validate()?;
    let ones = graph.ones();
    let edges = Edges::new(&graph.indptr, &graph.indices, &ones)?;
    let columns = Columns { indptr: &genes.indptr, indices: &genes.indices, values: &genes.values };
    let found = spatial_autocorr(&edges, &columns, options, ctx)?;
    let one_sided = |z: f64| 0.5 * ln_normal_two_sided(z).exp();
    let falls = options.mode == Mode::Geary;
    let mut order: Vec<usize> = (0..genes.names.len()).collect();
    let score = |at: usize| if falls { found.scores[at] } else { -found.scores[at] };
    order.sort_by(|&a, &b| match (found.scores[a].is_nan(), found.scores[b].is_nan()) {
        (false, false) => score(a).total_cmp(&score(b)),
        (a, b) => a.cmp(&b),
    });
    let of = |all: &[f64]| order.iter().map(|&at| all[at]).collect::<Vec<f64>>();
    let deviation = found.variance.sqrt();
    let pvals: Vec<f64> = found.scores.iter().map(|score| one_sided((score - found.expected) / deviation)).collect();
    let permuted = found.permuted.as_ref().map(|permuted| {
        let orders = options.n_perms.unwrap_or(0);
        let beyond = permuted.at_least.iter().zip(&found.scores).map(|(&times, score)| {
            if score.is_nan() { f64::NAN } else { (times.min(orders - times) + 1) as f64 / (orders + 1) as f64 }
        });
        let all = found.scores.iter().zip(permuted.means.iter().zip(&permuted.variances));
        let normal: Vec<f64> =
            all.map(|(score, (mean, variance))| one_sided((score - mean) / variance.sqrt())).collect();
        [of(&normal), of(&beyond.collect::<Vec<f64>>()), of(&permuted.variances)]
    });
    let pvals = of(&pvals);
    Ok(Scored {
        genes: order.iter().map(|&at| genes.names[at].clone()).collect(),
        scores: of(&found.scores),
        corrected: benjamini_hochberg(&pvals),
        pvals,
        variance: found.variance,
        permuted,
    })
}

/// Genes as functions of place, the least likely by chance first.
pub(super) struct InSpace {
    pub(super) genes: Vec<String>,
    pub(super) share: Vec<f64>,
    pub(super) pattern: Vec<String>,
    pub(super) pvals: Vec<f64>,
    pub(super) corrected: Vec<f64>,
}

/// Names of the sets of functions, as `zensaibo.sp.spatially_variable_genes` gives them.
pub(super) fn pattern_name(set: usize) -> String {
    match set {
        0 => "linear".into(),
        1..=5 => format!("gaussian {set}"),
        _ => format!("cosine {}", set - 5),
    }
}

pub(super) fn in_space(cells: &Cells, genes: &Genes, ctx: &Ctx) -> Result<InSpace> {
    debug_assert_eq!(SETS, 11);
    let places = Places::new(cells.len(), cells.dimensions, &cells.places)?;
    let columns = Columns { indptr: &genes.indptr, indices: &genes.indices, values: &genes.values };
    let found = spatially_variable(&places, &cells.libraries.codes, cells.members.len(), &columns, ctx)?;
    let mut order: Vec<usize> = (0..genes.names.len()).collect();
    order.sort_by(|&a, &b| match (found.ln_pvals[a].is_nan(), found.ln_pvals[b].is_nan()) {
        (false, false) => found.ln_pvals[a].total_cmp(&found.ln_pvals[b]),
        (a, b) => a.cmp(&b),
    });
    let pvals: Vec<f64> = order.iter().map(|&at| found.ln_pvals[at].exp()).collect();
    Ok(InSpace {
        genes: order.iter().map(|&at| genes.names[at].clone()).collect(),
        share: order.iter().map(|&at| found.share[at]).collect(),
        pattern: order
            .iter()
            .map(|&at| if found.share[at].is_nan() { String::new() } else { pattern_name(found.set[at] as usize) })
            .collect(),
        corrected: benjamini_hochberg(&pvals),
        pvals,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_have_names() {
        assert_eq!([0, 1, 5, 6, 10].map(pattern_name), ["linear", "gaussian 1", "gaussian 5", "cosine 1", "cosine 5"]);
    }
}
