//! The objective and its gradient, over the pairs that are allowed.

use ndarray::{ArrayView2, ArrayViewMut2, s as part};
use rayon::prelude::*;
use zensaibo_core::{Ctx, Error, Result};
use zensaibo_linalg::gemm_f32;

use super::kernels::{LANES, Step, adam, products, softmax, sum_rows};
use crate::candidates::Candidates;

/// Cells, and places, handled at once.
const PIECE: usize = 64;
/// Norms are never taken to be smaller, as in torch's cosine.
const LEAST: f64 = 1e-8;

/// Terms of the loss at one epoch, each with its weight.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Loss {
    /// The sum that is made small: `divergence + entropy - genes - places`.
    pub total: f64,
    /// `lambda_g1` times the mean cosine of a gene over the places.
    pub genes: f64,
    /// `lambda_g2` times the mean cosine of a place over the genes.
    pub places: f64,
    /// `lambda_d` times the Kullback-Leibler divergence of the density of mapped cells from the one given.
    pub divergence: f64,
    /// `lambda_r` times the entropies of the cells' distributions, summed.
    pub entropy: f64,
}

/// Weights of the terms.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lambdas {
    pub(super) genes: f64,
    pub(super) places: f64,
    pub(super) density: f64,
    pub(super) entropy: f64,
}

/// What does not change while the map is learnt.
pub(super) struct Problem<'a> {
    pub(super) n: usize,
    pub(super) s: usize,
    pub(super) g: usize,
    width: usize,
    /// n x width.
    cells: Vec<f32>,
    /// s x width.
    places: Vec<f32>,
    /// Norms of the columns of `places`, g long, and of its rows, s long.
    gene_norms: Vec<f64>,
    place_norms: Vec<f64>,
    pub(super) candidates: &'a Candidates,
    /// Whether every cell may go everywhere: then dense products do the work.
    dense: bool,
    /// For each place its cells, and where their shares stand.
    place_starts: Vec<usize>,
    place_cells: Vec<u32>,
    place_at: Vec<u32>,
    /// Share of each cell (or cluster) in all cells; sums to 1.
    masses: Vec<f64>,
    density: Option<&'a [f64]>,
    lambdas: Lambdas,
}

/// What one look at all places yields.
pub(super) struct Forward {
    /// s x width: predicted expression, overwritten by the gradient with respect to it.
    values: Vec<f32>,
    /// s long: gradient with respect to the density, for a cell of mass 1.
    pull: Vec<f64>,
    /// g long: cosine of each gene.
    pub(super) cosines: Vec<f64>,
}

/// What is learnt.
pub(super) struct State {
    pub(super) shares: Vec<f32>,
    logits: Vec<f32>,
    first: Vec<f32>,
    second: Vec<f32>,
    /// What to take off a logit for the logarithm of its share, by cell.
    logs: Vec<f32>,
}

/// Rows of `width` values.
fn table(values: &[f32], width: usize) -> Result<ArrayView2<'_, f32>> {
    ArrayView2::from_shape((values.len() / width, width), values).map_err(fault)
}

fn fault(error: ndarray::ShapeError) -> Error {
    Error::Internal(format!("tangram: {error}"))
}

fn padded(values: &[f32], g: usize, width: usize) -> Vec<f32> {
    let mut out = vec![0f32; values.len() / g * width];
    out.par_chunks_exact_mut(width)
        .zip(values.par_chunks_exact(g))
        .for_each(|(out, row)| out[..g].copy_from_slice(row));
    out
}

impl<'a> Problem<'a> {
    pub(super) fn new(
        (cells, places, g): (&[f32], &[f32], usize),
        candidates: &'a Candidates,
        masses: Vec<f64>,
        density: Option<&'a [f64]>,
        lambdas: Lambdas,
    ) -> Self {
        let (n, s) = (cells.len() / g, places.len() / g);
        let mut gene_norms = vec![0.0; g];
        for row in places.chunks_exact(g) {
            gene_norms.iter_mut().zip(row).for_each(|(sum, &x)| *sum += f64::from(x) * f64::from(x));
        }
        gene_norms.iter_mut().for_each(|sum| *sum = sum.sqrt().max(LEAST));
        let norm = |row: &[f32]| row.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>().sqrt().max(LEAST);
        let place_norms = places.chunks_exact(g).map(norm).collect();
        let dense = candidates.len() == n * s;
        let listed: &[u32] = if dense { &[] } else { &candidates.indices };
        let mut place_starts = vec![0usize; s + 1];
        listed.iter().for_each(|&place| place_starts[place as usize + 1] += 1);
        for place in 0..s {
            place_starts[place + 1] += place_starts[place];
        }
        let mut next = place_starts.clone();
        let (mut place_cells, mut place_at) = (vec![0u32; listed.len()], vec![0u32; listed.len()]);
        for cell in 0..if dense { 0 } else { n } {
            for at in candidates.indptr[cell]..candidates.indptr[cell + 1] {
                let to = &mut next[candidates.indices[at as usize] as usize];
                (place_cells[*to], place_at[*to]) = (cell as u32, at as u32);
                *to += 1;
            }
        }
        let width = g.next_multiple_of(LANES);
        Self {
            n,
            s,
            g,
            width,
            cells: padded(cells, g, width),
            places: padded(places, g, width),
            gene_norms,
            place_norms,
            candidates,
            dense,
            place_starts,
            place_cells,
            place_at,
            masses,
            density,
            lambdas,
        }
    }

    pub(super) fn start(&self, logits: Vec<f32>) -> State {
        let pairs = logits.len();
        let mut state = State {
            shares: vec![0.0; pairs],
            logits,
            first: vec![0.0; pairs],
            second: vec![0.0; pairs],
            logs: vec![0.0; self.n],
        };
        for cell in 0..self.n {
            let span = self.span(cell);
            state.logs[cell] = softmax(&state.logits[span.clone()], &mut state.shares[span]);
        }
        state
    }

    fn span(&self, cell: usize) -> std::ops::Range<usize> {
        self.candidates.indptr[cell] as usize..self.candidates.indptr[cell + 1] as usize
    }

    /// Loss of the present shares, and the gradient with respect to what each place is given.
    pub(super) fn forward(&self, state: &State, ctx: &Ctx) -> Result<(Loss, Forward)> {
        let (s, g, width) = (self.s, self.g, self.width);
        let Lambdas { genes, places, density, entropy } = self.lambdas;
        let mut values = vec![0f32; s * width];
        let mut mapped = vec![0.0; s];
        // Sums of products and of squares of each gene over the places of each piece.
        let sums: Vec<(Vec<f64>, Vec<f64>)> = values
            .par_chunks_mut(PIECE * width)
            .zip(mapped.par_chunks_mut(PIECE))
            .enumerate()
            .map(|(piece, (values, mapped))| {
                ctx.check()?;
                let (mut along, mut squares) = (vec![0.0; g], vec![0.0; g]);
                let mut weights = Vec::new();
                if self.dense {
                    self.give(state, piece * PIECE, values, mapped)?;
                }
                for (offset, (row, mapped)) in values.chunks_exact_mut(width).zip(mapped).enumerate() {
                    let place = piece * PIECE + offset;
                    if !self.dense {
                        let span = self.place_starts[place]..self.place_starts[place + 1];
                        let cells = &self.place_cells[span.clone()];
                        weights.clear();
                        weights.extend(self.place_at[span].iter().map(|&at| state.shares[at as usize]));
                        sum_rows(cells, &weights, &self.cells, row);
                        *mapped = cells
                            .iter()
                            .zip(&weights)
                            .map(|(&cell, &share)| self.masses[cell as usize] * f64::from(share))
                            .sum();
                    }
                    let truth = &self.places[place * width..place * width + g];
                    for (((&x, &y), along), squares) in row.iter().zip(truth).zip(&mut along).zip(&mut squares) {
                        let x = f64::from(x);
                        *along += x * f64::from(y);
                        *squares += x * x;
                    }
                }
                Ok((along, squares))
            })
            .collect::<Result<_>>()?;
        let (mut along, mut squares) = (vec![0.0; g], vec![0.0; g]);
        for (a, b) in sums {
            along.iter_mut().zip(a).for_each(|(sum, x)| *sum += x);
            squares.iter_mut().zip(b).for_each(|(sum, x)| *sum += x);
        }
        // Of each gene its cosine, and the factors of truth and prediction in the gradient.
        let mut cosines = vec![0.0; g];
        let (mut by_truth, mut by_value) = (vec![0f32; width], vec![0f32; width]);
        for gene in 0..g {
            let norm = squares[gene].sqrt().max(LEAST);
            cosines[gene] = along[gene] / (norm * self.gene_norms[gene]);
            by_truth[gene] = (-genes / g as f64 / (norm * self.gene_norms[gene])) as f32;
            by_value[gene] = (genes / g as f64 * cosines[gene] / (norm * norm)) as f32;
        }
        let mut loss = Loss { genes: genes * cosines.iter().sum::<f64>() / g as f64, ..Loss::default() };
        let mut pull = vec![0.0; s];
        if let Some(prior) = self.density {
            for place in 0..s {
                if prior[place] > 0.0 {
                    let mapped = mapped[place].max(f64::MIN_POSITIVE);
                    loss.divergence += density * prior[place] * (prior[place] / mapped).ln();
                    pull[place] = -density * prior[place] / mapped;
                }
            }
        }
        let by_place: Vec<f64> = values
            .par_chunks_mut(PIECE * width)
            .enumerate()
            .map(|(piece, values)| {
                let mut sum = 0.0;
                for (offset, row) in values.chunks_exact_mut(width).enumerate() {
                    let place = piece * PIECE + offset;
                    let truth = &self.places[place * width..(place + 1) * width];
                    let (mut extra_truth, mut extra_value) = (0f32, 0f32);
                    if places > 0.0 {
                        let (mut along, mut square) = (0.0, 0.0);
                        for (&x, &y) in row.iter().zip(truth) {
                            along += f64::from(x) * f64::from(y);
                            square += f64::from(x) * f64::from(x);
                        }
                        let norm = square.sqrt().max(LEAST);
                        let cosine = along / (norm * self.place_norms[place]);
                        sum += cosine;
                        extra_truth = (-places / s as f64 / (norm * self.place_norms[place])) as f32;
                        extra_value = (places / s as f64 * cosine / (norm * norm)) as f32;
                    }
                    for (((x, &y), a), b) in row.iter_mut().zip(truth).zip(&by_truth).zip(&by_value) {
                        *x = (a + extra_truth) * y + (b + extra_value) * *x;
                    }
                }
                sum
            })
            .collect();
        loss.places = places * by_place.iter().sum::<f64>() / s as f64;
        if entropy > 0.0 {
            let by_piece: Vec<f64> = (0..self.n)
                .into_par_iter()
                .chunks(PIECE)
                .map(|cells| {
                    let mut sum = 0.0;
                    for cell in cells {
                        for at in self.span(cell) {
                            let share = f64::from(state.shares[at]);
                            sum -= share * f64::from(state.logits[at] - state.logs[cell]);
                        }
                    }
                    sum
                })
                .collect();
            loss.entropy = entropy * by_piece.iter().sum::<f64>();
        }
        loss.total = loss.divergence + loss.entropy - loss.genes - loss.places;
        Ok((loss, Forward { values, pull, cosines }))
    }

    /// What the places from `first` on are given, and the mass that goes there, where every cell may go everywhere.
    fn give(&self, state: &State, first: usize, values: &mut [f32], mapped: &mut [f64]) -> Result<()> {
        let count = mapped.len();
        let shares = table(&state.shares, self.s)?;
        let shares = shares.slice(part![.., first..first + count]);
        let values = ArrayViewMut2::from_shape((count, self.width), values).map_err(fault)?;
        gemm_f32(values, false, shares.t(), table(&self.cells, self.width)?)?;
        mapped.fill(0.0);
        for (row, &mass) in shares.rows().into_iter().zip(&self.masses) {
            mapped.iter_mut().zip(row).for_each(|(sum, &share)| *sum += mass * f64::from(share));
        }
        Ok(())
    }

    /// Moves the logits of every cell by `step` along the gradient, and takes their shares anew; without a step returns the
    /// gradient.
    pub(super) fn backward(
        &self,
        forward: &Forward,
        state: &mut State,
        step: Option<&Step>,
        ctx: &Ctx,
    ) -> Result<Vec<f32>> {
        let entropy = self.lambdas.entropy as f32;
        let mut gradients = if step.is_none() { vec![0f32; state.shares.len()] } else { Vec::new() };
        let mut parts = Vec::with_capacity(self.n.div_ceil(PIECE));
        let State { shares, logits, first, second, logs } = state;
        let (mut shares, mut logits, mut first, mut second) =
            (&mut shares[..], &mut logits[..], &mut first[..], &mut second[..]);
        let mut kept = &mut gradients[..];
        for (piece, logs) in logs.chunks_mut(PIECE).enumerate() {
            let cells = piece * PIECE..piece * PIECE + logs.len();
            let count = self.span(cells.end - 1).end - self.span(cells.start).start;
            let (a, b, c, d);
            (a, shares) = shares.split_at_mut(count);
            (b, logits) = logits.split_at_mut(count);
            (c, first) = first.split_at_mut(count);
            (d, second) = second.split_at_mut(count);
            let out;
            (out, kept) = kept.split_at_mut(if step.is_none() { count } else { 0 });
            parts.push((cells, logs, a, b, c, d, out));
        }
        parts.into_par_iter().try_for_each(|(cells, logs, shares, logits, first, second, kept)| {
            ctx.check()?;
            let mut gradient = Vec::new();
            let mut whole = vec![0f32; if self.dense { cells.len() * self.s } else { 0 }];
            if self.dense {
                let rows = table(&self.cells[cells.start * self.width..cells.end * self.width], self.width)?;
                let out = ArrayViewMut2::from_shape((cells.len(), self.s), &mut whole[..]).map_err(fault)?;
                gemm_f32(out, false, rows, table(&forward.values, self.width)?.t())?;
            }
            let base = self.span(cells.start).start;
            for (cell, log) in cells.clone().zip(logs) {
                let span = self.span(cell);
                let own = span.start - base..span.end - base;
                let places = &self.candidates.indices[span];
                gradient.clear();
                if self.dense {
                    gradient.extend_from_slice(&whole[own.clone()]);
                } else {
                    gradient.resize(places.len(), 0.0);
                    let row = &self.cells[cell * self.width..(cell + 1) * self.width];
                    products(row, places, &forward.values, &mut gradient);
                }
                let shares = &mut shares[own.clone()];
                let logits = &mut logits[own.clone()];
                if self.density.is_some() {
                    let mass = self.masses[cell];
                    for (gradient, &place) in gradient.iter_mut().zip(places) {
                        *gradient += (mass * forward.pull[place as usize]) as f32;
                    }
                }
                if entropy > 0.0 {
                    for (gradient, &logit) in gradient.iter_mut().zip(logits.iter()) {
                        *gradient -= entropy * (logit - *log + 1.0);
                    }
                }
                let mean: f64 = gradient.iter().zip(shares.iter()).map(|(&a, &p)| f64::from(a) * f64::from(p)).sum();
                let mean = mean as f32;
                gradient.iter_mut().zip(shares.iter()).for_each(|(a, &p)| *a = p * (*a - mean));
                match step {
                    None => kept[own].copy_from_slice(&gradient),
                    Some(step) => {
                        adam(step, &gradient, logits, &mut first[own.clone()], &mut second[own]);
                        *log = softmax(logits, shares);
                    }
                }
            }
            Ok::<(), Error>(())
        })?;
        Ok(gradients)
    }
}
