//! Reads the counts of a recipe and checks that they are counts.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use zensaibo_core::matrix::{Lazy, PackedRows, Pass, RowBlock, RowBlocks, collect, count_entries, run};
use zensaibo_core::qc::check_counts;
use zensaibo_core::{Ctx, DataFault, Error, Result};
use zensaibo_io::{CountsMatrix, MatrixLayout, OpenCounts, Table, first_repeated, make_unique, open_counts};

use super::budget::Budget;
use super::sections::within;
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
    /// SHA-256 in hexadecimal (of a folder: of what `sha256sum *` prints in it); empty for what is no file.
    pub sha256: String,
}

/// Reads a file or folder; its hash is taken meanwhile. The counts are read once and packed, in memory as far as `limits`
/// allow.
pub(super) fn read<'a>(
    path: &Path,
    config: &ClusterConfig,
    limits: &(dyn Fn(usize) -> Result<Budget<'a>> + Sync),
    ctx: &Ctx,
) -> Result<(Input<'static>, Budget<'a>)> {
    // A file that cannot be read is not hashed to its end first.
    let failed = AtomicBool::new(false);
    let load = || {
        let OpenCounts { matrix, obs, var, format } =
            open_counts(path, config.input.layer.as_deref(), &config.tenx, ctx).map_err(of_section)?;
        let budget = limits(obs.len())?;
        let matrix = pack(path, matrix, &budget, ctx)?;
        let origin =
            Origin { name: path.display().to_string(), format: format.name().to_string(), ..Default::default() };
        Ok::<_, Error>((Input { matrix, about: About { obs, var, origin } }, budget))
    };
    let (loaded, digest) = rayon::join(
        || load().inspect_err(|_| failed.store(true, Ordering::Relaxed)),
        || {
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
fn pack(path: &Path, matrix: CountsMatrix, budget: &Budget<'_>, ctx: &Ctx) -> Result<Box<dyn RowBlocks + Send>> {
    let (rows, kept) = match matrix {
        CountsMatrix::Memory(matrix) => {
            check_held(path, "text", matrix.nnz(), budget)?;
            return Ok(Box::new(matrix));
        }
        CountsMatrix::File(rows, kept) => (rows, kept),
    };
    if rows.layout() == MatrixLayout::Csc {
        check_held(path, "stored by columns", rows.n_entries(), budget)?;
    }
    let all = kept.iter().all(|&kept| kept);
    let outcome = if all {
        PackedRows::pack(&*rows, rows.n_entries(), budget.store(), "read", ctx)
    } else {
        let chosen = Lazy::new(&*rows).select_columns(&kept)?;
        let entries = count_entries(&chosen, "count", ctx)?;
        PackedRows::pack(&chosen, entries, budget.store(), "read", ctx)
    };
    match outcome {
        Ok(packed) => Ok(Box::new(packed)),
        // Repeated columns: in memory they are added up.
        Err(Error::Data { fault: DataFault::Invalid, .. }) if !budget.limited() => {
            let whole = rows.to_memory(ctx)?;
            Ok(Box::new(if all { whole } else { collect(&Lazy::new(&whole).select_columns(&kept)?, ctx)? }))
        }
        Err(error) => Err(error),
    }
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

/// Refuses what are no counts, and repeated names or makes them unique.
pub(super) fn check(input: &mut Input<'_>, options: &InputOptions, notes: &mut Vec<String>, ctx: &Ctx) -> Result<()> {
    let layer = options.layer.as_ref().map_or("X".to_string(), |layer| format!("layers/{layer}"));
    let what = format!("{}: {layer}", input.about.origin.name);
    if options.whole_counts {
        check_counts(&*input.matrix, ctx).map_err(|error| named(error, &what))?;
    } else {
        let (cells, genes, entries) = (input.matrix.n_rows(), input.matrix.n_cols(), input.matrix.n_entries());
        if cells == 0 || genes == 0 || entries == 0 {
            let found = format!("{cells} cells, {genes} genes, {entries} stored values");
            return Err(Error::data(DataFault::Empty, what, "counts of at least one cell and gene", found));
        }
        run(&*input.matrix, &NotNegative, "check counts", ctx).map_err(|error| named(error, &what))?;
    }
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
fn named(error: Error, name: &str) -> Error {
    match error {
        Error::Data { fault, mut expected, found, .. } => {
            if fault == DataFault::NotCounts {
                expected.push_str(
                    "; choose a layer with input.layer, or allow corrected counts with input.whole_counts = false",
                );
            }
            Error::Data { fault, what: name.to_string(), expected, found }
        }
        other => other,
    }
}

/// Refuses values below zero, NaN and infinity.
struct NotNegative;

impl Pass for NotNegative {
    type Partial = ();
    type State = ();
    type Output = ();

    fn start(&self) {}

    fn block(&self, block: &RowBlock<'_>) -> Result<()> {
        if block.values.iter().all(|value| *value >= 0.0 && value.is_finite()) {
            return Ok(());
        }
        for (row, columns, values) in block.rows() {
            if let Some(at) = values.iter().position(|value| !(*value >= 0.0 && value.is_finite())) {
                let fault = if values[at] < 0.0 { DataFault::Negative } else { DataFault::NotFinite };
                let found = format!("{} in cell {row}, gene {}", values[at], columns[at]);
                return Err(Error::data(fault, "matrix", "finite numbers of at least 0", found));
            }
        }
        Ok(())
    }

    fn merge(&self, _: &mut (), _: ()) -> Result<()> {
        Ok(())
    }

    fn finish(&self, _: ()) -> Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use zensaibo_core::data::Csr;

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

    fn fault(values: Vec<f32>, options: &InputOptions) -> String {
        check(&mut input(values, ["g", "h"]), options, &mut Vec::new(), &Ctx::quiet()).unwrap_err().to_string()
    }

    #[test]
    fn what_is_no_count_is_refused_with_its_place() {
        let whole = InputOptions::default();
        let any = InputOptions { whole_counts: false, ..Default::default() };
        assert!(fault(vec![1.0, 0.5], &whole).contains("file: X: expected raw counts"));
        assert!(fault(vec![1.0, 0.5], &whole).contains("input.layer"));
        assert!(check(&mut input(vec![1.0, 0.5], ["g", "h"]), &any, &mut Vec::new(), &Ctx::quiet()).is_ok());
        for options in [&whole, &any] {
            assert!(fault(vec![1.0, -2.0], options).contains("-2 in cell 1, gene 1"));
            assert!(fault(vec![1.0, f32::NAN], options).contains("NaN in cell 1, gene 1"));
            assert!(fault(vec![1.0, f32::INFINITY], options).contains("inf in cell 1, gene 1"));
        }
    }

    #[test]
    fn repeated_names_are_numbered_or_refused() {
        let (mut notes, mut repeated) = (Vec::new(), input(vec![1.0, 2.0], ["g", "g"]));
        check(&mut repeated, &InputOptions::default(), &mut notes, &Ctx::quiet()).unwrap();
        assert_eq!(repeated.about.var.index, ["g", "g-1"]);
        assert!(notes[0].contains("genes") && notes[0].contains("(g, for one)"));
        let strict = InputOptions { make_names_unique: false, ..Default::default() };
        let refused =
            check(&mut input(vec![1.0, 2.0], ["g", "g"]), &strict, &mut Vec::new(), &Ctx::quiet()).unwrap_err();
        assert!(
            matches!(refused, Error::Data { fault: DataFault::DuplicateNames, .. })
                && refused.to_string().contains("g twice")
        );
    }
}
