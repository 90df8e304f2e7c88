//! From cells of known type and cells in place to cells in place with types: `zensaibo map`.

mod config;
mod find;
mod read;
mod report;
mod slots;

use std::path::Path;

use serde::Serialize;
use zensaibo_core::{Ctx, Error, Result};
use zensaibo_io::{AnnDataFile, AnnDataWriter, WriteOptions};

pub use config::{
    HeldOutOptions, MapConfig, MapInputOptions, MapMethod, MapMethodOptions, MapOutputOptions, Normalize,
};

use super::output::{check_targets, write_text};
use super::stages::Stages;
use super::{Hooks, hash};
use crate::measure::{StageRecord, bytes_text, counted};
use find::{HeldOut, Types};
use read::{Places, Reference, Shared};

/// Files that `map` reads and writes.
#[derive(Clone, Copy, Debug)]
pub struct MapFiles<'a> {
    /// The cells in place: an h5ad.
    pub input: &'a Path,
    /// Cells of known type: an h5ad.
    pub reference: &'a Path,
    /// The cells in place with results: an h5ad.
    pub output: &'a Path,
    /// Where to write the HTML report.
    pub report: Option<&'a Path>,
    /// When the run was made, as text for the report; left out when `None`.
    pub time: Option<&'a str>,
}

/// What `map` tells of a finished run.
#[derive(Clone, Debug, Default, Serialize)]
pub struct MapSummary {
    /// Cells in place.
    pub cells: usize,
    /// Cells of the reference.
    pub reference_cells: usize,
    /// Genes of both.
    pub genes: usize,
    /// Directions that both share.
    pub vectors: usize,
    /// The types, each with the cells in place that have it.
    pub types: Vec<(String, usize)>,
    /// Mean share of the weights that speak for the type of a cell.
    pub confidence: f64,
    /// Mean correlation of genes that were held out, with their number.
    pub held_out: Option<(f64, usize)>,
    /// What the user should know.
    pub notes: Vec<String>,
    /// The stages in order, with their costs.
    pub stages: Vec<StageRecord>,
    /// The output as it was named.
    pub output: String,
    /// The report as it was named.
    pub report: Option<String>,
}

impl MapSummary {
    /// The summary as lines of text.
    pub fn text(&self) -> String {
        let mut text = format!(
            "{} in place, {} of the reference, {}, {}\n",
            counted(self.cells, "cell"),
            counted(self.reference_cells, "cell"),
            counted(self.genes, "shared gene"),
            counted(self.vectors, "shared direction"),
        );
        let widest = self.types.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
        for (name, cells) in &self.types {
            text.push_str(&format!("  {name:<widest$}  {:>9}\n", crate::measure::grouped(*cells as u64)));
        }
        text.push_str(&format!("mean confidence {:.3}\n", self.confidence));
        if let Some((mean, genes)) = self.held_out {
            text.push_str(&format!("{} held out: mean correlation {mean:.3}\n", counted(genes, "gene")));
        }
        let mut files = vec![("output", self.output.as_str())];
        files.extend(self.report.as_deref().map(|report| ("report", report)));
        text.push_str(&super::imaging::ending(&self.stages, None, &self.notes, &files));
        text
    }
}

/// What was found, for the output and the report.
struct Found {
    places: Places,
    reference: Reference,
    shared: Shared,
    types: Types,
    /// Cosines of the directions that both sides share.
    cosines: Vec<f64>,
    held_out: Option<HeldOut>,
    /// Names of genes with their expression, cell by cell.
    imputed: Option<(Vec<String>, Vec<f32>)>,
    /// SHA-256 of the cells in place, and of the reference.
    sha256: [String; 2],
}

/// Types for cells in place from cells of known type. The output is the cells in place with results in obs, obsm and uns. It is written
/// beside and renamed. Runs on the current thread pool; the same bits for any number of threads.
///
/// Memory: 16 bytes per stored value of both sides, 8 per cell and shared direction, 8 per neighbour of each cell in place; with Tangram's objective 4 bytes
/// per cell and shared gene and 45 per candidate. The mapping is made once, and once more for each part of the genes that is held out.
///
/// # Errors
/// [`zensaibo_core::Error::Parameter`] for options out of range or an output that cannot be written;
/// [`zensaibo_core::Error::Key`] for columns and genes that are not there; [`zensaibo_core::Error::NotTrustworthy`] where the sides have nothing in
/// common; [`zensaibo_core::Error::Format`], [`zensaibo_core::Error::Data`] for bad input; [`zensaibo_core::Error::Interrupted`];
/// [`zensaibo_core::Error::Io`].
pub fn map(files: MapFiles<'_>, config: &MapConfig, hooks: &dyn Hooks, ctx: &Ctx) -> Result<MapSummary> {
    config.validate()?;
    check_targets(files.output, files.report, Some(files.input))?;
    check_targets(files.output, files.report, Some(files.reference))?;
    let mut stages = Stages::new(hooks, ctx);
    let mut notes = Vec::new();
    let (file, places, reference, shared, sha256) = stages.run("read", |ctx| {
        let file = AnnDataFile::open(files.input)?;
        let places = read::places(&file, files.input, config, &mut notes, ctx)?;
        let theirs = AnnDataFile::open(files.reference)?;
        let reference = read::reference(&theirs, files.reference, config, &mut notes, ctx)?;
        let shared = read::shared(&places, &reference, config)?;
        let digest = |path| hash::digest(path, &|| ctx.check()).map(|(_, sha256)| sha256);
        let sha256 = [digest(files.input)?, digest(files.reference)?];
        let note = counted(shared.names.len(), "shared gene");
        Ok(((file, places, reference, shared, sha256), note))
    })?;
    let imputed = find::wanted(&reference, &config.output.impute)?;
    let most = shared.names.len() / 2;
    if config.held_out.folds > most {
        let expected = format!("at most {most}, half of the shared genes, or 0");
        return Err(Error::parameter("held_out.folds", expected, config.held_out.folds));
    }
    let (weights, cosines) = stages.run("mapping", |ctx| {
        let (weights, cosines) = find::weights(
            &read::columns(&places.matrix, &shared.places)?,
            &read::columns(&reference.matrix, &shared.reference)?,
            &find::density(&places.matrix),
            config,
            ctx,
        )?;
        let note = counted(cosines.len(), "shared direction");
        Ok(((weights, cosines), note))
    })?;
    let types = stages.run("types", |ctx| {
        let types = find::types(&weights, &reference.labels, ctx)?;
        let note = counted(types.sizes.iter().filter(|size| **size > 0).count(), "type");
        Ok((types, note))
    })?;
    let without = types.codes.iter().filter(|code| **code < 0).count();
    if without > 0 {
        notes.push(format!(
            "{} without a type: no cell of the reference points the same way.",
            counted(without, "cell")
        ));
    }
    let held_out = if config.held_out.folds == 0 {
        None
    } else {
        Some(stages.run("held out", |ctx| {
            let found = find::held_out(&places, &reference, &shared, config, ctx)?;
            let note = format!("mean correlation {:.3}", found.mean());
            Ok((found, note))
        })?)
    };
    let imputed = match imputed {
        None => None,
        Some(genes) => Some(stages.run("impute", |ctx| {
            let values = find::carried(&weights, &reference, &genes, ctx)?;
            let names: Vec<String> = genes.iter().map(|&gene| reference.genes[gene].clone()).collect();
            let note = counted(names.len(), "gene");
            Ok(((names, values), note))
        })?),
    };
    let mut found = Found { places, reference, shared, types, cosines, held_out, imputed, sha256 };
    if files.report.is_some() && found.reference.embedding.is_none() {
        found.reference.embedding = stages.run("embedding", |ctx| {
            let embedding = find::embedding(&found.reference.matrix, ctx)?;
            let note = if embedding.is_some() { "UMAP" } else { "too few cells" };
            Ok((embedding, note.into()))
        })?;
    }
    stages.run("write", |ctx| {
        let mut writer = AnnDataWriter::create(files.output, &WriteOptions { gzip: config.output.gzip })?;
        slots::write(&mut writer, &file, &found, files, config, ctx)?;
        ctx.check()?;
        writer.finish()?;
        Ok(((), bytes_text(std::fs::metadata(files.output).map_or(0, |meta| meta.len()))))
    })?;
    if let Some(path) = files.report {
        let page = report::page(&found, files, &notes, &stages.records, config);
        write_text(path, &page)?;
    }
    let types = &found.types;
    let mut order: Vec<usize> = (0..types.sizes.len()).filter(|&at| types.sizes[at] > 0).collect();
    order.sort_by_key(|&at| (std::cmp::Reverse(types.sizes[at]), at));
    Ok(MapSummary {
        cells: found.places.names.len(),
        reference_cells: found.reference.labels.codes.len(),
        genes: found.shared.names.len(),
        vectors: found.cosines.len(),
        types: order.iter().map(|&at| (found.reference.labels.names[at].clone(), types.sizes[at])).collect(),
        confidence: types.mean_confidence(),
        held_out: found.held_out.as_ref().map(|held| (held.mean(), held.genes.len())),
        notes,
        stages: stages.records,
        output: files.output.display().to_string(),
        report: files.report.map(|path| path.display().to_string()),
    })
}
