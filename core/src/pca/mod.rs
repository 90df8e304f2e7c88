//! Principal components of a cells x genes matrix, sparse or dense, never densified as a whole.
//!
//! With X (n cells x g genes) and its column means m, the components are the leading eigenvectors of the g x g
//! matrix C = (X - 1 m^T)^T (X - 1 m^T); the means are taken off implicitly. Two routes reach them:
//!
//! - **gram** ([`Solver::Gram`]): C is accumulated exactly, in f64, in one read; its leading eigenpairs follow from
//!   block Lanczos on the small matrix. For up to some thousands of genes: the usual case.
//! - **krylov** ([`Solver::Krylov`]): C is only ever multiplied with a block of vectors, one read per product. For
//!   many genes.
//!
//! Both converge to the same stated residual, so they agree. A third read turns components into scores.
//!
//! Two steps that usually make the matrix dense are folded in ([`adjust`]): scaling divides the columns of X, and
//! regressing properties of the cells out takes a matrix of low rank off C and off the scores.
//!
//! References: Golub and Van Loan, Matrix Computations, chapter 10 (block Lanczos, Rayleigh-Ritz); Wu and Simon,
//! Thick-restart Lanczos, SIAM J. Matrix Anal. Appl. 22 (2000); signs and slots as documented by scikit-learn
//! (`svd_flip(u_based_decision=False)`) and scanpy (`pp.pca`).

mod adjust;
mod eigen;
mod gram;
mod krylov;
mod multiply;
mod options;
mod panel;
mod scores;

#[cfg(test)]
mod tests;

pub(crate) use multiply::{padded, times};
pub use options::{PcaOptions, Solver};

use ndarray::Array2;

use crate::matrix::{RowBlocks, collect};
use crate::options::Options;
use crate::regress::Design;
use crate::stats::{GeneMoments, ValueMap, gene_moments};
use crate::{Ctx, DataFault, Error, Result};

/// Principal components and the cells' coordinates along them.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Pca {
    /// Number of cells n.
    pub n_rows: usize,
    /// Number of genes g.
    pub n_cols: usize,
    /// Number of components k.
    pub n_comps: usize,
    /// n x k, row-major: coordinates of each cell, in the units of the data.
    pub scores: Vec<f32>,
    /// k x g, row-major: unit loadings, the one of largest magnitude positive in each component.
    pub components: Vec<f64>,
    /// k long, falling: variance along each component, divided by n - 1 (by n without centring, where the order
    /// is that of the singular values instead).
    pub variance: Vec<f64>,
    /// k long: the same over the variance of all genes.
    pub variance_ratio: Vec<f64>,
    /// g long: mean of each gene (with `scale` of the scaled values before centring). Taken off only with
    /// `zero_center`.
    pub mean: Vec<f64>,
    /// The route taken: never [`Solver::Auto`].
    pub solver: Solver,
}

/// Principal component analysis of `source`, n cells x g genes of finite values.
///
/// Returns scores (n x k), components (k x g), variances, ratios and means. Start vectors of the iteration are
/// random under `random_state`; the result does not depend on them beyond the residual (`tolerance`), and the bits
/// not on the number of threads, nor on whether the source is sparse, dense or a file.
///
/// Cost: gram route three reads, about (entries per cell)^2 / 2 sums per cell or less (columns with many non-zeros
/// go through dense products), 16 g^2 bytes and about 160 MB of work space; krylov route some 20 to 40 reads,
/// about 64 k g bytes. Beside that 4 n k bytes for the scores, and, unless `chunked`, 8 bytes per non-zero when the
/// source is costly to read again (a file, a lazy chain).
///
/// # Errors
/// [`Error::Parameter`] for options out of range, among them more components than the data can have;
/// [`Error::Data`] for fewer than two cells, no genes, values that are not finite, or no variance at all;
/// [`Error::NotConverged`]; [`Error::Interrupted`]; whatever the source returns.
pub fn pca(source: &dyn RowBlocks, options: &PcaOptions, ctx: &Ctx) -> Result<Pca> {
    adjusted(source, None, options, ctx)
}

/// As [`pca`] of what is left of each gene after `design` is regressed out, before it is scaled where `scale` asks for
/// that; the residuals are never formed.
///
/// Cost beside that of [`pca`]: one read (two with `scale`), and 8 bytes per gene and column of the design.
///
/// # Errors
/// As [`pca`]; [`Error::Parameter`] without `zero_center`, and with `max_value`, which cuts values that are never
/// formed; [`Error::Data`] when the design is not as long as there are cells.
pub fn pca_regressed(source: &dyn RowBlocks, design: &Design, options: &PcaOptions, ctx: &Ctx) -> Result<Pca> {
    adjusted(source, Some(design), options, ctx)
}

fn adjusted(source: &dyn RowBlocks, design: Option<&Design>, options: &PcaOptions, ctx: &Ctx) -> Result<Pca> {
    options.validate()?;
    let rank = design.map_or(0, Design::rank);
    let k = check_shape(source.n_rows(), source.n_cols(), rank, options)?;
    if design.is_some() && !options.zero_center {
        return Err(Error::parameter("zero_center", "true where something is regressed out", false));
    }
    if !options.scale {
        return decompose(source, design, k, options, ctx);
    }
    let scaled = adjust::scaled(source, design, options, ctx)?;
    decompose(&scaled, design, k, options, ctx)
}

fn decompose(
    source: &dyn RowBlocks,
    design: Option<&Design>,
    k: usize,
    options: &PcaOptions,
    ctx: &Ctx,
) -> Result<Pca> {
    let (n, g) = (source.n_rows(), source.n_cols());
    // Costly sources are gathered once; the moments then come from memory too.
    let gathered = if options.chunked || source.is_cheap_to_read() { None } else { Some(collect(source, ctx)?) };
    let source: &dyn RowBlocks = gathered.as_ref().map_or(source, |matrix| matrix);

    let moments = gene_moments(source, ValueMap::Identity, ctx)?;
    moments.check_finite("matrix", "finite values")?;
    let removed = design.map(|design| adjust::Removed::new(source, design, ctx)).transpose()?;
    let total = total_variance(&moments, removed.as_ref(), options.zero_center)?;
    let mean = moments.means();
    let center = options.zero_center.then_some(mean.as_slice());

    let solver = choose_solver(options, &moments, k)?;
    let (values, mut vectors) = match solver {
        Solver::Gram => gram::solve(source, &moments, center, removed.as_ref(), k, options, ctx)?,
        _ => krylov::solve(source, center, removed.as_ref(), k, options, ctx)?,
    };
    fix_signs(&mut vectors);
    let scores = scores::project(source, vectors.view(), center, removed.as_ref(), ctx)?;

    let variance: Vec<f64> = if options.zero_center {
        values.iter().map(|value| value.max(0.0) / (n - 1) as f64).collect()
    } else {
        // What scikit-learn's TruncatedSVD reports: the population variance of the scores.
        scores::variances(&scores, n, k)
    };
    Ok(Pca {
        n_rows: n,
        n_cols: g,
        n_comps: k,
        scores,
        components: vectors.t().iter().copied().collect(),
        variance_ratio: variance.iter().map(|v| v / total).collect(),
        variance,
        mean,
        solver,
    })
}

/// Coordinates of other cells along components that are there: n x k, row-major.
///
/// `source`: n x g, the same genes as the components; `components`: k x g, row-major; `center`: g values that are taken
/// off each cell first (the mean of the cells the components were made from). One read; bits free of threads.
///
/// # Errors
/// [`Error::Data`] for components or centre that do not fit the genes; [`Error::Interrupted`]; whatever the source
/// returns.
pub fn project(source: &dyn RowBlocks, components: &[f64], center: Option<&[f64]>, ctx: &Ctx) -> Result<Vec<f32>> {
    let g = source.n_cols();
    let fits = g > 0 && !components.is_empty() && components.len().is_multiple_of(g);
    if !fits || center.is_some_and(|center| center.len() != g) {
        let found = format!("{} and {} values", components.len(), center.map_or(0, <[f64]>::len));
        return Err(Error::data(DataFault::Shape, "components, center", format!("k x {g} and {g} values"), found));
    }
    let components = ndarray::ArrayView2::from_shape((components.len() / g, g), components)
        .map_err(|error| Error::Internal(format!("pca: {error}")))?;
    scores::project(source, components.t(), center, None, ctx)
}

/// Genes up to which the matrix of products is formed: 8 g^2 bytes, 288 MB.
pub(crate) const LARGEST_GRAM: usize = 6000;

/// The `k` largest eigenvalues, falling, and their eigenvectors (g x k) of the matrix of products of the columns, less
/// `center` where it is given. One read up to [`LARGEST_GRAM`] genes, above some 20 to 40; never gathers the source.
pub(crate) fn directions(
    source: &dyn RowBlocks,
    moments: &GeneMoments,
    center: Option<&[f64]>,
    k: usize,
    random_state: u64,
    ctx: &Ctx,
) -> Result<(Vec<f64>, Array2<f64>)> {
    let options = PcaOptions { random_state, ..Default::default() };
    if source.n_cols() <= LARGEST_GRAM {
        gram::solve(source, moments, center, None, k, &options, ctx)
    } else {
        krylov::solve(source, center, None, k, &options, ctx)
    }
}

/// The g x g matrix of products of the columns, less `center` where it is given. One read; 16 g^2 bytes.
pub(crate) fn products(
    source: &dyn RowBlocks,
    moments: &GeneMoments,
    center: Option<&[f64]>,
    ctx: &Ctx,
) -> Result<Array2<f64>> {
    let split = panel::Split::choose(moments);
    let matrix = gram::accumulate(source, &split, center, gram::CELLS, ctx)?;
    let places = split.places();
    Ok(Array2::from_shape_fn(matrix.dim(), |(i, j)| matrix[(places[i] as usize, places[j] as usize)]))
}

/// Number of components to compute, or why there can be none.
fn check_shape(n: usize, g: usize, rank: usize, options: &PcaOptions) -> Result<usize> {
    if g == 0 {
        return Err(Error::data(DataFault::Empty, "matrix", "at least one gene (selected by the mask)", "none"));
    }
    let least = if options.zero_center { 2 } else { 1 };
    if n < least {
        return Err(Error::data(DataFault::Empty, "matrix", format!("at least {least} cells"), n));
    }
    // Centring takes one dimension away, and each property regressed out another.
    let most = if options.zero_center { g.min((n - 1).saturating_sub(rank)) } else { g.min(n) };
    let k = options.n_comps.unwrap_or((n.min(g) - 1).min(50).min(most)).max(usize::from(options.n_comps.is_none()));
    if k > most {
        let expected = format!("1 to {most} for {n} cells x {g} genes");
        return Err(Error::parameter("n_comps", expected, k));
    }
    Ok(k)
}

/// Sum of the variances of all genes: divided by n - 1 when centring, by n otherwise.
fn total_variance(moments: &GeneMoments, removed: Option<&adjust::Removed<'_>>, zero_center: bool) -> Result<f64> {
    let n = moments.n_rows as f64;
    let divisor = if zero_center { n - 1.0 } else { n };
    let deviations = moments.sum.iter().zip(&moments.sum_squares).map(|(sum, squares)| squares - sum * sum / n);
    let total = deviations.map(|d| d.max(0.0)).sum::<f64>() - removed.map_or(0.0, adjust::Removed::squares);
    let squares: f64 = moments.sum_squares.iter().sum();
    // Below this the difference is rounding: every gene is constant.
    if total <= squares * 1e-12 {
        let found = "the same value in every cell, for every gene";
        return Err(Error::data(DataFault::Invalid, "matrix", "at least one gene that varies", found));
    }
    Ok(total / divisor)
}

/// The route by estimated time, within the memory that a Gram matrix may take.
fn choose_solver(options: &PcaOptions, moments: &GeneMoments, k: usize) -> Result<Solver> {
    let solver = match options.svd_solver {
        Solver::Auto => {
            let g = moments.sum.len();
            let krylov = krylov::cost(moments, k);
            let gram = panel::Split::choose(moments).cost + gram::eigen_cost(g, k);
            if g <= LARGEST_GRAM && gram <= krylov { Solver::Gram } else { Solver::Krylov }
        }
        named => named,
    };
    if let (Solver::Krylov, Some(size)) = (solver, options.chunk_size) {
        let expected = "none with the krylov route, which takes the blocks of the source as they come";
        return Err(Error::parameter("chunk_size", expected, size));
    }
    Ok(solver)
}

/// Turns each column so that its entry of largest magnitude (the first of equals) is positive.
fn fix_signs(vectors: &mut Array2<f64>) {
    for mut column in vectors.columns_mut() {
        let mut largest = 0.0f64;
        for &value in &column {
            if value.abs() > largest.abs() {
                largest = value;
            }
        }
        if largest < 0.0 {
            column.mapv_inplace(|value| -value);
        }
    }
}
