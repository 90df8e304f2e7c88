//! Where the results of `space` stand in the h5ad: squidpy's keys.

use std::path::Path;

use zensaibo_core::{Ctx, Result};
use zensaibo_io::{AnnDataFile, AnnDataWriter, Column, MatrixLayout, SparseArray, Table, Value, Values};

use super::config::Method;
use super::{Found, SpaceConfig, statistics};
use crate::recipe::slots::options_of;

/// The input, with the results in place of older ones.
pub(super) fn write(
    writer: &mut AnnDataWriter,
    source: &AnnDataFile,
    found: &Found,
    input: &Path,
    config: &SpaceConfig,
    ctx: &Ctx,
) -> Result<()> {
    let added = elements(found, input, config);
    let except: Vec<&str> = added.iter().map(|(key, _)| key.as_str()).collect();
    writer.copy_from(source, &except, ctx)?;
    for (key, value) in &added {
        ctx.check()?;
        writer.value(key, value)?;
    }
    Ok(())
}

fn elements(found: &Found, input: &Path, config: &SpaceConfig) -> Vec<(String, Value)> {
    let graph = &found.graph;
    let n = found.cells.len();
    let sparse = |values: Values| {
        Value::Sparse(SparseArray {
            layout: MatrixLayout::Csr,
            n_rows: n,
            n_cols: n,
            indptr: Values::I64(graph.indptr.clone()),
            indices: Values::I32(graph.indices.clone()),
            values,
        })
    };
    let options = &config.neighbors;
    let mut params = vec![("coord_type", Value::text(if options.method == Method::Grid { "grid" } else { "generic" }))];
    match (options.method, options.radius) {
        (Method::Radius, Some(radius)) => params.push(("radius", Value::float(radius))),
        _ => params.push(("n_neighbors", Value::int(options.n_neighs as i64))),
    }
    if options.method == Method::Grid {
        params.push(("n_rings", Value::int(options.n_rings as i64)));
    }
    let mut all = vec![
        ("obsp/spatial_connectivities".to_string(), sparse(Values::F32(vec![1.0; graph.indices.len()]))),
        ("obsp/spatial_distances".to_string(), sparse(Values::F64(graph.distances.clone()))),
        (
            "uns/spatial_neighbors".to_string(),
            Value::dict([
                ("connectivities_key", Value::text("spatial_connectivities")),
                ("distances_key", Value::text("spatial_distances")),
                ("params", Value::dict(params)),
            ]),
        ),
    ];
    if let (Some(labels), Some(key)) = (&found.cells.labels, &config.input.cluster_key) {
        let k = labels.names.len();
        let names = || Value::texts(labels.names.iter().cloned());
        if let Some(enrichment) = &found.enrichment {
            let counts = || Value::matrix(k, k, enrichment.counts.clone());
            let deviations: Vec<f64> = enrichment.variances.iter().map(|variance| variance.sqrt()).collect();
            all.push((
                format!("uns/{key}_nhood_enrichment"),
                Value::dict([
                    ("zscore", Value::matrix(k, k, statistics::scores(enrichment))),
                    ("count", counts()),
                    ("mean", Value::matrix(k, k, enrichment.means.clone())),
                    ("std", Value::matrix(k, k, deviations)),
                    ("categories", names()),
                ]),
            ));
            all.push((format!("uns/{key}_interactions"), counts()));
        }
        if let Some(co) = &found.co_occurrence {
            let shape = vec![k, k, co.distances.len() - 1];
            all.push((
                format!("uns/{key}_co_occurrence"),
                Value::dict([
                    ("occ", Value::Array { shape, values: Values::F64(co.ratios.clone()) }),
                    ("interval", Value::vector(co.distances.clone())),
                    ("categories", names()),
                ]),
            ));
        }
    }
    let numbers = |values: &[f64]| Column::Numbers(Values::F64(values.to_vec()));
    if let Some(scored) = &found.autocorr {
        let falls = config.autocorr.mode == zensaibo_spatial::autocorr::Mode::Geary;
        let (key, stat) = if falls { ("gearyC", "C") } else { ("moranI", "I") };
        let mut columns = vec![
            (stat.to_string(), numbers(&scored.scores)),
            ("pval_norm".to_string(), numbers(&scored.pvals)),
            ("var_norm".to_string(), numbers(&vec![scored.variance; scored.scores.len()])),
        ];
        if let Some(permuted) = &scored.permuted {
            for (name, values) in ["pval_z_sim", "pval_sim", "var_sim"].iter().zip(permuted) {
                columns.push(((*name).to_string(), numbers(values)));
            }
        }
        columns.push(("pval_norm_fdr_bh".to_string(), numbers(&scored.corrected)));
        all.push((
            format!("uns/{key}"),
            Value::Table(Table { index_name: None, index: scored.genes.clone(), columns }),
        ));
    }
    if let Some(genes) = &found.in_space {
        let columns = vec![
            ("share".to_string(), numbers(&genes.share)),
            ("pattern".to_string(), Column::Strings(genes.pattern.clone())),
            ("pval".to_string(), numbers(&genes.pvals)),
            ("pval_adj".to_string(), numbers(&genes.corrected)),
        ];
        let table = Table { index_name: None, index: genes.genes.clone(), columns };
        all.push(("uns/spatially_variable_genes".to_string(), Value::Table(table)));
    }
    all.push(("uns/zensaibo/space".to_string(), provenance(found, input, config)));
    all
}

/// Version, options of every section, and the hash of the input.
fn provenance(found: &Found, input: &Path, config: &SpaceConfig) -> Value {
    let origin = Value::dict([
        ("name", Value::text(input.display().to_string())),
        ("sha256", Value::text(found.sha256.clone())),
        ("n_cells", Value::int(found.cells.len() as i64)),
    ]);
    Value::dict([
        ("version", Value::text(env!("CARGO_PKG_VERSION"))),
        ("options", options_of(config, SpaceConfig::sections())),
        ("input", origin),
    ])
}
