//! What a file holds, without reading it.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use zensaibo_core::{Error, Result};

use crate::anndata_zarr::AnnDataZarr;
use crate::detect::{Format, detect};
use crate::h5::{Attr, H5File, TypeKind, kind_of, read_attr};
use crate::numbers::NumberArray;
use crate::place::{is_url, state_of_url};
use crate::rows::{MatrixLayout, StoredMatrix};
use crate::tenx::{TenxFile, TenxOptions, folder_files, market_size};

/// One element of a file.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Slot {
    /// Its path in the file, or the name of a file in a folder.
    pub key: String,
    /// Its encoding: `csr_matrix`, `array`, `dataframe`, `categorical`, `dict`, ...
    pub kind: String,
    /// Its shape; empty where it has none.
    pub shape: Vec<usize>,
    /// Type of its numbers, or `string`; empty where it has none.
    pub dtype: String,
    /// Stored values of a sparse matrix.
    pub entries: Option<u64>,
    /// How its data are compressed.
    pub compression: Vec<String>,
    /// Bytes that its data take on disk.
    pub bytes: u64,
}

/// What a file or folder holds.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Inspection {
    /// The file.
    pub path: PathBuf,
    /// What it is.
    pub format: Format,
    /// Bytes on disk; 0 for a Zarr store on a web server, which does not say.
    pub bytes: u64,
    /// Cells.
    pub n_cells: usize,
    /// Genes (all features of a 10x file).
    pub n_genes: usize,
    /// Stored values of the matrix; every entry of a dense one.
    pub entries: u64,
    /// The elements, the matrix first.
    pub slots: Vec<Slot>,
}

/// Looks into a file: format, shapes, types, encodings, compression, sizes. Reads names and pointers at most.
///
/// # Errors
/// [`Error::Io`] when it cannot be read; [`Error::Format`] when it is nothing that zensaibo reads, or damaged.
pub fn inspect(path: impl AsRef<Path>) -> Result<Inspection> {
    let path = path.as_ref();
    let format = detect(path)?;
    let bytes = |path: &Path| {
        if is_url(path) {
            return state_of_url(path).map(|(bytes, _)| bytes);
        }
        fs::metadata(path).map(|meta| meta.len()).map_err(|error| Error::io(path, "read", error))
    };
    let mut report = Inspection {
        path: path.to_path_buf(),
        format,
        bytes: 0,
        n_cells: 0,
        n_genes: 0,
        entries: 0,
        slots: Vec::new(),
    };
    match format {
        Format::H5ad => {
            report.bytes = bytes(path)?;
            inspect_h5ad(&H5File::open(path)?, &mut report)?;
        }
        Format::TenxV2 | Format::TenxV3 => {
            report.bytes = bytes(path)?;
            let file = H5File::open(path)?;
            let mut options = TenxOptions { gex_only: false, ..TenxOptions::default() };
            let genomes = if format == Format::TenxV2 { file.members("")? } else { vec!["matrix".into()] };
            for genome in genomes {
                if format == Format::TenxV2 {
                    options.genome = Some(genome.clone());
                }
                let tenx = TenxFile::open(path, &options)?;
                let stored = tenx.matrix()?;
                let mut slot = matrix_slot(&genome, &stored, "csr_matrix");
                slot.bytes = stored_bytes(&file, &genome, 0)?;
                report.n_cells = report.n_cells.max(stored.n_rows);
                report.n_genes = report.n_genes.max(stored.n_cols);
                report.entries += stored.values.len() as u64;
                report.slots.push(slot);
                for (table, content) in [("barcodes", &tenx.obs), ("features", &tenx.var)] {
                    report.slots.extend(content.columns.iter().map(|(name, column)| Slot {
                        key: format!("{genome}/{table}/{name}"),
                        kind: "column".into(),
                        shape: vec![column.len()],
                        dtype: if matches!(column, crate::Column::Numbers(_)) { "bool" } else { "string" }.into(),
                        entries: None,
                        compression: Vec::new(),
                        bytes: 0,
                    }));
                }
            }
        }
        Format::AnnDataZarr => {
            let file = AnnDataZarr::open(path)?;
            report.bytes = file.bytes("")?;
            let ctx = zensaibo_core::Ctx::quiet();
            (report.n_cells, report.n_genes) = (file.index("obs", &ctx)?.len(), file.index("var", &ctx)?.len());
            for key in file.matrices()? {
                let stored = file.matrix(&key)?;
                let kind = match stored.layout {
                    MatrixLayout::Csr => "csr_matrix",
                    MatrixLayout::Csc => "csc_matrix",
                    MatrixLayout::Dense => "array",
                };
                let mut slot = matrix_slot(&key, &stored, kind);
                slot.bytes = file.bytes(&key)?;
                if key == "X" {
                    report.entries = stored.values.len() as u64;
                }
                report.slots.push(slot);
            }
        }
        Format::TenxFolderV2 | Format::TenxFolderV3 => {
            let files = folder_files(path, "")?;
            let (rows, columns, entries) = market_size(&files.matrix)?;
            (report.n_genes, report.n_cells, report.entries) = (rows, columns, entries as u64);
            for (file, kind, shape) in [
                (&files.matrix, "matrix market", vec![rows, columns]),
                (&files.features, "features", vec![rows]),
                (&files.barcodes, "barcodes", vec![columns]),
            ] {
                let size = bytes(file)?;
                report.bytes += size;
                report.slots.push(text_slot(file, kind, shape, size));
            }
            report.slots[0].entries = Some(entries as u64);
        }
        Format::MatrixMarket => {
            let (rows, columns, entries) = market_size(path)?;
            report.bytes = bytes(path)?;
            (report.n_cells, report.n_genes, report.entries) = (rows, columns, entries as u64);
            let mut slot = text_slot(path, "matrix market", vec![rows, columns], report.bytes);
            slot.entries = Some(entries as u64);
            report.slots.push(slot);
        }
    }
    Ok(report)
}

fn text_slot(path: &Path, kind: &str, shape: Vec<usize>, bytes: u64) -> Slot {
    let key = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let compression = if key.ends_with(".gz") { vec!["gzip".into()] } else { Vec::new() };
    Slot { key, kind: kind.into(), shape, dtype: "text".into(), entries: None, compression, bytes }
}

fn matrix_slot(key: &str, stored: &StoredMatrix, kind: &str) -> Slot {
    Slot {
        key: key.into(),
        kind: kind.into(),
        shape: vec![stored.n_rows, stored.n_cols],
        dtype: stored.values.dtype.name().into(),
        entries: stored.sparse.is_some().then(|| stored.values.len() as u64),
        compression: stored.values.filter_names(),
        bytes: 0,
    }
}

/// Bytes of all data sets at and under `key`.
fn stored_bytes(file: &H5File, key: &str, depth: usize) -> Result<u64> {
    if !file.is_group(key) {
        return Ok(file.dataset(key).map_or(0, |dataset| dataset.storage_size()));
    }
    if depth > 64 {
        return Ok(0);
    }
    file.members(key)?
        .iter()
        .try_fold(0, |all, name| Ok(all + stored_bytes(file, &format!("{key}/{name}"), depth + 1)?))
}

fn inspect_h5ad(file: &H5File, report: &mut Inspection) -> Result<()> {
    let outcome = inspect_slots(file, report);
    file.sound(outcome)
}

fn inspect_slots(file: &H5File, report: &mut Inspection) -> Result<()> {
    let root = file.members("")?;
    for first in ["X", "obs", "var"] {
        if root.iter().any(|name| name == first) {
            inspect_slot(file, first, report)?;
        }
    }
    for name in root.iter().filter(|name| !matches!(name.as_str(), "X" | "obs" | "var")) {
        if file.is_group(name) && matches!(name.as_str(), "layers" | "obsm" | "obsp" | "varm" | "varp" | "raw" | "uns")
        {
            for member in file.members(name)? {
                inspect_slot(file, &format!("{name}/{member}"), report)?;
            }
        } else {
            inspect_slot(file, name, report)?;
        }
    }
    let of = |key: &str, slots: &[Slot]| {
        slots.iter().find(|slot| slot.key == key).map(|slot| (slot.shape.clone(), slot.entries))
    };
    let (obs, var) = (of("obs", &report.slots), of("var", &report.slots));
    report.n_cells = obs.and_then(|(shape, _)| shape.first().copied()).unwrap_or(0);
    report.n_genes = var.and_then(|(shape, _)| shape.first().copied()).unwrap_or(0);
    if let Some((shape, entries)) = of("X", &report.slots)
        && let [rows, columns] = shape[..]
    {
        report.entries = entries.unwrap_or(rows as u64 * columns as u64);
        if (rows, columns) != (report.n_cells, report.n_genes) {
            let expected = format!("{} x {}, as obs and var say", report.n_cells, report.n_genes);
            return Err(file.fault("X", expected, format!("{rows} x {columns}")));
        }
    }
    Ok(())
}

fn inspect_slot(file: &H5File, key: &str, report: &mut Inspection) -> Result<()> {
    let mut slot = Slot {
        key: key.into(),
        kind: String::new(),
        shape: Vec::new(),
        dtype: String::new(),
        entries: None,
        compression: Vec::new(),
        bytes: stored_bytes(file, key, 0)?,
    };
    if !file.is_group(key) {
        let dataset = file.dataset(key)?;
        let encoding = read_attr(&dataset, "encoding-type").and_then(Attr::text);
        let kind = kind_of(dataset.dtype().map_err(|error| file.broken(key, &error))?.id());
        slot.kind = encoding.filter(|name| !name.is_empty()).unwrap_or_else(|| "array".into());
        slot.shape = dataset.get_shape().map_err(|error| file.broken(key, &error))?;
        slot.dtype = match &kind {
            TypeKind::Number { dtype, .. } => dtype.name().into(),
            TypeKind::Fixed { .. } | TypeKind::Variable => "string".into(),
            TypeKind::Compound(fields) => format!("{} fields", fields.len()),
            other => other.describe(),
        };
        if matches!(kind, TypeKind::Number { .. }) && slot.kind != "null" {
            slot.compression = NumberArray::open(file, key)?.filter_names();
        }
        report.slots.push(slot);
        return Ok(());
    }
    let group = file.group(key)?;
    let encoding = read_attr(&group, "encoding-type").and_then(Attr::text).filter(|name| !name.is_empty());
    slot.kind = match encoding {
        Some(name) => name,
        None if read_attr(&group, "h5sparse_format").is_some() => "sparse".into(),
        None => "dict".into(),
    };
    match slot.kind.as_str() {
        "csr_matrix" | "csc_matrix" | "sparse" => {
            let stored = StoredMatrix::open(file, key)?;
            let bytes = slot.bytes;
            slot = matrix_slot(key, &stored, &slot.kind);
            slot.bytes = bytes;
            report.slots.push(slot);
        }
        "dataframe" => {
            let index = read_attr(&group, "_index").and_then(Attr::text).unwrap_or_else(|| "_index".into());
            let at = format!("{key}/{index}");
            let rows = if file.is_group(&at) { format!("{at}/codes") } else { at };
            let rows = file.dataset(&rows)?.size();
            let columns = match read_attr(&group, "column-order").and_then(Attr::texts) {
                Some(columns) => columns,
                None => {
                    file.members(key)?.into_iter().filter(|name| *name != index && name != "__categories").collect()
                }
            };
            slot.shape = vec![rows, columns.len()];
            report.slots.push(slot);
            for column in columns {
                inspect_slot(file, &format!("{key}/{column}"), report)?;
            }
        }
        "categorical" => {
            slot.shape = vec![file.dataset(&format!("{key}/codes"))?.size()];
            slot.dtype = format!(
                "{} categories",
                file.dataset(&format!("{key}/categories")).map_or(0, |dataset| dataset.size())
            );
            report.slots.push(slot);
        }
        "nullable-integer" | "nullable-boolean" | "nullable-string-array" => {
            slot.shape = vec![file.dataset(&format!("{key}/values"))?.size()];
            report.slots.push(slot);
        }
        _ => {
            slot.dtype = format!("{} members", file.members(key)?.len());
            report.slots.push(slot);
        }
    }
    Ok(())
}

/// Bytes for people.
fn size(bytes: u64) -> String {
    match bytes {
        0..1000 => format!("{bytes} B"),
        1000..1_000_000 => format!("{:.1} kB", bytes as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} MB", bytes as f64 / 1e6),
        _ => format!("{:.2} GB", bytes as f64 / 1e9),
    }
}

impl fmt::Display for Inspection {
    /// A page of text: a line on the whole, then a line per element.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = if self.bytes > 0 { size(self.bytes) } else { "size not known".into() };
        writeln!(out, "{}: {}, {bytes}", self.path.display(), self.format.name())?;
        let cells = self.n_cells as f64 * self.n_genes as f64;
        let filled = if cells > 0.0 { 100.0 * self.entries as f64 / cells } else { 0.0 };
        writeln!(
            out,
            "{} cells x {} genes, {} stored values ({filled:.2} %)",
            self.n_cells, self.n_genes, self.entries
        )?;
        let width = self.slots.iter().map(|slot| slot.key.chars().count()).max().unwrap_or(0);
        for slot in &self.slots {
            let shape = slot.shape.iter().map(ToString::to_string).collect::<Vec<_>>().join(" x ");
            let entries = slot.entries.map(|n| format!(", {n} stored")).unwrap_or_default();
            let packed =
                if slot.compression.is_empty() { String::new() } else { format!(", {}", slot.compression.join("+")) };
            let bytes = if slot.bytes > 0 { size(slot.bytes) } else { String::new() };
            let line =
                format!("  {:width$}  {:<16} {shape} {}{entries}{packed}  {bytes}", slot.key, slot.kind, slot.dtype);
            writeln!(out, "{}", line.trim_end())?;
        }
        Ok(())
    }
}
