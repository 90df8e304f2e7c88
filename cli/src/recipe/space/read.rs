//! What `space` reads of an h5ad: places, labels, libraries, genes.

use std::path::Path;

use zensaibo_core::{Ctx, DataFault, Error, Result};
use zensaibo_io::{AnnDataFile, Column, Values};

use super::SpaceConfig;
use crate::recipe::tissue::{self, Labels, few, places, stored_unit, unit_of};

/// The cells of a file.
pub(super) struct Cells {
    /// Coordinates, cell by cell.
    pub(super) places: Vec<f64>,
    pub(super) dimensions: usize,
    pub(super) labels: Option<Labels>,
    /// One library of all cells where none are named.
    pub(super) libraries: Labels,
    /// The cells of each library, rising.
    pub(super) members: Vec<Vec<usize>>,
    /// How the unit of length is written; empty for none.
    pub(super) unit: &'static str,
    pub(super) notes: Vec<String>,
}

impl Cells {
    pub(super) fn len(&self) -> usize {
        self.libraries.codes.len()
    }

    /// The coordinates of some cells.
    pub(super) fn of(&self, cells: &[usize]) -> Vec<f64> {
        let row = |&cell: &usize| &self.places[cell * self.dimensions..(cell + 1) * self.dimensions];
        cells.iter().flat_map(row).copied().collect()
    }
}

pub(super) fn cells(file: &AnnDataFile, path: &Path, config: &SpaceConfig, ctx: &Ctx) -> Result<Cells> {
    let options = &config.input;
    let (n, _) = file.shape()?;
    if n == 0 {
        return Err(Error::data(DataFault::Empty, path.display().to_string(), "at least one cell", "none"));
    }
    let (places, dimensions) = places(file, path, &options.spatial_key, n, ctx)?;
    let labels =
        options.cluster_key.as_deref().map(|key| tissue::labels(file, key, "input.cluster_key", ctx)).transpose()?;
    let libraries = match &options.library_key {
        Some(key) => tissue::labels(file, key, "input.library_key", ctx)?,
        None => Labels { codes: vec![0; n], names: vec!["all".into()] },
    };
    let mut members = vec![Vec::new(); libraries.names.len()];
    libraries.codes.iter().enumerate().for_each(|(cell, &library)| members[library as usize].push(cell));
    let unit = match &options.unit {
        Some(unit) => unit_of(unit)?,
        None => stored_unit(file, path, ctx)?,
    };
    let mut cells = Cells { places, dimensions, labels, libraries, members, unit, notes: Vec::new() };
    tissue::check_places(&cells.places, cells.dimensions, &options.spatial_key)?;
    note(&mut cells);
    Ok(cells)
}

/// What the user should know before believing the numbers.
fn note(cells: &mut Cells) {
    let mut notes = Vec::new();
    let mut order: Vec<usize> = (0..cells.len()).collect();
    let key = |cell: usize| {
        let row = &cells.places[cell * cells.dimensions..(cell + 1) * cells.dimensions];
        // Adding 0 makes the two zeros one.
        let bits: [u64; 3] = std::array::from_fn(|axis| row.get(axis).map_or(0, |x| (x + 0.0).to_bits()));
        (cells.libraries.codes[cell], bits)
    };
    order.sort_unstable_by_key(|&cell| key(cell));
    let same = order.windows(2).filter(|pair| key(pair[0]) == key(pair[1])).count();
    if same > 0 {
        notes.push(format!(
            "{same} cells lie where another cell of their library lies; they count as neighbours at distance 0."
        ));
    }
    if cells.unit.is_empty() {
        notes.push("The unit of the coordinates is not known: distances have none (input.unit says it).".into());
    }
    if let Some(labels) = &cells.labels {
        let mut sizes = vec![0usize; labels.names.len()];
        labels.codes.iter().for_each(|&label| sizes[label as usize] += 1);
        let single: Vec<&str> =
            labels.names.iter().zip(&sizes).filter(|(_, size)| **size == 1).map(|(name, _)| name.as_str()).collect();
        if !single.is_empty() {
            notes.push(format!("Labels of one cell, of which little can be said: {}.", few(&single)));
        }
        for (library, members) in cells.libraries.names.iter().zip(&cells.members) {
            let mut has = vec![false; labels.names.len()];
            members.iter().for_each(|&cell| has[labels.codes[cell] as usize] = true);
            let missing: Vec<&str> =
                labels.names.iter().zip(&has).filter(|(_, has)| !**has).map(|(name, _)| name.as_str()).collect();
            if !missing.is_empty() {
                notes.push(format!("Library {library} has no cell of: {}.", few(&missing)));
            }
        }
    }
    cells.notes = notes;
}

/// Genes by columns, in double precision.
pub(super) struct Genes {
    pub(super) names: Vec<String>,
    pub(super) indptr: Vec<i64>,
    pub(super) indices: Vec<i32>,
    pub(super) values: Vec<f64>,
}

/// The genes that are tested.
pub(super) fn genes(file: &AnnDataFile, config: &SpaceConfig, ctx: &Ctx) -> Result<Genes> {
    let slot = config.input.layer.as_ref().map_or("X".to_string(), |layer| format!("layers/{layer}"));
    let var = file.var(ctx)?;
    let matrix = file.csr(&slot, ctx)?;
    let n_genes = matrix.n_cols;
    let wanted: Vec<bool> = match var.column("highly_variable") {
        Some(Column::Numbers(Values::Bool(marked))) if config.genes.highly_variable => {
            marked.iter().map(|&mark| mark != 0).collect()
        }
        _ => vec![true; n_genes],
    };
    let mut cells_of = vec![0usize; n_genes];
    for (&gene, &value) in matrix.indices.iter().zip(&matrix.values) {
        if !value.is_finite() {
            let found = format!("{value} in gene {}", var.index[gene as usize]);
            return Err(Error::data(DataFault::NotFinite, slot, "finite values", found));
        }
        cells_of[gene as usize] += usize::from(value != 0.0);
    }
    let kept: Vec<usize> =
        (0..n_genes).filter(|&gene| wanted[gene] && cells_of[gene] >= config.genes.min_cells).collect();
    let mut place = vec![usize::MAX; n_genes];
    kept.iter().enumerate().for_each(|(at, &gene)| place[gene] = at);
    let mut indptr = vec![0i64; kept.len() + 1];
    for &gene in &matrix.indices {
        if place[gene as usize] != usize::MAX {
            indptr[place[gene as usize] + 1] += 1;
        }
    }
    for at in 1..indptr.len() {
        indptr[at] += indptr[at - 1];
    }
    let mut next = indptr.clone();
    let stored = indptr[kept.len()] as usize;
    let (mut indices, mut values) = (vec![0i32; stored], vec![0.0; stored]);
    for row in 0..matrix.n_rows {
        ctx.check()?;
        for at in matrix.indptr[row] as usize..matrix.indptr[row + 1] as usize {
            let column = place[matrix.indices[at] as usize];
            if column != usize::MAX {
                let slot = next[column] as usize;
                next[column] += 1;
                indices[slot] = row as i32;
                values[slot] = f64::from(matrix.values[at]);
            }
        }
    }
    Ok(Genes { names: kept.iter().map(|&gene| var.index[gene].clone()).collect(), indptr, indices, values })
}
