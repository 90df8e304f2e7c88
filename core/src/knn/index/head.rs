//! What is known of an index beside its rows.

use std::ops::Range;

use super::Metric;
use crate::exchange::StoredBlocks;
use crate::knn::cluster::{Centres, Clusters};
use crate::knn::points::Frame;
use crate::knn::tile::LANES;
use crate::{DataFault, Error, Result};

/// Most bytes and most rows of one piece of a list.
const PIECE_BYTES: usize = 1 << 20;
const PIECE_ROWS: usize = 1024;

/// The head of an index: all but its rows, as plain numbers.
///
/// The rows stand in lists, list after list, in each by rising number. A list is cut into pieces of
/// [`piece_rows`](Self::piece_rows); a piece is a block of [`StoredBlocks`]: for each row its number (u32) and its `d` values
/// (f32 or f64), little-endian.
#[derive(Clone, Debug, PartialEq)]
pub struct IndexHead {
    /// Number of rows.
    pub n: usize,
    /// Number of columns.
    pub d: usize,
    /// Whether values are f64; else f32.
    pub double: bool,
    /// Distance.
    pub metric: Metric,
    /// Seed that the lists were learnt by.
    pub seed: u64,
    /// See [`fingerprint`](super::fingerprint).
    pub fingerprint: [u64; 2],
    /// What is taken off rows before they are compared in single precision, `d` long.
    pub centre: Vec<f64>,
    /// What they are then multiplied with.
    pub scale: f64,
    /// `lists x d`, row-major: centres of the lists, moved and scaled so.
    pub centroids: Vec<f32>,
    /// Where each list starts among the rows; one more entry than lists.
    pub starts: Vec<usize>,
}

impl IndexHead {
    /// Number of lists.
    pub fn n_lists(&self) -> usize {
        self.starts.len().saturating_sub(1)
    }

    /// Bytes of one row.
    pub fn record(&self) -> usize {
        4 + self.d * if self.double { 8 } else { 4 }
    }

    /// Rows of each piece of a list but its last.
    pub fn piece_rows(&self) -> usize {
        (PIECE_BYTES / self.record() / LANES * LANES).clamp(LANES, PIECE_ROWS)
    }

    /// Number of pieces before each list, and of all.
    pub fn piece_starts(&self) -> Vec<usize> {
        let rows = self.piece_rows();
        let mut starts = Vec::with_capacity(self.starts.len());
        starts.push(0);
        for span in self.starts.windows(2) {
            starts.push(starts.last().unwrap_or(&0) + (span[1] - span[0]).div_ceil(rows));
        }
        starts
    }

    /// Checks that lengths and numbers fit each other.
    ///
    /// # Errors
    /// [`Error::Data`] naming the part.
    pub fn check(&self) -> Result<()> {
        let fault = |what: &str, expected: String, found: String| {
            Err(Error::data(DataFault::Invalid, format!("index, {what}"), expected, found))
        };
        if self.n == 0 || self.d == 0 || self.n > (u32::MAX - 16) as usize {
            return fault(
                "shape",
                "1 to 2^32 - 16 rows, at least one column".into(),
                format!("{} x {}", self.n, self.d),
            );
        }
        if self.centre.len() != self.d || !self.centre.iter().all(|x| x.is_finite()) {
            return fault("centre", format!("{} finite values", self.d), format!("{} values", self.centre.len()));
        }
        if !(self.scale > 0.0 && self.scale.is_finite()) {
            return fault("scale", "a finite number greater than 0".into(), self.scale.to_string());
        }
        let lists = self.n_lists();
        let rising = self.starts.windows(2).all(|span| span[0] <= span[1]);
        if lists == 0 || self.starts[0] != 0 || self.starts[lists] != self.n || !rising {
            let found = format!("{} to {}", self.starts.first().unwrap_or(&0), self.starts.last().unwrap_or(&0));
            return fault("starts of lists", format!("rising numbers from 0 to {}", self.n), found);
        }
        if lists.checked_mul(self.d) != Some(self.centroids.len()) || !self.centroids.iter().all(|x| x.is_finite()) {
            let found = format!("{} values", self.centroids.len());
            return fault("centroids", format!("{lists} x {} finite values", self.d), found);
        }
        Ok(())
    }
}

/// An index that can be searched: its head in memory, its rows wherever they are kept.
pub struct NeighborIndex {
    head: IndexHead,
    pub(super) frame: Frame,
    pub(super) clusters: Clusters,
    pub(super) rows: Box<dyn StoredBlocks>,
    pub(super) piece_starts: Vec<usize>,
}

impl NeighborIndex {
    /// An index of a head and the pieces of its lists.
    ///
    /// # Errors
    /// What [`IndexHead::check`] returns.
    pub fn new(head: IndexHead, rows: Box<dyn StoredBlocks>) -> Result<Self> {
        head.check()?;
        let frame = Frame { metric: head.metric, centre: head.centre.clone(), scale: head.scale };
        let centres = Centres::new(head.d, head.centroids.clone());
        let clusters = Clusters { centres, starts: head.starts.clone() };
        let piece_starts = head.piece_starts();
        Ok(Self { head, frame, clusters, rows, piece_starts })
    }

    /// What is known of it.
    pub fn head(&self) -> &IndexHead {
        &self.head
    }

    /// Number of pieces.
    pub(super) fn pieces(&self) -> usize {
        self.piece_starts[self.clusters.count()]
    }

    /// The places of the rows of a piece of `list`.
    pub(super) fn places(&self, list: usize, piece: usize) -> Range<usize> {
        let (span, rows) = (self.clusters.span(list), self.head.piece_rows());
        let start = span.start + (piece - self.piece_starts[list]) * rows;
        start..(start + rows).min(span.end)
    }

    /// List and piece that hold the row at a place.
    pub(super) fn piece_of(&self, place: usize) -> (usize, usize) {
        let list = self.clusters.starts.partition_point(|&start| start <= place) - 1;
        (list, self.piece_starts[list] + (place - self.clusters.starts[list]) / self.head.piece_rows())
    }
}
