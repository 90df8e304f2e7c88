//! From places of cells to the statistics of the tissue: `zensaibo space`.

mod config;
mod read;
mod report;
mod slots;
mod statistics;

use std::path::Path;

use serde::Serialize;
use zensaibo_core::{Ctx, Result};
use zensaibo_io::{AnnDataFile, AnnDataWriter, WriteOptions};
use zensaibo_spatial::enrichment::Enrichment;

pub use config::{
    CoOccurrenceOptions, Method, SpaceConfig, SpaceGenesOptions, SpaceInputOptions, SpaceNeighborsOptions,
    SpaceOutputOptions,
};

use super::output::{check_targets, write_text};
use super::stages::Stages;
use super::{Hooks, hash};
use crate::measure::{StageRecord, bytes_text, counted, grouped};
use read::Cells;
use statistics::{CoOccurrence, Graph, InSpace, Scored};

/// Files that `space` reads and writes.
#[derive(Clone, Copy, Debug)]
pub struct SpaceFiles<'a> {
    /// The cells: an h5ad.
    pub input: &'a Path,
    /// The same with results: an h5ad.
    pub output: &'a Path,
    /// Where to write the HTML report.
    pub report: Option<&'a Path>,
    /// When the run was made, as text for the report; left out when `None`.
    pub time: Option<&'a str>,
}

/// What `space` tells of a finished run.
#[derive(Clone, Debug, Default, Serialize)]
pub struct SpaceSummary {
    /// Cells read.
    pub cells: usize,
    /// Coordinates of each.
    pub dimensions: usize,
    /// Libraries.
    pub libraries: usize,
    /// Labels in use.
    pub labels: usize,
    /// Edges of the graph of neighbours.
    pub edges: usize,
    /// Genes tested.
    pub genes: usize,
    /// The first genes of each test.
    pub top: Vec<(String, Vec<String>)>,
    /// What the user should know.
    pub notes: Vec<String>,
    /// The stages in order, with their costs.
    pub stages: Vec<StageRecord>,
    /// The output as it was named.
    pub output: String,
    /// The report as it was named.
    pub report: Option<String>,
}

impl SpaceSummary {
    /// The summary as lines of text.
    pub fn text(&self) -> String {
        let mut text = format!(
            "{} in {} dimensions, {}, {}; {}\n",
            counted(self.cells, "cell"),
            self.dimensions,
            if self.libraries == 1 { "one library".into() } else { format!("{} libraries", self.libraries) },
            counted(self.labels, "label"),
            counted(self.edges, "edge"),
        );
        for (what, genes) in &self.top {
            text.push_str(&format!("{what}: {}\n", genes.join(", ")));
        }
        let mut files = vec![("output", self.output.as_str())];
        files.extend(self.report.as_deref().map(|report| ("report", report)));
        text.push_str(&super::imaging::ending(&self.stages, None, &self.notes, &files));
        text
    }
}

/// What was found, for the output and the report.
struct Found {
    cells: Cells,
    graph: Graph,
    enrichment: Option<Enrichment>,
    co_occurrence: Option<CoOccurrence>,
    autocorr: Option<Scored>,
    in_space: Option<InSpace>,
    sha256: String,
}

/// Genes of each test that the summary shows.
const SHOWN: usize = 10;

/// Statistics of cells in tissue: neighbours, labels among neighbours and by distance, genes in space. The output is the input with
/// results under squidpy's keys. It is written beside and renamed. Runs on the current thread pool; the same bits for any number
/// of threads.
///
/// Memory: 60 bytes per cell and 24 per edge; 20 bytes per stored value of the matrix while genes are tested; of pairs by distance 8
/// labels^2 x distances for each of some four counts per thread.
///
/// # Errors
/// [`zensaibo_core::Error::Parameter`] for options out of range or an output that cannot be written;
/// [`zensaibo_core::Error::Key`] for columns that are not there; [`zensaibo_core::Error::Format`],
/// [`zensaibo_core::Error::Data`] for bad input; [`zensaibo_core::Error::Interrupted`]; [`zensaibo_core::Error::Io`].
pub fn space(files: SpaceFiles<'_>, config: &SpaceConfig, hooks: &dyn Hooks, ctx: &Ctx) -> Result<SpaceSummary> {
    config.validate()?;
    check_targets(files.output, files.report, Some(files.input))?;
    let mut stages = Stages::new(hooks, ctx);
    let (file, cells, sha256) = stages.run("read", |ctx| {
        let file = AnnDataFile::open(files.input)?;
        let cells = read::cells(&file, files.input, config, ctx)?;
        let (_, sha256) = hash::digest(files.input, &|| ctx.check())?;
        let note = format!("{} in {} dimensions", counted(cells.len(), "cell"), cells.dimensions);
        Ok(((file, cells, sha256), note))
    })?;
    let graph = stages.run("neighbours", |ctx| {
        let graph = statistics::neighbours(&cells, config, ctx)?;
        let note = counted(graph.indices.len(), "edge");
        Ok((graph, note))
    })?;
    let mut notes = cells.notes.clone();
    if graph.lonely() > 0 {
        notes.push(format!("{} have no neighbour.", counted(graph.lonely(), "cell")));
    }
    let (mut enrichment, mut co_occurrence) = (None, None);
    match &cells.labels {
        Some(labels) => {
            enrichment = Some(stages.run("labels of neighbours", |ctx| {
                let found = statistics::enrichment(&graph, labels, &cells, config, ctx)?;
                Ok((found, counted(labels.names.len(), "label")))
            })?);
            co_occurrence = Some(stages.run("labels by distance", |ctx| {
                let found = statistics::co_occurrence(&cells, labels, config, ctx)?;
                let most = found.distances.last().copied().unwrap_or_default();
                let note = format!("{} distances up to {most:.6} {}", found.distances.len(), cells.unit);
                Ok((found, note.trim_end().to_string()))
            })?);
        }
        None => notes.push("Statistics of labels are left out: input.cluster_key names no column.".into()),
    }
    let (mut autocorr, mut in_space, mut tested) = (None, None, 0);
    let matrix = config.input.layer.as_ref().map_or("X".to_string(), |layer| format!("layers/{layer}"));
    if config.input.layer.is_none() && !file.matrices()?.contains(&matrix) {
        notes.push("Genes are left out: the file has no X.".into());
    } else if config.genes.autocorr || config.genes.variable {
        let genes = stages.run("genes", |ctx| {
            let genes = read::genes(&file, config, ctx)?;
            let note = counted(genes.names.len(), "gene");
            Ok((genes, note))
        })?;
        tested = genes.names.len();
        if tested == 0 {
            notes.push("No gene is left to be tested (genes.min_cells, genes.highly_variable).".into());
        } else {
            if config.genes.autocorr && !graph.indices.is_empty() {
                if cells.members.len() > 1 {
                    notes.push(
                        "Autocorrelation is about the mean over all libraries: a gene that differs between them is alike among \
                         neighbours, too. Genes as functions of place are looked at within each library."
                            .into(),
                    );
                }
                autocorr = Some(stages.run("autocorrelation", |ctx| {
                    let found = statistics::autocorr(&graph, &genes, &config.autocorr, ctx)?;
                    let sure = found.corrected.iter().filter(|p| **p < 0.05).count();
                    Ok((found, format!("{} genes at a false discovery rate of 5 %", grouped(sure as u64))))
                })?);
            }
            if config.genes.variable {
                in_space = Some(stages.run("genes in space", |ctx| {
                    let found = statistics::in_space(&cells, &genes, ctx)?;
                    let sure = found.corrected.iter().filter(|p| **p < 0.05).count();
                    Ok((found, format!("{} genes at a false discovery rate of 5 %", grouped(sure as u64))))
                })?);
            }
        }
    }
    let found = Found { cells, graph, enrichment, co_occurrence, autocorr, in_space, sha256 };
    stages.run("write", |ctx| {
        let mut writer = AnnDataWriter::create(files.output, &WriteOptions { gzip: config.output.gzip })?;
        slots::write(&mut writer, &file, &found, files.input, config, ctx)?;
        ctx.check()?;
        writer.finish()?;
        Ok(((), bytes_text(std::fs::metadata(files.output).map_or(0, |meta| meta.len()))))
    })?;
    if let Some(path) = files.report {
        let page = report::page(&found, files, &notes, tested, &stages.records, config);
        write_text(path, &page)?;
    }
    let mut top = Vec::new();
    let first = |genes: &[String]| genes.iter().take(SHOWN).cloned().collect::<Vec<_>>();
    top.extend(found.autocorr.as_ref().map(|scored| ("most alike among neighbours".into(), first(&scored.genes))));
    top.extend(found.in_space.as_ref().map(|genes| ("most a function of place".into(), first(&genes.genes))));
    Ok(SpaceSummary {
        cells: found.cells.len(),
        dimensions: found.cells.dimensions,
        libraries: found.cells.members.len(),
        labels: found.cells.labels.as_ref().map_or(0, |labels| labels.names.len()),
        edges: found.graph.indices.len(),
        genes: tested,
        top,
        notes,
        stages: stages.records,
        output: files.output.display().to_string(),
        report: files.report.map(|path| path.display().to_string()),
    })
}
