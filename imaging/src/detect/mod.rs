//! Cells in a volume: where they are, how sure, how large, how bright.
//!
//! Two looks at the volume. The first ([`local`]) learns what is normal around each place: median, spread and noise of
//! tiles of six soma diameters, and how much of the signal goes with a background channel, which is then taken off. Where
//! there is no tissue there is next to no noise either, and everything would stand out: noise below a share of that of tissue is
//! not believed. The second goes over blocks with a halo: peaks of differences of Gaussians at two scales become candidates, each is described
//! by numbers that do not change with gain, offset, mirroring or quarter turns, and a threshold in local noise or a
//! [`CellClassifier`] decides. Without a classifier a peak that is no brighter than three of the eight sides around it is the
//! rim of something larger and no cell. A light sheet blurs along z: with an elongation every length along z is that many times
//! longer, for filters, features and nearness alike. Of two cells that are too near each other the one that stands out less goes, in an order that
//! the scores give and no block. A candidate belongs to the block that holds its voxel, and the halo covers all that it
//! sees: every cell is found once, with the same bits, however the volume is cut.
//!
//! Differences of Gaussians: Lindeberg, Int. J. Comput. Vision 30, 1998.

mod candidates;
mod cells;
mod features;
mod local;
mod measure;
mod options;

pub use cells::{Cells, DetectionReport};
pub use options::DetectOptions;

pub(crate) use options::check_elongation;

pub(crate) use candidates::{Peak, Scales};
pub(crate) use cells::{rounded, thin};
pub(crate) use features::names as feature_names;

use local::{LocalMap, Normal};
use zensaibo_core::data::{Frame, Grid, Region, VolumeBlocks};
use zensaibo_core::options::Options;
use zensaibo_core::{Ctx, DataFault, Error, Result};

use crate::blocks::{Border, DEFAULT_MEMORY, Plan, Work, map_shared, pool, read_sides};
use crate::classify::CellClassifier;
use crate::space::Spacing;

/// How a candidate's response compares with what is normal: the larger of the two scales, in local noise.
///
/// Local noise is what voxel noise leaves of itself after the filter, and a share of the spread of the tissue around; neither
/// counts for less than its `floor`.
fn prominence(peak: &Peak, normal: &Normal, gain: [f32; 2], floor: [f32; 2]) -> f32 {
    const TEXTURE: f32 = 0.15;
    let one = |scale: usize| {
        let noise = (normal.noise.max(floor[0]) * gain[scale]).hypot(TEXTURE * normal.spread.max(floor[1]));
        peak.response[scale] / noise.max(f32::MIN_POSITIVE)
    };
    one(0).max(one(1))
}

/// A candidate with all that is known of it.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub(crate) struct Candidate {
    pub peak: Peak,
    pub prominence: f32,
    pub normal: Normal,
    pub features: Vec<f32>,
    pub measured: measure::Measured,
}

/// How the search goes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Manner {
    /// Of cell bodies, in micrometres.
    pub diameter: f64,
    pub elongation: f64,
    /// Least noise that is believed, as a share of that of tissue.
    pub noise_floor: f64,
    /// Whether candidates are described, which takes a look at their neighbours.
    pub describe: bool,
}

/// The candidates of a block.
pub(crate) struct Sought {
    /// In raster order.
    pub candidates: Vec<Candidate>,
    /// Those beside them that stand out from the noise around them alone, which is below the floor.
    pub dark: u64,
}

/// What the search is done with.
pub(crate) struct Search<'a> {
    pub signal: &'a dyn VolumeBlocks,
    pub background: Option<&'a dyn VolumeBlocks>,
    pub frame: Frame,
    pub spacing: Spacing,
    /// The spacing without the elongation of cells along z: in it they are round. All that has to do with shape and
    /// nearness is measured in it.
    pub round: Spacing,
    pub diameter: f64,
    pub scales: Scales,
    pub local: LocalMap,
    /// Whether candidates are described, which takes a look at their neighbours.
    pub describe: bool,
}

impl<'a> Search<'a> {
    /// Checks the volumes and takes the first look.
    pub(crate) fn new(
        signal: &'a dyn VolumeBlocks,
        background: Option<&'a dyn VolumeBlocks>,
        frame: Frame,
        spacing: Spacing,
        manner: Manner,
        ctx: &Ctx,
    ) -> Result<Self> {
        let Manner { diameter, elongation, noise_floor, describe } = manner;
        let shape = signal.info().space();
        signal.info().check(frame, &Region::whole(shape))?;
        if let Some(background) = background
            && background.info().space() != shape
        {
            let what = format!("background {}", background.info().name);
            let expected = format!("the shape of the signal, {shape:?} (z, y, x)");
            return Err(Error::data(DataFault::Shape, what, expected, format!("{:?}", background.info().space())));
        }
        let round = spacing.compressed(elongation);
        for (axis, voxels) in ["z", "y", "x"].iter().zip(round.to_voxels(diameter)) {
            if !(0.2..=200.0).contains(&voxels) {
                let expected = format!("between 0.2 and 200 voxels along {axis}");
                let found = format!("{diameter} um, {voxels:.3} voxels");
                return Err(Error::parameter("soma_diameter", expected, found));
            }
        }
        let scales = Scales::new(round, diameter)?;
        let local = LocalMap::new(signal, background, frame, round, diameter, noise_floor, ctx)?;
        Ok(Self { signal, background, frame, spacing, round, diameter, scales, local, describe })
    }

    /// Voxels beyond a block that its cells depend on.
    pub(crate) fn halo(&self) -> [usize; 3] {
        let (look, filter) = (self.look(), self.scales.halo());
        std::array::from_fn(|a| (self.rim(a) + filter[a]).max(look[a]))
    }

    /// Voxels around a candidate that describe it.
    fn look(&self) -> [usize; 3] {
        match self.describe {
            true => features::reach(self.round, self.diameter),
            false => features::reach_of_sides(self.round, self.diameter),
        }
    }

    /// The cut of the volume.
    pub(crate) fn plan(&self, memory: Option<u64>) -> Result<Plan> {
        let bytes_per_voxel = 24 + self.signal.info().dtype.size() + if self.background.is_some() { 8 } else { 0 };
        let (shape, chunk) = (self.signal.info().space(), self.signal.info().chunk);
        let work = Work { halo: self.halo(), bytes_per_voxel, chunk, memory };
        if self.signal.exchange().is_some() {
            return Plan::shared(shape, &work);
        }
        if memory.is_none() {
            // Memory that is touched for the first time costs more than voxels that are smoothed twice: a volume of one block or two
            // is cut into more, where its stored pieces let that be.
            let voxels: u64 = shape.iter().map(|&n| n as u64).product();
            let small = SMALL_MEMORY.saturating_mul(rayon::current_num_threads() as u64);
            let memory = Some(voxels.saturating_mul(32).max(small).min(DEFAULT_MEMORY));
            let few = Work { halo: self.halo(), bytes_per_voxel, chunk, memory };
            if let Ok(plan) = Plan::new(shape, &few) {
                return Ok(plan);
            }
        }
        Plan::new(shape, &work)
    }

    /// Voxels around a block that are read, before and after it: the halo, and beyond the ends of the volume just what a look at a
    /// candidate there takes of the mirror image.
    fn sides(&self, region: &Region) -> [[usize; 3]; 2] {
        let (halo, look, shape) = (self.halo(), self.look(), self.signal.info().space());
        let side = |a: usize, there: usize| halo[a].min(there).max(look[a]);
        [
            std::array::from_fn(|a| side(a, region.start[a])),
            std::array::from_fn(|a| side(a, shape[a] - region.end()[a])),
        ]
    }

    /// The signal of a block with what lies around it, without what the background channel explains.
    fn read(&self, region: &Region, sides: [[usize; 3]; 2]) -> Result<Grid<f32>> {
        let mut grid = read_sides(self.signal, self.frame, region, sides, Border::Reflect)?;
        if let Some(background) = self.background {
            let other = read_sides(background, Frame::default(), region, sides, Border::Reflect)?;
            let shape = self.signal.info().space();
            let place = |a: usize, i: usize| {
                let at = (region.start[a] + i) as isize - sides[0][a] as isize;
                Border::Reflect.place(at, shape[a]).unwrap_or(0)
            };
            let mut i = 0;
            for z in 0..grid.shape[0] {
                for y in 0..grid.shape[1] {
                    for x in 0..grid.shape[2] {
                        let normal = self.local.at([place(0, z), place(1, y), place(2, x)]);
                        grid.data[i] -= normal.slope * (other.data[i] - normal.background);
                        i += 1;
                    }
                }
            }
        }
        Ok(grid)
    }

    /// The candidates of a block: those that `keep` lets pass.
    pub(crate) fn block(&self, region: &Region, keep: &(dyn Fn(&Peak, f32, &Normal) -> bool + Sync)) -> Result<Sought> {
        let sides = self.sides(region);
        let shape = self.signal.info().space();
        let grid = self.read(region, sides)?;
        // Where candidates are sought: beyond the volume there are none.
        let part = region.grown(std::array::from_fn(|a| self.rim(a)), shape);
        let first = std::array::from_fn(|a| region.start[a] as isize - sides[0][a] as isize);
        let responses = self.scales.apply(&grid, first, &part, shape);
        let ends = std::array::from_fn(|a| [part.start[a] == 0, part.end()[a] == shape[a]]);
        let mut all: Vec<Peak> = Vec::new();
        let mut fine: Vec<[f64; 3]> = Vec::new();
        let near = SAME * self.diameter;
        for scale in 0..2 {
            let response = &responses.scale[scale];
            let known = fine.len();
            candidates::peaks(response, ends, |[z, y, x]| {
                let at = [z, y, x];
                let voxel: [usize; 3] = std::array::from_fn(|a| part.start[a] + at[a]);
                let um = self.round.point_um(voxel.map(|v| v as f64));
                if scale == 1 {
                    // A middle peak beside a fine one is the same cell.
                    let from = fine[..known].partition_point(|p| p[0] < um[0] - near);
                    let same = fine[from..known].iter().take_while(|p| p[0] <= um[0] + near);
                    if same.into_iter().any(|p| square_distance(*p, um) <= near * near) {
                        return;
                    }
                }
                let index = response.index(z, y, x);
                let steps = [response.shape[1] * response.shape[2], response.shape[2], 1];
                let place = std::array::from_fn(|a| {
                    // Beyond the volume lies a mirror image.
                    let before = if at[a] > 0 { index - steps[a] } else { index };
                    let after = if at[a] + 1 < response.shape[a] { index + steps[a] } else { index };
                    let values = [before, index, after].map(|i| response.data[i]);
                    let offset = candidates::parabola(values[0], values[1], values[2]);
                    // No centre lies beyond those of the outermost voxels: rounded, it is a voxel of the volume.
                    (voxel[a] as f64 + offset).clamp(0.0, (shape[a] - 1) as f64)
                });
                let response = [responses.scale[0].data[index], responses.scale[1].data[index]];
                if scale == 0 {
                    fine.push(um);
                }
                all.push(Peak { voxel, place, response });
            });
        }
        responses.scale.into_iter().for_each(|grid| pool::give(grid.data));
        all.sort_by_key(|peak| peak.voxel);
        let mut rated: Vec<(Peak, Normal, f32)> = Vec::with_capacity(all.len());
        let mut dark = 0;
        for peak in all {
            let normal = self.local.at(peak.voxel);
            let rate = |floor| prominence(&peak, &normal, self.scales.gain, floor);
            let prominence = rate(self.local.floor);
            let lost = |from: f32| keep(&peak, from, &normal) && !keep(&peak, prominence, &normal);
            dark += u64::from(region.contains(peak.voxel) && lost(rate([0.0; 2])));
            if prominence >= FAINTEST {
                rated.push((peak, normal, prominence));
            }
        }
        let places: Vec<[f64; 3]> =
            rated.iter().map(|(peak, ..)| self.round.point_um(peak.voxel.map(|v| v as f64))).collect();
        let real = std::array::from_fn(|a| {
            [(-first[a]).max(0) as usize, (shape[a] as isize - first[a]).min(grid.shape[a] as isize) as usize]
        });
        let around = features::Neighbourhood::new(self.round, self.diameter, grid.shape);
        let mut bodies = measure::Bodies::new(self.round, self.diameter, grid.shape);
        let mut out = Vec::new();
        for (i, (peak, normal, prominence)) in rated.iter().enumerate() {
            if !region.contains(peak.voxel) || !keep(peak, *prominence, normal) {
                continue;
            }
            let at: [usize; 3] = std::array::from_fn(|a| peak.voxel[a] - region.start[a] + sides[0][a]);
            let centre = grid.index(at[0], at[1], at[2]);
            let mut row = Vec::new();
            if self.describe {
                around.describe(&grid, centre, normal, peak.response, &mut row);
                self.neighbours(i, &places, &rated, &mut row);
            } else if !around.stands_free(&grid, centre, peak.response) {
                continue;
            }
            out.push(Candidate {
                peak: *peak,
                prominence: *prominence,
                normal: *normal,
                features: row,
                measured: bodies.measure(&grid, at, real, normal),
            });
        }
        pool::give(grid.data);
        Ok(Sought { candidates: out, dark })
    }

    /// Voxels around a block in which peaks count as neighbours (of described candidates), what decides whether those are
    /// peaks of their own, and one for the peak test.
    fn rim(&self, axis: usize) -> usize {
        let neighbours = if self.describe { features::NEIGHBOURS[features::NEIGHBOURS.len() - 1] } else { 0.0 };
        let far = (neighbours + SAME) * self.diameter;
        (far / self.round.um()[axis]).ceil() as usize + 1
    }

    /// What the candidates around number `i` tell of it.
    fn neighbours(&self, i: usize, places: &[[f64; 3]], rated: &[(Peak, Normal, f32)], out: &mut Vec<f32>) {
        let own = rated[i].2;
        let radius = features::NEIGHBOURS.map(|r| r * self.diameter);
        let (mut count, mut best) = ([0f32; 2], [0f32; 2]);
        let mut stronger = radius[1];
        // Places lie in raster order: those far along z end the search.
        let mut visit = |j: usize| {
            let along = (places[j][0] - places[i][0]).abs();
            if along >= radius[1] {
                return false;
            }
            let distance = square_distance(places[i], places[j]).sqrt();
            for k in 0..2 {
                if distance < radius[k] {
                    count[k] += 1.0;
                    best[k] = best[k].max(rated[j].2);
                }
            }
            if rated[j].2 > own && distance < stronger {
                stronger = distance;
            }
            true
        };
        for j in (0..i).rev() {
            if !visit(j) {
                break;
            }
        }
        for j in i + 1..places.len() {
            if !visit(j) {
                break;
            }
        }
        let rival = |k: usize| (best[k] / own).min(20.0);
        out.extend([count[0], count[1], rival(0), rival(1), (stronger / self.diameter) as f32]);
    }
}

/// Working memory for each thread where nobody says otherwise and the volume is small.
const SMALL_MEMORY: u64 = 512 << 20;

/// Candidates that stand out less than this, in local noise, are no neighbours worth counting.
const FAINTEST: f32 = 1.0;

/// Peaks of the two scales nearer than this many soma diameters are one candidate.
const SAME: f64 = 0.25;

fn square_distance(a: [f64; 3], b: [f64; 3]) -> f64 {
    (0..3).map(|axis| (a[axis] - b[axis]) * (a[axis] - b[axis])).sum()
}

/// Finds the cells of one channel, with or without a channel of background (autofluorescence of the same tissue, same
/// shape) and with or without a classifier that decides what is a cell.
///
/// Time grows with the voxels (about three Gaussians) and the candidates; memory stays within `options.memory` but for
/// the cells (about 100 bytes each) and the map of what is normal. Same bits for any memory and any number of threads. A volume
/// without any contrast gives no cells and says so in the report.
///
/// # Errors
/// [`Error::Parameter`] for options out of range and a diameter below 0.2 or above 200 voxels; [`Error::Data`] for an empty
/// volume, NaN or infinity (with the first such voxel), or a background of another shape; [`Error::Limit`] when no block
/// fits into the memory.
///
/// Processes that share the signal take two passes: some tiles of the first look each, then some blocks.
pub fn detect_cells(
    signal: &dyn VolumeBlocks,
    background: Option<&dyn VolumeBlocks>,
    spacing: Spacing,
    classifier: Option<&CellClassifier>,
    options: &DetectOptions,
    ctx: &Ctx,
) -> Result<Cells> {
    options.validate()?;
    let frame = Frame { time: options.time, channel: options.channel };
    let elongation = options.elongation.or(classifier.map(CellClassifier::elongation)).unwrap_or(1.0);
    let manner = Manner {
        diameter: options.soma_diameter,
        elongation,
        noise_floor: options.noise_floor,
        describe: classifier.is_some(),
    };
    let search = Search::new(signal, background, frame, spacing, manner, ctx)?;
    let shape = signal.info().space();
    let mut cells = Cells::new(&search, classifier.is_some());
    if search.local.constant {
        return Ok(cells);
    }
    let plan = search.plan(options.memory)?;
    detect_in(&search, &plan, classifier, options, ctx, &mut cells)?;
    cells.finish(spacing, search.round, shape, options);
    Ok(cells)
}

/// The second look, on a given cut.
fn detect_in(
    search: &Search<'_>,
    plan: &Plan,
    classifier: Option<&CellClassifier>,
    options: &DetectOptions,
    ctx: &Ctx,
    cells: &mut Cells,
) -> Result<()> {
    let least = classifier.map(|classifier| options.min_score.map_or(classifier.min_score(), |score| score as f32));
    let keep = |_: &Peak, prominence: f32, _: &Normal| match classifier {
        Some(classifier) => prominence >= classifier.gate(),
        None => f64::from(prominence) >= options.threshold,
    };
    map_shared(
        search.signal,
        plan,
        "detect cells",
        ctx,
        |region| {
            let found = search.block(region, &keep)?;
            let seen = [found.candidates.len() as u64, found.dark];
            let scored = found.candidates.into_iter().filter_map(|mut candidate| {
                let features = std::mem::take(&mut candidate.features);
                let score = classifier.map_or(candidate.prominence, |classifier| classifier.score(&features));
                least.is_none_or(|least| score >= least).then_some((candidate, score))
            });
            Ok((seen, scored.collect::<Vec<_>>()))
        },
        |_, (seen, scored)| {
            cells.report.candidates += seen[0];
            cells.report.dark += seen[1];
            scored.into_iter().for_each(|(candidate, score)| cells.push(search.spacing, candidate, score));
            Ok(())
        },
    )?;
    pool::clear();
    Ok(())
}

#[cfg(test)]
mod tests;
