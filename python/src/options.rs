//! The defaults and manuals of all options structs, for the Python face and its tests.

use pyo3::prelude::*;
use zensaibo_core::options::Options;

/// JSON of {"options name": {"defaults": {...}, "doc": {field: text}}}.
fn describe<T: Options>() -> (String, serde_json::Value) {
    let docs: serde_json::Map<String, serde_json::Value> =
        T::fields().iter().map(|field| (field.name.to_string(), field.doc.trim().into())).collect();
    let defaults = serde_json::to_value(T::default()).unwrap_or_default();
    (T::NAME.to_string(), serde_json::json!({ "defaults": defaults, "doc": docs }))
}

/// Adds one struct to the description. Each slice lists its own here.
macro_rules! described {
    ($($kind:ty),* $(,)?) => {
        fn all() -> Vec<(String, serde_json::Value)> {
            vec![$(describe::<$kind>()),*]
        }
    };
}

// One line per options struct; keep sorted.
described! {
    zensaibo_align::AlignOptions,
    zensaibo_align::DriftOptions,
    zensaibo_align::LandmarkOptions,
    zensaibo_core::aggregate::AggregateOptions,
    zensaibo_core::bbknn::BbknnOptions,
    zensaibo_core::chromatin::TfidfOptions,
    zensaibo_core::combat::CombatOptions,
    zensaibo_core::diffusion::BranchingOptions,
    zensaibo_core::diffusion::DiffmapOptions,
    zensaibo_core::diffusion::DptOptions,
    zensaibo_core::downsample::DownsampleOptions,
    zensaibo_core::fate::FateOptions,
    zensaibo_core::forceatlas::ForceAtlasOptions,
    zensaibo_core::harmony::HarmonyOptions,
    zensaibo_core::harmony::MapOptions,
    zensaibo_core::hashsolo::HashsoloOptions,
    zensaibo_core::hvg::HvgOptions,
    zensaibo_core::knn::ConnectivitiesOptions,
    zensaibo_core::knn::IndexOptions,
    zensaibo_core::knn::KnnOptions,
    zensaibo_core::knn::SearchOptions,
    zensaibo_core::leiden::LeidenOptions,
    zensaibo_core::leiden::LouvainOptions,
    zensaibo_core::logistic::LogisticOptions,
    zensaibo_core::markers::RankGenesOptions,
    zensaibo_core::normalize::NormalizeTotalOptions,
    zensaibo_core::paga::PagaOptions,
    zensaibo_core::pca::PcaOptions,
    zensaibo_core::pearson::PearsonOptions,
    zensaibo_core::pooled::PooledOptions,
    zensaibo_core::protein::ClrOptions,
    zensaibo_core::protein::DsbOptions,
    zensaibo_core::pseudobulk::PseudobulkOptions,
    zensaibo_core::qc::FilterCellsOptions,
    zensaibo_core::qc::FilterGenesOptions,
    zensaibo_core::qc::QcOptions,
    zensaibo_core::raster::RasterOptions,
    zensaibo_core::scale::ScaleOptions,
    zensaibo_core::scrublet::ScrubletOptions,
    zensaibo_core::simulate::SimulateOptions,
    zensaibo_core::sketch::GeometricOptions,
    zensaibo_core::sketch::LeverageOptions,
    zensaibo_core::tsne::TsneOptions,
    zensaibo_core::umap::UmapOptions,
    zensaibo_core::velocity::TransitionOptions,
    zensaibo_core::velocity::VelocityEmbeddingOptions,
    zensaibo_core::velocity::VelocityGraphOptions,
    zensaibo_core::velocity::VelocityOptions,
    zensaibo_core::wnn::WnnOptions,
    zensaibo_imaging::atlas::DensityOptions,
    zensaibo_imaging::classify::TrainOptions,
    zensaibo_imaging::classify::TreesOptions,
    zensaibo_imaging::compare::CompareRegionsOptions,
    zensaibo_imaging::compare::CompareVolumesOptions,
    zensaibo_imaging::detect::DetectOptions,
    zensaibo_imaging::filters::DestripeOptions,
    zensaibo_imaging::filters::DifferenceOfGaussiansOptions,
    zensaibo_imaging::filters::DownsampleOptions,
    zensaibo_imaging::filters::FlatFieldOptions,
    zensaibo_imaging::filters::GaussianOptions,
    zensaibo_imaging::filters::LaplacianOptions,
    zensaibo_imaging::filters::LocalContrastOptions,
    zensaibo_imaging::filters::MedianOptions,
    zensaibo_imaging::filters::MorphologyOptions,
    zensaibo_imaging::filters::ResampleOptions,
    zensaibo_imaging::filters::RollingBallOptions,
    zensaibo_imaging::filters::SubtractBackgroundOptions,
    zensaibo_imaging::measure::RegionOptions,
    zensaibo_imaging::morphology::DistanceOptions,
    zensaibo_imaging::morphology::LabelOptions,
    zensaibo_imaging::organoid::OrganoidOptions,
    zensaibo_imaging::phantom::PhantomOptions,
    zensaibo_imaging::register::RegisterOptions,
    zensaibo_imaging::segment::NucleiOptions,
    zensaibo_imaging::segment::WatershedOptions,
    zensaibo_imaging::stitch::FuseOptions,
    zensaibo_imaging::stitch::StitchOptions,
    zensaibo_imaging::track::TrackOptions,
    zensaibo_map::DeconvolveOptions,
    zensaibo_map::NeighborWeightsOptions,
    zensaibo_map::PrincipalVectorsOptions,
    zensaibo_map::TangramOptions,
    zensaibo_spatial::autocorr::AutocorrOptions,
    zensaibo_spatial::bivariate::BivariateOptions,
    zensaibo_spatial::enrichment::NhoodOptions,
    zensaibo_spatial::ligrec::LigrecOptions,
    zensaibo_spatial::mixture::MixtureOptions,
    zensaibo_spatial::neighbors::SpatialKnnOptions,
    zensaibo_spatial::ripley::RipleyOptions,
}

/// All options structs as JSON text: {name: {"defaults": {...}, "doc": {...}}}.
#[pyfunction]
fn option_defaults() -> String {
    serde_json::Value::Object(all().into_iter().collect()).to_string()
}

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    // Named once here so that an empty list compiles too.
    let _ = describe::<NoOptions>;
    module.add_function(wrap_pyfunction!(option_defaults, module)?)
}

zensaibo_core::options! {
    /// No options at all.
    pub struct NoOptions("none") {}
}

impl NoOptions {
    fn check(&self) -> zensaibo_core::Result<()> {
        Ok(())
    }
}
