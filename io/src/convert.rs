//! From any format that is read to h5ad.

use std::path::Path;

use zensaibo_core::{Ctx, Result};

use crate::counts::read_counts;
use crate::detect::{Format, detect};
use crate::h5ad::{AnnDataFile, AnnDataWriter, WriteOptions};
use crate::tenx::TenxOptions;

/// Reads `input` (h5ad, 10x, Matrix Market) and writes it as h5ad in today's encodings.
///
/// An h5ad keeps every slot; its arrays are written anew with the compression asked for, one element in memory
/// at a time, and elements of encodings that zensaibo does not read are copied as they are. Everything else becomes
/// `X`, `obs` and `var`. The output appears whole or not at all.
///
/// # Errors
/// What reading and writing return.
pub fn convert(
    input: impl AsRef<Path>,
    output: impl AsRef<Path>,
    tenx: &TenxOptions,
    options: &WriteOptions,
    ctx: &Ctx,
) -> Result<()> {
    let input = input.as_ref();
    let format = detect(input)?;
    if format == Format::AnnDataZarr {
        // X and the tables alone would lose the other slots without a word.
        let expected = "h5ad, 10x or Matrix Market (zensaibo.io.convert in Python carries every slot of a Zarr store)";
        return Err(zensaibo_core::Error::format(input, "/", expected, format.name()));
    }
    if format != Format::H5ad {
        let counts = read_counts(input, tenx, ctx)?;
        let mut writer = AnnDataWriter::create(output, options)?;
        writer.rows("X", &counts.matrix, ctx)?;
        writer.obs(&counts.obs)?;
        writer.var(&counts.var)?;
        return writer.finish();
    }
    let source = AnnDataFile::open(input)?;
    let mut writer = AnnDataWriter::create(output, options)?;
    // Whatever our reader does not know goes over as it is.
    writer.copy_from(&source, &["X", "layers", "obsm", "obsp", "varm", "varp", "raw"], ctx)?;
    let mut keys = vec!["X".to_string()];
    for slot in ["layers", "obsm", "obsp", "varm", "varp", "raw"] {
        keys.extend(source.names(slot)?.into_iter().map(|name| format!("{slot}/{name}")));
    }
    for key in keys.iter().filter(|key| source.has(key)) {
        if key == "raw/var" || !source.is_readable(key) {
            let others: Vec<&str> = ["X", "layers", "obs", "obsm", "obsp", "uns", "var", "varm", "varp", "raw"]
                .into_iter()
                .filter(|slot| *slot != key.split('/').next().unwrap_or_default())
                .chain(keys.iter().map(String::as_str).filter(|other| other != key))
                .collect();
            writer.copy_from(&source, &others, ctx)?;
            continue;
        }
        writer.value(key, &source.value(key, ctx)?)?;
    }
    writer.finish()
}
