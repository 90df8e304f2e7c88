//! Tracking: detections over time to tracks with divisions.
//!
//! Three steps, each a file here. Links from each time point to the next ([`link`](self)): the motion is learned from
//! the links so far (drift of all cells, flow of the neighbours, steadiness of each cell) and the links are solved again
//! as one optimal assignment over all that lie within the gate, until nothing changes. Then every track that begins late
//! is the other end of a gap, a daughter, or new, again by one optimal assignment; how many divisions to believe is learned
//! from the recording played backwards, where there are none. Then tracks are numbered.
//!
//! What it is after: linear assignment in two stages (Jaqaman et al. 2008), solved along shortest augmenting paths
//! (Jonker and Volgenant 1987), with scales and costs from the data instead of from the user. Nothing is random, and the
//! result has the same bits for any number of threads.

mod join;
mod labels;
mod lineage;
mod link;
mod metrics;
mod motion;
mod options;
mod reverse;
#[cfg(test)]
mod tests;

pub use labels::{LabelCentres, LabelMatches, label_centres, label_overlaps, match_labels};
pub use lineage::Tracks;
pub use metrics::{Ctc, Graph, ctc_scores, match_points};
pub use options::TrackOptions;

use zensaibo_core::options::Options;
use zensaibo_core::{Ctx, DataFault, Error, Result};

/// No partner.
const NONE: u32 = u32::MAX;

/// Detections over time, ordered by time.
#[derive(Clone, Copy, Debug)]
pub struct Detections<'a> {
    /// Where each time point begins in `points`, and at the end their number: one more than time points.
    pub offsets: &'a [usize],
    /// (z, y, x) in micrometres.
    pub points: &'a [[f64; 3]],
    /// Volume (or area) of each detection, where known.
    pub sizes: Option<&'a [f64]>,
}

impl Detections<'_> {
    fn times(&self) -> usize {
        self.offsets.len().saturating_sub(1)
    }

    fn range(&self, time: usize) -> std::ops::Range<usize> {
        self.offsets[time]..self.offsets[time + 1]
    }

    fn at(&self, time: usize) -> &[[f64; 3]] {
        &self.points[self.range(time)]
    }

    /// Offsets that rise to the number of points; finite places; sizes above 0.
    fn check(&self) -> Result<()> {
        let n = self.points.len();
        let rising = self.offsets.first() == Some(&0) && self.offsets.is_sorted() && self.offsets.last() == Some(&n);
        if !rising {
            let expected = format!("offsets from 0, not falling, to {n}");
            return Err(Error::data(DataFault::Shape, "detections", expected, format!("{:?}", self.offsets.last())));
        }
        if n >= u32::MAX as usize / 2 {
            return Err(Error::Limit {
                what: "detections".into(),
                needed: format!("{n}"),
                limit: format!("{}", u32::MAX / 2),
            });
        }
        for time in 0..self.times() {
            if let Some(at) = self.at(time).iter().position(|point| point.iter().any(|x| !x.is_finite())) {
                let found = format!("{:?} at row {at} of time point {time}", self.at(time)[at]);
                return Err(Error::data(DataFault::NotFinite, "detections", "finite coordinates", found));
            }
        }
        if let Some(sizes) = self.sizes {
            if sizes.len() != n {
                return Err(Error::data(
                    DataFault::Shape,
                    "sizes",
                    format!("{n}, one for each detection"),
                    sizes.len(),
                ));
            }
            if let Some(at) = sizes.iter().position(|size| !(*size > 0.0 && size.is_finite())) {
                let found = format!("{} for detection {at}", sizes[at]);
                return Err(Error::data(DataFault::Invalid, "sizes", "finite sizes above 0", found));
            }
        }
        Ok(())
    }
}

/// Tracks of detections over time, with divisions.
///
/// Time grows with detections times candidates within `max_speed` (at most 32 are weighed for each), times two starts of
/// up to `passes` passes; memory with detections.
///
/// # Errors
/// [`Error::Parameter`] for options out of range; [`Error::Data`] for places that are not finite, sizes that are not
/// above 0, offsets that do not fit; [`Error::Limit`] beyond 2 billion detections; [`Error::Interrupted`].
pub fn track(detections: &Detections<'_>, options: &TrackOptions, ctx: &Ctx) -> Result<Tracks> {
    options.validate()?;
    detections.check()?;
    if detections.points.is_empty() {
        return Ok(Tracks::default());
    }
    let linked = link::link(detections, options, ctx)?;
    let joined = join::join(detections, &linked, options, ctx)?;
    Ok(lineage::lineage(detections, &joined))
}
