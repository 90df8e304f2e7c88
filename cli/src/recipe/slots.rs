//! The results under scanpy's names: columns of obs and var, obsm, varm, obsp, uns.

use serde::Serialize;
use zensaibo_core::Result;
use zensaibo_core::data::Csr;
use zensaibo_core::hvg::HvgStatistics;
use zensaibo_core::knn::Neighbors;
use zensaibo_core::markers::GroupMarkers;
use zensaibo_io::{Column, Table, Value, Values};

use super::cluster::Clustered;
use super::{ClusterConfig, SectionDoc};

fn numbers(values: impl Into<Values>) -> Column {
    Column::Numbers(values.into())
}

fn picked<T: Copy>(values: &[T], mask: &[bool]) -> Vec<T> {
    values.iter().zip(mask).filter(|(_, kept)| **kept).map(|(value, _)| *value).collect()
}

fn as_f32(values: &[f64]) -> Vec<f32> {
    values.iter().map(|&value| value as f32).collect()
}

fn log1p(values: &[f64]) -> Vec<f32> {
    values.iter().map(|&value| value.ln_1p() as f32).collect()
}

/// The name of an option's value, as TOML writes it.
fn name_of(value: &impl Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(name)) => name,
        other => other.map(|value| value.to_string()).unwrap_or_default(),
    }
}

/// Cells: what the input said of them, quality metrics, clusters.
pub(super) fn obs(done: &Clustered) -> Result<Table> {
    let mut table = done.input.obs.clone();
    let metrics = &done.quality.metrics.cells;
    let kept = &done.kept.cells;
    let genes = picked(&metrics.n_genes, kept);
    let total = picked(&metrics.total, kept);
    let as_f64: Vec<f64> = genes.iter().map(|&genes| f64::from(genes)).collect();
    table.set("n_genes", numbers(genes.iter().map(|&genes| genes as i32).collect::<Vec<i32>>()))?;
    table.set("n_genes_by_counts", numbers(genes.iter().map(|&genes| genes as i32).collect::<Vec<i32>>()))?;
    table.set("log1p_n_genes_by_counts", numbers(log1p(&as_f64)))?;
    table.set("total_counts", numbers(as_f32(&total)))?;
    table.set("log1p_total_counts", numbers(log1p(&total)))?;
    for (top, share) in done.quality.percent_top.iter().zip(&metrics.percent_top) {
        table.set(&format!("pct_counts_in_top_{top}_genes"), numbers(picked(share, kept)))?;
    }
    if let Some(share) = &done.quality.pct_mito {
        let total = picked(&metrics.subset_total[0], kept);
        table.set("total_counts_mt", numbers(as_f32(&total)))?;
        table.set("log1p_total_counts_mt", numbers(log1p(&total)))?;
        table.set("pct_counts_mt", numbers(as_f32(&picked(share, kept))))?;
    }
    let codes = done.leiden.membership.iter().map(|&cluster| cluster as i32).collect();
    let names = (0..done.sizes.len()).map(|cluster| cluster.to_string()).collect();
    let categories = Box::new(Column::Strings(names));
    table.set("leiden", Column::Categories { codes, categories, ordered: false })?;
    Ok(table)
}

/// Genes: what the input said of them, quality metrics (over all cells of the input), variability.
pub(super) fn var(done: &Clustered) -> Result<Table> {
    let mut table = done.input.var.clone();
    let kept = &done.kept.genes;
    let metrics = &done.quality.metrics;
    let whole = |values: &[u64]| values.iter().map(|&value| value as i64).collect::<Vec<i64>>();
    table.set("mt", numbers(picked(&done.quality.mito, kept)))?;
    table.set("n_cells_by_counts", numbers(whole(&picked(&metrics.genes.non_zeros, kept))))?;
    let means = picked(&metrics.genes.means(), kept);
    table.set("mean_counts", numbers(as_f32(&means)))?;
    table.set("log1p_mean_counts", numbers(log1p(&means)))?;
    table.set("pct_dropout_by_counts", numbers(picked(&metrics.percent_dropout(), kept)))?;
    let total = picked(&metrics.genes.sum, kept);
    table.set("total_counts", numbers(as_f32(&total)))?;
    table.set("log1p_total_counts", numbers(log1p(&total)))?;
    let cells: Vec<i64> = picked(&done.kept.cells_per_gene, kept).iter().map(|&cells| cells as i64).collect();
    table.set("n_cells", numbers(cells))?;
    table.set("highly_variable", numbers(done.hvg.highly_variable.clone()))?;
    table.set("means", numbers(done.hvg.means.clone()))?;
    match &done.hvg.statistics {
        HvgStatistics::Dispersion { dispersions, dispersions_norm } => {
            table.set("dispersions", numbers(dispersions.clone()))?;
            table.set("dispersions_norm", numbers(as_f32(dispersions_norm)))?;
        }
        HvgStatistics::Variance { variances, variances_norm, rank } => {
            table.set("highly_variable_rank", numbers(as_f32(rank)))?;
            table.set("variances", numbers(variances.clone()))?;
            table.set("variances_norm", numbers(variances_norm.clone()))?;
        }
        HvgStatistics::Residuals { variances, residual_variances, rank } => {
            table.set("highly_variable_rank", numbers(as_f32(rank)))?;
            table.set("variances", numbers(variances.clone()))?;
            table.set("residual_variances", numbers(residual_variances.clone()))?;
        }
    }
    Ok(table)
}

/// Coordinates of the cells.
pub(super) fn obsm(done: &Clustered) -> Vec<(String, Value)> {
    vec![
        ("X_pca".into(), Value::matrix(done.pca.n_rows, done.pca.n_comps, done.pca.scores.clone())),
        ("X_umap".into(), Value::matrix(done.graph.n, done.umap.n_components, done.umap.coordinates.clone())),
    ]
}

/// Loadings of all kept genes, zero where a gene was not chosen.
pub(super) fn varm(done: &Clustered) -> Vec<(String, Value)> {
    let (genes, k) = (done.hvg.highly_variable.len(), done.pca.n_comps);
    let mut loadings = vec![0f64; genes * k];
    let chosen = (0..genes).filter(|&gene| done.hvg.highly_variable[gene]);
    for (column, gene) in chosen.enumerate() {
        for component in 0..k {
            loadings[gene * k + component] = done.pca.components[component * done.pca.n_cols + column];
        }
    }
    vec![("PCs".into(), Value::matrix(genes, k, loadings))]
}

/// Distances to the neighbours, the cell itself left out, as scanpy stores them.
pub(super) fn distances(neighbors: &Neighbors) -> Csr {
    let (n, k) = (neighbors.n, neighbors.k);
    let mut matrix = Csr { n_rows: n, n_cols: n, indptr: vec![0], indices: Vec::new(), values: Vec::new() };
    let mut row: Vec<(u32, f32)> = Vec::new();
    for cell in 0..n {
        row.clear();
        let span = cell * k..(cell + 1) * k;
        let pairs = neighbors.indices[span.clone()].iter().copied().zip(neighbors.distances[span].iter().copied());
        row.extend(pairs.filter(|(other, _)| *other as usize != cell));
        row.sort_unstable_by_key(|pair| pair.0);
        matrix.indices.extend(row.iter().map(|pair| pair.0));
        matrix.values.extend(row.iter().map(|pair| pair.1));
        matrix.indptr.push(matrix.indices.len() as u64);
    }
    matrix
}

/// Parameters and statistics of each stage, markers, provenance.
pub(super) fn uns(done: &Clustered, config: &ClusterConfig) -> Vec<(String, Value)> {
    let mut entries: Vec<(String, Value)> = vec![
        // scanpy reads `base` with get(); HDF5 has no None, and absent means e.
        ("log1p".into(), Value::Dict(Vec::new())),
        ("hvg".into(), Value::dict([("flavor", Value::text(name_of(&config.hvg.flavor)))])),
        (
            "pca".into(),
            Value::dict([
                (
                    "params",
                    Value::dict([
                        ("zero_center", Value::flag(config.pca.zero_center)),
                        ("use_highly_variable", Value::flag(true)),
                        ("mask_var", Value::text("highly_variable")),
                    ]),
                ),
                ("variance", Value::vector(done.pca.variance.clone())),
                ("variance_ratio", Value::vector(done.pca.variance_ratio.clone())),
            ]),
        ),
        (
            "neighbors".into(),
            Value::dict([
                ("connectivities_key", Value::text("connectivities")),
                ("distances_key", Value::text("distances")),
                (
                    "params",
                    Value::dict([
                        ("n_neighbors", Value::int(config.neighbors.n_neighbors as i64)),
                        ("method", Value::text(name_of(&config.graph.method))),
                        ("metric", Value::text(name_of(&config.neighbors.metric))),
                        ("random_state", Value::int(config.neighbors.seed as i64)),
                        ("use_rep", Value::text("X_pca")),
                    ]),
                ),
            ]),
        ),
        (
            "leiden".into(),
            Value::dict([
                (
                    "params",
                    Value::dict([
                        ("resolution", Value::float(config.leiden.resolution)),
                        ("random_state", Value::int(config.leiden.seed as i64)),
                        ("n_iterations", Value::int(config.leiden.n_iterations)),
                    ]),
                ),
                ("modularity", Value::float(done.leiden.modularity)),
            ]),
        ),
        (
            "umap".into(),
            Value::dict([(
                "params",
                Value::dict([
                    ("a", Value::float(done.umap.a)),
                    ("b", Value::float(done.umap.b)),
                    ("random_state", Value::int(config.umap.seed as i64)),
                ]),
            )]),
        ),
    ];
    if let Some(ranked) = markers(done, config) {
        entries.push(("rank_genes_groups".into(), ranked));
    }
    entries.push(("zensaibo".into(), Value::dict([("recipe", provenance(done, config))])));
    entries
}

fn markers(done: &Clustered, config: &ClusterConfig) -> Option<Value> {
    let (ranked, tested) = done.markers.as_ref()?;
    let fields = |column: &dyn Fn(&GroupMarkers) -> Column| -> Value {
        Value::Records(
            tested.iter().zip(&ranked.groups).map(|(group, table)| (group.to_string(), column(table))).collect(),
        )
    };
    let genes = &done.input.var.index;
    let mut entries: Vec<(String, Value)> = vec![
        (
            "params".into(),
            Value::dict([
                ("groupby", Value::text("leiden")),
                ("reference", Value::text("rest")),
                ("method", Value::text(name_of(&config.markers.method))),
                ("use_raw", Value::flag(false)),
                ("corr_method", Value::text(name_of(&config.markers.corr_method))),
            ]),
        ),
        (
            "names".into(),
            fields(&|table| Column::Strings(table.genes.iter().map(|&gene| genes[gene as usize].clone()).collect())),
        ),
        ("scores".into(), fields(&|table| numbers(as_f32(&table.scores)))),
        ("pvals".into(), fields(&|table| numbers(table.pvals.clone()))),
        ("pvals_adj".into(), fields(&|table| numbers(table.pvals_adj.clone()))),
        ("logfoldchanges".into(), fields(&|table| numbers(as_f32(&table.logfoldchanges)))),
    ];
    for (name, shares) in [("pts", &ranked.pts), ("pts_rest", &ranked.pts_rest)] {
        let Some(shares) = shares else { continue };
        let columns = tested
            .iter()
            .enumerate()
            .map(|(at, group)| (group.to_string(), numbers(shares[at * genes.len()..(at + 1) * genes.len()].to_vec())));
        entries.push((
            name.into(),
            Value::Table(Table { index_name: None, index: genes.clone(), columns: columns.collect() }),
        ));
    }
    Some(Value::Dict(entries))
}

/// Version, options of every stage, and the hash of the input.
fn provenance(done: &Clustered, config: &ClusterConfig) -> Value {
    let origin = &done.input.origin;
    let input = Value::dict([
        ("name", Value::text(origin.name.clone())),
        ("format", Value::text(origin.format.clone())),
        ("bytes", Value::int(origin.bytes as i64)),
        ("sha256", Value::text(origin.sha256.clone())),
        ("n_cells", Value::int(done.cells_read as i64)),
        ("n_genes", Value::int(done.genes_read as i64)),
    ]);
    Value::dict([
        ("version", Value::text(env!("CARGO_PKG_VERSION"))),
        ("options", options_of(config, ClusterConfig::sections())),
        ("input", input),
    ])
}

/// The options of every section of a recipe.
pub(super) fn options_of(config: &impl serde::Serialize, sections: Vec<SectionDoc>) -> Value {
    let options = toml::Table::try_from(config).unwrap_or_default();
    let sections = sections.into_iter().map(|section| {
        let values = options.get(section.name).and_then(toml::Value::as_table);
        let fields = section.fields.iter().map(|field| {
            (field.name, values.and_then(|values| values.get(field.name)).map_or(Value::text("None"), stored))
        });
        (section.name, Value::dict(fields.collect::<Vec<_>>()))
    });
    Value::dict(sections.collect::<Vec<_>>())
}

/// An option's value as h5ad holds it.
fn stored(value: &toml::Value) -> Value {
    match value {
        toml::Value::String(text) => Value::text(text.clone()),
        toml::Value::Integer(number) => Value::int(*number),
        toml::Value::Float(number) => Value::float(*number),
        toml::Value::Boolean(flag) => Value::flag(*flag),
        toml::Value::Array(items) => match items.iter().map(toml::Value::as_integer).collect::<Option<Vec<i64>>>() {
            Some(whole) => Value::vector(whole),
            None => Value::texts(items.iter().map(ToString::to_string)),
        },
        other => Value::text(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_leave_the_cell_out_and_sort() {
        let neighbors = Neighbors {
            n: 3,
            k: 3,
            indices: vec![0, 2, 1, 1, 0, 2, 2, 0, 1],
            distances: vec![0.0, 1.0, 2.0, 0.0, 2.0, 3.0, 0.0, 1.0, 3.0],
            exact: true,
        };
        let matrix = distances(&neighbors);
        assert_eq!(matrix.indptr, [0, 2, 4, 6]);
        assert_eq!(matrix.indices, [1, 2, 0, 2, 0, 1]);
        assert_eq!(matrix.values, [2.0, 1.0, 2.0, 3.0, 1.0, 3.0]);
    }
}
