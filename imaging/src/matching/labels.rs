//! How well labels found agree with true ones.

use std::collections::HashMap;

use zensaibo_core::data::{Dtype, Frame, Region, VolumeBlocks};
use zensaibo_core::{Ctx, DataFault, Error, Result};

use super::largest_matching;
use crate::blocks::{Plan, Work, map_blocks, read_as};

/// Voxels that labels of two volumes share.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Overlaps {
    /// Labels of the truth with their voxels, ascending.
    pub truth: Vec<(u64, u64)>,
    /// Labels found with their voxels, ascending.
    pub found: Vec<(u64, u64)>,
    /// Places in `truth` and `found` of labels that share voxels, and how many; ascending.
    pub shared: Vec<(u32, u32, u64)>,
}

/// Scores of a segmentation at one threshold of the intersection over union (IoU).
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct SegmentationScore {
    /// The threshold; a pair counts from there.
    pub threshold: f64,
    /// Pairs of true and found objects.
    pub true_positives: u64,
    /// Objects found without a true one.
    pub false_positives: u64,
    /// True objects that were not found.
    pub false_negatives: u64,
    /// Share of the objects found that are true; 0 where nothing was found.
    pub precision: f64,
    /// Share of the true objects that were found; 0 where there is none.
    pub recall: f64,
    /// Harmonic mean of the two.
    pub f1: f64,
    /// `TP / (TP + FP + FN)`: the average precision of the StarDist and Cellpose papers.
    pub average_precision: f64,
    /// Mean IoU of the pairs; 0 without any.
    pub mean_iou: f64,
    /// Panoptic quality: mean IoU times F1.
    pub panoptic_quality: f64,
}

impl Overlaps {
    /// Counts what two volumes of labels share; 0 is background. Same result for any memory and any number of threads.
    ///
    /// # Errors
    /// [`Error::Data`] for extents that differ, labels that are not whole numbers or below 0; [`Error::Limit`] when no block
    /// fits `memory`; what the sources return.
    pub fn count(
        truth: &dyn VolumeBlocks,
        truth_frame: Frame,
        found: &dyn VolumeBlocks,
        found_frame: Frame,
        memory: Option<u64>,
        ctx: &Ctx,
    ) -> Result<Self> {
        let shape = truth.info().space();
        if found.info().space() != shape {
            let (expected, other) =
                (format!("{shape:?} voxels as the truth has"), format!("{:?}", found.info().space()));
            return Err(Error::data(DataFault::Shape, "labels found", expected, other));
        }
        check_labels("true labels", truth)?;
        check_labels("labels found", found)?;
        let mut pairs: HashMap<(u64, u64), u64> = HashMap::new();
        if !shape.contains(&0) {
            let plan =
                Plan::new(shape, &Work { halo: [0; 3], bytes_per_voxel: 24, chunk: truth.info().chunk, memory })?;
            map_blocks(
                &plan,
                "overlaps",
                ctx,
                |region| {
                    let a = read_labels(truth, truth_frame, region)?;
                    let b = read_labels(found, found_frame, region)?;
                    let mut pairs = HashMap::new();
                    add_pairs(&a, &b, &mut pairs);
                    Ok(pairs.into_iter().collect::<Vec<_>>())
                },
                |_, part| {
                    part.into_iter().for_each(|(pair, n)| *pairs.entry(pair).or_default() += n);
                    Ok(())
                },
            )?;
        }
        Ok(Self::of(pairs))
    }

    /// From pairs of labels (true, found) and the voxels that bear both.
    pub(crate) fn of(pairs: HashMap<(u64, u64), u64>) -> Self {
        let mut pairs: Vec<((u64, u64), u64)> = pairs.into_iter().collect();
        pairs.sort_unstable();
        let sizes = |side: fn(&(u64, u64)) -> u64| {
            let mut sizes: Vec<(u64, u64)> =
                pairs.iter().map(|(pair, n)| (side(pair), *n)).filter(|&(label, _)| label != 0).collect();
            sizes.sort_unstable();
            sizes.dedup_by(|next, kept| {
                let same = next.0 == kept.0;
                if same {
                    kept.1 += next.1;
                }
                same
            });
            sizes
        };
        let (truth, found) = (sizes(|pair| pair.0), sizes(|pair| pair.1));
        let place = |sizes: &[(u64, u64)], label: u64| sizes.binary_search_by_key(&label, |s| s.0).ok();
        let shared = pairs
            .iter()
            .filter_map(|&((a, b), n)| Some((place(&truth, a)? as u32, place(&found, b)? as u32, n)))
            .collect();
        Self { truth, found, shared }
    }

    fn iou(&self, &(a, b, n): &(u32, u32, u64)) -> f64 {
        let either = self.truth[a as usize].1 + self.found[b as usize].1 - n;
        n as f64 / either as f64
    }

    /// Scores at one IoU threshold: the most one-to-one pairs whose IoU is at least that.
    ///
    /// # Errors
    /// [`Error::Parameter`] for a threshold that is not above 0 and at most 1.
    pub fn score(&self, threshold: f64) -> Result<SegmentationScore> {
        if !(threshold > 0.0 && threshold <= 1.0) {
            return Err(Error::parameter("threshold", "an intersection over union above 0 and at most 1", threshold));
        }
        // What a pair lacks of agreeing wholly is its cost.
        let mut wanted: Vec<Vec<(f64, u32)>> = vec![Vec::new(); self.truth.len()];
        for shared in &self.shared {
            let iou = self.iou(shared);
            if iou >= threshold {
                wanted[shared.0 as usize].push((-iou, shared.1));
            }
        }
        for wanted in &mut wanted {
            wanted.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        }
        let partners = largest_matching(&wanted, self.found.len());
        let (mut pairs, mut sum) = (0u64, 0.0);
        for (wanted, partner) in wanted.iter().zip(partners) {
            if let Some(partner) = partner {
                pairs += 1;
                sum -= wanted.iter().find(|(_, j)| *j == partner).map_or(0.0, |&(cost, _)| cost);
            }
        }
        let (truth, found) = (self.truth.len() as u64, self.found.len() as u64);
        let share = |a: f64, b: u64| if b == 0 { 0.0 } else { a / b as f64 };
        let n = pairs as f64;
        let f1 = share(2.0 * n, truth + found);
        let mean_iou = share(sum, pairs);
        Ok(SegmentationScore {
            threshold,
            true_positives: pairs,
            false_positives: found - pairs,
            false_negatives: truth - pairs,
            precision: share(n, found),
            recall: share(n, truth),
            f1,
            average_precision: share(n, truth + found - pairs),
            mean_iou,
            panoptic_quality: mean_iou * f1,
        })
    }

    /// For each true object the object found that covers more than half of it, and their IoU.
    pub fn covering(&self) -> Vec<Option<(u32, f64)>> {
        let mut out = vec![None; self.truth.len()];
        for shared in &self.shared {
            if 2 * shared.2 > self.truth[shared.0 as usize].1 {
                out[shared.0 as usize] = Some((shared.1, self.iou(shared)));
            }
        }
        out
    }

    /// SEG of this frame alone: see [`seg`].
    pub fn seg(&self) -> f64 {
        seg(std::slice::from_ref(self))
    }
}

/// SEG of the Cell Tracking Challenge over frames: for each true object the IoU with the object found that covers more
/// than half of it, 0 without one; the mean over true objects, NaN where there is none.
pub fn seg(frames: &[Overlaps]) -> f64 {
    let sum: f64 = frames.iter().flat_map(Overlaps::covering).flatten().map(|(_, iou)| iou).sum();
    sum / frames.iter().map(|frame| frame.truth.len()).sum::<usize>() as f64
}

/// Adds to the voxels of each pair of labels, in stretches where neither changes.
pub(crate) fn add_pairs(a: &[u64], b: &[u64], pairs: &mut HashMap<(u64, u64), u64>) {
    let (mut at, n) = (0, a.len().min(b.len()));
    while at < n {
        let (pair, start) = ((a[at], b[at]), at);
        while at < n && (a[at], b[at]) == pair {
            at += 1;
        }
        *pairs.entry(pair).or_default() += (at - start) as u64;
    }
}

/// Refuses volumes of numbers that are not whole.
pub(crate) fn check_labels(what: &str, volume: &dyn VolumeBlocks) -> Result<()> {
    let dtype = volume.info().dtype;
    if matches!(dtype, Dtype::F16 | Dtype::F32 | Dtype::F64) {
        return Err(Error::data(DataFault::Invalid, what, "labels of a whole number type", dtype.name()));
    }
    Ok(())
}

/// Labels of a region, exactly; those below 0 or beyond the largest `i64` are refused.
pub(crate) fn read_labels(source: &dyn VolumeBlocks, frame: Frame, region: &Region) -> Result<Vec<u64>> {
    let refuse = |label: String| {
        let what = format!("{}, time point {}", source.info().name, frame.time);
        Error::data(DataFault::Invalid, what, "labels from 0 to 2^63 - 1", label)
    };
    if source.info().dtype == Dtype::U64 {
        let labels = read_as::<u64>(source, frame, region)?.data;
        return match labels.iter().find(|&&label| label > i64::MAX as u64) {
            None => Ok(labels),
            Some(label) => Err(refuse(label.to_string())),
        };
    }
    // Every other type fits.
    let labels = read_as::<i64>(source, frame, region)?.data;
    match labels.iter().find(|&&label| label < 0) {
        None => Ok(labels.into_iter().map(|label| label as u64).collect()),
        Some(label) => Err(refuse(label.to_string())),
    }
}
