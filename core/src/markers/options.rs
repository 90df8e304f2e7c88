//! Options of [`super::rank_genes_groups`].

use crate::{Error, Result, options};

/// How groups are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Method {
    /// Welch's t-test: unequal variances.
    #[serde(rename = "t-test")]
    TTest,
    /// Welch's t-test that takes the other side to be as small as the group, which overestimates its variance.
    #[serde(rename = "t-test_overestim_var")]
    TTestOverestimVar,
    /// Wilcoxon's rank-sum test (Mann-Whitney U) with average ranks and the normal approximation.
    #[serde(rename = "wilcoxon")]
    Wilcoxon,
}

/// Correction of the p-values of one group for the number of genes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Correction {
    /// False discovery rate after Benjamini and Hochberg (1995).
    #[serde(rename = "benjamini-hochberg")]
    BenjaminiHochberg,
    /// Family-wise error rate: p times the number of genes.
    #[serde(rename = "bonferroni")]
    Bonferroni,
}

options! {
    /// Options of [`rank_genes_groups`](crate::markers::rank_genes_groups).
    pub struct RankGenesOptions("rank_genes_groups") {
        /// `t-test`, `t-test_overestim_var` or `wilcoxon`.
        pub method: Method = Method::TTest,
        /// `benjamini-hochberg` or `bonferroni`; over all genes tested, before `n_genes` cuts the table.
        pub corr_method: Correction = Correction::BenjaminiHochberg,
        /// Corrects the variance of `wilcoxon` for ties. Sparse data are mostly ties, and without the
        /// correction p-values are too large, often by orders of magnitude; off, as in scanpy, by default.
        /// Refused with a t-test.
        pub tie_correct: bool = false,
        /// Genes kept per group, the highest scores first; all when absent.
        pub n_genes: Option<usize> = None,
        /// Ranks by the size of the score, so that genes lower in the group than outside come first as well.
        pub rankby_abs: bool = false,
        /// Also returns the fraction of cells in each group, and outside it, where the gene is not zero.
        pub pts: bool = false,
        /// How the fold change is had from log-transformed values x: true takes the mean of x over cells and
        /// then e^mean - 1 (scanpy 1), false the mean of e^x - 1, the values before the logarithm (Seurat,
        /// scanpy 2). Scores and p-values are not touched by it.
        pub mean_in_log_space: bool = true,
        /// Base of the logarithm that the values are in; natural when absent. Greater than 0 and not 1.
        pub log_base: Option<f64> = None,
        /// Bytes that `wilcoxon` may use for gathered genes. More means fewer reads of a file; no result
        /// depends on it.
        pub memory: usize = 256 << 20,
    }
}

impl RankGenesOptions {
    fn check(&self) -> Result<()> {
        if self.tie_correct && self.method != Method::Wilcoxon {
            return Err(Error::parameter("tie_correct", "false unless method is `wilcoxon`", "true"));
        }
        if self.n_genes == Some(0) {
            return Err(Error::parameter("n_genes", "at least 1", 0));
        }
        match self.log_base {
            Some(base) if !(base > 0.0 && base != 1.0 && base.is_finite()) => {
                Err(Error::parameter("log_base", "a number greater than 0 that is not 1", base))
            }
            _ => Ok(()),
        }
    }
}
