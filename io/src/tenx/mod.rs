//! What Cell Ranger and Space Ranger write: HDF5 files (versions 2 and 3, probe files) and folders of Matrix
//! Market text (versions 2 and 3, gzip or not).

mod folder;
mod hdf5;
mod market;

use zensaibo_core::{Result, options};

pub use folder::read_folder;
pub(crate) use folder::{decompressed, folder_files};
pub use hdf5::TenxFile;
pub(crate) use market::market_size;
pub use market::read_market;

options! {
    /// What to take from a 10x file or folder. Names and defaults are scanpy's.
    pub struct TenxOptions("tenx") {
        /// Keep only the features of this genome. Must be given for a version 2 file that holds several.
        pub genome: Option<String> = None,
        /// Keep only features of type "Gene Expression" (version 3; version 2 knows no other).
        pub gex_only: bool = true,
        /// What names the genes: "gene_symbols" or "gene_ids". The other becomes a column.
        pub var_names: VarNames = VarNames::GeneSymbols,
        /// Make repeated gene names unique by appending -1, -2, ... (folders only, as in scanpy; files keep them).
        pub make_unique: bool = true,
        /// What stands before `matrix.mtx`, `genes.tsv` and so on in a folder, such as "patient1_".
        pub prefix: String = String::new(),
    }
}

impl TenxOptions {
    fn check(&self) -> Result<()> {
        Ok(())
    }
}

/// What names the genes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VarNames {
    /// The symbol, such as CD3D.
    GeneSymbols,
    /// The identifier, such as ENSG00000167286.
    GeneIds,
}
