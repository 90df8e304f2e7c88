//! Two values in space: where neighbours have both, cell by cell, and whether they do over the tissue.
//!
//! References: Lee, Journal of Geographical Systems 3 (2001), for L; Wartenberg, Geographical Analysis 17 (1985), for Moran's I of two
//! values; Li et al., Nature Communications 14 (2023), for its local form R; Dimitrov et al., Nature Cell Biology 26 (2024), for
//! the family of local scores.

mod options;
mod score;

#[cfg(test)]
mod tests;

pub use options::{BivariateOptions, Local};

use rayon::prelude::*;
use score::Scorer;
use zensaibo_core::options::Options;
use zensaibo_core::random::Stream;
use zensaibo_core::{Ctx, DataFault, Error, Result};

use crate::Edges;
use crate::autocorr::{Columns, check_columns};

/// What [`bivariate`] found for `p` pairs and `n` cells.
#[derive(Clone, Debug)]
pub struct Bivariate {
    /// Scores, pairs x cells; 0 where the score is not defined, such as without neighbours.
    pub local: Vec<f64>,
    /// Shares of permutations at least as extreme, pairs x cells, at least 1 / (n_perms + 1).
    pub local_pvals: Option<Vec<f64>>,
    /// 1 where the neighbours are above the mean in both values, -1 where in one alone and below in the other, else 0; pairs x
    /// cells.
    pub categories: Vec<i8>,
    /// Moran's R of each pair; NaN where a value has no variance.
    pub morans: Vec<f64>,
    /// Lee's L of each pair; NaN likewise.
    pub lee: Vec<f64>,
    /// Shares of permutations whose Moran's R is at least as extreme.
    pub morans_pvals: Option<Vec<f64>>,
    /// Shares of permutations whose Lee's L is at least as extreme.
    pub lee_pvals: Option<Vec<f64>>,
}

/// Scores pairs of columns. Permutation p takes its numbers from the stream (seed, p) and is the same for all pairs; threads change
/// the time alone.
///
/// Cost: pairs x edges, `n_perms` times that beside. Memory: 9 bytes per pair and cell, 8 more with permutations; per thread 100 bytes
/// per cell.
///
/// # Errors
/// [`Error::Parameter`] for options out of range; [`Error::Data`]: columns or pairs that do not fit, NaN or infinity, fewer than
/// three cells, no edges, weights that are negative; [`Error::Interrupted`].
pub fn bivariate(
    edges: &Edges<'_>,
    columns: &Columns<'_>,
    pairs: &[[u32; 2]],
    options: &BivariateOptions,
    ctx: &Ctx,
) -> Result<Bivariate> {
    options.validate()?;
    let n = edges.len();
    if n < 3 {
        return Err(Error::data(DataFault::TooFew, "graph of neighbours", "at least three cells", n));
    }
    check_columns(columns, n)?;
    let count = columns.indptr.len() - 1;
    if let Some(pair) = pairs.iter().find(|pair| pair.iter().any(|&at| at as usize >= count)) {
        return Err(Error::data(
            DataFault::Invalid,
            "pairs",
            format!("columns from 0 to below {count}"),
            format!("{pair:?}"),
        ));
    }
    let weights = edges.weights();
    if let Some(at) = weights.iter().position(|weight| *weight < 0.0) {
        return Err(Error::data(DataFault::Negative, "graph of neighbours", "weights of at least 0", weights[at]));
    }
    if !weights.iter().any(|weight| *weight > 0.0) {
        return Err(Error::data(DataFault::Invalid, "graph of neighbours", "weights that do not sum to 0", "no edges"));
    }
    let scorer = Scorer::new(edges, options.local_name);
    let orders = options.n_perms.unwrap_or(0);
    let stage = ctx.stage("pairs in space", pairs.len() as u64 * (orders + 1));
    let found: Vec<Pair> = pairs
        .par_iter()
        .map(|pair| {
            let values = pair.map(|at| dense(columns, at as usize, n));
            let mut pair = Pair::new(&scorer, &values, options);
            stage.advance(1)?;
            if orders > 0 {
                pair.permute(&scorer, orders, options, &|| stage.advance(1))?;
            }
            Ok(pair)
        })
        .collect::<Result<_>>()?;
    let with = options.n_perms.is_some();
    let mut all = Bivariate {
        local: Vec::with_capacity(pairs.len() * n),
        local_pvals: with.then(Vec::new),
        categories: Vec::with_capacity(pairs.len() * n),
        morans: Vec::new(),
        lee: Vec::new(),
        morans_pvals: with.then(Vec::new),
        lee_pvals: with.then(Vec::new),
    };
    for pair in found {
        all.local.extend(pair.local);
        all.categories.extend(pair.categories);
        all.morans.push(pair.global[0]);
        all.lee.push(pair.global[1]);
        let share = |times: u64| (times + 1) as f64 / (orders + 1) as f64;
        if let Some(pvals) = &mut all.local_pvals {
            pvals.extend(pair.extreme.iter().map(|&times| share(u64::from(times))));
        }
        for (pvals, at) in [(&mut all.morans_pvals, 0), (&mut all.lee_pvals, 1)] {
            if let Some(pvals) = pvals {
                pvals.push(if pair.global[at].is_nan() { f64::NAN } else { share(pair.global_extreme[at]) });
            }
        }
    }
    Ok(all)
}

fn dense(columns: &Columns<'_>, at: usize, n: usize) -> Vec<f64> {
    let mut values = vec![0.0; n];
    let range = columns.indptr[at] as usize..columns.indptr[at + 1] as usize;
    columns.indices[range.clone()]
        .iter()
        .zip(&columns.values[range])
        .for_each(|(&cell, &value)| values[cell as usize] = value);
    values
}

struct Pair {
    /// What is scored: the values, or what the score makes of them.
    scored: [Vec<f64>; 2],
    /// Less their mean, over their standard deviation; zeros without variance.
    standard: [Vec<f64>; 2],
    local: Vec<f64>,
    categories: Vec<i8>,
    global: [f64; 2],
    extreme: Vec<u32>,
    global_extreme: [u64; 2],
}

impl Pair {
    fn new(scorer: &Scorer<'_>, values: &[Vec<f64>; 2], options: &BivariateOptions) -> Self {
        let standard = [score::standardised(&values[0]), score::standardised(&values[1])];
        let scored = match options.local_name {
            Local::Morans | Local::Lee => standard.clone(),
            Local::Spearman => [score::ranks(&values[0]), score::ranks(&values[1])],
            Local::Jaccard => values.clone().map(|all| all.iter().map(|&x| f64::from(u8::from(x > 0.0))).collect()),
            _ => values.clone(),
        };
        let n = values[0].len();
        let mut local = vec![0.0; n];
        scorer.local(&scored[0], &scored[1], &mut local);
        let global = scorer.global(&standard[0], &standard[1]);
        let categories = (0..n)
            .into_par_iter()
            .with_min_len(4096)
            .map(|cell| {
                let (a, b) = (scorer.lag(cell, &standard[0]), scorer.lag(cell, &standard[1]));
                if a > 0.0 && b > 0.0 { 1 } else { -i8::from(a * b < 0.0) }
            })
            .collect();
        Self { scored, standard, local, categories, global, extreme: vec![0; n], global_extreme: [0; 2] }
    }

    fn permute(
        &mut self,
        scorer: &Scorer<'_>,
        orders: u64,
        options: &BivariateOptions,
        after: &dyn Fn() -> Result<()>,
    ) -> Result<()> {
        let n = self.local.len();
        let mut work = vec![0.0; n];
        let far = |value: f64| if options.mask_negatives { value } else { value.abs() };
        let same = options.local_name == Local::Morans || options.local_name == Local::Lee;
        for order in 0..orders {
            let mut cells: Vec<u32> = (0..n as u32).collect();
            Stream::new(options.seed, order).shuffle(&mut cells);
            let moved = |values: &[f64]| cells.iter().map(|&cell| values[cell as usize]).collect::<Vec<f64>>();
            let standard = [moved(&self.standard[0]), moved(&self.standard[1])];
            if same {
                scorer.local(&standard[0], &standard[1], &mut work);
            } else {
                scorer.local(&moved(&self.scored[0]), &moved(&self.scored[1]), &mut work);
            }
            for (times, (found, own)) in self.extreme.iter_mut().zip(work.iter().zip(&self.local)) {
                *times += u32::from(far(*found) >= far(*own));
            }
            let global = scorer.global(&standard[0], &standard[1]);
            for at in 0..2 {
                self.global_extreme[at] += u64::from(far(global[at]) >= far(self.global[at]));
            }
            after()?;
        }
        Ok(())
    }
}
