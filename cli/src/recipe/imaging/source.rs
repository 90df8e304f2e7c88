//! Volumes of the recipes: opened, with a spacing, within a budget of memory.

use std::path::Path;
use std::sync::Arc;

use zensaibo_core::data::{Orientation, VolumeBlocks, VolumeInfo};
use zensaibo_core::{Error, Result};
use zensaibo_imaging::space::Spacing;
use zensaibo_io::volume::{OpenOptions, cache_limit, open_volume_with, set_cache_bytes};

use super::VolumeOptions;
use crate::measure::{bytes_text, grouped};

pub(super) fn open(path: &Path, options: &VolumeOptions) -> Result<Arc<dyn VolumeBlocks>> {
    let options = OpenOptions {
        spacing: options.spacing,
        orientation: None,
        axes: options.axes.clone(),
        series: options.series,
        level: options.level,
    };
    open_volume_with(path, &options)
}

/// The spacing of a volume, which someone must have said.
pub(super) fn spacing_of(info: &VolumeInfo) -> Result<Spacing> {
    let expected = || format!("micrometres per voxel (--spacing Z,Y,X): {} does not say", info.name);
    Spacing::new(info.spacing.ok_or_else(|| Error::parameter("spacing", expected(), "none"))?)
}

/// "30 x 510 x 667 voxels, uint16, 5 x 2 x 2 um, 20 MB".
pub(super) fn described(info: &VolumeInfo) -> String {
    let [t, c, z, y, x] = info.shape;
    let mut text = String::new();
    for (name, n) in [("time point", t), ("channel", c)] {
        if n > 1 {
            text.push_str(&format!("{} {name}s of ", grouped(n as u64)));
        }
    }
    let bytes = info.shape.iter().map(|&n| n as u64).product::<u64>() * info.dtype.size() as u64;
    let spacing = info.spacing.map_or(String::new(), |um| format!(", {} x {} x {} um", um[0], um[1], um[2]));
    format!("{text}{z} x {y} x {x} voxels, {}{spacing}, {}", info.dtype.name(), bytes_text(bytes))
}

/// What a process takes before it looks at a volume: code, tables, the threads' own.
const BASE: u64 = 64 << 20;

/// The memory that a command may take, shared out. The budget of decoded pieces is what it was when this is dropped.
pub(super) struct Budget {
    /// For the blocks in work.
    pub(super) blocks: Option<u64>,
    before: u64,
}

impl Budget {
    pub(super) fn new(memory: Option<u64>) -> Self {
        let before = cache_limit();
        let blocks = memory.map(|memory| {
            let pieces = (memory / 6).min(before);
            set_cache_bytes(pieces);
            memory.saturating_sub(pieces + BASE).max(memory / 2)
        });
        Self { blocks, before }
    }
}

impl Drop for Budget {
    fn drop(&mut self) {
        set_cache_bytes(self.before);
    }
}

/// An orientation as options write it.
pub(super) fn orientation(text: Option<&str>) -> Result<Option<Orientation>> {
    text.map(str::parse).transpose()
}
