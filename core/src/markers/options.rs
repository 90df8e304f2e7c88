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

/// How the log2 fold change is had from log-transformed values x, with pseudocount p. "Group" and "other" are the two
/// sides; e stands for the base that the values are logarithms of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FoldChange {
    /// log2 of (e^mean(x) - 1 + p) of the group over the same of the other: scanpy 1. Means of logarithms give single
    /// high cells little weight.
    ExpOfMean,
    /// log2 of (mean(e^x - 1) + p) of the group over the same of the other: scanpy 2, and Seurat 4 with p = 1.
    MeanOfExp,
    /// log2 of ((sum(e^x - 1) + p) / cells) of the group over the same of the other: Seurat 5, with p = 1. The fewer
    /// cells a side has, the more p weighs there.
    SumOfExp,
    /// mean(x) of the group less that of the other, in units of log2: the ratio of geometric means. The only one that
    /// means something for values below zero; takes no pseudocount.
    MeanDifference,
}

impl FoldChange {
    /// Whether values before the logarithm are summed.
    pub(super) fn needs_exp(self) -> bool {
        matches!(self, Self::MeanOfExp | Self::SumOfExp)
    }

    /// The pseudocount where none is named: scanpy's, or Seurat's.
    pub(super) fn pseudocount(self) -> f64 {
        match self {
            Self::ExpOfMean | Self::MeanOfExp => 1e-9,
            Self::SumOfExp => 1.0,
            Self::MeanDifference => 0.0,
        }
    }
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
        /// How the log2 fold change is had from log-transformed values x: `exp_of_mean` takes the mean of x over
        /// cells and then e^mean - 1 (scanpy 1); `mean_of_exp` the mean of e^x - 1, the values before the logarithm
        /// (scanpy 2; Seurat 4 with `pseudocount` 1); `sum_of_exp` the same with the pseudocount added to the sum
        /// (Seurat 5); `mean_difference` the difference of the means of x. Scores and p-values are not touched by it.
        pub fold_change: FoldChange = FoldChange::ExpOfMean,
        /// Added to both sides of the fold change, greater than 0; in the units of e^x - 1. Larger values shrink the
        /// fold changes of genes of low expression. When absent 1e-9, with `sum_of_exp` 1. Refused with
        /// `mean_difference`.
        pub pseudocount: Option<f64> = None,
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
        match (self.pseudocount, self.fold_change) {
            (Some(value), FoldChange::MeanDifference) => {
                return Err(Error::parameter("pseudocount", "none with fold_change `mean_difference`", value));
            }
            (Some(value), _) if !(value > 0.0 && value.is_finite()) => {
                return Err(Error::parameter("pseudocount", "a number greater than 0", value));
            }
            _ => {}
        }
        match self.log_base {
            Some(base) if !(base > 0.0 && base != 1.0 && base.is_finite()) => {
                Err(Error::parameter("log_base", "a number greater than 0 that is not 1", base))
            }
            _ => Ok(()),
        }
    }
}
