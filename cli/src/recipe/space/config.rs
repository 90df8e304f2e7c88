//! The options of `zensaibo space`: one section per statistic.

use zensaibo_core::options::Options;
use zensaibo_core::{Error, Result, options};
use zensaibo_spatial::autocorr::AutocorrOptions;
use zensaibo_spatial::enrichment::NhoodOptions;

use crate::recipe::config::OutputOptions;
use crate::recipe::sections::recipe_config;
use crate::recipe::tissue::unit_of;

recipe_config! {
    /// The options of `zensaibo space`.
    pub struct SpaceConfig("space") {
        /// Which cells, labels and genes are looked at.
        input: SpaceInputOptions,
        /// Which cells are neighbours.
        neighbors: SpaceNeighborsOptions,
        /// How often neighbours carry two labels. Needs input.cluster_key.
        nhood: NhoodOptions,
        /// How much more often a label is found near another than near any cell. Needs input.cluster_key.
        co_occurrence: CoOccurrenceOptions,
        /// Moran's I or Geary's C of genes.
        autocorr: AutocorrOptions,
        /// Which genes are tested.
        genes: SpaceGenesOptions,
        /// How the output is written.
        output: SpaceOutputOptions,
    }
}

impl SpaceConfig {
    fn check_together(&self) -> Result<()> {
        Ok(())
    }
}

options! {
    /// Which cells, labels and genes are looked at.
    pub struct SpaceInputOptions("space_input") {
        /// Key of obsm with two or three coordinates of each cell.
        pub spatial_key: String = "spatial".into(),
        /// Column of obs with a label for each cell, such as its type. Unset: statistics of labels are left out.
        pub cluster_key: Option<String> = None,
        /// Column of obs with the section or field of view of each cell: cells of two of them are never neighbours. Unset: one for all.
        pub library_key: Option<String> = None,
        /// Layer with the values of genes. Unset: X.
        pub layer: Option<String> = None,
        /// Unit of the coordinates: micrometer, nanometer, millimeter, pixel, voxel or unit (for none). Unset: what uns["spatial_space"] says,
        /// else unit. Without effect on numbers.
        pub unit: Option<String> = None,
    }
}

impl SpaceInputOptions {
    fn check(&self) -> Result<()> {
        self.unit.as_deref().map_or(Ok(()), |unit| unit_of(unit).map(|_| ()))
    }
}

/// How neighbours are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Method {
    /// The nearest cells.
    Knn,
    /// All cells within a distance.
    Radius,
    /// Rings on a grid of spots.
    Grid,
}

options! {
    /// Which cells are neighbours.
    pub struct SpaceNeighborsOptions("space_neighbors") {
        /// "knn": the nearest cells; "radius": all within a distance; "grid": rings on a grid of spots, such as Visium's.
        pub method: Method = Method::Knn,
        /// Neighbours of each cell ("knn"), or of a spot in the first ring ("grid"): 6 for hexagons, 4 for squares.
        pub n_neighs: usize = 6,
        /// Largest distance of "radius", included; in the unit of the coordinates.
        pub radius: Option<f64> = None,
        /// Rings of "grid".
        pub n_rings: usize = 1,
    }
}

impl SpaceNeighborsOptions {
    fn check(&self) -> Result<()> {
        if self.n_neighs == 0 {
            return Err(Error::parameter("n_neighs", "at least 1", 0));
        }
        if self.n_rings == 0 {
            return Err(Error::parameter("n_rings", "at least 1", 0));
        }
        if self.n_rings > 1 && self.method != Method::Grid {
            return Err(Error::parameter("n_rings", "1, unless method is \"grid\"", self.n_rings));
        }
        match (self.method, self.radius) {
            (Method::Radius, None) => Err(Error::parameter("radius", "a distance, for method = \"radius\"", "none")),
            (Method::Radius, Some(radius)) if !(radius > 0.0 && radius.is_finite()) => {
                Err(Error::parameter("radius", "a distance above 0", radius))
            }
            (Method::Radius, Some(_)) | (_, None) => Ok(()),
            (_, Some(radius)) => Err(Error::parameter("radius", "unset, unless method is \"radius\"", radius)),
        }
    }
}

options! {
    /// How much more often a label is found near another.
    pub struct CoOccurrenceOptions("space_co_occurrence") {
        /// Number of distances, evenly spaced from 0; at least 2.
        pub interval: usize = 50,
        /// The largest distance. Unset: a quarter of the longest side of the largest library.
        pub max_distance: Option<f64> = None,
        /// Count pairs between a distance and the one before, instead of all up to it.
        pub annular: bool = false,
    }
}

impl CoOccurrenceOptions {
    fn check(&self) -> Result<()> {
        if self.interval < 2 {
            return Err(Error::parameter("interval", "at least 2", self.interval));
        }
        if let Some(most) = self.max_distance.filter(|most| !(*most > 0.0 && most.is_finite())) {
            return Err(Error::parameter("max_distance", "a distance above 0", most));
        }
        Ok(())
    }
}

options! {
    /// Which genes are tested.
    pub struct SpaceGenesOptions("space_genes") {
        /// Genes that are not zero in fewer cells are left out. 0 keeps all.
        pub min_cells: usize = 3,
        /// Test only genes that var["highly_variable"] marks, where it is there.
        pub highly_variable: bool = true,
        /// Moran's I or Geary's C of each gene.
        pub autocorr: bool = true,
        /// Also test each gene for being a function of place (uns["spatially_variable_genes"]).
        pub variable: bool = true,
    }
}

impl SpaceGenesOptions {
    fn check(&self) -> Result<()> {
        Ok(())
    }
}

options! {
    /// How the output is written.
    pub struct SpaceOutputOptions("space_output") {
        /// gzip level of what is added, 1 (fast) to 9 (small). Unset: not compressed.
        pub gzip: Option<u8> = None,
    }
}

impl SpaceOutputOptions {
    fn check(&self) -> Result<()> {
        OutputOptions { gzip: self.gzip, ..Default::default() }.validate()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_template_reads_back_as_the_defaults() {
        assert_eq!(SpaceConfig::from_toml(&SpaceConfig::template(), &[]).unwrap(), SpaceConfig::default());
        SpaceConfig::default().validate().unwrap();
    }

    #[test]
    fn each_option_out_of_range_is_named() {
        let refused = |set: &str| {
            let config = SpaceConfig::from_toml("", &[set.to_string()]);
            config.and_then(|config| config.validate()).unwrap_err().to_string()
        };
        for (set, name) in [
            ("input.unit=\"furlong\"", "input.unit"),
            ("neighbors.n_neighs=0", "neighbors.n_neighs"),
            ("neighbors.n_rings=2", "neighbors.n_rings"),
            ("neighbors.method=\"radius\"", "neighbors.radius"),
            ("neighbors.radius=3.0", "neighbors.radius"),
            ("co_occurrence.interval=1", "co_occurrence.interval"),
            ("co_occurrence.max_distance=-1.0", "co_occurrence.max_distance"),
            ("output.gzip=12", "output.gzip"),
            ("nhood.n_perms=1", "nhood.n_perms"),
        ] {
            assert!(refused(set).contains(name), "{set}: {}", refused(set));
        }
        assert!(refused("input.unit=\"furlong\"").contains("micrometer"));
    }
}
