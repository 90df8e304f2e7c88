//! Recipes on volumes: cells ([`detect`]), nuclei ([`segment`]), tracks ([`track`]).

mod cells;
mod config;
mod detect;
mod pictures;
mod segment;
mod source;
mod track;

pub use config::{
    BackgroundOptions, ClassifierOptions, DetectConfig, SegmentConfig, SegmentInputOptions, TrackConfig,
    TrackInputOptions, VolumeOptions,
};
pub use detect::{DetectFiles, DetectSummary, detect};
pub use segment::{SegmentFiles, SegmentSummary, segment};
pub use track::{TrackSummary, track};

use crate::measure::{StageRecord, bytes_text};

/// The lines that end a summary: what each stage cost, the memory, notes, files.
fn ending(stages: &[StageRecord], memory: Option<u64>, notes: &[String], files: &[(&str, &str)]) -> String {
    let mut text = format!("\n{}\n", super::summary::stage_table(stages));
    let peak = stages.iter().map(|stage| stage.peak_bytes).max().unwrap_or(0);
    let allowed = memory.map_or(String::new(), |memory| format!(" of {} allowed", bytes_text(memory)));
    text.push_str(&format!("memory: {} at most{allowed}\n", bytes_text(peak)));
    for note in notes {
        text.push_str(&format!("note: {note}\n"));
    }
    for (what, name) in files {
        text.push_str(&format!("{what}: {name}\n"));
    }
    text
}
