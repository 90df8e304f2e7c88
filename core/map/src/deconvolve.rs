//! Spots as mixtures of types.

use rayon::prelude::*;
use zensaibo_core::matrix::{Pass, RowBlock, RowBlocks, run};
use zensaibo_core::options::Options;
use zensaibo_core::{Ctx, DataFault, Error, Result};

use crate::nnls::Nnls;
use crate::options::{DeconvolveOptions, Weighting};

/// Spots handled by one task.
const PIECE: usize = 16;

/// What cells of each type look like.
#[derive(Clone, Copy, Debug)]
pub struct Signatures<'a> {
    /// Number of types t.
    pub n_types: usize,
    /// t x g, row-major: mean of each gene over the cells of the type.
    pub mean: &'a [f64],
    /// t x g, row-major: variance of each gene among the cells of the type.
    pub variance: &'a [f64],
}

/// What [`deconvolve`] returns.
#[derive(Clone, Debug, PartialEq)]
pub struct Deconvolution {
    /// s x t, row-major, at least 0: cells of each type, in the unit of the signatures. NaN for spots without counts.
    pub abundance: Vec<f64>,
    /// s long: root of the weighted squares that are left over, as a share of those that were there; 0 to 1. NaN for spots without counts.
    pub residual: Vec<f64>,
    /// s long: rounds of weighting.
    pub iterations: Vec<u32>,
    /// s long: whether the shares came to rest.
    pub converged: Vec<bool>,
}

/// Each row y of `spots` (s x g) as a mixture x >= 0 of signatures B (g x t): the weighted sum of squares of y - B x is made least.
///
/// Weights of genes: `equal`; `variance`, 1 / (sum over types of x_t times the type's variance), which is what a spot of x_t cells of each type
/// has, in the manner of MuSiC; `dampened`, 1 / (B x)^2, as in dampened weighted least squares. The last two start from x of equal shares and
/// are repeated with the x found, half of the way where that goes to and fro; no weight exceeds `dampening` times the smallest. Genes without a signature in any type are left
/// out.
///
/// Cost: per spot and round g t^2 / 2 multiply-adds (`equal`: once for all spots) and one [`nnls`](crate::nnls); 8 s t bytes. No chance;
/// the same bits for any number of threads, for a file as for memory.
///
/// Reference: Tsoucas et al., Nature Communications 10 (2019); Wang, Park, Susztak, Zhang, Li, MuSiC, Nature Communications 10 (2019); Dong and Yuan,
/// SpatialDWLS, Genome Biology 22 (2021).
///
/// # Errors
/// [`Error::Parameter`]; [`Error::Data`] for sizes that do not fit, negative or not finite values on either side, a type without any expression in
/// these genes; [`Error::Interrupted`]; whatever the source returns.
pub fn deconvolve(
    spots: &dyn RowBlocks,
    signatures: &Signatures<'_>,
    options: &DeconvolveOptions,
    ctx: &Ctx,
) -> Result<Deconvolution> {
    options.validate()?;
    let fit = Fit::new(spots.n_cols(), signatures, options)?;
    run(spots, &fit, "deconvolution", ctx)
}

/// The pass: spots are independent.
struct Fit<'a> {
    options: &'a DeconvolveOptions,
    t: usize,
    /// Place of each gene among those used; none without a signature.
    place: Vec<Option<u32>>,
    /// Genes used x t.
    mean: Vec<f64>,
    variance: Vec<f64>,
    /// With equal weights: t x t.
    gram: Vec<f64>,
}

impl<'a> Fit<'a> {
    fn new(g: usize, signatures: &Signatures<'_>, options: &'a DeconvolveOptions) -> Result<Self> {
        let t = signatures.n_types;
        for (name, values) in [("signatures", signatures.mean), ("variances", signatures.variance)] {
            if t == 0 || values.len() != t * g {
                let expected = format!("{t} types x {g} genes");
                return Err(Error::data(DataFault::Shape, name, expected, format!("{} values", values.len())));
            }
            if let Some(at) = values.iter().position(|&value| !(value >= 0.0 && value.is_finite())) {
                let fault = if values[at] < 0.0 { DataFault::Negative } else { DataFault::NotFinite };
                let found = format!("{} in type {}, gene {}", values[at], at / g, at % g);
                return Err(Error::data(fault, name, "finite numbers of at least 0", found));
            }
        }
        if let Some(empty) = signatures.mean.chunks_exact(g.max(1)).position(|row| row.iter().all(|&x| x == 0.0)) {
            let expected = "at least one expressed gene in each type";
            return Err(Error::data(DataFault::Invalid, "signatures", expected, format!("none in type {empty}")));
        }
        let expressed = |gene: usize| (0..t).any(|kind| signatures.mean[kind * g + gene] > 0.0);
        let mut place = vec![None; g];
        let used: Vec<usize> = (0..g).filter(|&gene| expressed(gene)).collect();
        used.iter().enumerate().for_each(|(at, &gene)| place[gene] = Some(at as u32));
        let turned = |values: &[f64]| -> Vec<f64> {
            used.iter()
                .flat_map(|&gene| (0..t).map(move |kind| (kind, gene)))
                .map(|(kind, gene)| values[kind * g + gene])
                .collect()
        };
        let (mean, variance) = (turned(signatures.mean), turned(signatures.variance));
        let mut gram = vec![0.0; t * t];
        if options.weighting == Weighting::Equal {
            add_gram(&mean, t, &vec![1.0; used.len()], &mut gram);
        }
        Ok(Self { options, t, place, mean, variance, gram })
    }

    /// Weights of the genes for a mixture x.
    fn weigh(&self, x: &[f64], weights: &mut [f64]) {
        let source = if self.options.weighting == Weighting::Variance { &self.variance } else { &self.mean };
        let mut most = 0.0f64;
        for (weight, row) in weights.iter_mut().zip(source.chunks_exact(self.t)) {
            let spread: f64 = row.iter().zip(x).map(|(value, x)| value * x).sum();
            // Here the variance, or what stands for it; turned over below.
            *weight = if self.options.weighting == Weighting::Variance { spread } else { spread * spread };
            most = most.max(*weight);
        }
        // Cells without any variance: all genes alike.
        let least = if most > 0.0 { most / self.options.dampening } else { 1.0 };
        weights.iter_mut().for_each(|weight| *weight = 1.0 / weight.max(least));
    }

    fn spot(&self, y: &[f64], work: &mut Work, x: &mut [f64]) -> (f64, u32, bool) {
        let t = self.t;
        let mut rounds = 0;
        let mut converged = self.options.weighting == Weighting::Equal;
        if self.options.weighting == Weighting::Equal {
            work.product.fill(0.0);
            add_product(&self.mean, t, y, &work.weights, &mut work.product);
            x.copy_from_slice(work.solver.solve(&self.gram, &work.product));
        } else {
            // Weights follow from shares alone: their unit cancels.
            let mut shares = vec![1.0 / t as f64; t];
            let mut before = f64::INFINITY;
            for _ in 0..self.options.max_iterations {
                rounds += 1;
                self.weigh(&shares, &mut work.weights);
                work.gram.fill(0.0);
                work.product.fill(0.0);
                add_gram(&self.mean, t, &work.weights, &mut work.gram);
                add_product(&self.mean, t, y, &work.weights, &mut work.product);
                x.copy_from_slice(work.solver.solve(&work.gram, &work.product));
                let total: f64 = x.iter().sum();
                if !(total > 0.0) {
                    break;
                }
                let change =
                    shares.iter().zip(x.iter()).fold(0.0f64, |most, (share, x)| most.max((x / total - share).abs()));
                if change <= self.options.tolerance {
                    converged = true;
                    break;
                }
                // Where rounds go to and fro, half of the way.
                let step = if change > 0.5 * before { 0.5 } else { 1.0 };
                shares.iter_mut().zip(x.iter()).for_each(|(share, x)| *share += step * (x / total - *share));
                before = change;
            }
        }
        let (mut left, mut there) = (0.0, 0.0);
        for ((row, &y), &weight) in self.mean.chunks_exact(t).zip(y).zip(&work.weights) {
            let fitted: f64 = row.iter().zip(x.iter()).map(|(value, x)| value * x).sum();
            left += weight * (y - fitted).powi(2);
            there += weight * y * y;
        }
        ((left / there).sqrt(), rounds, converged)
    }
}

/// Buffers of one task.
struct Work {
    solver: Nnls,
    weights: Vec<f64>,
    gram: Vec<f64>,
    product: Vec<f64>,
}

/// gram += B^T diag(weights) B, whole.
fn add_gram(mean: &[f64], t: usize, weights: &[f64], gram: &mut [f64]) {
    for (row, &weight) in mean.chunks_exact(t).zip(weights) {
        for i in 0..t {
            let value = weight * row[i];
            if value != 0.0 {
                gram[i * t..i * t + i + 1].iter_mut().zip(row).for_each(|(sum, x)| *sum += value * x);
            }
        }
    }
    for i in 0..t {
        for j in 0..i {
            gram[j * t + i] = gram[i * t + j];
        }
    }
}

/// product += B^T diag(weights) y.
fn add_product(mean: &[f64], t: usize, y: &[f64], weights: &[f64], product: &mut [f64]) {
    for ((row, &y), &weight) in mean.chunks_exact(t).zip(y).zip(weights) {
        if y != 0.0 {
            product.iter_mut().zip(row).for_each(|(sum, x)| *sum += weight * y * x);
        }
    }
}

/// Abundances, residuals, rounds of some spots, and whether these were enough.
type Part = (Vec<f64>, Vec<f64>, Vec<u32>, Vec<bool>);

impl Pass for Fit<'_> {
    type Partial = Part;
    type State = Deconvolution;
    type Output = Deconvolution;

    fn start(&self) -> Deconvolution {
        Deconvolution { abundance: Vec::new(), residual: Vec::new(), iterations: Vec::new(), converged: Vec::new() }
    }

    fn block(&self, block: &RowBlock<'_>) -> Result<Part> {
        let t = self.t;
        let rows: Vec<(usize, &[u32], &[f32])> = block.rows().collect();
        let parts: Vec<Result<Part>> = rows
            .par_chunks(PIECE)
            .map(|rows| {
                let used = self.mean.len() / t;
                let mut work = Work {
                    solver: Nnls::new(t),
                    weights: vec![1.0; used],
                    gram: vec![0.0; t * t],
                    product: vec![0.0; t],
                };
                let mut y = vec![0.0; used];
                let mut part: Part = (vec![f64::NAN; rows.len() * t], Vec::new(), Vec::new(), Vec::new());
                for (&(row, genes, values), x) in rows.iter().zip(part.0.chunks_exact_mut(t)) {
                    y.fill(0.0);
                    for (&gene, &value) in genes.iter().zip(values) {
                        if !(value >= 0.0 && value.is_finite()) {
                            let fault = if value < 0.0 { DataFault::Negative } else { DataFault::NotFinite };
                            let found = format!("{value} in row {row}, column {gene}");
                            return Err(Error::data(fault, "spots", "finite numbers of at least 0", found));
                        }
                        if let Some(place) = self.place[gene as usize] {
                            y[place as usize] = f64::from(value);
                        }
                    }
                    let (residual, rounds, converged) =
                        if y.iter().any(|&y| y > 0.0) { self.spot(&y, &mut work, x) } else { (f64::NAN, 0, true) };
                    part.1.push(residual);
                    part.2.push(rounds);
                    part.3.push(converged);
                }
                Ok(part)
            })
            .collect();
        let mut joined: Part = Part::default();
        for part in parts {
            let part = part?;
            joined.0.extend(part.0);
            joined.1.extend(part.1);
            joined.2.extend(part.2);
            joined.3.extend(part.3);
        }
        Ok(joined)
    }

    fn merge(&self, state: &mut Deconvolution, partial: Part) -> Result<()> {
        state.abundance.extend(partial.0);
        state.residual.extend(partial.1);
        state.iterations.extend(partial.2);
        state.converged.extend(partial.3);
        Ok(())
    }

    fn finish(&self, state: Deconvolution) -> Result<Deconvolution> {
        Ok(state)
    }
}
