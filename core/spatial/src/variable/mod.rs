//! Genes that vary in space: how much of a gene is a function of the place of its cells.
//!
//! Eleven sets of functions of the coordinates are looked at, one function for each axis: the coordinate itself, five bells
//! exp(-u^2 / (2 l^2)) and five waves cos(2 pi u / l), with u the coordinate less its mean and l the 20, 40, 60, 80 and 100 %
//! quantiles of |u|. For each set, n R^2 of the regression of the gene on its functions follows chi-squared without relation to
//! space, with as many degrees of freedom as there are functions. The p values of the sets are joined by the Cauchy combination.
//! Patterns that are no sum of functions of one axis each, such as thin rings, are missed. With several libraries, all is done within each and the statistics and degrees of freedom add up.
//!
//! References: Zhu, Sun and Zhou, Genome Biology 22:184 (2021), SPARK-X, whose covariance test with projection kernels this is
//! (its weights of chi-squared variables are all equal, so that the tail has a closed form); Liu and Xie, JASA 115 (2020), for the
//! combination.

mod functions;
mod tail;

#[cfg(test)]
mod tests;

use functions::Functions;
use rayon::prelude::*;
use zensaibo_core::parallel::pieces;
use zensaibo_core::{Ctx, DataFault, Error, Result};

use crate::Places;
use crate::autocorr::{Columns, check_columns};

/// Sets of functions: the coordinate, five bells, five waves.
pub const SETS: usize = 11;
/// Genes looked at between two looks at whether to stop.
const PIECE: usize = 16;

/// What [`spatially_variable`] found; NaN (and set 0) for genes without variance.
#[derive(Clone, Debug)]
pub struct Variable {
    /// Natural logarithm of the p value of each gene, joined over the sets.
    pub ln_pvals: Vec<f64>,
    /// Natural logarithms of the p values of each set, genes x [`SETS`].
    pub ln_pvals_of_sets: Vec<f64>,
    /// The largest share of the variance that a set explains, 0 to 1.
    pub share: Vec<f64>,
    /// The set that does: 0 the coordinate, 1 to 5 bells from narrow to wide, 6 to 10 waves from short to long.
    pub set: Vec<u32>,
}

/// Tests every column for a relation to space. Nothing is random, and threads change the time alone.
///
/// Cost: for each stored value 11 products per axis. Memory: 88 bytes per cell and axis, and 16 per stored value of the columns in
/// work.
///
/// # Errors
/// [`Error::Data`]: columns or libraries that do not fit the places, NaN or infinity, a library with fewer than five cells or
/// all cells at one place; [`Error::Interrupted`].
pub fn spatially_variable(
    places: &Places,
    libraries: &[u32],
    n_libraries: usize,
    columns: &Columns<'_>,
    ctx: &Ctx,
) -> Result<Variable> {
    let n = places.len();
    check_columns(columns, n)?;
    if libraries.len() != n || libraries.iter().any(|&library| library as usize >= n_libraries) {
        let expected = format!("one library below {n_libraries} for each of {n} cells");
        return Err(Error::data(DataFault::Shape, "libraries", expected, format!("{} of them", libraries.len())));
    }
    let functions = Functions::new(places, libraries, n_libraries)?;
    let genes = columns.indptr.len() - 1;
    let stage = ctx.stage("genes in space", genes as u64);
    let found: Vec<Vec<Scores>> = pieces(genes, PIECE)
        .into_par_iter()
        .map(|piece| {
            stage.advance(piece.len() as u64)?;
            Ok(piece.map(|gene| score(columns, gene, libraries, &functions)).collect())
        })
        .collect::<Result<_>>()?;
    let mut all = Variable { ln_pvals: Vec::new(), ln_pvals_of_sets: Vec::new(), share: Vec::new(), set: Vec::new() };
    for scores in found.into_iter().flatten() {
        all.ln_pvals.push(tail::ln_cauchy(&scores.ln_pvals));
        all.ln_pvals_of_sets.extend(scores.ln_pvals);
        let best = (0..SETS).fold(0, |best, set| if scores.shares[set] > scores.shares[best] { set } else { best });
        all.share.push(scores.shares[best]);
        all.set.push(best as u32);
    }
    Ok(all)
}

struct Scores {
    ln_pvals: [f64; SETS],
    shares: [f64; SETS],
}

/// One gene, in each of the libraries in which it varies.
fn score(columns: &Columns<'_>, gene: usize, libraries: &[u32], functions: &Functions) -> Scores {
    let range = columns.indptr[gene] as usize..columns.indptr[gene + 1] as usize;
    let width = functions.width();
    let mut sums = vec![0.0; functions.libraries() * width];
    let mut moments = vec![[0.0f64; 2]; functions.libraries()];
    // A shift keeps the digits of the variance of values far from zero; only a column that is stored whole can be so.
    let values = &columns.values[range.clone()];
    let shift = if values.len() == libraries.len() { values[0] } else { 0.0 };
    for (&cell, &value) in columns.indices[range].iter().zip(values) {
        let (cell, value) = (cell as usize, value - shift);
        let library = libraries[cell] as usize;
        moments[library][0] += value;
        moments[library][1] += value * value;
        let sums = &mut sums[library * width..][..width];
        sums.iter_mut().zip(functions.of(cell)).for_each(|(sum, function)| *sum += value * function);
    }
    let (mut statistics, mut explained, mut spread) = ([0.0; SETS], [0.0; SETS], 0.0);
    let mut degrees = [0usize; SETS];
    for (library, [sum, square]) in moments.into_iter().enumerate() {
        let n = functions.cells(library) as f64;
        let variance = square - sum * sum / n;
        // Less than rounding leaves of equal values is no variance.
        if !(variance > square * n * f64::EPSILON) {
            continue;
        }
        spread += variance;
        for set in 0..SETS {
            let part = &sums[library * width + set * functions.axes()..][..functions.axes()];
            let of_set: f64 = part.iter().map(|sum| sum * sum).sum();
            statistics[set] += n * of_set / variance;
            explained[set] += of_set;
            degrees[set] += functions.rank(library, set);
        }
    }
    let mut scores = Scores { ln_pvals: [f64::NAN; SETS], shares: [f64::NAN; SETS] };
    if spread > 0.0 {
        for set in 0..SETS {
            // No function, no evidence.
            scores.ln_pvals[set] =
                if degrees[set] == 0 { 0.0 } else { tail::ln_chi_squared(statistics[set], degrees[set]) };
            scores.shares[set] = explained[set] / spread;
        }
    }
    scores
}
