//! Directions in gene space that two data sets share, and their cells along them.

use ndarray::{Array2, ArrayView2, s};
use zensaibo_core::matrix::{Lazy, RowBlocks, fill_rows};
use zensaibo_core::options::Options;
use zensaibo_core::pca::{PcaOptions, pca};
use zensaibo_core::stats::{GeneMoments, ValueMap, gene_moments};
use zensaibo_core::{Ctx, DataFault, Error, Result};
use zensaibo_linalg::{gemm_f64, thin_svd};

use crate::options::PrincipalVectorsOptions;

/// Components of each side, unless given.
const COMPONENTS: usize = 50;
/// Residual of the components. Finer than for pictures: vectors are compared between sides.
const TOLERANCE: f64 = 1e-9;

/// What [`principal_vectors`] returns: q vectors of g genes.
#[derive(Clone, Debug, PartialEq)]
pub struct PrincipalVectors {
    /// g long: whether the gene varies on both sides and was used.
    pub used: Vec<bool>,
    /// Cosines of all pairs of principal vectors, falling; the first q are above `min_cosine`.
    pub cosines: Vec<f64>,
    /// g x q: principal vectors of the cells' side, of unit length; zero where a gene was not used. The entry of largest
    /// magnitude is positive.
    pub vectors: Array2<f64>,
    /// n x q, row-major: the dissociated cells along them.
    pub cells: Vec<f64>,
    /// s x q, row-major: the places along them.
    pub places: Vec<f64>,
}

impl PrincipalVectors {
    /// Number of vectors kept.
    pub fn len(&self) -> usize {
        self.vectors.ncols()
    }

    /// Whether there are none; never so for a result.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Principal vectors of two data sets over the same genes, `cells` n x g and `places` s x g, in the order of their cosines.
///
/// Genes are brought to mean 0 and standard deviation 1 on each side for itself (divided by n); those that do not vary on a side
/// are left out. Each side's leading components P (d x g) span a subspace; with P_cells P_places^T = U diag(cos) V^T the vectors are
/// the columns of P_cells^T U with cos above `min_cosine`. Both sides are projected on them, in double precision.
///
/// Cost: two PCAs (three reads or more each), one read more of each side; 8 bytes per cell and vector. No chance beyond that of
/// [`pca`], which its tolerance bounds; the same bits for any number of threads.
///
/// Reference: Mourragui, Loog, van de Wiel, Reinders, Wessels, PRECISE, Bioinformatics 35 (2019); Abdelaal et al., SpaGE, Nucleic Acids
/// Research 48 (2020).
///
/// # Errors
/// [`Error::Parameter`]; [`Error::Data`] for different numbers of genes, NaN or infinity, fewer than two cells, or fewer than two genes that
/// vary on both sides; [`Error::NotTrustworthy`] where no vector is above `min_cosine`; [`Error::Interrupted`]; whatever a source returns.
pub fn principal_vectors(
    cells: &dyn RowBlocks,
    places: &dyn RowBlocks,
    options: &PrincipalVectorsOptions,
    ctx: &Ctx,
) -> Result<PrincipalVectors> {
    options.validate()?;
    let g = cells.n_cols();
    if places.n_cols() != g {
        let expected = format!("{g} genes, those of the cells");
        return Err(Error::data(DataFault::Shape, "places", expected, places.n_cols()));
    }
    let moments = |name: &str, source: &dyn RowBlocks| -> Result<GeneMoments> {
        if source.n_rows() < 2 {
            return Err(Error::data(DataFault::TooFew, name, "at least 2 rows", source.n_rows()));
        }
        let moments = gene_moments(source, ValueMap::Identity, ctx)?;
        moments.check_finite(name, "finite values")?;
        Ok(moments)
    };
    let (of_cells, of_places) = (moments("cells", cells)?, moments("places", places)?);
    let used: Vec<bool> = (0..g).map(|gene| varies(&of_cells, gene) && varies(&of_places, gene)).collect();
    let kept: Vec<usize> = (0..g).filter(|&gene| used[gene]).collect();
    if kept.len() < 2 {
        let expected = "at least 2 shared genes that vary on both sides";
        return Err(Error::data(DataFault::TooFew, "genes", expected, format!("{} of {g}", kept.len())));
    }
    let most = kept.len().min(cells.n_rows() - 1).min(places.n_rows() - 1);
    let d = options.n_components.unwrap_or(COMPONENTS.min(most));
    if d > most {
        let expected = format!(
            "1 to {most} for {} genes that vary on both sides, {} cells and {} places",
            kept.len(),
            cells.n_rows(),
            places.n_rows()
        );
        return Err(Error::parameter("n_components", expected, d));
    }
    let components = |source: &dyn RowBlocks| -> Result<Array2<f64>> {
        let source = Lazy::new(source).select_columns(&used)?;
        let options = PcaOptions { n_comps: Some(d), scale: true, tolerance: TOLERANCE, ..PcaOptions::default() };
        let found = pca(&source, &options, ctx)?;
        Array2::from_shape_vec((d, kept.len()), found.components)
            .map_err(|error| Error::Internal(format!("principal vectors: {error}")))
    };
    let (ours, theirs) = (components(cells)?, components(places)?);
    let mut between = Array2::zeros((d, d));
    gemm_f64(between.view_mut(), false, ours.view(), theirs.t())?;
    let svd = thin_svd(between.view())?;
    let q = svd.s.iter().take_while(|&&cosine| cosine > options.min_cosine).count();
    if q == 0 {
        return Err(Error::NotTrustworthy {
            what: "mapping".into(),
            reasons: vec![format!(
                "the two sides have no direction in common: the largest cosine of their principal vectors is {:.3}, \
                 `min_cosine` is {}",
                svd.s.first().copied().unwrap_or(0.0),
                options.min_cosine
            )],
        });
    }
    let mut short = Array2::zeros((kept.len(), q));
    gemm_f64(short.view_mut(), false, ours.t(), svd.u.slice(s![.., ..q]))?;
    point_up(&mut short);
    let mut vectors = Array2::zeros((g, q));
    for (row, &gene) in kept.iter().enumerate() {
        vectors.row_mut(gene).assign(&short.row(row));
    }
    let along = |source, moments: &GeneMoments, stage| project(source, moments, &used, vectors.view(), stage, ctx);
    let (cells, places) = (along(cells, &of_cells, "cells: vectors")?, along(places, &of_places, "places: vectors")?);
    Ok(PrincipalVectors { used, cosines: svd.s, vectors, cells, places })
}

/// Whether the values of a gene differ by more than rounding.
fn varies(moments: &GeneMoments, gene: usize) -> bool {
    let n = moments.n_rows as f64;
    let (sum, squares) = (moments.sum[gene], moments.sum_squares[gene]);
    squares - sum * sum / n > squares * 1e-12
}

/// Turns each column so that its entry of largest magnitude is positive.
fn point_up(vectors: &mut Array2<f64>) {
    for mut column in vectors.columns_mut() {
        let largest = column.iter().fold(0.0f64, |most, &value| if value.abs() > most.abs() { value } else { most });
        if largest < 0.0 {
            column.mapv_inplace(|value| -value);
        }
    }
}

/// Standardised rows times `vectors`, row-major.
fn project(
    source: &dyn RowBlocks,
    moments: &GeneMoments,
    used: &[bool],
    vectors: ArrayView2<'_, f64>,
    stage: &str,
    ctx: &Ctx,
) -> Result<Vec<f64>> {
    let (g, q) = vectors.dim();
    let n = moments.n_rows as f64;
    let mut scaled = vec![0.0; g * q];
    let mut offset = vec![0.0; q];
    for gene in (0..g).filter(|&gene| used[gene]) {
        let mean = moments.sum[gene] / n;
        let deviation = (moments.sum_squares[gene] / n - mean * mean).sqrt();
        for k in 0..q {
            let value = vectors[(gene, k)] / deviation;
            scaled[gene * q + k] = value;
            offset[k] += mean * value;
        }
    }
    let mut out = vec![0.0; source.n_rows() * q];
    fill_rows(
        source,
        q,
        &mut out,
        stage,
        ctx,
        || (),
        |(), _, columns, values, row: &mut [f64]| {
            row.iter_mut().zip(&offset).for_each(|(out, offset)| *out = -offset);
            for (&column, &value) in columns.iter().zip(values) {
                let value = f64::from(value);
                let start = column as usize * q;
                row.iter_mut().zip(&scaled[start..start + q]).for_each(|(out, x)| *out += value * x);
            }
        },
    )?;
    Ok(out)
}
