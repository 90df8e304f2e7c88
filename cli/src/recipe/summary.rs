//! What a finished run tells: counts, clusters with their markers, costs.

use serde::Serialize;

use crate::measure::{StageRecord, bytes_text, counted, grouped};

/// What `cluster` tells of a finished run.
#[derive(Clone, Debug, Default, Serialize)]
pub struct ClusterSummary {
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
    /// The clusters, largest first.
    pub clusters: Vec<ClusterSummaryRow>,
    /// The stages in order, with their costs.
    pub stages: Vec<StageRecord>,
    /// What the user should know.
    pub notes: Vec<String>,
    /// The output as it was named.
    pub output: String,
    /// The report as it was named, where one was asked for.
    pub report: Option<String>,
}

/// One cluster.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct ClusterSummaryRow {
    /// Its name.
    pub name: String,
    /// Its cells.
    pub size: usize,
    /// Its best markers (at most ten), best first; none where it could not be tested.
    pub markers: Vec<String>,
}

impl ClusterSummary {
    /// The summary as lines of text.
    pub fn text(&self) -> String {
        let mut text = format!(
            "{} of {}, {} of {}, {} highly variable, {} (modularity {:.3})\n\n",
            counted(self.cells, "cell"),
            grouped(self.cells_read as u64),
            counted(self.genes, "gene"),
            grouped(self.genes_read as u64),
            grouped(self.n_variable as u64),
            counted(self.clusters.len(), "cluster"),
            self.modularity
        );
        text.push_str("cluster    cells  top markers\n");
        for cluster in &self.clusters {
            let markers = match cluster.markers.as_slice() {
                [] => "(too few cells to test)".to_string(),
                markers => markers.iter().take(6).cloned().collect::<Vec<_>>().join(" "),
            };
            text.push_str(&format!("{:<7} {:>8}  {markers}\n", cluster.name, grouped(cluster.size as u64)));
        }
        text.push_str(&format!("\n{}\n", stage_table(&self.stages)));
        for note in &self.notes {
            text.push_str(&format!("note: {note}\n"));
        }
        text.push_str(&format!("output: {}\n", self.output));
        if let Some(report) = &self.report {
            text.push_str(&format!("report: {report}\n"));
        }
        text
    }
}

/// What each stage cost, one line each, and all together.
pub(super) fn stage_table(stages: &[StageRecord]) -> String {
    let mut text = String::from("stage        seconds    CPU s     peak  \n");
    for stage in stages {
        text.push_str(&format!(
            "{:<11} {:>8.2} {:>8.2} {:>8}  {}\n",
            stage.name,
            stage.wall_seconds,
            stage.cpu_seconds,
            bytes_text(stage.peak_bytes),
            stage.note
        ));
    }
    let sum = |read: fn(&StageRecord) -> f64| stages.iter().map(read).sum::<f64>();
    text.push_str(&format!(
        "{:<11} {:>8.2} {:>8.2}\n",
        "all",
        sum(|stage| stage.wall_seconds),
        sum(|stage| stage.cpu_seconds)
    ));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_reads_well() {
        let summary = ClusterSummary {
            cells_read: 2700,
            cells: 2638,
            clusters: vec![
                ClusterSummaryRow { name: "0".into(), size: 1200, markers: vec!["IL7R".into(), "CD3D".into()] },
                ClusterSummaryRow { name: "1".into(), size: 1, markers: vec![] },
            ],
            stages: vec![StageRecord {
                name: "read".into(),
                note: "n".into(),
                wall_seconds: 1.0,
                cpu_seconds: 2.0,
                peak_bytes: 5_000_000,
            }],
            output: "out.h5ad".into(),
            report: Some("r.html".into()),
            ..Default::default()
        };
        let text = summary.text();
        for part in ["2,638 cells of 2,700", "IL7R CD3D", "too few cells", "report: r.html", "5 MB", "2 clusters"] {
            assert!(text.contains(part), "{part} in {text}");
        }
    }
}
