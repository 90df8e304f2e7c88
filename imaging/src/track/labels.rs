//! Label volumes over time: where each label lies, and how labels of two volumes overlap.

use std::collections::HashMap;

use zensaibo_core::data::{Frame, Region, VolumeBlocks};
use zensaibo_core::parallel::ordered_reduce;
use zensaibo_core::{Ctx, DataFault, Error, Result};

use crate::matching::{Overlaps, add_pairs, check_labels, read_labels, seg};

/// Labels of one time point, in rising order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LabelCentres {
    /// Labels, without 0.
    pub labels: Vec<u64>,
    /// Voxels of each.
    pub voxels: Vec<u64>,
    /// Mean place of each in voxels (z, y, x).
    pub centres: Vec<[f64; 3]>,
}

/// Centres and sizes of the labels of every time point of a label volume of whole numbers and one channel.
///
/// Read slab by slab, once; memory grows with labels. Sums are of whole numbers, so that the result is the same for any
/// chunks and threads.
///
/// # Errors
/// [`Error::Data`] for voxels that are not whole numbers, negative labels, several channels; what the source returns.
pub fn label_centres(source: &dyn VolumeBlocks, ctx: &Ctx) -> Result<Vec<LabelCentres>> {
    check("labels", source)?;
    let times = source.info().shape[0];
    let mut out = Vec::with_capacity(times);
    let stage = ctx.stage("labels", times as u64);
    ordered_reduce(
        times,
        ctx,
        |time| {
            let mut sums: HashMap<u64, [u64; 4]> = HashMap::new();
            slabs(source, time, ctx, |region, voxels| {
                let [_, height, width] = region.size;
                for (line, run) in voxels.chunks_exact(width.max(1)).enumerate() {
                    let (z, y) = (region.start[0] + line / height, region.start[1] + line % height);
                    let mut x = 0;
                    for same in run.chunk_by(|a, b| a == b) {
                        let (n, first) = (same.len() as u64, x as u64);
                        x += same.len();
                        if same[0] != 0 {
                            let sum = sums.entry(same[0]).or_default();
                            sum[0] += n;
                            sum[1] += n * z as u64;
                            sum[2] += n * y as u64;
                            sum[3] += n * first + n * (n - 1) / 2;
                        }
                    }
                }
                Ok(())
            })?;
            let mut rows: Vec<(u64, [u64; 4])> = sums.into_iter().collect();
            rows.sort_unstable_by_key(|row| row.0);
            stage.advance(1)?;
            Ok(LabelCentres {
                labels: rows.iter().map(|row| row.0).collect(),
                voxels: rows.iter().map(|row| row.1[0]).collect(),
                centres: rows.iter().map(|(_, [n, z, y, x])| [*z, *y, *x].map(|sum| sum as f64 / *n as f64)).collect(),
            })
        },
        |_, centres| {
            out.push(centres);
            Ok(())
        },
    )?;
    Ok(out)
}

/// What the labels of two volumes share at each time point.
///
/// # Errors
/// As [`label_centres`]; [`Error::Data`] for volumes of different shape.
pub fn label_overlaps(reference: &dyn VolumeBlocks, result: &dyn VolumeBlocks, ctx: &Ctx) -> Result<Vec<Overlaps>> {
    check("reference labels", reference)?;
    check("result labels", result)?;
    let shape = reference.info().shape;
    if result.info().shape != shape {
        let expected = format!("shape {shape:?} (t, c, z, y, x), that of the reference");
        return Err(Error::data(DataFault::Shape, "result labels", expected, format!("{:?}", result.info().shape)));
    }
    let mut out = Vec::with_capacity(shape[0]);
    ordered_reduce(
        shape[0],
        ctx,
        |time| {
            let mut pairs = HashMap::new();
            slabs(reference, time, ctx, |region, voxels| {
                let other = read_labels(result, Frame { time, channel: 0 }, region)?;
                add_pairs(voxels, &other, &mut pairs);
                Ok(())
            })?;
            Ok(Overlaps::of(pairs))
        },
        |_, overlaps| {
            out.push(overlaps);
            Ok(())
        },
    )?;
    Ok(out)
}

/// Objects of two label volumes and which result object stands for each of the reference.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LabelMatches {
    /// Objects of the reference at each time point.
    pub reference: Vec<LabelCentres>,
    /// Objects of the result at each time point.
    pub result: Vec<LabelCentres>,
    /// For each reference object (of all time points one after the other) the result object, numbered likewise, that
    /// covers more than half of it.
    pub matches: Vec<Option<u32>>,
    /// SEG of the challenge; NaN without reference objects.
    pub seg: f64,
}

/// Holds the labels of a result against those of a reference. Both are read twice.
///
/// # Errors
/// As [`label_overlaps`]; [`Error::Limit`] beyond 4 billion objects.
pub fn match_labels(reference: &dyn VolumeBlocks, result: &dyn VolumeBlocks, ctx: &Ctx) -> Result<LabelMatches> {
    let overlaps = label_overlaps(reference, result, ctx)?;
    let (reference, result) = (label_centres(reference, ctx)?, label_centres(result, ctx)?);
    let count = |side: &[LabelCentres]| side.iter().map(|frame| frame.labels.len()).sum::<usize>();
    if count(&reference).max(count(&result)) >= u32::MAX as usize {
        let needed = count(&reference).max(count(&result)).to_string();
        return Err(Error::Limit { what: "labels over time".into(), needed, limit: u32::MAX.to_string() });
    }
    let (mut matches, mut before) = (Vec::new(), 0u32);
    for frame in &overlaps {
        matches.extend(frame.covering().into_iter().map(|found| found.map(|(at, _)| before + at)));
        before += frame.found.len() as u32;
    }
    Ok(LabelMatches { reference, result, matches, seg: seg(&overlaps) })
}

fn check(what: &str, source: &dyn VolumeBlocks) -> Result<()> {
    check_labels(what, source)?;
    if source.info().shape[1] != 1 {
        return Err(Error::data(DataFault::Shape, what, "one channel", source.info().shape[1]));
    }
    Ok(())
}

/// Voxels that are read at once, about.
const SLAB: usize = 1 << 22;

/// Calls `each` with the labels of slabs of whole planes, in order of z.
fn slabs(
    source: &dyn VolumeBlocks,
    time: usize,
    ctx: &Ctx,
    mut each: impl FnMut(&Region, &[u64]) -> Result<()>,
) -> Result<()> {
    let space = source.info().space();
    if space.contains(&0) {
        return Ok(());
    }
    let chunk = source.info().chunk[0].max(1);
    let fit = (SLAB / (space[1] * space[2])).max(1);
    let depth = if fit > chunk { fit / chunk * chunk } else { fit };
    let mut z = 0;
    while z < space[0] {
        ctx.check()?;
        let region = Region { start: [z, 0, 0], size: [depth.min(space[0] - z), space[1], space[2]] };
        each(&region, &read_labels(source, Frame { time, channel: 0 }, &region)?)?;
        z += depth;
    }
    Ok(())
}
