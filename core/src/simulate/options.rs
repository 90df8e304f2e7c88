//! Options of a simulation.

use crate::{Error, Result, options};

/// What the simulated cells are made after.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Template {
    /// `n_types` types in `n_lineages` lineages, the largest 50 times the smallest.
    Atlas,
    /// Eight types of blood cells with the genes that are known to mark them; `n_types` and `n_lineages` are
    /// given by it and must be left alone.
    Pbmc,
}

options! {
    /// Options of [`Simulation`](crate::simulate::Simulation).
    pub struct SimulateOptions("simulate") {
        /// Cells.
        pub n_obs: usize = 10_000,
        /// Genes; at least 500.
        pub n_vars: usize = 20_000,
        /// `atlas` or `pbmc`.
        pub template: Template = Template::Atlas,
        /// Cell types. From the largest to the smallest their shares fall by a constant factor, to a fiftieth.
        pub n_types: usize = 20,
        /// Lineages; neighbouring types belong together and share a program of genes. At most `n_types`.
        pub n_lineages: usize = 5,
        /// Batches, of equal size.
        pub n_batches: usize = 4,
        /// Types whose cells move along a trajectory from the type's profile to one with a program of its own
        /// switched on. At most `n_types`.
        pub n_trajectories: usize = 6,
        /// Transcripts (UMI) per cell, in the median.
        pub umi_per_cell: f64 = 4_600.0,
        /// Genes with a count above zero per cell, in the median. Sets how uneven expression is.
        pub genes_per_cell: f64 = 1_500.0,
        /// Standard deviation of the logarithm of a cell's depth.
        pub depth_sd: f64 = 0.35,
        /// Overdispersion of counts: variance = mean + dispersion * mean^2 at median depth. Greater than 0.
        pub dispersion: f64 = 0.3,
        /// log2 of how much markers rise in their type, on average.
        pub marker_fold: f64 = 2.5,
        /// Standard deviation of the logarithm of the factor that each batch has on each gene; 0 for none.
        pub batch_effect: f64 = 0.1,
        /// Share of cells that are doublets of two cells of any types.
        pub doublet_rate: f64 = 0.04,
        /// Share of transcripts from mitochondrial genes, in the median.
        pub mito_fraction: f64 = 0.05,
        /// Seed. The same seed gives the same cells for any number of threads, and the first cells of a larger
        /// simulation are those of a smaller one.
        pub seed: u64 = 0,
    }
}

impl SimulateOptions {
    fn check(&self) -> Result<()> {
        let whole = |name: &str, value: usize, least: usize, most: usize| {
            if (least..=most).contains(&value) {
                return Ok(());
            }
            Err(Error::parameter(name, format!("a whole number in {least}..={most}"), value))
        };
        whole("n_vars", self.n_vars, 500, 1 << 24)?;
        whole("n_types", self.n_types, 1, 1000)?;
        whole("n_lineages", self.n_lineages, 1, self.n_types)?;
        whole("n_batches", self.n_batches, 1, 1000)?;
        let types = if self.template == Template::Pbmc { super::pbmc::TYPES.len() } else { self.n_types };
        whole("n_trajectories", self.n_trajectories, 0, types)?;
        let defaults = Self::default();
        if self.template == Template::Pbmc && (self.n_types, self.n_lineages) != (defaults.n_types, defaults.n_lineages)
        {
            let found = format!("{} types in {} lineages", self.n_types, self.n_lineages);
            return Err(Error::parameter("n_types", "the default with template `pbmc`, which brings its own", found));
        }
        let between = |name: &str, value: f64, least: f64, most: f64| {
            if value >= least && value <= most {
                return Ok(());
            }
            Err(Error::parameter(name, format!("a number in {least}..={most}"), value))
        };
        between("umi_per_cell", self.umi_per_cell, 10.0, 1e7)?;
        between("genes_per_cell", self.genes_per_cell, 5.0, 0.9 * self.n_vars.min(1 << 24) as f64)?;
        between("depth_sd", self.depth_sd, 0.0, 2.0)?;
        between("dispersion", self.dispersion, 1e-3, 100.0)?;
        between("marker_fold", self.marker_fold, 0.0, 10.0)?;
        between("batch_effect", self.batch_effect, 0.0, 3.0)?;
        between("doublet_rate", self.doublet_rate, 0.0, 1.0)?;
        between("mito_fraction", self.mito_fraction, 0.0, 0.9)
    }
}
