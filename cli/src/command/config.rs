//! `zensaibo config STEP`: every option of a step with its manual and default.

use clap::{Parser, ValueEnum};
use zensaibo_core::Result;
use zensaibo_core::progress::CancelToken;

use crate::recipe::{
    CellsConfig, ClusterConfig, CountConfig, DetectConfig, MapConfig, RegisterConfig, SegmentConfig, SpaceConfig,
    StitchConfig, TrackConfig,
};

/// Prints every option of a step as TOML, with its meaning and its default.
#[derive(Debug, Parser)]
pub(super) struct Args {
    /// The step whose options are printed.
    step: Step,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Step {
    /// Options of `zensaibo cluster`.
    Cluster,
    /// Options of `zensaibo space`.
    Space,
    /// Options of `zensaibo map`.
    Map,
    /// Options of `zensaibo detect`.
    Detect,
    /// Options of `zensaibo segment`.
    Segment,
    /// Options of `zensaibo stitch`.
    Stitch,
    /// Options of `zensaibo track`.
    Track,
    /// Options of `zensaibo register`.
    Register,
    /// Options of `zensaibo count`.
    Count,
    /// Options of `zensaibo cells`.
    Cells,
}

pub(super) fn run(args: &Args, _: &CancelToken) -> Result<()> {
    match args.step {
        Step::Cluster => super::print(&ClusterConfig::template()),
        Step::Space => super::print(&SpaceConfig::template()),
        Step::Map => super::print(&MapConfig::template()),
        Step::Detect => super::print(&DetectConfig::template()),
        Step::Segment => super::print(&SegmentConfig::template()),
        Step::Stitch => super::print(&StitchConfig::template()),
        Step::Track => super::print(&TrackConfig::template()),
        Step::Register => super::print(&RegisterConfig::template()),
        Step::Count => super::print(&CountConfig::template()),
        Step::Cells => super::print(&CellsConfig::template()),
    }
}
