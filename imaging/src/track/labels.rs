//! Label volumes over time: where each label lies, and how labels of two volumes overlap.

use std::collections::HashMap;

use zensaibo_core::data::{Dtype, Frame, Region, VolumeBlocks};
use zensaibo_core::parallel::ordered_reduce;
use zensaibo_core::{Ctx, DataFault, Error, Result};

use crate::blocks::read_as;

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
    check(source, "labels")?;
    let times = source.info().shape[0];
    let mut out = Vec::with_capacity(times);
    let stage = ctx.stage("labels", times as u64);
    ordered_reduce(
        times,
        ctx,
        |time| {
            let mut sums: HashMap<i64, [u64; 4]> = HashMap::new();
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
            let mut rows: Vec<(i64, [u64; 4])> = sums.into_iter().collect();
            rows.sort_unstable_by_key(|row| row.0);
            stage.advance(1)?;
            Ok(LabelCentres {
                labels: rows.iter().map(|row| row.0 as u64).collect(),
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

/// Overlaps of the labels of two volumes at each time point: (reference, result, voxels in common), neither 0, in
/// rising order.
///
/// # Errors
/// As [`label_centres`]; [`Error::Data`] for volumes of different shape.
pub fn label_overlaps(
    reference: &dyn VolumeBlocks,
    result: &dyn VolumeBlocks,
    ctx: &Ctx,
) -> Result<Vec<Vec<(u64, u64, u64)>>> {
    check(reference, "reference labels")?;
    check(result, "result labels")?;
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
            let mut counts: HashMap<(i64, i64), u64> = HashMap::new();
            slabs(reference, time, ctx, |region, voxels| {
                let other = labels_of(result, time, region)?;
                let mut last = ((0, 0), 0u64);
                for pair in voxels.iter().copied().zip(other) {
                    if pair == last.0 {
                        last.1 += 1;
                        continue;
                    }
                    if last.1 > 0 && last.0.0 != 0 && last.0.1 != 0 {
                        *counts.entry(last.0).or_default() += last.1;
                    }
                    last = (pair, 1);
                }
                if last.1 > 0 && last.0.0 != 0 && last.0.1 != 0 {
                    *counts.entry(last.0).or_default() += last.1;
                }
                Ok(())
            })?;
            let mut rows: Vec<(u64, u64, u64)> =
                counts.into_iter().map(|((a, b), n)| (a as u64, b as u64, n)).collect();
            rows.sort_unstable();
            Ok(rows)
        },
        |_, rows| {
            out.push(rows);
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
    let sizes = |side: &[LabelCentres]| side.iter().flat_map(|frame| frame.voxels.clone()).collect::<Vec<u64>>();
    let mut numbered = Vec::new();
    let (mut a, mut b) = (0, 0);
    for (time, rows) in overlaps.iter().enumerate() {
        let (ours, theirs) = (&reference[time].labels, &result[time].labels);
        for (x, y, common) in rows {
            let place = |labels: &[u64], label: u64| labels.partition_point(|&other| other < label);
            numbered.push(((a + place(ours, *x)) as u32, (b + place(theirs, *y)) as u32, *common));
        }
        (a, b) = (a + ours.len(), b + theirs.len());
    }
    let (seg, matches) = super::metrics::seg(&sizes(&reference), &sizes(&result), &numbered);
    Ok(LabelMatches { reference, result, matches, seg })
}

fn check(source: &dyn VolumeBlocks, what: &str) -> Result<()> {
    let info = source.info();
    if matches!(info.dtype, Dtype::F16 | Dtype::F32 | Dtype::F64) {
        return Err(Error::data(DataFault::Invalid, what, "labels of a whole number type", info.dtype.name()));
    }
    if info.shape[1] != 1 {
        return Err(Error::data(DataFault::Shape, what, "one channel", info.shape[1]));
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
    mut each: impl FnMut(&Region, &[i64]) -> Result<()>,
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
        each(&region, &labels_of(source, time, &region)?)?;
        z += depth;
    }
    Ok(())
}

/// Labels of a region.
fn labels_of(source: &dyn VolumeBlocks, time: usize, region: &Region) -> Result<Vec<i64>> {
    let frame = Frame { time, channel: 0 };
    let voxels: Vec<i64> = if source.info().dtype == Dtype::U64 {
        // Labels beyond the largest i64 become negative, and are refused with them.
        read_as::<u64>(source, frame, region)?.data.into_iter().map(|label| label as i64).collect()
    } else {
        read_as::<i64>(source, frame, region)?.data
    };
    match voxels.iter().find(|&&label| label < 0) {
        None => Ok(voxels),
        Some(&label) => {
            let what = format!("{}, time point {time}", source.info().name);
            let found = if source.info().dtype == Dtype::U64 { (label as u64).to_string() } else { label.to_string() };
            Err(Error::data(DataFault::Invalid, what, "labels from 0 to 2^63 - 1", found))
        }
    }
}
