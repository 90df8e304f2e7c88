//! Small counts made on the spot, and the binary run on them.
#![allow(dead_code)] // each test crate uses its part

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use zensaibo_core::Ctx;
use zensaibo_core::data::Csr;
use zensaibo_core::matrix::RowBlocks;
use zensaibo_core::parallel::with_threads;
use zensaibo_core::random::Stream;
use zensaibo_core::simulate::{SimulateOptions, Simulation};
use zensaibo_io::{AnnDataFile, AnnDataWriter, MatrixLayout, SparseArray, Table, Value, WriteOptions};

/// Cells of the example.
pub(crate) const CELLS: usize = 240;
/// Genes of the example; the last two are mitochondrial.
pub(crate) const GENES: usize = 120;

/// Count of a gene in a cell: four groups, each with genes of its own.
pub(crate) fn count(cell: usize, gene: usize) -> u32 {
    let group = cell % 4;
    let rate = if gene % 5 == group { 3.0 } else { 0.4 };
    // A Poisson draw by its product of uniforms, one stream per entry.
    let mut stream = Stream::new(11, (cell * GENES + gene) as u64);
    let (limit, mut product, mut drawn) = (f64::exp(-rate), stream.uniform(), 0);
    while product > limit {
        product *= stream.uniform();
        drawn += 1;
    }
    drawn
}

/// A 10x folder (version 2 layout) with the values that `value` gives; zeros are not written.
pub(crate) fn folder(at: &Path, cells: usize, genes: usize, value: impl Fn(usize, usize) -> f64) -> PathBuf {
    std::fs::create_dir_all(at).unwrap();
    let (mut entries, mut n) = (String::new(), 0);
    let mut kind = "integer";
    for cell in 0..cells {
        for gene in 0..genes {
            let x = value(cell, gene);
            if x != 0.0 {
                if x.fract() != 0.0 {
                    kind = "real";
                }
                entries.push_str(&format!("{} {} {x}\n", gene + 1, cell + 1));
                n += 1;
            }
        }
    }
    let header = format!("%%MatrixMarket matrix coordinate {kind} general\n{genes} {cells} {n}\n");
    std::fs::write(at.join("matrix.mtx"), header + &entries).unwrap();
    let gene = |g: usize| if g + 2 >= genes { format!("MT-{g}") } else { format!("GENE{g}") };
    let lines: String = (0..genes).map(|g| format!("ID{g}\t{}\n", gene(g))).collect();
    std::fs::write(at.join("genes.tsv"), lines).unwrap();
    let lines: String = (0..cells).map(|c| format!("CELL{c}-1\n")).collect();
    std::fs::write(at.join("barcodes.tsv"), lines).unwrap();
    at.to_path_buf()
}

/// The example as a 10x folder.
pub(crate) fn example(at: &Path) -> PathBuf {
    folder(at, CELLS, GENES, |cell, gene| f64::from(count(cell, gene)))
}

/// Options that suit the example, which is far smaller than real data.
pub(crate) const SMALL: [&str; 6] =
    ["--set", "filter.min_genes=5", "--set", "pca.n_comps=10", "--set", "hvg.n_top_genes=60"];

/// Runs the binary.
pub(crate) fn zensaibo<S: AsRef<std::ffi::OsStr>>(args: impl IntoIterator<Item = S>) -> Output {
    Command::new(env!("CARGO_BIN_EXE_zensaibo")).args(args).output().unwrap()
}

/// Runs `zensaibo cluster input -o output` with more arguments.
pub(crate) fn cluster(input: &Path, output: &Path, more: &[&str]) -> Output {
    let mut args = vec!["cluster".as_ref(), input.as_os_str(), "-o".as_ref(), output.as_os_str()];
    args.extend(more.iter().map(std::ffi::OsStr::new));
    zensaibo(args)
}

/// What a run wrote to standard error.
pub(crate) fn errors(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Names in a folder, sorted.
pub(crate) fn names(at: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        std::fs::read_dir(at).unwrap().map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// What a recipe found.
pub(crate) const SLOTS: [&str; 8] =
    ["X", "layers/counts", "obs", "var", "obsm", "varm", "obsp", "uns/rank_genes_groups"];

/// All results of a file.
pub(crate) fn results(path: &Path) -> Vec<Value> {
    let file = AnnDataFile::open(path).unwrap();
    SLOTS.map(|key| file.value(key, &Ctx::quiet()).unwrap()).to_vec()
}

/// The run must have ended well.
pub(crate) fn fine(run: &Output) {
    assert_eq!(run.status.code(), Some(0), "{}", errors(run));
}

/// The tables of cells and genes, after the matrix.
pub(crate) fn finish(writer: AnnDataWriter, cells: usize, genes: Vec<String>) {
    finish_from(writer, 0, cells, genes);
}

/// Rows of a matrix, stored by columns, with the names that `finish` gives them; the first is `first`.
pub(crate) fn write_columns(path: &Path, matrix: &Csr, first: usize, genes: Vec<String>) {
    let columns = matrix.transpose();
    let stored = Value::Sparse(SparseArray {
        layout: MatrixLayout::Csc,
        n_rows: matrix.n_rows,
        n_cols: matrix.n_cols,
        indptr: columns.indptr.iter().map(|&at| at as i64).collect::<Vec<i64>>().into(),
        indices: columns.indices.iter().map(|&at| at as i32).collect::<Vec<i32>>().into(),
        values: columns.values.into(),
    });
    let mut writer = AnnDataWriter::create(path, &WriteOptions::default()).unwrap();
    writer.value("X", &stored).unwrap();
    finish_from(writer, first, matrix.n_rows, genes);
}

/// The tables of cells and genes, after the matrix; the first cell is `first`.
pub(crate) fn finish_from(mut writer: AnnDataWriter, first: usize, cells: usize, genes: Vec<String>) {
    writer.obs(&Table::of_names((first..first + cells).map(|cell| format!("c{cell}")).collect())).unwrap();
    writer.var(&Table::of_names(genes)).unwrap();
    writer.finish().unwrap();
}

/// 18,000 cells with some 800 genes each: 14 million counts.
pub(crate) fn many_counts(at: &Path) -> PathBuf {
    let options = SimulateOptions {
        n_obs: 18_000,
        n_vars: 2_000,
        n_types: 6,
        n_lineages: 2,
        genes_per_cell: 800.0,
        umi_per_cell: 3000.0,
        ..Default::default()
    };
    let simulation = Simulation::new(&options).unwrap();
    let path = at.join("counts.h5ad");
    let mut writer = AnnDataWriter::create(&path, &WriteOptions::default()).unwrap();
    with_threads(None, || writer.rows("X", &simulation, &Ctx::quiet())).unwrap();
    finish(writer, options.n_obs, simulation.gene_names().to_vec());
    let rows = AnnDataFile::open(&path).unwrap().rows("X", &Ctx::quiet()).unwrap();
    assert!(rows.n_entries() > 12_000_000, "{}", rows.n_entries());
    path
}
