//! Reads the counts of a recipe and checks that they are counts.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use zensaibo_core::matrix::{Lazy, Local, PackedRows, Pass, RowBlock, RowBlocks, collect, count_entries};
use zensaibo_core::qc::{CountFault, CountFaultPass, check_not_empty};
use zensaibo_core::{Ctx, DataFault, Error, Result};
use zensaibo_io::{CountsMatrix, MatrixLayout, OpenCounts, Table, first_repeated, make_unique, open_counts};

use super::budget::Budget;
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

/// Reads a file or folder; its hash is taken meanwhile, save by a process that computes a part. The counts are read once and
/// packed, in memory as far as `limits` allow.
pub(super) fn read<'a>(
    path: &Path,
    config: &ClusterConfig,
    limits: &(dyn Fn(usize) -> Result<Budget<'a>> + Sync),
    sharing: &Sharing,
    ctx: &Ctx,
) -> Result<(Input<'static>, Budget<'a>)> {
    // A file that cannot be read is not hashed to its end first.
    let failed = AtomicBool::new(false);
    let load = || {
        let OpenCounts { matrix, obs, var, format } =
            open_counts(path, config.input.layer.as_deref(), &config.tenx, ctx).map_err(of_section)?;
        let budget = limits(obs.len())?;
        let matrix = pack(path, matrix, &budget, sharing, ctx)?;
        let origin =
            Origin { name: path.display().to_string(), format: format.name().to_string(), ..Default::default() };
        Ok::<_, Error>((Input { matrix, about: About { obs, var, origin } }, budget))
    };
    let (loaded, digest) = rayon::join(
        || load().inspect_err(|_| failed.store(true, Ordering::Relaxed)),
        || {
            if sharing.is_part() {
                return Ok(Default::default());
            }
            hash::digest(path, &|| {
                if failed.load(Ordering::Relaxed) { Err(Error::Interrupted) } else { ctx.check() }
            })
        },
    );
    let (mut input, budget) = loaded?;
    (input.about.origin.bytes, input.about.origin.sha256) = digest?;
    Ok((input, budget))
}

/// Says in which section an option stands that the reader refused.
pub(super) fn of_section(error: Error) -> Error {
    let section = if matches!(&error, Error::Parameter { name, .. } if name == "layer") { "input" } else { "tenx" };
    within(section, error)
}

/// Brings counts out of their file: each block is read once.
fn pack(
    path: &Path,
    matrix: CountsMatrix,
    budget: &Budget<'_>,
    sharing: &Sharing,
    ctx: &Ctx,
) -> Result<Box<dyn RowBlocks + Send>> {
    let (rows, kept) = match matrix {
        CountsMatrix::Memory(matrix) => {
            check_rows(path, "text", sharing)?;
            check_held(path, "text", matrix.nnz(), budget)?;
            return Ok(Box::new(matrix));
        }
        CountsMatrix::File(rows, kept) => (rows, kept),
    };
    if rows.layout() == MatrixLayout::Csc {
        check_rows(path, "stored by columns", sharing)?;
        check_held(path, "stored by columns", rows.n_entries(), budget)?;
    }
    let all = kept.iter().all(|&kept| kept);
    // Repeated columns are found by reading.
    let rows = Arc::<zensaibo_io::FileRows>::from(rows);
    let shared = sharing.rows(Box::new(rows.clone()));
    let outcome = if all {
        PackedRows::pack(&*shared, rows.n_entries(), budget.store(), "read", ctx)
    } else {
        let chosen = Lazy::new(&*shared).select_columns(&kept)?;
        let entries = count_entries(&Local(&chosen), "count", ctx)?;
        PackedRows::pack(&chosen, entries, budget.store(), "read", ctx)
    };
    match outcome {
        Ok(packed) => Ok(Box::new(packed)),
        // Repeated columns: in memory they are added up.
        Err(Error::Data { fault: DataFault::Invalid, .. }) if !budget.limited() && sharing.0.is_none() => {
            let whole = rows.to_memory(ctx)?;
            Ok(Box::new(if all { whole } else { collect(&Lazy::new(&whole).select_columns(&kept)?, ctx)? }))
        }
        Err(error) => Err(error),
    }
}

/// Refuses what many processes cannot read by rows.
fn check_rows(path: &Path, how: &str, sharing: &Sharing) -> Result<()> {
    if sharing.0.is_none() {
        return Ok(());
    }
    let expected = "counts that are stored by rows, to be shared out (`zensaibo convert` makes an h5ad of them)";
    Err(Error::format(path, "counts", expected, how))
}

/// Refuses what can only be held whole where it takes more than its share.
fn check_held(path: &Path, how: &str, entries: usize, budget: &Budget<'_>) -> Result<()> {
    let needed = 8 * entries as u64;
    match budget.share() {
        Some(share) if needed > share => Err(Error::Limit {
            what: format!(
                "{}: counts that are {how} are held whole (`zensaibo convert` makes an h5ad that is read by rows), which",
                path.display()
            ),
            needed: bytes_text(needed),
            limit: format!("{}, a third of what is left for counts", bytes_text(share)),
        }),
        _ => Ok(()),
    }
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
