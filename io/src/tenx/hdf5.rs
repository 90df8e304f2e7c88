//! 10x HDF5 files.

use std::path::Path;

use zensaibo_core::options::Options;
use zensaibo_core::{Ctx, Error, Result};

use super::{TenxOptions, VarNames};
use crate::counts::Counts;
use crate::detect::{Format, detect_hdf5};
use crate::h5::{H5File, TypeKind, kind_of, read_strings};
use crate::numbers::NumberArray;
use crate::rows::{FileRows, MatrixLayout, StoredMatrix};
use crate::table::{Column, Table};
use crate::value::SparseArray;
use crate::values::Values;

/// A 10x HDF5 file opened for reading, with its tables read.
///
/// The file stores features x barcodes by columns, which is cells x genes by rows.
pub struct TenxFile {
    file: H5File,
    /// The group with the matrix.
    group: String,
    /// Version 2 or 3.
    pub format: Format,
    /// Cells (all of the file).
    pub obs: Table,
    /// Features (all of the file): `gene_ids` (or `gene_symbols`), `feature_types`, `genome` and whatever else.
    pub var: Table,
    /// Which features the options keep.
    pub kept: Vec<bool>,
}

impl TenxFile {
    /// Opens a file and reads its names.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Format`]; [`Error::Parameter`] for a genome that is absent, or not chosen where
    /// there are several (the message lists them).
    pub fn open(path: impl AsRef<Path>, options: &TenxOptions) -> Result<Self> {
        options.validate()?;
        let file = H5File::open(path.as_ref())?;
        let kept = file.clone();
        match detect_hdf5(&file)? {
            Format::TenxV2 => kept.sound(Self::open_v2(file, options)),
            Format::TenxV3 => kept.sound(Self::open_v3(file, options)),
            other => Err(file.fault("file", "a 10x HDF5 file", format!("{} (read it with read_h5ad)", other.name()))),
        }
    }

    fn open_v2(file: H5File, options: &TenxOptions) -> Result<Self> {
        let genomes = file.members("")?;
        let group = match &options.genome {
            Some(genome) if genomes.contains(genome) => genome.clone(),
            Some(genome) => return Err(unknown_genome(&genomes, genome)),
            None if genomes.len() == 1 => genomes[0].clone(),
            None => {
                let expected = format!("one of {}, since {} holds several", genomes.join(", "), file.path.display());
                return Err(Error::parameter("genome", expected, "none"));
            }
        };
        let names = read_strings(&file, &format!("{group}/gene_names"))?;
        let ids = read_strings(&file, &format!("{group}/genes"))?;
        let obs = Table::of_names(read_strings(&file, &format!("{group}/barcodes"))?);
        let var = gene_table(&file, &group, names, ids, options)?;
        let kept = vec![true; var.len()];
        Self { file, group, format: Format::TenxV2, obs, var, kept }.checked()
    }

    fn open_v3(file: H5File, options: &TenxOptions) -> Result<Self> {
        let group = "matrix".to_string();
        let mut obs = Table::of_names(read_strings(&file, "matrix/barcodes")?);
        if file.is_dataset("matrix/filtered_barcodes") {
            set(
                &file,
                "matrix/filtered_barcodes",
                &mut obs,
                "filtered_barcodes",
                booleans(&file, "matrix/filtered_barcodes")?,
            )?;
        }
        let at = |name: &str| format!("matrix/features/{name}");
        let probes = file.is_dataset(&at("gene_id"));
        let names = read_strings(&file, &at("name"))?;
        let ids = read_strings(&file, &at(if probes { "gene_id" } else { "id" }))?;
        let mut var = gene_table(&file, &at("id"), names, ids, options)?;
        if probes {
            set(&file, &at("id"), &mut var, "probe_ids", Column::Strings(read_strings(&file, &at("id"))?))?;
        }
        set(
            &file,
            &at("feature_type"),
            &mut var,
            "feature_types",
            Column::Strings(read_strings(&file, &at("feature_type"))?),
        )?;
        for name in file.members("matrix/features")? {
            let known = ["name", "feature_type", "id", "gene_id", "_all_tag_keys"].contains(&name.as_str());
            if known || !file.is_dataset(&at(&name)) {
                continue;
            }
            let dataset = file.dataset(&at(&name))?;
            let kind = kind_of(dataset.dtype().map_err(|error| file.broken(&at(&name), &error))?.id());
            let column = match kind {
                TypeKind::Number { dtype: crate::Dtype::Bool, .. } => booleans(&file, &at(&name))?,
                TypeKind::Number { .. } => {
                    let values = NumberArray::open(&file, &at(&name))?.read_values(&Ctx::quiet())?;
                    Column::Strings(Column::Numbers(values).labels())
                }
                _ => Column::Strings(read_strings(&file, &at(&name))?),
            };
            set(&file, &at(&name), &mut var, &name, column)?;
        }
        let mut kept = vec![true; var.len()];
        if let Some(genome) = &options.genome {
            let genomes = var.column("genome").map(Column::labels).unwrap_or_default();
            if !genomes.contains(genome) {
                let mut present = genomes;
                present.sort();
                present.dedup();
                return Err(unknown_genome(&present, genome));
            }
            kept.iter_mut().zip(&genomes).for_each(|(kept, found)| *kept &= found == genome);
        }
        if options.gex_only {
            let types = var.column("feature_types").map(Column::labels).unwrap_or_default();
            kept.iter_mut().zip(&types).for_each(|(kept, found)| *kept &= found == "Gene Expression");
        }
        Self { file, group, format: Format::TenxV3, obs, var, kept }.checked()
    }

    /// Opens the matrix once, to find faults of shape early.
    fn checked(self) -> Result<Self> {
        self.matrix()?;
        Ok(self)
    }

    pub(crate) fn matrix(&self) -> Result<StoredMatrix> {
        let (file, group) = (&self.file, &self.group);
        let at = |name: &str| format!("{group}/{name}");
        let shape = NumberArray::open(file, &at("shape"))?.read_values(&Ctx::quiet())?.to_i64();
        let found = shape.as_ref().map_or_else(|| "other numbers".into(), |shape| format!("{shape:?}"));
        let expected = [self.var.len() as i64, self.obs.len() as i64];
        if shape.as_deref() != Some(&expected) {
            return Err(file.fault(
                &at("shape"),
                format!("{expected:?} (features, barcodes), as the names say"),
                found,
            ));
        }
        let part = |name: &str| NumberArray::open(file, &at(name));
        let parts = (part("data")?, part("indices")?, part("indptr")?);
        StoredMatrix::from_parts(&file.path, group, MatrixLayout::Csr, (self.obs.len(), self.var.len()), parts)
    }

    /// All features as a source of row blocks read from the file. Select `kept` columns with a lazy chain.
    ///
    /// # Errors
    /// [`Error::Format`] when the matrix is damaged.
    pub fn rows(&self, ctx: &Ctx) -> Result<FileRows> {
        FileRows::new(self.matrix()?, ctx)
    }

    /// Everything that the options keep, in memory.
    ///
    /// # Errors
    /// [`Error::Format`] when the matrix is damaged; [`Error::Limit`] when memory does not suffice.
    pub fn read(self, ctx: &Ctx) -> Result<Counts> {
        let matrix = self.matrix()?.read(ctx)?;
        let mut counts = Counts { matrix, obs: self.obs, var: self.var, format: self.format };
        counts.keep_genes(&self.kept);
        Ok(counts)
    }

    /// All features in the types of the file (whole numbers of 32 bits become f32, as scanpy has it).
    ///
    /// # Errors
    /// As [`TenxFile::read`].
    pub fn sparse(&self, ctx: &Ctx) -> Result<SparseArray> {
        let mut matrix = self.matrix()?.read_sparse(ctx)?;
        if let Values::I32(whole) = &matrix.values {
            matrix.values = Values::F32(whole.iter().map(|&x| x as f32).collect());
        }
        Ok(matrix)
    }

    /// The group in which the matrix lies.
    pub fn group(&self) -> &str {
        &self.group
    }
}

fn unknown_genome(present: &[String], genome: &str) -> Error {
    Error::parameter("genome", format!("one of {}", present.join(", ")), genome)
}

fn set(file: &H5File, key: &str, table: &mut Table, name: &str, column: Column) -> Result<()> {
    let (expected, found) = (table.len(), column.len());
    table.set(name, column).map_err(|_| file.fault(key, format!("{expected} entries"), found))
}

fn gene_table(file: &H5File, key: &str, names: Vec<String>, ids: Vec<String>, options: &TenxOptions) -> Result<Table> {
    let (index, name, other) = match options.var_names {
        VarNames::GeneSymbols => (names, "gene_ids", ids),
        VarNames::GeneIds => (ids, "gene_symbols", names),
    };
    let mut table = Table::of_names(index);
    set(file, key, &mut table, name, Column::Strings(other))?;
    Ok(table)
}

fn booleans(file: &H5File, key: &str) -> Result<Column> {
    let values = NumberArray::open(file, key)?.read_values(&Ctx::quiet())?;
    Ok(Column::Numbers(Values::Bool(values.to_f64().iter().map(|&x| u8::from(x != 0.0)).collect())))
}
