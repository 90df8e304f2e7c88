//! What `space` reads of an h5ad: places, labels, libraries, genes.

use std::path::Path;

use zensaibo_core::{Ctx, DataFault, Error, Result};
use zensaibo_io::{AnnDataFile, Column, Value, Values};

use super::SpaceConfig;
use super::config::unit_of;

/// Labels of cells as numbers, with the names in use.
#[derive(Clone, Debug, Default)]
pub(super) struct Labels {
    pub(super) codes: Vec<u32>,
    pub(super) names: Vec<String>,
}

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
    let labels = options.cluster_key.as_deref().map(|key| labels(file, key, "input.cluster_key", ctx)).transpose()?;
    let libraries = match &options.library_key {
        Some(key) => self::labels(file, key, "input.library_key", ctx)?,
        None => Labels { codes: vec![0; n], names: vec!["all".into()] },
    };
    let mut members = vec![Vec::new(); libraries.names.len()];
    libraries.codes.iter().enumerate().for_each(|(cell, &library)| members[library as usize].push(cell));
    let unit = match &options.unit {
        Some(unit) => unit_of(unit)?,
        None => stored_unit(file, path, ctx)?,
    };
    let mut cells = Cells { places, dimensions, labels, libraries, members, unit, notes: Vec::new() };
    check_places(&cells, &options.spatial_key)?;
    note(&mut cells);
    Ok(cells)
}

/// The coordinates as double precision.
fn places(file: &AnnDataFile, path: &Path, key: &str, n: usize, ctx: &Ctx) -> Result<(Vec<f64>, usize)> {
    if !file.has(&format!("obsm/{key}")) {
        return Err(Error::key(key, format!("obsm of {}", path.display()), file.names("obsm")?));
    }
    let fault = |found: String| {
        let expected = format!("{n} x 2 or 3 numbers");
        Error::data(DataFault::Shape, format!("{}: obsm/{key}", path.display()), expected, found)
    };
    match file.value(&format!("obsm/{key}"), ctx)? {
        Value::Array { shape, values } => match shape[..] {
            [rows, columns @ (2 | 3)] if rows == n => {
                let numbers = as_f64(&values).ok_or_else(|| fault("no numbers".into()))?;
                Ok((numbers, columns))
            }
            _ => Err(fault(format!("{shape:?}"))),
        },
        Value::Table(table) => {
            let columns: Option<Vec<Vec<f64>>> = table
                .columns
                .iter()
                .map(|(_, column)| match column {
                    Column::Numbers(values) => as_f64(values),
                    _ => None,
                })
                .collect();
            match columns {
                Some(columns) if (2..=3).contains(&columns.len()) && table.len() == n => {
                    let row = |cell: usize| columns.iter().map(move |column| column[cell]);
                    Ok(((0..n).flat_map(row).collect(), columns.len()))
                }
                _ => Err(fault(format!("a table of {} columns", table.columns.len()))),
            }
        }
        _ => Err(fault("something else".into())),
    }
}

fn as_f64(values: &Values) -> Option<Vec<f64>> {
    match values {
        Values::F64(all) => Some(all.clone()),
        Values::F32(all) => Some(all.iter().map(|&x| f64::from(x)).collect()),
        Values::I64(all) => Some(all.iter().map(|&x| x as f64).collect()),
        Values::I32(all) => Some(all.iter().map(|&x| f64::from(x)).collect()),
        Values::I16(all) => Some(all.iter().map(|&x| f64::from(x)).collect()),
        Values::I8(all) => Some(all.iter().map(|&x| f64::from(x)).collect()),
        Values::U64(all) => Some(all.iter().map(|&x| x as f64).collect()),
        Values::U32(all) => Some(all.iter().map(|&x| f64::from(x)).collect()),
        Values::U16(all) => Some(all.iter().map(|&x| f64::from(x)).collect()),
        Values::U8(all) => Some(all.iter().map(|&x| f64::from(x)).collect()),
        Values::F16(_) | Values::Bool(_) => None,
    }
}

/// Refuses coordinates that are not finite; says so where it looks like sections without a third coordinate among others.
fn check_places(cells: &Cells, key: &str) -> Result<()> {
    let row = |cell: usize| &cells.places[cell * cells.dimensions..(cell + 1) * cells.dimensions];
    let bad: Vec<usize> = (0..cells.len()).filter(|&cell| row(cell).iter().any(|x| !x.is_finite())).collect();
    let Some(&first) = bad.first() else { return Ok(()) };
    let flat = cells.dimensions == 3 && bad.iter().all(|&cell| row(cell)[..2].iter().all(|x| x.is_finite()));
    let hint = if flat && bad.len() < cells.len() {
        "; are cells of two and of three dimensions mixed? Give those in the plane a third coordinate"
    } else {
        ""
    };
    let found = format!("{} cells without (the first is cell {first}: {:?}){hint}", bad.len(), row(first));
    Err(Error::data(DataFault::NotFinite, format!("obsm/{key}"), "finite coordinates", found))
}

/// A column of labels; every cell must have one.
fn labels(file: &AnnDataFile, key: &str, option: &str, ctx: &Ctx) -> Result<Labels> {
    let column = file.column("obs", key, ctx)?;
    let (codes, names) = match &column {
        Column::Categories { codes, categories, .. } => (codes.clone(), categories.labels()),
        Column::OptionalStrings(all) => {
            let given: Vec<&str> = all.iter().flatten().map(String::as_str).collect();
            let Column::Categories { codes, categories, .. } = Column::categorical(&given) else {
                return Err(Error::Internal("labels that are no categories".into()));
            };
            let mut next = codes.into_iter();
            let codes = all.iter().map(|one| one.as_ref().and_then(|_| next.next()).unwrap_or(-1)).collect();
            (codes, categories.labels())
        }
        Column::Strings(all) => return Ok(Labels::of(all)),
        Column::Numbers(values) if !matches!(values, Values::F16(_) | Values::F32(_) | Values::F64(_)) => {
            return Ok(Labels::of(&column.labels()));
        }
        _ => {
            return Err(Error::parameter(option, "a column of labels", format!("`{key}`, which holds other numbers")));
        }
    };
    let missing = codes.iter().filter(|code| **code < 0).count();
    if let Some(first) = codes.iter().position(|code| *code < 0) {
        let found = format!("{missing} without one (the first is cell {first})");
        return Err(Error::data(DataFault::Invalid, format!("obs/{key}"), "a label for every cell", found));
    }
    // Categories that no cell has are left out.
    let mut place = vec![u32::MAX; names.len()];
    codes.iter().for_each(|&code| place[code as usize] = 0);
    let mut kept = Vec::new();
    for (at, name) in names.into_iter().enumerate() {
        if place[at] == 0 {
            place[at] = kept.len() as u32;
            kept.push(name);
        }
    }
    Ok(Labels { codes: codes.iter().map(|&code| place[code as usize]).collect(), names: kept })
}

impl Labels {
    fn of(all: &[String]) -> Self {
        match Column::categorical(all) {
            Column::Categories { codes, categories, .. } => {
                Self { codes: codes.into_iter().map(|code| code as u32).collect(), names: categories.labels() }
            }
            _ => Self::default(),
        }
    }
}

/// The unit that the file names.
fn stored_unit(file: &AnnDataFile, path: &Path, ctx: &Ctx) -> Result<&'static str> {
    const KEY: &str = "uns/spatial_space";
    if !file.has(KEY) {
        return Ok("");
    }
    match file.value(KEY, ctx)?.get("unit") {
        Some(Value::Text(unit)) => unit_of(unit).map_err(|error| {
            Error::format(path, KEY, "a unit of length that is known (or say it: input.unit)", error.to_string())
        }),
        _ => Ok(""),
    }
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

fn few(names: &[&str]) -> String {
    let shown = names[..names.len().min(8)].join(", ");
    if names.len() > 8 { format!("{shown} and {} more", names.len() - 8) } else { shown }
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
