//! The options of `zensaibo map`: one section per stage.

use zensaibo_core::options::Options;
use zensaibo_core::{Error, Result, options};
use zensaibo_map::{NeighborWeightsOptions, PrincipalVectorsOptions, TangramOptions};

use crate::recipe::config::OutputOptions;
use crate::recipe::sections::recipe_config;
use crate::recipe::tissue::unit_of;

recipe_config! {
    /// The options of `zensaibo map`.
    pub struct MapConfig("map") {
        /// Which cells, genes and columns are looked at.
        input: MapInputOptions,
        /// How cells of the reference and cells in place are matched.
        method: MapMethodOptions,
        /// The directions in gene space that both sides share.
        vectors: PrincipalVectorsOptions,
        /// The nearest cells of the reference, and what each of them counts.
        neighbors: NeighborWeightsOptions,
        /// Tangram's objective. Only for method.name = "tangram".
        tangram: TangramOptions,
        /// Genes that are left out and predicted, to see how well the mapping does.
        held_out: HeldOutOptions,
        /// How the output is written.
        output: MapOutputOptions,
    }
}

impl MapConfig {
    fn check_together(&self) -> Result<()> {
        if self.method.name == MapMethod::PrincipalVectors && self.tangram != TangramOptions::default() {
            return Err(Error::parameter("tangram", "defaults, unless method.name is \"tangram\"", "others"));
        }
        Ok(())
    }
}

/// What values are made of counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Normalize {
    /// Whole numbers are taken as counts; others stay as they are.
    Auto,
    /// Both sides are counts.
    Always,
    /// Neither side is changed.
    Never,
}

options! {
    /// Which cells, genes and columns are looked at.
    pub struct MapInputOptions("map_input") {
        /// Column of obs of the reference with the type of each cell.
        pub label: String = "cell_type".into(),
        /// Key of obsm with two or three coordinates of each cell in place.
        pub spatial_key: String = "spatial".into(),
        /// Column of obs of the cells in place with the region of each, for the report. Cells without one count as outside. Unset: none.
        pub region_key: Option<String> = None,
        /// Unit of the coordinates: micrometer, nanometer, millimeter, pixel, voxel or unit (for none). Unset: what uns["spatial_space"] says,
        /// else unit. Without effect on numbers.
        pub unit: Option<String> = None,
        /// Whether counts are brought to 10,000 per cell and their logarithm taken (log1p), each side for itself: auto (sides of whole numbers),
        /// always or never.
        pub normalize: Normalize = Normalize::Auto,
        /// Shared genes below which the run is refused; at least 2.
        pub min_genes: usize = 5,
    }
}

impl MapInputOptions {
    fn check(&self) -> Result<()> {
        if self.min_genes < 2 {
            return Err(Error::parameter("min_genes", "at least 2", self.min_genes));
        }
        self.unit.as_deref().map_or(Ok(()), |unit| unit_of(unit).map(|_| ()))
    }
}

/// How the two sides are matched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MapMethod {
    /// The nearest cells along the directions that both sides share.
    PrincipalVectors,
    /// Tangram's objective over those candidates.
    Tangram,
}

impl MapMethod {
    /// As it is written.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::PrincipalVectors => "principal_vectors",
            Self::Tangram => "tangram",
        }
    }
}

options! {
    /// How cells of the reference and cells in place are matched.
    pub struct MapMethodOptions("map_method") {
        /// "principal_vectors": each cell in place is the weighted mean of the nearest cells of the reference; "tangram": every cell of the
        /// reference is dealt out over cells in place so that their sum looks as the tissue does.
        pub name: MapMethod = MapMethod::PrincipalVectors,
        /// With "tangram": places that a cell of the reference may go to, those nearest along the shared directions.
        pub candidates: usize = 200,
    }
}

impl MapMethodOptions {
    fn check(&self) -> Result<()> {
        if self.candidates == 0 {
            return Err(Error::parameter("candidates", "at least 1", 0));
        }
        Ok(())
    }
}

options! {
    /// Genes that are left out and predicted.
    pub struct HeldOutOptions("map_held_out") {
        /// Parts into which the shared genes are dealt at random: each part is predicted by a mapping that does not see it. 0: no gene is left
        /// out; else at least 2. The time of the mapping is spent so many times more.
        pub folds: usize = 5,
        /// Seed of the deal.
        pub seed: u64 = 0,
    }
}

impl HeldOutOptions {
    fn check(&self) -> Result<()> {
        if self.folds == 1 {
            return Err(Error::parameter("folds", "0, or at least 2", 1));
        }
        Ok(())
    }
}

options! {
    /// How the output is written.
    pub struct MapOutputOptions("map_output") {
        /// Genes of the reference whose expression is carried to the cells in place (obsm["map_imputed"]): names, or ["*"] for all.
        pub impute: Vec<String> = Vec::new(),
        /// gzip level of what is added, 1 (fast) to 9 (small). Unset: not compressed.
        pub gzip: Option<u8> = None,
    }
}

impl MapOutputOptions {
    fn check(&self) -> Result<()> {
        OutputOptions { gzip: self.gzip, ..Default::default() }.validate()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_template_reads_back_as_the_defaults() {
        assert_eq!(MapConfig::from_toml(&MapConfig::template(), &[]).unwrap(), MapConfig::default());
        MapConfig::default().validate().unwrap();
    }

    #[test]
    fn each_option_out_of_range_is_named() {
        let refused = |set: &str| {
            let config = MapConfig::from_toml("", &[set.to_string()]);
            config.and_then(|config| config.validate()).unwrap_err().to_string()
        };
        for (set, name) in [
            ("input.unit=\"furlong\"", "input.unit"),
            ("input.min_genes=1", "input.min_genes"),
            ("method.candidates=0", "method.candidates"),
            ("neighbors.n_neighbors=0", "neighbors.n_neighbors"),
            ("vectors.min_cosine=1.5", "vectors.min_cosine"),
            ("held_out.folds=1", "held_out.folds"),
            ("output.gzip=12", "output.gzip"),
            ("tangram.num_epochs=10", "tangram"),
        ] {
            assert!(refused(set).contains(name), "{set}: {}", refused(set));
        }
    }
}
