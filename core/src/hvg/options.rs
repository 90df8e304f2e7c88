//! Options of gene selection.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::options;
use crate::{Error, Result};

/// Which recipe selects the genes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Flavor {
    /// Dispersion of back-transformed data, standardised in bins of equal width. Takes logarithmised data.
    Seurat,
    /// Dispersion, compared with median and spread in bins of equal size. Takes logarithmised data.
    CellRanger,
    /// Variance after standardising by a loess curve; batches by median rank. Takes raw counts.
    SeuratV3,
    /// As `SeuratV3`; batches by the number in which a gene is selected, as the paper does. Takes raw counts.
    SeuratV3Paper,
    /// Variance of Pearson residuals; batches by the number in which a gene is selected. Takes raw counts.
    PearsonResiduals,
}

impl Flavor {
    /// Whether the flavor expects raw counts.
    pub fn takes_counts(self) -> bool {
        matches!(self, Self::SeuratV3 | Self::SeuratV3Paper | Self::PearsonResiduals)
    }
}

/// A limit that may be infinite. In JSON, which knows no infinity, `"inf"` and `"-inf"`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bound(pub f64);

impl Serialize for Bound {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        if self.0.is_finite() {
            serializer.serialize_f64(self.0)
        } else {
            serializer.serialize_str(&self.0.to_string())
        }
    }
}

impl<'de> Deserialize<'de> for Bound {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Form {
            Number(f64),
            Text(String),
        }
        match Form::deserialize(deserializer)? {
            Form::Number(number) => Ok(Self(number)),
            Form::Text(text) if text == "inf" => Ok(Self(f64::INFINITY)),
            Form::Text(text) if text == "-inf" => Ok(Self(f64::NEG_INFINITY)),
            Form::Text(text) => {
                Err(serde::de::Error::custom(format!("expected a number, inf or -inf, found `{text}`")))
            }
        }
    }
}

options! {
    /// Options for [`highly_variable_genes`](super::highly_variable_genes).
    pub struct HvgOptions("highly_variable_genes") {
        /// Recipe: seurat, cell_ranger (logarithmised data), seurat_v3, seurat_v3_paper,
        /// pearson_residuals (raw counts).
        pub flavor: Flavor = Flavor::Seurat,
        /// Number of genes to select, at least 1. None: by the cutoffs below (2000 for the seurat_v3 flavors;
        /// needed for pearson_residuals).
        /// When given, the cutoffs are ignored.
        pub n_top_genes: Option<usize> = None,
        /// Normalised dispersion must be above this. Ignored by flavors that take raw counts and with n_top_genes.
        pub min_disp: Bound = Bound(0.5),
        /// Normalised dispersion must be below this. Ignored by flavors that take raw counts and with n_top_genes.
        pub max_disp: Bound = Bound(f64::INFINITY),
        /// Mean must be above this. Ignored by flavors that take raw counts and with n_top_genes.
        pub min_mean: Bound = Bound(0.0125),
        /// Mean must be below this. Ignored by flavors that take raw counts and with n_top_genes.
        pub max_mean: Bound = Bound(3.0),
        /// Fraction of the genes, above 0 and at most 1, that each local fit of the loess curve uses; larger is smoother.
        /// Used by the seurat_v3 flavors.
        pub span: f64 = 0.3,
        /// Number of bins of the mean, at least 1. Used by seurat.
        pub n_bins: usize = 20,
        /// Look whether the values are raw counts. Used by flavors that take raw counts.
        pub check_values: bool = true,
        /// Leave genes that no cell expresses out of the bins. Used by seurat and cell_ranger; with batches it is
        /// always done. None: only with batches.
        pub filter_unexpressed_genes: Option<bool> = None,
        /// Overdispersion of the negative binomial model; greater than 0, infinity is Poisson. Used by
        /// pearson_residuals.
        pub theta: Bound = Bound(100.0),
        /// Residuals are cut to -clip..clip; at least 0. None: the square root of the number of cells of the batch.
        /// Used by pearson_residuals.
        pub clip: Option<f64> = None,
    }
}

impl HvgOptions {
    fn check(&self) -> Result<()> {
        if self.n_top_genes == Some(0) {
            return Err(Error::parameter("n_top_genes", "a whole number of at least 1, or none", 0));
        }
        if self.n_bins == 0 {
            return Err(Error::parameter("n_bins", "a whole number of at least 1", 0));
        }
        if !(self.span > 0.0 && self.span <= 1.0) {
            return Err(Error::parameter("span", "a number above 0, at most 1", self.span));
        }
        let bounds = [
            ("min_disp", self.min_disp),
            ("max_disp", self.max_disp),
            ("min_mean", self.min_mean),
            ("max_mean", self.max_mean),
        ];
        for (name, bound) in bounds {
            if bound.0.is_nan() {
                return Err(Error::parameter(name, "a number", "NaN"));
            }
        }
        if self.filter_unexpressed_genes.is_some() && self.flavor.takes_counts() {
            let expected = "none for flavors that take raw counts, which need no bins";
            return Err(Error::parameter("filter_unexpressed_genes", expected, "a value"));
        }
        if !(self.theta.0 > 0.0) {
            return Err(Error::parameter("theta", "a number above 0 (infinity: a Poisson model)", self.theta.0));
        }
        match self.clip {
            Some(clip) if !(clip >= 0.0) => Err(Error::parameter("clip", "a number of at least 0, or none", clip)),
            _ => Ok(()),
        }
    }
}
