//! The options of `zensaibo cluster`: one section per stage.

use zensaibo_core::hvg::HvgOptions;
use zensaibo_core::knn::{ConnectivitiesOptions, KnnOptions};
use zensaibo_core::leiden::LeidenOptions;
use zensaibo_core::markers::RankGenesOptions;
use zensaibo_core::normalize::NormalizeTotalOptions;
use zensaibo_core::pca::PcaOptions;
use zensaibo_core::qc::QcOptions;
use zensaibo_core::umap::UmapOptions;
use zensaibo_core::{Error, Result, options};
use zensaibo_io::TenxOptions;

use super::sections::recipe_config;

recipe_config! {
    /// The options of every stage of the recipe.
    pub struct ClusterConfig("cluster") {
        /// What is read: counts of cells x genes.
        input: InputOptions,
        /// What is taken from a 10x file or folder. Without meaning for other files.
        tenx: TenxOptions,
        /// Quality metrics of cells.
        qc: QcOptions,
        /// Which cells and genes are kept. Cells are judged first, over all genes; then genes, over the kept cells.
        filter: FilterOptions,
        /// Every cell is brought to the same total; the logarithm of 1 + x follows.
        normalize: NormalizeTotalOptions,
        /// Which genes vary more than others of their mean: these make the components.
        hvg: HvgOptions,
        /// Principal components.
        pca: PcaOptions,
        /// Nearest neighbours of each cell in the components.
        neighbors: KnnOptions,
        /// The weighted graph made from the neighbours.
        graph: ConnectivitiesOptions,
        /// Clusters: communities of the graph.
        leiden: LeidenOptions,
        /// Layout of the graph.
        umap: UmapOptions,
        /// Which genes tell a cluster from the other cells.
        markers: RankGenesOptions,
        /// What is written besides the results.
        output: OutputOptions,
    }
}

options! {
    /// What is read.
    pub struct InputOptions("input") {
        /// Layer of an h5ad file that holds the counts. Unset: X.
        pub layer: Option<String> = None,
        /// Refuse values that are not whole numbers, as normalised or log-transformed data are. Set it to false
        /// for counts that were corrected for ambient RNA and are no longer whole. Negative values, NaN and
        /// infinity are refused in any case.
        pub whole_counts: bool = true,
        /// Make names of genes and cells that occur more than once unique by appending -1, -2, ..., as scanpy
        /// does; false: refuse them.
        pub make_names_unique: bool = true,
    }
}

impl InputOptions {
    fn check(&self) -> Result<()> {
        Ok(())
    }
}

options! {
    /// Which cells and genes are kept; limits are inclusive.
    pub struct FilterOptions("filter") {
        /// Cells with fewer detected genes are removed. 0 keeps all; cells without a single count never pass.
        pub min_genes: usize = 200,
        /// Cells with more detected genes are removed (doublets often have many). Unset: no limit.
        pub max_genes: Option<usize> = None,
        /// Cells with fewer counts are removed. Unset: no limit.
        pub min_counts: Option<f64> = None,
        /// Cells with more counts are removed. Unset: no limit.
        pub max_counts: Option<f64> = None,
        /// Cells with a larger percentage (0 to 100) of mitochondrial counts are removed (dying cells have
        /// many). Unset: no limit.
        pub max_pct_mito: Option<f64> = None,
        /// Genes whose names begin so count as mitochondrial. Unset: MT-, or mt- or Mt- where no gene has MT-.
        pub mito_prefix: Option<String> = None,
        /// Genes detected in fewer of the kept cells are removed. 0 keeps all; genes without a single count
        /// never pass.
        pub min_cells: usize = 3,
    }
}

impl FilterOptions {
    fn check(&self) -> Result<()> {
        let limits = [("min_counts", self.min_counts), ("max_counts", self.max_counts)];
        for (name, limit) in limits {
            if let Some(limit) = limit
                && (limit.is_nan() || limit < 0.0)
            {
                return Err(Error::parameter(name, "a number of at least 0", limit));
            }
        }
        if let Some(limit) = self.max_pct_mito
            && !(0.0..=100.0).contains(&limit)
        {
            return Err(Error::parameter("max_pct_mito", "a percentage, 0 to 100", limit));
        }
        if let Some(most) = self.max_genes
            && most < self.min_genes
        {
            return Err(Error::parameter("max_genes", format!("at least min_genes ({})", self.min_genes), most));
        }
        if let (Some(least), Some(most)) = (self.min_counts, self.max_counts)
            && most < least
        {
            return Err(Error::parameter("max_counts", format!("at least min_counts ({least})"), most));
        }
        if self.mito_prefix.as_deref() == Some("") {
            return Err(Error::parameter("mito_prefix", "at least one letter", "\"\""));
        }
        Ok(())
    }
}

options! {
    /// What is written besides the results.
    pub struct OutputOptions("output") {
        /// Write the log-normalised expression as X. Without it the file is smaller and has no X.
        pub normalized: bool = true,
        /// Write the raw counts as layers["counts"].
        pub counts: bool = true,
        /// gzip level of matrices, 1 (fast) to 9 (small). Unset: not compressed, which writes and reads fastest.
        pub gzip: Option<u8> = None,
    }
}

impl OutputOptions {
    fn check(&self) -> Result<()> {
        if let Some(level) = self.gzip.filter(|level| !(1..=9).contains(level)) {
            return Err(Error::parameter("gzip", "1 to 9", level));
        }
        Ok(())
    }
}

impl ClusterConfig {
    /// Refuses options that contradict what the recipe does.
    fn check_together(&self) -> Result<()> {
        match self.markers.log_base {
            Some(base) => Err(Error::parameter("markers.log_base", "unset: the recipe takes natural logarithms", base)),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_template_reads_back_as_the_defaults() {
        assert_eq!(ClusterConfig::from_toml(&ClusterConfig::template(), &[]).unwrap(), ClusterConfig::default());
        assert_eq!(ClusterConfig::from_toml("", &[]).unwrap(), ClusterConfig::default());
        ClusterConfig::default().validate().unwrap();
    }

    #[test]
    fn what_is_written_reads_back() {
        let config = ClusterConfig::from_toml(
            "[filter]\nmax_genes = 2500\nmax_pct_mito = 5\n[output]\ncounts = false\n",
            &["input.layer=counts".into()],
        )
        .unwrap();
        assert_eq!(config.filter.max_genes, Some(2500));
        assert_eq!(config.filter.max_pct_mito, Some(5.0));
        assert_eq!(config.input.layer.as_deref(), Some("counts"));
        assert_eq!(ClusterConfig::from_toml(&config.to_toml(), &[]).unwrap(), config);
    }

    #[test]
    fn every_option_has_a_manual() {
        for section in ClusterConfig::sections() {
            assert!(!section.doc.trim().is_empty() && !section.fields.is_empty(), "[{}]", section.name);
            for field in section.fields {
                assert!(!field.doc.trim().is_empty(), "{}.{}", section.name, field.name);
            }
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        let refused = |text: &str| ClusterConfig::from_toml(text, &[]).unwrap_err().to_string();
        assert!(refused("[filter]\nmin_gene = 3").contains("did you mean `min_genes`?"));
        assert!(refused("[fliter]\n").contains("did you mean `filter`?"));
        assert!(refused("[filter]\nmax_pct_mito = 101").contains("filter.max_pct_mito"));
        assert!(refused("[filter]\nmax_genes = 3").contains("min_genes (200)"));
        assert!(refused("[filter]\nmin_counts = 9\nmax_counts = 3").contains("filter.max_counts"));
        assert!(refused("[filter]\nmin_counts = -1").contains("filter.min_counts"));
        assert!(refused("[filter]\nmito_prefix = \"\"").contains("filter.mito_prefix"));
        assert!(refused("\n[filter\n").contains("line 2"));
        assert!(refused("[markers]\nlog_base = 2").contains("markers.log_base"));
    }

    #[test]
    fn values_are_text() {
        let values = ClusterConfig::default().values();
        let filter = &values.iter().find(|(section, _)| section == "filter").unwrap().1;
        assert!(filter.contains(&("min_genes".into(), "200".into())));
        assert!(filter.contains(&("max_genes".into(), "unset".into())));
    }
}
