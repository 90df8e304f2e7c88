//! One self-contained HTML page about a finished run: no network, no files beside it.
//!
//! [`ReportData`] is plain data; [`page`] turns it into the page. Still plots are SVG made here; the embedding
//! is drawn by the page's own script from coordinates and expression levels that are packed, deflated and
//! written into it (about 28 bytes per cell with sixty genes). Every text that comes from the user's files is
//! escaped. The same data gives the same page, byte for byte.

mod charts;
mod data;
mod embedding;
mod joint;
mod page;
mod scale;
mod space;
mod text;
mod volume;

#[cfg(test)]
mod tests;

pub use data::{Cluster, DotData, Embedding, FeaturePlot, GeneValues, MarkerRow, QcMetric, ReportData};
pub use joint::{JointReport, joint_page};
pub use page::page;
pub use space::{GeneTable, Heatmap, Lines, Map, SpaceReport, space_page};
pub use volume::{Bar, Bars, Curve, Distribution, Mark, Picture, Pixels, VolumeReport, volume_page};

/// Cells drawn in the embedding at most; of more, every so-manieth of each cluster is drawn, and the page says so.
pub const MOST_POINTS: usize = 100_000;
