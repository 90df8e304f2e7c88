//! What the page shows, as plain data.

use crate::measure::StageRecord;

/// Everything on the page.
#[derive(Clone, Debug, Default)]
pub struct ReportData {
    /// The input as the user named it.
    pub input: String,
    /// Format of the input ("10x mtx, version 2").
    pub input_format: String,
    /// Size of the input in bytes.
    pub input_bytes: u64,
    /// SHA-256 of the input in hexadecimal.
    pub input_sha256: String,
    /// The output as the user named it.
    pub output: String,
    /// When the run was made, as text; left out when `None`.
    pub time: Option<String>,
    /// Names and versions of what made the result.
    pub versions: Vec<(String, String)>,
    /// Cells in the input.
    pub cells_read: usize,
    /// Genes in the input.
    pub genes_read: usize,
    /// Cells kept.
    pub cells: usize,
    /// Genes kept.
    pub genes: usize,
    /// Genes chosen as highly variable.
    pub n_variable: usize,
    /// Modularity of the clusters.
    pub modularity: f64,
    /// Quality per cell of the input, one per metric.
    pub qc: Vec<QcMetric>,
    /// Which cells of the input were kept.
    pub kept: Vec<bool>,
    /// Mean against variability of the kept genes.
    pub features: Option<FeaturePlot>,
    /// Share of the variance of each principal component.
    pub variance_ratio: Vec<f64>,
    /// Coordinates, clusters and expression of the kept cells.
    pub embedding: Embedding,
    /// The clusters in order.
    pub clusters: Vec<Cluster>,
    /// Method of the marker test, for the caption.
    pub marker_method: String,
    /// Expression of the top markers over the clusters.
    pub dots: DotData,
    /// The stages in order.
    pub stages: Vec<StageRecord>,
    /// Sections of the options, each with its options and their values.
    pub options: Vec<(String, Vec<(String, String)>)>,
    /// What the user should know, such as names that were made unique.
    pub notes: Vec<String>,
}

/// One quality metric per cell of the input.
#[derive(Clone, Debug, Default)]
pub struct QcMetric {
    /// What it is, for the axis ("genes detected per cell").
    pub label: String,
    /// A value per cell.
    pub values: Vec<f64>,
    /// Cells below were removed.
    pub lower: Option<f64>,
    /// Cells above were removed.
    pub upper: Option<f64>,
}

/// Mean against variability of genes.
#[derive(Clone, Debug, Default)]
pub struct FeaturePlot {
    /// What x is.
    pub x_label: String,
    /// What y is.
    pub y_label: String,
    /// Whether x is drawn on a logarithmic axis.
    pub x_log: bool,
    /// Whether y is drawn on a logarithmic axis.
    pub y_log: bool,
    /// Mean of each gene.
    pub x: Vec<f64>,
    /// Variability of each gene.
    pub y: Vec<f64>,
    /// Whether the gene was chosen.
    pub chosen: Vec<bool>,
    /// Its name.
    pub names: Vec<String>,
}

/// Two coordinates per kept cell, its cluster, and the expression of some genes.
#[derive(Clone, Debug, Default)]
pub struct Embedding {
    /// Coordinates.
    pub points: Vec<[f32; 2]>,
    /// Index of the cluster of each cell.
    pub labels: Vec<u32>,
    /// Genes that the page offers.
    pub genes: Vec<GeneValues>,
}

/// Expression of one gene over the kept cells.
#[derive(Clone, Debug, Default)]
pub struct GeneValues {
    /// Name of the gene.
    pub name: String,
    /// A value per cell, at least 0.
    pub values: Vec<f32>,
}

/// One cluster.
#[derive(Clone, Debug, Default)]
pub struct Cluster {
    /// Its name.
    pub name: String,
    /// Its cells.
    pub size: usize,
    /// Its best markers, best first.
    pub markers: Vec<MarkerRow>,
}

/// One marker of one cluster.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MarkerRow {
    /// Name of the gene.
    pub gene: String,
    /// Test score.
    pub score: f64,
    /// log2 of the fold change.
    pub log_fold_change: f64,
    /// p-value adjusted for the number of genes.
    pub p_adjusted: f64,
    /// Share of the cluster's cells that express it.
    pub fraction_in: f64,
    /// Share of the other cells that express it.
    pub fraction_out: f64,
}

/// Expression of some genes over the clusters.
#[derive(Clone, Debug, Default)]
pub struct DotData {
    /// Names of the genes.
    pub genes: Vec<String>,
    /// The cluster whose marker each gene is.
    pub of_cluster: Vec<usize>,
    /// Mean expression: cluster by cluster, gene by gene.
    pub means: Vec<Vec<f64>>,
    /// Share of expressing cells: cluster by cluster, gene by gene.
    pub fractions: Vec<Vec<f64>>,
}
