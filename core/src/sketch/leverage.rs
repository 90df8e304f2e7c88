//! Leverage scores of cells.

use super::LeverageOptions;
use super::whiten::{Strip, squared_norms, strips_of, strips_of_all};
use crate::matrix::RowBlocks;
use crate::options::Options;
use crate::pca;
use crate::stats::{ValueMap, gene_moments};
use crate::{Ctx, DataFault, Error, Result};

/// Directions whose sum of squares is below this part of the largest are rounding.
const SMALLEST: f64 = 1e-7;

/// Leverage of each cell of `source`, n cells x g genes of finite values: n numbers.
///
/// With A the matrix, its means taken off where `zero_center`, the score of row a is a (A^T A)^+ a^T, plus 1 / n with
/// `zero_center`: the diagonal of the projection onto the columns. Scores lie between 0 and 1 and add up to the
/// dimension of the space. With `n_comps` A is its best approximation of that rank. Genes that are constant, or that
/// others foretell but for 1e-6 of their variance, add nothing.
///
/// Nothing is random with neither `n_projections` nor many genes; with these the seed decides (for many genes within
/// the tolerance of [`pca`](crate::pca::pca)). The bits do not depend on threads, nor on whether the source is sparse,
/// dense or a file. The source is never gathered.
///
/// Cost: with `n_comps` up to 6,000 genes three reads, the products of PCA's gram route and n x entries per cell x
/// `n_comps`; above, some 20 to 40 reads. Without: three reads, n x entries per cell x g (or x `n_projections`), g^3 / 3,
/// and 24 g^2 bytes. Beside that 8 bytes per cell.
///
/// # Errors
/// [`Error::Parameter`] for options out of range; [`Error::Data`] for no genes or values that are not finite;
/// [`Error::Limit`] for more than 6,000 genes without `n_comps`; [`Error::Interrupted`]; whatever the source returns.
pub fn leverage_scores(source: &dyn RowBlocks, options: &LeverageOptions, ctx: &Ctx) -> Result<Vec<f64>> {
    options.validate()?;
    let (n, g) = (source.n_rows(), source.n_cols());
    if g == 0 {
        return Err(Error::data(DataFault::Empty, "matrix", "at least one gene (selected by the mask)", "none"));
    }
    if options.n_comps.is_none() && g > pca::LARGEST_GRAM {
        let (what, limit) = ("genes without `n_comps`".to_string(), pca::LARGEST_GRAM.to_string());
        return Err(Error::Limit { what, needed: g.to_string(), limit });
    }
    if n == 0 {
        return Ok(Vec::new());
    }
    let moments = gene_moments(source, ValueMap::Identity, ctx)?;
    moments.check_finite("matrix", "finite values")?;
    let means = moments.means();
    let center = options.zero_center.then_some(means.as_slice());
    let base = if options.zero_center { 1.0 / n as f64 } else { 0.0 };

    // What is left of each gene; below the limit the difference is rounding.
    let squares: f64 = moments.sum_squares.iter().sum();
    let off = moments.sum.iter().zip(&means).map(|(sum, mean)| if options.zero_center { sum * mean } else { 0.0 });
    let left: f64 = moments.sum_squares.iter().zip(off).map(|(squares, off)| (squares - off).max(0.0)).sum();
    if left <= squares * 1e-12 {
        return Ok(vec![base; n]);
    }
    let strips: Vec<Strip> = match options.n_comps {
        Some(k) => {
            let k = k.min(g).min(n - usize::from(options.zero_center));
            let (values, mut vectors) = pca::directions(source, &moments, center, k, options.random_state, ctx)?;
            let rank = values.iter().take_while(|&&value| value > values[0] * SMALLEST).count();
            for (mut vector, value) in vectors.columns_mut().into_iter().zip(&values[..rank]) {
                vector.mapv_inplace(|x| x / value.sqrt());
            }
            strips_of(vectors.slice(ndarray::s![.., ..rank]), center)
        }
        None => {
            let products = pca::products(source, &moments, center, ctx)?;
            strips_of_all(products, &moments, center, options, ctx)?
        }
    };
    squared_norms(source, &strips, base, ctx)
}
