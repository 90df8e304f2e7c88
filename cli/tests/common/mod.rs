//! Small counts made on the spot, and the binary run on them.
#![allow(dead_code)] // each test crate uses its part

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use zensaibo_core::random::Stream;

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
