//! From a finished run to what the report shows.

use std::path::Path;

use zensaibo_core::hvg::HvgStatistics;
use zensaibo_core::matrix::RowBlocks;

use super::ClusterConfig;
use super::cluster::{Clustered, SHOWN_MARKERS};
use crate::measure::StageRecord;
use crate::report::{Cluster, DotData, Embedding, FeaturePlot, GeneValues, MarkerRow, QcMetric, ReportData};

/// Genes that the page's embedding offers at most; the best markers of each cluster come first.
const MOST_GENES: usize = 60;
/// Genes per cluster in the dot plot.
const DOTS_PER_CLUSTER: usize = 3;

/// Collects the page's data.
pub(super) fn collect(
    done: &Clustered,
    config: &ClusterConfig,
    stages: &[StageRecord],
    output: &Path,
    time: Option<&str>,
) -> ReportData {
    let clusters: Vec<Cluster> = (0..done.sizes.len()).map(|cluster| describe(done, cluster)).collect();
    let points = done.umap.coordinates.chunks_exact(done.umap.n_components.max(1));
    ReportData {
        input: done.input.origin.name.clone(),
        input_format: done.input.origin.format.clone(),
        input_bytes: done.input.origin.bytes,
        input_sha256: done.input.origin.sha256.clone(),
        output: output.display().to_string(),
        time: time.map(str::to_string),
        versions: vec![("zensaibo".into(), env!("CARGO_PKG_VERSION").into())],
        cells_read: done.cells_read,
        genes_read: done.genes_read,
        cells: done.counts.n_rows(),
        genes: done.counts.n_cols(),
        n_variable: done.hvg.highly_variable.iter().filter(|&&chosen| chosen).count(),
        modularity: done.leiden.modularity,
        qc: metrics(done, config),
        kept: done.kept.cells.clone(),
        features: Some(features(done)),
        variance_ratio: done.pca.variance_ratio.clone(),
        embedding: Embedding {
            points: points.map(|point| [point[0], point.get(1).copied().unwrap_or(0.0)]).collect(),
            labels: done.leiden.membership.clone(),
            genes: offered(done),
        },
        dots: dots(done),
        clusters,
        marker_method: match serde_json::to_value(config.markers.method) {
            Ok(serde_json::Value::String(name)) => name,
            _ => String::new(),
        },
        stages: stages.to_vec(),
        options: config.values(),
        notes: done.notes.clone(),
    }
}

fn metrics(done: &Clustered, config: &ClusterConfig) -> Vec<QcMetric> {
    let cells = &done.quality.metrics.cells;
    let limits = &config.filter;
    let mut metrics = vec![
        QcMetric {
            label: "genes detected per cell".into(),
            values: cells.n_genes.iter().map(|&genes| f64::from(genes)).collect(),
            lower: Some(limits.min_genes as f64),
            upper: limits.max_genes.map(|most| most as f64),
        },
        QcMetric {
            label: "counts per cell".into(),
            values: cells.total.clone(),
            lower: limits.min_counts,
            upper: limits.max_counts,
        },
    ];
    if let Some(share) = &done.quality.pct_mito {
        metrics.push(QcMetric {
            label: "% mitochondrial counts".into(),
            values: share.clone(),
            lower: None,
            upper: limits.max_pct_mito,
        });
    }
    metrics
}

fn features(done: &Clustered) -> FeaturePlot {
    let (y, y_label, x_label, logarithmic) = match &done.hvg.statistics {
        HvgStatistics::Dispersion { dispersions_norm, .. } => {
            (dispersions_norm.clone(), "normalised dispersion", "mean expression", false)
        }
        HvgStatistics::Variance { variances_norm, .. } => {
            (variances_norm.clone(), "variance of standardised counts", "mean count", true)
        }
        HvgStatistics::Residuals { residual_variances, .. } => {
            (residual_variances.clone(), "variance of Pearson residuals", "mean count", true)
        }
    };
    FeaturePlot {
        x_label: x_label.into(),
        y_label: y_label.into(),
        x_log: true,
        y_log: logarithmic,
        x: done.hvg.means.clone(),
        y,
        chosen: done.hvg.highly_variable.clone(),
        names: done.input.var.index.clone(),
    }
}

/// One cluster with its best markers.
fn describe(done: &Clustered, cluster: usize) -> Cluster {
    let size = done.sizes[cluster];
    let cells = done.counts.n_rows();
    let row = |table: &zensaibo_core::markers::GroupMarkers, rank: usize| {
        let gene = table.genes[rank];
        let shares =
            done.columns.place(gene).map(|place| done.columns.by_cluster(place, &done.leiden.membership, &done.sizes));
        let expressing = |clusters: &mut dyn Iterator<Item = usize>| -> f64 {
            let shares = shares.as_ref();
            clusters.map(|at| shares.map_or(f64::NAN, |shares| shares[at].1 * done.sizes[at] as f64)).sum()
        };
        let inside = expressing(&mut std::iter::once(cluster));
        let outside = expressing(&mut (0..done.sizes.len()).filter(|&at| at != cluster));
        MarkerRow {
            gene: done.input.var.index[gene as usize].clone(),
            score: table.scores[rank],
            log_fold_change: table.logfoldchanges[rank],
            p_adjusted: table.pvals_adj[rank],
            fraction_in: inside / size.max(1) as f64,
            fraction_out: outside / (cells - size).max(1) as f64,
        }
    };
    let markers = done.best(cluster).map_or_else(Vec::new, |table| {
        (0..table.genes.len().min(SHOWN_MARKERS)).map(|rank| row(table, rank)).collect()
    });
    Cluster { name: cluster.to_string(), size, markers }
}

/// The genes that the embedding offers: best markers first, then second best, and so on.
fn offered(done: &Clustered) -> Vec<GeneValues> {
    let mut genes: Vec<u32> = Vec::new();
    for rank in 0..SHOWN_MARKERS {
        for cluster in 0..done.sizes.len() {
            let Some(&gene) = done.best(cluster).and_then(|table| table.genes.get(rank)) else { continue };
            if genes.len() < MOST_GENES && !genes.contains(&gene) {
                genes.push(gene);
            }
        }
    }
    let values = |gene: u32| done.columns.place(gene).map_or_else(Vec::new, |place| done.columns.values(place));
    genes
        .into_iter()
        .map(|gene| GeneValues { name: done.input.var.index[gene as usize].clone(), values: values(gene) })
        .collect()
}

/// The best markers over all clusters; a gene appears once, under the first cluster that it marks.
fn dots(done: &Clustered) -> DotData {
    let mut data = DotData {
        means: vec![Vec::new(); done.sizes.len()],
        fractions: vec![Vec::new(); done.sizes.len()],
        ..Default::default()
    };
    let mut seen = std::collections::BTreeSet::new();
    for cluster in 0..done.sizes.len() {
        let Some(table) = done.best(cluster) else { continue };
        let mut taken = 0;
        for &gene in table.genes.iter().take(SHOWN_MARKERS) {
            let Some(place) = done.columns.place(gene) else { continue };
            if taken == DOTS_PER_CLUSTER || !seen.insert(gene) {
                continue;
            }
            taken += 1;
            data.genes.push(done.input.var.index[gene as usize].clone());
            data.of_cluster.push(cluster);
            let found = done.columns.by_cluster(place, &done.leiden.membership, &done.sizes);
            for (at, (mean, share)) in found.into_iter().enumerate() {
                data.means[at].push(mean);
                data.fractions[at].push(share);
            }
        }
    }
    data
}
