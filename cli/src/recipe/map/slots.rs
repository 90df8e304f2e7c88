//! Where the results of `map` stand in the h5ad.

use zensaibo_core::{Ctx, Result};
use zensaibo_io::{AnnDataFile, AnnDataWriter, Column, Table, Value, Values};

use super::{Found, MapConfig, MapFiles};
use crate::recipe::slots::options_of;

/// The cells in place, with the results in place of older ones.
pub(super) fn write(
    writer: &mut AnnDataWriter,
    source: &AnnDataFile,
    found: &Found,
    files: MapFiles<'_>,
    config: &MapConfig,
    ctx: &Ctx,
) -> Result<()> {
    let label = &config.input.label;
    let elements = elements(found, files, config);
    let mut except: Vec<&str> = elements.iter().map(|(key, _)| key.as_str()).collect();
    // What an earlier run carried over is not what this one did.
    except.extend(["obsm/map_imputed", "obsm/map_weights", "uns/map"]);
    except.sort_unstable();
    except.dedup();
    writer.copy_from(source, &except, ctx)?;
    let types = &found.types;
    let column = Column::Categories {
        codes: types.codes.clone(),
        categories: Box::new(Column::Strings(found.reference.labels.names.clone())),
        ordered: false,
    };
    writer.column("obs", &format!("map_{label}"), &column)?;
    let confidence = Column::Numbers(Values::F32(types.confidence.clone()));
    writer.column("obs", &format!("map_{label}_confidence"), &confidence)?;
    for (key, value) in &elements {
        ctx.check()?;
        writer.value(key, value)?;
    }
    Ok(())
}

/// A table of cells in place.
fn by_cell(found: &Found, names: &[String], values: &[f32]) -> Value {
    let k = names.len();
    let columns = names
        .iter()
        .enumerate()
        .map(|(at, name)| {
            let column = values.iter().skip(at).step_by(k.max(1)).copied().collect();
            (name.clone(), Column::Numbers(Values::F32(column)))
        })
        .collect();
    Value::Table(Table { index_name: None, index: found.places.names.clone(), columns })
}

fn elements(found: &Found, files: MapFiles<'_>, config: &MapConfig) -> Vec<(String, Value)> {
    let label = &config.input.label;
    let mut all =
        vec![(format!("obsm/map_{label}"), by_cell(found, &found.reference.labels.names, &found.types.shares))];
    if let Some((names, values)) = &found.imputed {
        all.push(("obsm/map_imputed".into(), by_cell(found, names, values)));
    }
    let mut report = vec![
        ("method", Value::text(config.method.name.name())),
        ("genes", Value::texts(found.shared.names.iter().cloned())),
        ("cosines", Value::vector(found.cosines.clone())),
    ];
    if let Some(held) = &found.held_out {
        let columns = vec![
            ("pearson".to_string(), Column::Numbers(Values::F64(held.scores.clone()))),
            ("part".to_string(), Column::Numbers(Values::I64(held.parts.clone()))),
        ];
        report.push(("held_out", Value::Table(Table { index_name: None, index: held.genes.clone(), columns })));
    }
    all.push(("uns/map".into(), Value::dict(report)));
    let file = |path: &std::path::Path, sha256: &str, cells: usize| {
        Value::dict([
            ("name", Value::text(path.display().to_string())),
            ("sha256", Value::text(sha256)),
            ("n_cells", Value::int(cells as i64)),
        ])
    };
    all.push((
        "uns/zensaibo/map".into(),
        Value::dict([
            ("version", Value::text(env!("CARGO_PKG_VERSION"))),
            ("options", options_of(config, MapConfig::sections())),
            ("input", file(files.input, &found.sha256[0], found.places.names.len())),
            ("reference", file(files.reference, &found.sha256[1], found.reference.labels.codes.len())),
        ]),
    ));
    all
}
