//! Recipes on volumes: tiles ([`stitch`]), cells ([`detect`]), nuclei ([`segment`]), tracks ([`track`]); their place in
//! an atlas ([`register`], [`count`]); the whole way from a volume to cells per structure ([`cells`](cells())).

mod atlas;
mod cells;
mod config;
mod count;
mod detect;
mod landmarks;
mod overlay;
mod pictures;
mod places;
mod regions;
mod register;
mod segment;
mod source;
mod stitch;
mod stored;
mod track;
mod tracks;
mod whole;

pub use atlas::AtlasOptions;
pub use config::{
    BackgroundOptions, CellsConfig, ClassifierOptions, CountConfig, DetectConfig, RegisterConfig, SegmentConfig,
    SegmentInputOptions, StitchConfig, StitchInputOptions, TrackConfig, TrackInputOptions, VolumeOptions,
};
pub use count::{CountFiles, CountSummary, PlacesOptions, count, count_merge, count_part};
pub use detect::{DetectFiles, DetectSummary, detect, detect_merge, detect_part};
pub use landmarks::LandmarksOptions;
pub use register::{ImageOptions, RegisterFiles, RegisterSummary, TrustOptions, register};
pub use segment::{SegmentFiles, SegmentSummary, segment, segment_merge, segment_part};
pub use stitch::{StitchFiles, StitchSummary, stitch};
pub use stored::{load_registration, save_registration};
pub use track::{TrackSummary, track};
pub use whole::{CellsFiles, CellsSummary, SampleOptions, cells};

use crate::measure::{StageRecord, bytes_text};

/// The numbers of a report that say what a run cost: seconds, with what they led to, and memory.
fn costs(stages: &[StageRecord], memory: Option<u64>, what: &str) -> [(String, String); 2] {
    let seconds: f64 = stages.iter().map(|stage| stage.wall_seconds).sum();
    let allowed = memory.map_or(String::new(), |memory| format!(" of {} allowed", bytes_text(memory)));
    [(format!("{seconds:.1} s"), what.into()), (bytes_text(peak(stages)), format!("peak memory{allowed}"))]
}

/// The most memory that the process held so far.
fn peak(stages: &[StageRecord]) -> u64 {
    stages.iter().map(|stage| stage.peak_bytes).max().unwrap_or(0)
}

/// The lines that end a summary: what each stage cost, the memory, notes, files.
pub(super) fn ending(stages: &[StageRecord], memory: Option<u64>, notes: &[String], files: &[(&str, &str)]) -> String {
    let mut text = format!("\n{}\n", super::summary::stage_table(stages));
    let allowed = memory.map_or(String::new(), |memory| format!(" of {} allowed", bytes_text(memory)));
    text.push_str(&format!("memory: {} at most{allowed}\n", bytes_text(peak(stages))));
    for note in notes {
        text.push_str(&format!("note: {note}\n"));
    }
    for (what, name) in files {
        text.push_str(&format!("{what}: {name}\n"));
    }
    text
}
