//! Recipes: files in, files out. The command line and Python run the same ones.
//!
//! [`cluster`] goes from raw counts to annotated clusters. Its options are the options structs of the stages, one
//! TOML section each ([`ClusterConfig`]); its result is an h5ad with scanpy's slots, and a [`ClusterSummary`]. [`space`](space()) adds the
//! statistics of the tissue to cells with places, [`map`](map()) gives them types. [`detect`],
//! [`segment`], [`stitch`] and [`track`] do the same for volumes, [`register`] and [`count`] bring cells into an atlas, and
//! [`cells`] goes the whole way.

mod budget;
mod checkpoints;
mod cluster;
mod columns;
mod config;
mod hash;
mod imaging;
mod input;
mod joined;
mod kept;
mod map;
mod neighborhood;
mod output;
mod quality;
mod report_data;
mod sections;
mod shared;
mod slots;
mod space;
mod stages;
mod summary;
mod tissue;

use crate::measure::StageRecord;

pub use cluster::{Extras, Resources, cluster, cluster_counts, cluster_merge, cluster_part};
pub use config::{ClusterConfig, FilterOptions, InputOptions, OutputOptions};
pub use imaging::{
    AtlasOptions, BackgroundOptions, CellsConfig, CellsFiles, CellsSummary, ClassifierOptions, CountConfig, CountFiles,
    CountSummary, DetectConfig, DetectFiles, DetectSummary, ImageOptions, LandmarksOptions, PlacesOptions,
    RegisterConfig, RegisterFiles, RegisterSummary, SampleOptions, SegmentConfig, SegmentFiles, SegmentInputOptions,
    SegmentSummary, StitchConfig, StitchFiles, StitchInputOptions, StitchSummary, TrackConfig, TrackInputOptions,
    TrackSummary, TrustOptions, VolumeOptions, cells, count, count_merge, count_part, detect, detect_merge,
    detect_part, load_registration, register, save_registration, segment, segment_merge, segment_part, stitch, track,
};
pub use input::{About, Input, Inputs, Origin};
pub use map::{
    HeldOutOptions, MapConfig, MapFiles, MapInputOptions, MapMethod, MapMethodOptions, MapOutputOptions, MapSummary,
    Normalize, map,
};
pub(crate) use output::check_targets;
pub use sections::{FieldDoc, SectionDoc, nearest};
pub use shared::{Blocks, cluster_steps, count_steps, detect_steps, segment_steps};
pub use space::{
    CoOccurrenceOptions, Method, SpaceConfig, SpaceFiles, SpaceGenesOptions, SpaceInputOptions, SpaceNeighborsOptions,
    SpaceOutputOptions, SpaceSummary, space,
};
pub use summary::{ClusterSummary, ClusterSummaryRow};

/// Is told when the stages of a recipe begin and end.
pub trait Hooks: Sync {
    /// A stage begins.
    fn started(&self, stage: &str);
    /// A stage has ended well.
    fn finished(&self, record: &StageRecord);
}

/// Listens to nothing.
impl Hooks for () {
    fn started(&self, _: &str) {}
    fn finished(&self, _: &StageRecord) {}
}
