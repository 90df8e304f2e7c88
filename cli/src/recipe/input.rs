//! Reads the counts of a recipe and checks that they are counts.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use zensaibo_core::data::Csr;
use zensaibo_core::matrix::{Pass, RowBlock, run};
use zensaibo_core::qc::check_counts;
use zensaibo_core::{Ctx, DataFault, Error, Result};
use zensaibo_io::{AnnDataFile, Counts, Format, Table, TenxOptions, detect, first_repeated, make_unique, read_counts};

use super::{InputOptions, hash};

/// Counts of cells x genes with the tables of both, and where they came from.
#[derive(Clone, Debug)]
pub struct Input {
    /// The counts.
    pub matrix: Csr,
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

/// Reads a file or folder; its hash is taken meanwhile.
pub(super) fn read(path: &Path, options: &InputOptions, tenx: &TenxOptions, ctx: &Ctx) -> Result<Input> {
    // A file that cannot be read is not hashed to its end first.
    let failed = AtomicBool::new(false);
    let (counts, digest) = rayon::join(
        || load(path, options, tenx, ctx).inspect_err(|_| failed.store(true, Ordering::Relaxed)),
        || {
            hash::digest(path, &|| {
                if failed.load(Ordering::Relaxed) { Err(Error::Interrupted) } else { ctx.check() }
            })
        },
    );
    let counts = counts?;
    let (bytes, sha256) = digest?;
    let origin = Origin { name: path.display().to_string(), format: counts.format.name().to_string(), bytes, sha256 };
    Ok(Input { matrix: counts.matrix, obs: counts.obs, var: counts.var, origin })
}

fn load(path: &Path, options: &InputOptions, tenx: &TenxOptions, ctx: &Ctx) -> Result<Counts> {
    let Some(layer) = &options.layer else { return read_counts(path, tenx, ctx) };
    let format = detect(path)?;
    if format != Format::H5ad {
        let expected = format!("unset for a file without layers ({})", format.name());
        return Err(Error::parameter("input.layer", expected, layer));
    }
    let file = AnnDataFile::open(path)?;
    let (matrix, obs, var) = (file.csr(&format!("layers/{layer}"), ctx)?, file.obs(ctx)?, file.var(ctx)?);
    if (obs.len(), var.len()) != (matrix.n_rows, matrix.n_cols) {
        let expected = format!("{} x {} entries, as obs and var say", obs.len(), var.len());
        return Err(Error::format(
            path,
            format!("layers/{layer}"),
            expected,
            format!("{} x {}", matrix.n_rows, matrix.n_cols),
        ));
    }
    Ok(Counts { matrix, obs, var, format })
}

/// Refuses what are no counts, and repeated names or makes them unique.
pub(super) fn check(input: &mut Input, options: &InputOptions, notes: &mut Vec<String>, ctx: &Ctx) -> Result<()> {
    let layer = options.layer.as_ref().map_or("X".to_string(), |layer| format!("layers/{layer}"));
    let what = format!("{}: {layer}", input.origin.name);
    if options.whole_counts {
        check_counts(&input.matrix, ctx).map_err(|error| named(error, &what))?;
    } else {
        if input.matrix.n_rows == 0 || input.matrix.n_cols == 0 || input.matrix.nnz() == 0 {
            let found = format!(
                "{} cells, {} genes, {} stored values",
                input.matrix.n_rows,
                input.matrix.n_cols,
                input.matrix.nnz()
            );
            return Err(Error::data(DataFault::Empty, what, "counts of at least one cell and gene", found));
        }
        run(&input.matrix, &NotNegative, "check counts", ctx).map_err(|error| named(error, &what))?;
    }
    for (names, which) in [(&mut input.var.index, "genes"), (&mut input.obs.index, "cells")] {
        let Some(first) = first_repeated(names).map(str::to_string) else { continue };
        if !options.make_names_unique {
            let expected = format!("names of {which} that occur once (or input.make_names_unique = true)");
            return Err(Error::data(
                DataFault::DuplicateNames,
                input.origin.name.clone(),
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
    use super::*;

    fn input(values: Vec<f32>, genes: [&str; 2]) -> Input {
        let matrix = Csr::new(
            2,
            2,
            vec![0, 1, values.len() as u64],
            (0..values.len() as u32).map(|at| at % 2).collect(),
            values,
        )
        .unwrap();
        Input {
            matrix,
            obs: Table::of_names(vec!["a".into(), "b".into()]),
            var: Table::of_names(genes.map(String::from).to_vec()),
            origin: Origin { name: "file".into(), ..Default::default() },
        }
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
        assert_eq!(repeated.var.index, ["g", "g-1"]);
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
