//! Reads the counts of a recipe and checks that they are counts.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use zensaibo_core::data::Csr;
use zensaibo_core::matrix::{PackedRows, Pass, RowBlock, RowBlocks};
use zensaibo_core::qc::{CountFault, CountFaultPass, check_not_empty};
use zensaibo_core::{Ctx, DataFault, Error, Result};
use zensaibo_io::{
    ConcatPart, ConcatRows, CountsMatrix, Join, OpenCounts, Table, first_repeated, join_genes, joined_genes,
    make_unique, open_counts,
};

use super::budget::Budget;
use super::joined::{batches_of, cells_of};
use super::sections::within;
use super::shared::Sharing;
use super::{ClusterConfig, InputOptions, hash};
use crate::measure::bytes_text;

/// Counts of cells x genes with the tables of both, and where they came from.
pub struct Input<'a> {
    /// The counts.
    pub matrix: Box<dyn RowBlocks + Send + 'a>,
    /// What is known of them.
    pub about: About,
}

/// What is known of counts beside the counts.
#[derive(Clone, Debug, Default)]
pub struct About {
    /// Cells, as many as rows.
    pub obs: Table,
    /// Genes, as many as columns.
    pub var: Table,
    /// Where they came from.
    pub origin: Origin,
}

/// Where counts came from.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize)]
pub struct Origin {
    /// The path as it was given, or what the counts are called.
    pub name: String,
    /// Kind of file, for people.
    pub format: String,
    /// Size in bytes; 0 for what is no file.
    pub bytes: u64,
    /// SHA-256 in hexadecimal (of a folder: of what `sha256sum *` prints in it); empty for what is no file or behind a URL.
    pub sha256: String,
}

/// What a run reads: the counts of one file, or of several taken as one.
///
/// Of several the cells stand one after the other, with the column `batch`: the name of their file without its ending. Where names of
/// cells repeat over the files (and `input.make_names_unique` holds), `-` and that name are appended to all of them. Genes are
/// joined by name. Columns of cells that all files have stay, and columns of genes that say the same in all files.
#[derive(Clone, Copy, Debug)]
pub struct Inputs<'a> {
    /// The files (h5ad, AnnData in Zarr, 10x HDF5, 10x folders, Matrix Market).
    pub paths: &'a [PathBuf],
    /// Genes of several: those of all, or those of any.
    pub join: Join,
}

impl Inputs<'_> {
    /// Refuses no files, and a join of one file that asks for more than it has.
    pub(super) fn validate(&self) -> Result<()> {
        match self.paths {
            [] => Err(Error::parameter("input", "at least one file", "none")),
            [_] if self.join == Join::Outer => Err(Error::parameter("join", "inner, for one input", "outer")),
            _ => Ok(()),
        }
    }

    /// The files, and what else of this decides the result.
    pub(super) fn key(&self) -> (Vec<String>, Vec<&Path>) {
        let texts = if self.paths.len() > 1 { vec![format!("{:?}", self.join)] } else { Vec::new() };
        (texts, self.paths.iter().map(PathBuf::as_path).collect())
    }

    fn name(&self) -> String {
        self.paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
    }
}

/// Reads the files; their hash is taken meanwhile, save by a process that computes a part. The counts are read once and
/// packed, in memory as far as `limits` allow.
pub(super) fn read<'a>(
    inputs: Inputs<'_>,
    config: &ClusterConfig,
    limits: &(dyn Fn(usize) -> Result<Budget<'a>> + Sync),
    sharing: &Sharing,
    ctx: &Ctx,
) -> Result<(Input<'static>, Budget<'a>)> {
    // A file that cannot be read is not hashed to its end first.
    let failed = AtomicBool::new(false);
    let (loaded, digest) = rayon::join(
        || load(inputs, config, limits, sharing, ctx).inspect_err(|_| failed.store(true, Ordering::Relaxed)),
        || {
            if sharing.is_part() {
                return Ok(Default::default());
            }
            let check = || if failed.load(Ordering::Relaxed) { Err(Error::Interrupted) } else { ctx.check() };
            match inputs.paths {
                [path] => hash::digest(path, &check),
                several => hash::digest_of_all(several, &check),
            }
        },
    );
    let (mut input, budget) = loaded?;
    (input.about.origin.bytes, input.about.origin.sha256) = digest?;
    Ok((input, budget))
}

fn load<'a>(
    inputs: Inputs<'_>,
    config: &ClusterConfig,
    limits: &(dyn Fn(usize) -> Result<Budget<'a>> + Sync),
    sharing: &Sharing,
    ctx: &Ctx,
) -> Result<(Input<'static>, Budget<'a>)> {
    let layer = config.input.layer.as_deref();
    let open = |path: &PathBuf| open_counts(path, layer, &config.tenx, ctx).map_err(of_section);
    let mut files = inputs.paths.iter().map(open).collect::<Result<Vec<OpenCounts>>>()?;
    let differ = files.iter().any(|file| file.var.index != files[0].var.index);
    if differ && config.input.make_names_unique {
        files.iter_mut().for_each(|file| {
            make_unique(&mut file.var.index);
        });
    }
    let budget = limits(files.iter().map(|file| file.obs.len()).sum())?;
    let format = match &files[..] {
        [file] => file.format.name().to_string(),
        several => format!("{} files ({})", several.len(), formats_of(several)),
    };
    let origin = Origin { name: inputs.name(), format, ..Default::default() };
    let (mut parts, mut cells, mut genes) = (Vec::new(), Vec::new(), Vec::new());
    for (path, OpenCounts { matrix, obs, var, .. }) in inputs.paths.iter().zip(files) {
        parts.push(ConcatPart { path: path.clone(), matrix, genes: var.index.clone() });
        cells.push(obs);
        genes.push(var);
    }
    let names =
        join_genes(&parts.iter().map(|part| (&*part.path, &*part.genes)).collect::<Vec<_>>(), inputs.join)?.names;
    let matrix = pack(inputs, parts, &budget, sharing, ctx)?;
    let (obs, var) = if inputs.paths.len() == 1 {
        (cells.swap_remove(0), genes.swap_remove(0))
    } else {
        let unique = config.input.make_names_unique;
        (cells_of(&cells, &batches_of(inputs.paths), unique)?, joined_genes(&genes, &names))
    };
    Ok((Input { matrix, about: About { obs, var, origin } }, budget))
}

/// The kinds of the files, each once.
fn formats_of(files: &[OpenCounts]) -> String {
    let mut names: Vec<&str> = Vec::new();
    for file in files {
        if !names.contains(&file.format.name()) {
            names.push(file.format.name());
        }
    }
    names.join(", ")
}

/// Says in which section an option stands that the reader refused.
fn of_section(error: Error) -> Error {
    let section = if matches!(&error, Error::Parameter { name, .. } if name == "layer") { "input" } else { "tenx" };
    within(section, error)
}

/// Brings counts out of their files: each block is read once.
fn pack(
    inputs: Inputs<'_>,
    mut parts: Vec<ConcatPart>,
    budget: &Budget<'_>,
    sharing: &Sharing,
    ctx: &Ctx,
) -> Result<Box<dyn RowBlocks + Send>> {
    let in_memory = |part: &ConcatPart| matches!(part.matrix, CountsMatrix::Memory(_));
    check_text(&parts, budget, sharing)?;
    if let [part] = &mut parts[..]
        && let CountsMatrix::Memory(matrix) = &mut part.matrix
    {
        return Ok(Box::new(std::mem::replace(matrix, Csr::new(0, 0, vec![0], Vec::new(), Vec::new())?)));
    }
    let read_by_rows = |part: &ConcatPart| matches!(&part.matrix, CountsMatrix::File(rows, _) if !rows.is_by_columns());
    let held = !parts.iter().any(read_by_rows) && !parts.iter().any(in_memory);
    let joined = ConcatRows::with_entries(parts, inputs.join, sharing.entries()?.as_deref(), ctx)?;
    sharing.keep_entries(&joined.entries_of_parts())?;
    let columns = joined.by_columns();
    let wanted = sharing.blocks_of("read", joined.n_blocks());
    let rows = wanted.map(|blocks| match blocks.is_empty() {
        true => 0..0,
        false => joined.block_rows(blocks.start).start..joined.block_rows(blocks.end - 1).end,
    });
    let joined = if columns > 0 { joined.turned(&budget.turning(columns), rows, ctx)? } else { joined };
    if held && sharing.0.is_none() {
        // Packed already.
        return Ok(Box::new(joined));
    }
    let entries = joined.n_entries();
    let joined = Arc::new(joined);
    let shared = sharing.rows(Box::new(joined.clone()));
    match PackedRows::pack(&*shared, entries, budget.store(), "read", ctx) {
        Ok(packed) => Ok(Box::new(packed)),
        // Repeated columns are found by reading: in memory they are added up.
        Err(Error::Data { fault: DataFault::Invalid, .. }) if !budget.limited() && sharing.0.is_none() => {
            Ok(Box::new(joined.to_memory(ctx)?))
        }
        Err(error) => Err(error),
    }
}

/// Refuses text, which can only be held whole, where many processes read or where it takes more than its share.
fn check_text(parts: &[ConcatPart], budget: &Budget<'_>, sharing: &Sharing) -> Result<()> {
    let mut entries = 0;
    for part in parts {
        let CountsMatrix::Memory(matrix) = &part.matrix else { continue };
        if sharing.0.is_some() {
            let expected = "counts in an h5ad, a Zarr store or a 10x HDF5 file, to be shared out (`zensaibo convert` makes an h5ad)";
            return Err(Error::format(&part.path, "counts", expected, "text"));
        }
        entries += matrix.nnz() as u64;
        match budget.share() {
            Some(share) if 8 * entries > share => {
                return Err(Error::Limit {
                    what: format!(
                        "{}: counts that are text are held whole (`zensaibo convert` makes an h5ad that is read by rows), which",
                        part.path.display()
                    ),
                    needed: bytes_text(8 * entries),
                    limit: format!("{}, a third of what is left for counts", bytes_text(share)),
                });
            }
            _ => {}
        }
    }
    Ok(())
}

/// Refuses a matrix without counts, and repeated names or makes them unique. Reads nothing.
pub(super) fn check(input: &mut Input<'_>, options: &InputOptions, notes: &mut Vec<String>) -> Result<()> {
    check_not_empty(&*input.matrix).map_err(|error| named(error, &input.about, options))?;
    for (names, which) in [(&mut input.about.var.index, "genes"), (&mut input.about.obs.index, "cells")] {
        let Some(first) = first_repeated(names).map(str::to_string) else { continue };
        if !options.make_names_unique {
            let expected = format!("names of {which} that occur once (or input.make_names_unique = true)");
            return Err(Error::data(
                DataFault::DuplicateNames,
                input.about.origin.name.clone(),
                expected,
                format!("{first} twice"),
            ));
        }
        make_unique(names);
        notes.push(format!("Names of {which} occur more than once ({first}, for one); -1, -2, ... were appended."));
    }
    Ok(())
}

/// Says which matrix of which file it was, and what the user can do about data that are no counts.
pub(super) fn named(error: Error, about: &About, options: &InputOptions) -> Error {
    let layer = options.layer.as_ref().map_or("X".to_string(), |layer| format!("layers/{layer}"));
    match error {
        Error::Data { fault, what, mut expected, found } if what == "matrix" => {
            if fault == DataFault::NotCounts {
                expected.push_str(
                    "; choose a layer with input.layer, or allow corrected counts with input.whole_counts = false",
                );
            }
            Error::Data { fault, what: format!("{}: {layer}", about.origin.name), expected, found }
        }
        other => other,
    }
}

/// Refuses values that are no counts: those below zero, NaN and infinity, and where `whole` those that are not whole.
pub(super) struct Judge {
    pub(super) whole: bool,
}

impl Pass for Judge {
    type Partial = Option<CountFault>;
    type State = Option<CountFault>;
    type Output = ();

    fn start(&self) -> Option<CountFault> {
        None
    }

    fn block(&self, block: &RowBlock<'_>) -> Result<Option<CountFault>> {
        if self.whole {
            return CountFaultPass.block(block);
        }
        if block.values.iter().all(|value| *value >= 0.0 && value.is_finite()) {
            return Ok(None);
        }
        for (row, columns, values) in block.rows() {
            if let Some(at) = values.iter().position(|value| !(*value >= 0.0 && value.is_finite())) {
                let fault = if values[at] < 0.0 { DataFault::Negative } else { DataFault::NotFinite };
                let found = format!("{} in cell {row}, gene {}", values[at], columns[at]);
                return Err(Error::data(fault, "matrix", "finite numbers of at least 0", found));
            }
        }
        Ok(None)
    }

    fn merge(&self, state: &mut Option<CountFault>, partial: Option<CountFault>) -> Result<()> {
        CountFaultPass.merge(state, partial)
    }

    fn finish(&self, state: Option<CountFault>) -> Result<()> {
        state.map_or(Ok(()), |fault| Err(fault.into()))
    }
}

#[cfg(test)]
mod tests {
    use zensaibo_core::data::Csr;
    use zensaibo_core::matrix::run;

    use super::*;

    fn input(values: Vec<f32>, genes: [&str; 2]) -> Input<'static> {
        let matrix = Csr::new(
            2,
            2,
            vec![0, 1, values.len() as u64],
            (0..values.len() as u32).map(|at| at % 2).collect(),
            values,
        )
        .unwrap();
        let about = About {
            obs: Table::of_names(vec!["a".into(), "b".into()]),
            var: Table::of_names(genes.map(String::from).to_vec()),
            origin: Origin { name: "file".into(), ..Default::default() },
        };
        Input { matrix: Box::new(matrix), about }
    }

    fn judged(values: Vec<f32>, options: &InputOptions) -> Result<()> {
        let input = input(values, ["g", "h"]);
        let judge = Judge { whole: options.whole_counts };
        run(&*input.matrix, &judge, "judge", &Ctx::quiet()).map_err(|error| named(error, &input.about, options))
    }

    fn fault(values: Vec<f32>, options: &InputOptions) -> String {
        judged(values, options).unwrap_err().to_string()
    }

    #[test]
    fn what_is_no_count_is_refused_with_its_place() {
        let whole = InputOptions::default();
        let any = InputOptions { whole_counts: false, ..Default::default() };
        assert!(fault(vec![1.0, 0.5], &whole).contains("file: X: expected raw counts"));
        assert!(fault(vec![1.0, 0.5], &whole).contains("input.layer"));
        assert!(judged(vec![1.0, 0.5], &any).is_ok());
        for options in [&whole, &any] {
            assert!(fault(vec![1.0, -2.0], options).contains("-2 in cell 1, gene 1"));
            assert!(fault(vec![1.0, f32::NAN], options).contains("NaN in cell 1, gene 1"));
            assert!(fault(vec![1.0, f32::INFINITY], options).contains("inf in cell 1, gene 1"));
        }
    }

    #[test]
    fn repeated_names_are_numbered_or_refused() {
        let (mut notes, mut repeated) = (Vec::new(), input(vec![1.0, 2.0], ["g", "g"]));
        check(&mut repeated, &InputOptions::default(), &mut notes).unwrap();
        assert_eq!(repeated.about.var.index, ["g", "g-1"]);
        assert!(notes[0].contains("genes") && notes[0].contains("(g, for one)"));
        let strict = InputOptions { make_names_unique: false, ..Default::default() };
        let refused = check(&mut input(vec![1.0, 2.0], ["g", "g"]), &strict, &mut Vec::new()).unwrap_err();
        assert!(
            matches!(refused, Error::Data { fault: DataFault::DuplicateNames, .. })
                && refused.to_string().contains("g twice")
        );
    }
}
