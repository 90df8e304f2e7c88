//! What `map` reads: cells in place, cells of the reference, the genes they share.

use std::collections::HashMap;
use std::path::Path;

use zensaibo_core::data::Csr;
use zensaibo_core::matrix::RowBlocks;
use zensaibo_core::normalize::{NormalizeTotalOptions, divide_rows_in_place, log1p_in_place, size_factors};
use zensaibo_core::{Ctx, DataFault, Error, Result};
use zensaibo_io::{AnnDataFile, Column, Value, Values};

use super::MapConfig;
use super::config::Normalize;
use crate::measure::counted;
use crate::recipe::tissue::{self, Labels, few, stored_unit, unit_of};

/// Counts per cell that sides are brought to.
const TARGET: f64 = 1e4;

/// Cells in place.
pub(super) struct Places {
    pub(super) names: Vec<String>,
    pub(super) genes: Vec<String>,
    /// Log-normalised expression.
    pub(super) matrix: Csr,
    /// Coordinates, cell by cell.
    pub(super) points: Vec<f64>,
    pub(super) dimensions: usize,
    /// How the unit of length is written; empty for none.
    pub(super) unit: &'static str,
    /// Region of each, -1 for none, with the names in use.
    pub(super) regions: Option<(Vec<i32>, Vec<String>)>,
}

/// Cells of known type without a place.
pub(super) struct Reference {
    pub(super) genes: Vec<String>,
    /// Log-normalised expression.
    pub(super) matrix: Csr,
    pub(super) labels: Labels,
    /// The first two columns of obsm["X_umap"].
    pub(super) embedding: Option<Vec<[f32; 2]>>,
}

/// Genes of both sides: where each stands among the genes of the places, and of the reference.
pub(super) struct Shared {
    pub(super) names: Vec<String>,
    pub(super) places: Vec<usize>,
    pub(super) reference: Vec<usize>,
}

pub(super) fn places(
    file: &AnnDataFile,
    path: &Path,
    config: &MapConfig,
    notes: &mut Vec<String>,
    ctx: &Ctx,
) -> Result<Places> {
    let options = &config.input;
    let obs = file.index("obs", ctx)?;
    check_some(path, obs.len())?;
    let (points, dimensions) = tissue::places(file, path, &options.spatial_key, obs.len(), ctx)?;
    tissue::check_places(&points, dimensions, &options.spatial_key)?;
    let regions = options.region_key.as_deref().map(|key| regions(file, key, ctx)).transpose()?;
    let unit = match &options.unit {
        Some(unit) => unit_of(unit)?,
        None => stored_unit(file, path, ctx)?,
    };
    let genes = file.index("var", ctx)?;
    let matrix = expression(file, path, "cells in place", &genes, config, notes, ctx)?;
    Ok(Places { names: obs, genes, matrix, points, dimensions, unit, regions })
}

pub(super) fn reference(
    file: &AnnDataFile,
    path: &Path,
    config: &MapConfig,
    notes: &mut Vec<String>,
    ctx: &Ctx,
) -> Result<Reference> {
    let (n, _) = file.shape()?;
    check_some(path, n)?;
    let labels = tissue::labels(file, &config.input.label, "input.label", ctx)?;
    let genes = file.index("var", ctx)?;
    let matrix = expression(file, path, "reference", &genes, config, notes, ctx)?;
    let embedding = if file.has("obsm/X_umap") { embedding(&file.value("obsm/X_umap", ctx)?, n) } else { None };
    Ok(Reference { genes, matrix, labels, embedding })
}

fn check_some(path: &Path, n: usize) -> Result<()> {
    if n == 0 {
        return Err(Error::data(DataFault::Empty, path.display().to_string(), "at least one cell", "none"));
    }
    Ok(())
}

/// The genes of both sides, in the order of the places.
pub(super) fn shared(places: &Places, reference: &Reference, config: &MapConfig) -> Result<Shared> {
    let by_name = |names: &[String]| -> HashMap<String, usize> {
        names.iter().enumerate().map(|(at, name)| (name.clone(), at)).collect()
    };
    let (own, known) = (by_name(&places.genes), by_name(&reference.genes));
    let mut found = Shared { names: Vec::new(), places: Vec::new(), reference: Vec::new() };
    for (at, name) in places.genes.iter().enumerate() {
        if let Some(&there) = known.get(name) {
            found.names.push(name.clone());
            found.places.push(at);
            found.reference.push(there);
        }
    }
    for (side, genes, by_name) in [("cells in place", &places.genes, &own), ("reference", &reference.genes, &known)] {
        let twice = genes
            .iter()
            .enumerate()
            .find(|(at, name)| by_name[*name] != *at && known.contains_key(*name) && own.contains_key(*name));
        if let Some((_, name)) = twice {
            let expected = "each shared gene once";
            return Err(Error::data(
                DataFault::DuplicateNames,
                format!("genes of the {side}"),
                expected,
                format!("`{name}` several times"),
            ));
        }
    }
    let least = config.input.min_genes;
    if found.names.len() < least {
        let folded: std::collections::HashSet<String> =
            reference.genes.iter().map(|name| name.to_uppercase()).collect();
        let alike = places.genes.iter().filter(|name| folded.contains(&name.to_uppercase())).count();
        let show = |names: &[String]| few(&names.iter().take(9).map(String::as_str).collect::<Vec<_>>());
        let hint = if alike > found.names.len() {
            format!("; {alike} would be shared if upper and lower case were the same: are both of one species?")
        } else {
            String::new()
        };
        return Err(Error::data(
            DataFault::TooFew,
            "genes",
            format!("at least {least} genes that the cells in place and the reference share (input.min_genes)"),
            format!(
                "{}: the cells in place have {}, the reference {}{hint}",
                found.names.len(),
                show(&places.genes),
                show(&reference.genes)
            ),
        ));
    }
    Ok(found)
}

/// Expression as it is compared: counts divided by their sum and log1p taken, others as they are.
fn expression(
    file: &AnnDataFile,
    path: &Path,
    side: &str,
    genes: &[String],
    config: &MapConfig,
    notes: &mut Vec<String>,
    ctx: &Ctx,
) -> Result<Csr> {
    if !file.matrices()?.contains(&"X".to_string()) {
        return Err(Error::format(path, "X", "a matrix of cells x genes", "none"));
    }
    let mut matrix = file.csr("X", ctx)?;
    if let Some(at) = matrix.values.iter().position(|value| !(value.is_finite() && *value >= 0.0)) {
        let fault = if matrix.values[at] < 0.0 { DataFault::Negative } else { DataFault::NotFinite };
        let found = format!("{} in gene {}", matrix.values[at], genes[matrix.indices[at] as usize]);
        return Err(Error::data(
            fault,
            format!("{}: X", path.display()),
            "finite expression of at least 0 (not scaled)",
            found,
        ));
    }
    let whole = matrix.values.iter().all(|value| value.fract() == 0.0);
    let counts = match config.input.normalize {
        Normalize::Auto => whole,
        Normalize::Always => true,
        Normalize::Never => false,
    };
    if counts {
        let options = NormalizeTotalOptions { target_sum: Some(TARGET), ..Default::default() };
        let divisors = size_factors(&matrix, &options, ctx)?.divisors();
        divide_rows_in_place(&matrix.indptr, &mut matrix.values, &divisors, ctx)?;
        log1p_in_place(&mut matrix.values, None, ctx)?;
    }
    if config.input.normalize == Normalize::Auto {
        notes.push(if counts {
            format!("X of the {side} holds whole numbers: taken as counts, brought to 10,000 per cell, log1p.")
        } else {
            format!("X of the {side} holds other than whole numbers: taken as it is.")
        });
    }
    let silent = (0..matrix.n_rows).filter(|&row| matrix.row(row).1.iter().all(|value| *value == 0.0)).count();
    if silent > 0 {
        notes.push(format!("{} of the {side} without any expression.", counted(silent, "cell")));
    }
    Ok(matrix)
}

/// A column of regions; a cell may have none.
fn regions(file: &AnnDataFile, key: &str, ctx: &Ctx) -> Result<(Vec<i32>, Vec<String>)> {
    let column = file.column("obs", key, ctx)?;
    match column {
        Column::Categories { codes, categories, .. } => Ok((codes, categories.labels())),
        Column::OptionalStrings(all) => tissue::optional(&all),
        Column::Numbers(Values::F16(_) | Values::F32(_) | Values::F64(_)) => {
            Err(Error::parameter("input.region_key", "a column of names", format!("`{key}`, which holds numbers")))
        }
        other => {
            let Column::Categories { codes, categories, .. } = Column::categorical(&other.labels()) else {
                return Err(Error::Internal("regions that are no categories".into()));
            };
            Ok((codes, categories.labels()))
        }
    }
}

fn embedding(value: &Value, n: usize) -> Option<Vec<[f32; 2]>> {
    let Value::Array { shape, values } = value else { return None };
    let [rows, columns] = shape[..] else { return None };
    let values = tissue::as_f64(values)?;
    (rows == n && columns >= 2)
        .then(|| (0..n).map(|row| [values[row * columns] as f32, values[row * columns + 1] as f32]).collect())
}

/// Some columns of a matrix, in the order asked for.
pub(super) fn columns(matrix: &Csr, wanted: &[usize]) -> Result<Csr> {
    let mut place = vec![u32::MAX; matrix.n_cols()];
    wanted.iter().enumerate().for_each(|(at, &column)| place[column] = at as u32);
    let (mut indptr, mut indices, mut values) = (vec![0u64], Vec::new(), Vec::new());
    let mut row: Vec<(u32, f32)> = Vec::new();
    for at in 0..matrix.n_rows {
        let (own, stored) = matrix.row(at);
        row.clear();
        row.extend(
            own.iter().zip(stored).map(|(&gene, &value)| (place[gene as usize], value)).filter(|one| one.0 != u32::MAX),
        );
        row.sort_unstable_by_key(|one| one.0);
        indices.extend(row.iter().map(|one| one.0));
        values.extend(row.iter().map(|one| one.1));
        indptr.push(indices.len() as u64);
    }
    Csr::new(matrix.n_rows, wanted.len(), indptr, indices, values)
}
