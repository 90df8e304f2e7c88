//! From raw counts to annotated clusters: the stages, one after the other.

use std::collections::BTreeSet;
use std::path::Path;

use zensaibo_core::graph::Graph;
use zensaibo_core::hvg::{Hvg, HvgInput, highly_variable_genes};
use zensaibo_core::knn::Neighbors;
use zensaibo_core::leiden::{Leiden, leiden};
use zensaibo_core::markers::{Grouping, RankGenesOptions, RankedGenes, rank_genes_groups};
use zensaibo_core::matrix::{Lazy, Local, PackedRows, RowBlocks};
use zensaibo_core::normalize::size_factors;
use zensaibo_core::pca::{Pca, PcaOptions, pca};
use zensaibo_core::umap::{Umap, umap};
use zensaibo_core::{Ctx, Error, Result};
use zensaibo_io::is_url;

use super::budget::Budget;
use super::checkpoints::Checkpoints;
use super::columns::GeneColumns;
use super::input::{self, About, Input, Inputs, Judge};
use super::kept::state_of;
use super::quality::{Kept, Quality, filter, quality};
use super::sections::within;
use super::shared::{Blocks, Folder, Role, Sharing, cluster_steps};
use super::stages::Stages;
use super::summary::{ClusterSummary, ClusterSummaryRow};
use super::{ClusterConfig, Hooks, output, report_data};
use crate::measure::{StageRecord, counted, grouped};

/// Markers per cluster that summary and report show.
pub(super) const SHOWN_MARKERS: usize = 10;

/// Where results go beside the output.
#[derive(Clone, Copy, Debug, Default)]
pub struct Extras<'a> {
    /// Where to write the HTML report.
    pub report: Option<&'a Path>,
    /// When the run was made, as text for the report; left out when `None`.
    pub time: Option<&'a str>,
}

/// What a run of [`cluster`] may take, and where it keeps what it has. None of it changes a bit of the result.
#[derive(Clone, Copy, Debug, Default)]
pub struct Resources<'a> {
    /// Bytes that the process may take; any when `None`. What does not fit goes to a scratch file.
    pub memory: Option<u64>,
    /// Folder of the scratch file; that of the output when `None`.
    pub scratch: Option<&'a Path>,
    /// Folder in which finished stages are kept until the output is written.
    pub checkpoints: Option<&'a Path>,
}

impl<'a> Resources<'a> {
    fn budget(&self, output: &'a Path, cells: usize, config: &ClusterConfig) -> Result<Budget<'a>> {
        Budget::new(self.memory, self.scratch.unwrap_or_else(|| output::folder_of(output)), cells, config)
    }
}

/// Runs the recipe on a file (h5ad, AnnData in Zarr, 10x HDF5, 10x folder, Matrix Market), or on several taken as one, and writes an
/// h5ad.
///
/// The output has the kept cells and genes, log-normalised X, raw counts as a layer, and the results in scanpy's
/// slots. It is written beside and renamed: an error or an interruption leaves an old file as it was. Runs on the
/// current thread pool; the same bits for any number of threads, with a limit of memory and without, and after a run that
/// was killed went on from its checkpoints.
///
/// Each file is read once; one of several of which genes are left out, a second time before. Memory: up to 6 bytes per count
/// (as read, and as kept), 8 per count of a variable gene, about 2 kB per cell, and up to 0.5 GB while what is stored by columns
/// is read; with `resources.memory` the counts take what is left and go to a scratch file beyond (3 to 6 bytes per count and
/// copy on disk). The log-normalised matrix is never held.
///
/// # Errors
/// [`zensaibo_core::Error::Parameter`] for options out of range or an output that cannot be written;
/// [`zensaibo_core::Error::Format`], [`zensaibo_core::Error::Data`] for bad input;
/// [`zensaibo_core::Error::Limit`] for a memory that does not do, with one that would;
/// [`zensaibo_core::Error::Interrupted`]; [`zensaibo_core::Error::Io`].
pub fn cluster(
    inputs: Inputs<'_>,
    output: &Path,
    config: &ClusterConfig,
    extras: Extras<'_>,
    resources: Resources<'_>,
    hooks: &dyn Hooks,
    ctx: &Ctx,
) -> Result<ClusterSummary> {
    config.validate()?;
    check(inputs, output, extras)?;
    let checkpoints = Checkpoints::open(resources.checkpoints, &inputs.key())?;
    let mut run = Run { config, sharing: Sharing::default(), checkpoints, stages: Stages::new(hooks, ctx) };
    let (input, budget) = run.read(inputs, &|cells| resources.budget(output, cells, config))?;
    run.finish(input, output, extras, &budget)
}

/// Computes one part of one step of [`cluster`] and leaves it in the folder `work`, for [`cluster_merge`].
///
/// All processes see `work` and the input under the same names, and take the same options; parts may be computed in any order and
/// at the same time, steps (see [`super::cluster_steps`]) one after the other. A part that is there is not computed again.
/// Memory: a few blocks of 8 MB per thread, the metrics of all cells, and at the step of the markers what the stages before
/// it found.
///
/// # Errors
/// As [`cluster`]; [`Error::Parameter`] for a step that is none, or a folder of another run; [`Error::Format`] that names what
/// is missing of the steps before.
pub fn cluster_part(
    inputs: Inputs<'_>,
    work: &Path,
    step: &str,
    blocks: Blocks,
    config: &ClusterConfig,
    hooks: &dyn Hooks,
    ctx: &Ctx,
) -> Result<()> {
    let folder = shared(work, inputs, config, Role::Part(step.into(), blocks))?;
    let anew = if step == "markers" { "markers" } else { "pca" };
    let checkpoints = Checkpoints::read(&folder.stages(), &inputs.key(), anew);
    let sharing = Sharing(Some(folder.into()));
    let mut run = Run { config, sharing, checkpoints, stages: Stages::new(hooks, ctx) };
    let outcome = run.read(inputs, &|cells| Resources::default().budget(work, cells, config));
    match outcome.and_then(|(input, budget)| run.analyse(input, false, &budget)) {
        Err(Error::PartDone) => Ok(()),
        Err(error) => Err(error),
        Ok(_) => Err(Error::Internal(format!("no pass of step {step} was met"))),
    }
}

/// Goes through [`cluster`] with the parts that processes left in the folder `work`, and does what is not shared out: components,
/// neighbours, clusters and layout, which are kept in `work` as well. With the bits of [`cluster`].
///
/// `until`: a step whose parts are not there yet, before which it stops; otherwise `output` is written.
///
/// # Errors
/// As [`cluster_part`] and [`cluster`]; [`Error::Parameter`] for neither `until` nor `output`.
#[expect(clippy::too_many_arguments, reason = "those of `cluster`, and the folder")]
pub fn cluster_merge(
    inputs: Inputs<'_>,
    work: &Path,
    until: Option<&str>,
    output: Option<&Path>,
    config: &ClusterConfig,
    extras: Extras<'_>,
    resources: Resources<'_>,
    hooks: &dyn Hooks,
    ctx: &Ctx,
) -> Result<Option<ClusterSummary>> {
    config.validate()?;
    if until.is_some() == output.is_some() {
        return Err(Error::parameter("output", "a file to write, or a step to stop before (until)", "both or none"));
    }
    if let Some(output) = output {
        check(inputs, output, extras)?;
    }
    let folder = shared(work, inputs, config, Role::Merge(until.map(String::from)))?;
    let checkpoints = Checkpoints::open(Some(&folder.stages()), &inputs.key())?;
    let sharing = Sharing(Some(folder.into()));
    let mut run = Run { config, sharing, checkpoints, stages: Stages::new(hooks, ctx) };
    let target = output.unwrap_or(work);
    let outcome =
        run.read(inputs, &|cells| resources.budget(target, cells, config)).and_then(|(input, budget)| match output {
            Some(output) => run.finish(input, output, extras, &budget).map(Some),
            None => run.analyse(input, false, &budget).map(|_| None),
        });
    match outcome {
        Err(Error::PartDone) => Ok(None),
        other => other,
    }
}

/// As [`cluster`], on counts in memory. `config.input.layer` and `config.tenx` have no meaning here; checkpoints are refused,
/// since what is in memory is gone with the process.
///
/// # Errors
/// As [`cluster`].
pub fn cluster_counts(
    input: Input<'_>,
    output: &Path,
    config: &ClusterConfig,
    extras: Extras<'_>,
    resources: Resources<'_>,
    hooks: &dyn Hooks,
    ctx: &Ctx,
) -> Result<ClusterSummary> {
    config.validate()?;
    output::check_targets(output, extras.report, None)?;
    if let Some(folder) = resources.checkpoints {
        return Err(Error::parameter("checkpoints", "none for counts in memory", folder.display()));
    }
    let budget = resources.budget(output, input.matrix.n_rows(), config)?;
    let checkpoints = Checkpoints::open(None, &Default::default())?;
    let run = Run { config, sharing: Sharing::default(), checkpoints, stages: Stages::new(hooks, ctx) };
    run.finish(input, output, extras, &budget)
}

/// The folder of a shared run.
fn shared(work: &Path, inputs: Inputs<'_>, config: &ClusterConfig, role: Role) -> Result<Folder> {
    let steps = cluster_steps(config)?;
    if config.pca.chunked {
        let expected = "false where a run is shared out, which gathers variable genes";
        return Err(Error::parameter("pca.chunked", expected, true));
    }
    inputs.validate()?;
    let (texts, paths) = inputs.key();
    Folder::open(work, &paths, &steps, &(config, texts), role)
}

/// Refuses inputs that are none, and an output that is one of them.
fn check(inputs: Inputs<'_>, output: &Path, extras: Extras<'_>) -> Result<()> {
    inputs.validate()?;
    inputs.paths.iter().try_for_each(|input| output::check_targets(output, extras.report, Some(input)))
}

/// What the stages of a run have in common.
struct Run<'a> {
    config: &'a ClusterConfig,
    sharing: Sharing,
    checkpoints: Checkpoints,
    stages: Stages<'a>,
}

impl Run<'_> {
    fn read<'b>(
        &mut self,
        inputs: Inputs<'_>,
        limits: &(dyn Fn(usize) -> Result<Budget<'b>> + Sync),
    ) -> Result<(Input<'static>, Budget<'b>)> {
        let Self { config, sharing, stages, .. } = self;
        let states = || inputs.paths.iter().map(|path| state_of(path)).collect::<Vec<_>>();
        let before = states();
        let outcome = stages.run("read", |ctx| {
            sharing.step("read");
            let (input, budget) = input::read(inputs, config, limits, sharing, ctx)?;
            let shape = shape_text(input.matrix.n_rows(), input.matrix.n_cols());
            let entries = grouped(input.matrix.n_entries() as u64);
            let note = format!("{shape}, {entries} counts above 0, {}", input.about.origin.format);
            Ok(((input, budget), note))
        });
        // What was read, or went wrong, is then of no file that ever was. Behind a URL every answer says of which object it is, and a
        // server that fails has said so.
        let changed = inputs.paths.iter().zip(before.iter().zip(states())).position(|(path, (before, after))| {
            *before != after && !(is_url(path) && (outcome.is_err() || after.is_none()))
        });
        if let Some(changed) = changed
            && !matches!(outcome, Err(Error::Interrupted))
        {
            let found = "one that changed while it was read";
            return Err(Error::format(&inputs.paths[changed], "file", "the file as it was when it was opened", found));
        }
        outcome
    }

    fn finish(
        mut self,
        input: Input<'_>,
        output: &Path,
        extras: Extras<'_>,
        budget: &Budget<'_>,
    ) -> Result<ClusterSummary> {
        let done = self.analyse(input, extras.report.is_some(), budget)?;
        let Self { config, sharing, checkpoints, mut stages } = self;
        stages.run("write", |ctx| {
            let bytes = output::write(&done, config, output, ctx)?;
            Ok(((), crate::measure::bytes_text(bytes)))
        })?;
        let mut summary = done.summary(&stages.records);
        summary.output = output.display().to_string();
        if let Some(path) = extras.report {
            let page = crate::report::page(&report_data::collect(&done, config, &stages.records, output, extras.time));
            output::write_text(path, &page)?;
            summary.report = Some(path.display().to_string());
        }
        // The folder of a shared run is its user's.
        if sharing.0.is_none() {
            checkpoints.end()?;
        }
        Ok(summary)
    }

    fn analyse(&mut self, mut input: Input<'_>, report: bool, budget: &Budget<'_>) -> Result<Clustered> {
        let Self { config, sharing, checkpoints, stages } = self;
        let mut notes = Vec::new();
        let (cells_read, genes_read) = (input.matrix.n_rows(), input.matrix.n_cols());
        let quality = stages.run("qc", |ctx| {
            sharing.step("qc");
            input::check(&mut input, &config.input, &mut notes)?;
            let (about, judge) = (&input.about, Judge { whole: config.input.whole_counts });
            let found = quality(&*input.matrix, &judge, &about.var.index, &config.qc, &config.filter, &mut notes, ctx)
                .map_err(|error| input::named(error, about, &config.input))?;
            let mito = found.mito.iter().filter(|&&mito| mito).count();
            Ok((found, counted(mito, "mitochondrial gene")))
        })?;
        let Input { matrix, about: mut input } = input;
        let (kept, counts) = stages.run("filter", |ctx| {
            sharing.step("genes");
            let kept = filter(&*matrix, &quality, &config.filter, ctx)?;
            sharing.step("filter");
            let entries = kept.stored.iter().sum::<u64>() as usize;
            let counts = PackedRows::pack(&kept.of(&*matrix)?, entries, budget.store(), "filter", ctx)?;
            let places = |mask: &[bool]| (0..mask.len()).filter(|&at| mask[at]).collect::<Vec<usize>>();
            input.obs = input.obs.take(&places(&kept.cells));
            input.var = input.var.take(&places(&kept.genes));
            let note = format!("{} kept", shape_text(counts.n_rows(), counts.n_cols()));
            Ok(((kept, counts), note))
        })?;
        drop(matrix);
        let counts_source: &dyn RowBlocks = &counts;
        let divisors = stages.run("normalize", |ctx| {
            sharing.step("normalize");
            let factors =
                size_factors(counts_source, &config.normalize, ctx).map_err(|error| within("normalize", error))?;
            Ok((factors.divisors(), format!("to {:.0} counts per cell, log1p", factors.target)))
        })?;
        let hvg = stages.run("hvg", |ctx| {
            sharing.step("hvg");
            let logged = expression(&counts, &divisors)?;
            let source =
                if config.hvg.flavor.takes_counts() { HvgInput::new(counts_source) } else { HvgInput::new(&logged) };
            let hvg = highly_variable_genes(source, &config.hvg, ctx).map_err(|error| within("hvg", error))?;
            let chosen = hvg.highly_variable.iter().filter(|&&chosen| chosen).count();
            notes.extend(hvg.notes.iter().cloned());
            Ok((hvg, counted(chosen, "gene")))
        })?;
        // Up to here each stage is a read of the counts; from here on stages are worth keeping.
        checkpoints.depend(&(&config.input, &config.tenx, &config.filter, &config.normalize, &config.hvg))?;
        let pca = stages.run("pca", |ctx| {
            let (pca, again) = checkpoints.shared_stage("pca", &config.pca, || {
                sharing.step("gather");
                let chosen = expression(&counts, &divisors)?.select_columns(&hvg.highly_variable)?;
                let stored = kept.stored.iter().zip(&hvg.highly_variable).filter(|(_, chosen)| **chosen);
                let entries = stored.map(|(stored, _)| *stored as usize).sum();
                components(&chosen, entries, &config.pca, budget, ctx).map_err(|error| within("pca", error))
            })?;
            let share: f64 = pca.variance_ratio.iter().sum();
            let note = format!("{}, {:.1} % of the variance", counted(pca.n_comps, "component"), share * 100.0);
            Ok((pca, kept_note(note, again)))
        })?;
        let (neighbors, graph) = stages.run("neighbors", |ctx| {
            let options = (&config.neighbors, &config.graph);
            let ((neighbors, graph), again) =
                checkpoints.stage("neighbors", &options, || super::neighborhood::find(&pca, config, ctx))?;
            let note = format!("{} each, {} edges", neighbors.k, grouped(graph.indices.len() as u64 / 2));
            Ok(((neighbors, graph), kept_note(note, again)))
        })?;
        let leiden = stages.run("leiden", |ctx| {
            let (found, again) = checkpoints.stage("leiden", &config.leiden, || {
                leiden(&graph, None, &config.leiden, ctx).map_err(|error| within("leiden", error))
            })?;
            let note = format!("{}, modularity {:.3}", counted(found.n_communities, "cluster"), found.modularity);
            Ok((found, kept_note(note, again)))
        })?;
        let mut sizes = vec![0usize; leiden.n_communities];
        leiden.membership.iter().for_each(|&cluster| sizes[cluster as usize] += 1);
        let umap = stages.run("umap", |ctx| {
            let (layout, again) = checkpoints.stage("umap", &config.umap, || {
                umap(&graph, &config.umap, ctx).map_err(|error| within("umap", error))
            })?;
            Ok((layout, kept_note(counted(config.umap.epochs(graph.n), "epoch"), again)))
        })?;
        let (markers, columns) = stages.run("markers", |ctx| {
            sharing.step("markers");
            let source = expression(&counts, &divisors)?;
            let (markers, again) = checkpoints.shared_stage("markers", &config.markers, || {
                let mut left_out = Vec::new();
                let ranked = rank(&source, &leiden.membership, &sizes, config, budget, &mut left_out, ctx)?;
                Ok((ranked, left_out))
            })?;
            let (markers, left_out) = markers;
            notes.extend(left_out);
            let best = markers.iter().flat_map(|(ranked, _)| &ranked.groups);
            let genes: BTreeSet<u32> = best.flat_map(|table| table.genes.iter().take(SHOWN_MARKERS).copied()).collect();
            let shown = if report { genes.into_iter().collect() } else { Vec::new() };
            let columns = GeneColumns::gather(Lazy::new(&Local(&source)), counts.n_cols(), shown, ctx)?;
            let note = counted(markers.as_ref().map_or(0, |(_, tested)| tested.len()), "cluster");
            Ok(((markers, columns), kept_note(format!("{note} against the rest"), again)))
        })?;
        Ok(Clustered {
            input,
            counts,
            cells_read,
            genes_read,
            quality,
            kept,
            divisors,
            hvg,
            pca,
            neighbors,
            graph,
            leiden,
            sizes,
            umap,
            markers,
            columns,
            notes,
        })
    }
}

/// Everything that the stages found.
pub(super) struct Clustered {
    /// What is known of the input, cut to the kept cells and genes.
    pub(super) input: About,
    /// Their counts.
    pub(super) counts: PackedRows,
    pub(super) cells_read: usize,
    pub(super) genes_read: usize,
    pub(super) quality: Quality,
    pub(super) kept: Kept,
    /// What each kept cell is divided by.
    pub(super) divisors: Vec<f64>,
    pub(super) hvg: Hvg,
    pub(super) pca: Pca,
    pub(super) neighbors: Neighbors,
    pub(super) graph: Graph,
    pub(super) leiden: Leiden,
    /// Cells of each cluster.
    pub(super) sizes: Vec<usize>,
    pub(super) umap: Umap,
    /// Tables of the tested clusters, and which clusters those are.
    pub(super) markers: Option<(RankedGenes, Vec<usize>)>,
    /// Expression of the best markers, where a report asks for it.
    pub(super) columns: GeneColumns,
    pub(super) notes: Vec<String>,
}

impl Clustered {
    /// Log-normalised expression of the kept cells and genes, computed as it is read.
    pub(super) fn expression(&self) -> Result<Lazy<'_>> {
        expression(&self.counts, &self.divisors)
    }

    /// The best markers of a cluster: rank in its table, and gene.
    pub(super) fn best(&self, cluster: usize) -> Option<&zensaibo_core::markers::GroupMarkers> {
        let (ranked, tested) = self.markers.as_ref()?;
        ranked.groups.get(tested.iter().position(|&group| group == cluster)?)
    }

    fn summary(&self, stages: &[StageRecord]) -> ClusterSummary {
        let name = |gene: &u32| self.input.var.index[*gene as usize].clone();
        let markers = |cluster: usize| {
            self.best(cluster).map_or_else(Vec::new, |table| table.genes.iter().take(SHOWN_MARKERS).map(name).collect())
        };
        ClusterSummary {
            cells_read: self.cells_read,
            genes_read: self.genes_read,
            cells: self.counts.n_rows(),
            genes: self.counts.n_cols(),
            n_variable: self.hvg.highly_variable.iter().filter(|&&chosen| chosen).count(),
            modularity: self.leiden.modularity,
            clusters: (0..self.sizes.len())
                .map(|cluster| ClusterSummaryRow {
                    name: cluster.to_string(),
                    size: self.sizes[cluster],
                    markers: markers(cluster),
                })
                .collect(),
            stages: stages.to_vec(),
            notes: self.notes.clone(),
            ..Default::default()
        }
    }
}

/// Counts divided by the cells' factors, log1p taken.
fn expression<'a>(counts: &'a PackedRows, divisors: &[f64]) -> Result<Lazy<'a>> {
    Ok(Lazy::new(counts).divide_rows(divisors.to_vec())?.log1p(None))
}
/// The note of a stage, and where its result came from.
fn kept_note(note: String, again: bool) -> String {
    if again { format!("{note} (from the earlier run)") } else { note }
}

/// Components of the chosen genes, `entries` values, which are gathered in memory where they fit and in the scratch file or
/// the folder of a shared run where not: in blocks of the same rows, so with the same bits.
fn components(chosen: &Lazy<'_>, entries: usize, options: &PcaOptions, budget: &Budget<'_>, ctx: &Ctx) -> Result<Pca> {
    // 8 bytes per value, and blocks that are gathered while others are there.
    let fits = budget.share().is_none_or(|share| 9 * entries as u64 <= share);
    if chosen.exchange().is_none() && (fits || options.chunked) {
        return pca(chosen, options, ctx);
    }
    let gathered = PackedRows::pack(chosen, entries, budget.store(), "gather", ctx)?;
    // What follows is small beside what was read so far, and not shared out.
    pca(&Local(&gathered), &PcaOptions { chunked: true, ..options.clone() }, ctx)
}

/// Tests each cluster that can be tested against all other cells.
fn rank(
    source: &Lazy<'_>,
    membership: &[u32],
    sizes: &[usize],
    config: &ClusterConfig,
    budget: &Budget<'_>,
    notes: &mut Vec<String>,
    ctx: &Ctx,
) -> Result<Option<(RankedGenes, Vec<usize>)>> {
    let tested: Vec<usize> =
        (0..sizes.len()).filter(|&cluster| sizes[cluster] >= 2 && sizes[cluster] < membership.len()).collect();
    let left_out = sizes.len() - tested.len();
    if left_out > 0 {
        let why = if sizes.len() == 1 { "it holds every cell" } else { "one cell only" };
        notes.push(format!("{} without marker test: {why}.", counted(left_out, "cluster")));
    }
    if tested.is_empty() {
        return Ok(None);
    }
    // Cells of clusters that are not tested still count as "the rest".
    let mut renumbered = vec![-1i32; sizes.len()];
    tested.iter().enumerate().for_each(|(new, &old)| renumbered[old] = new as i32);
    let labels: Vec<i32> = membership.iter().map(|&cluster| renumbered[cluster as usize]).collect();
    let grouping = Grouping::new(&labels, tested.iter().map(usize::to_string).collect(), None)?;
    // How many genes are sorted at a time changes no bit.
    let memory = budget.share().map_or(config.markers.memory, |share| config.markers.memory.min(share as usize));
    let options = RankGenesOptions { memory, ..config.markers.clone() };
    let ranked = rank_genes_groups(source, &grouping, &options, ctx).map_err(|error| within("markers", error))?;
    Ok(Some((ranked, tested)))
}

/// "2,700 cells x 32,738 genes".
fn shape_text(cells: usize, genes: usize) -> String {
    format!("{} x {}", counted(cells, "cell"), counted(genes, "gene"))
}
