//! From annotated volumes to a classifier.

use zensaibo_core::data::{Frame, Grid, VolumeBlocks};
use zensaibo_core::options::Options;
use zensaibo_core::{Ctx, DataFault, Error, Result, options};

use super::{CellClassifier, Trees, TreesOptions, Validation};
use crate::detect::{Candidate, Manner, Search, check_elongation, rounded, thin};
use crate::matching::match_points;
use crate::space::Spacing;

/// Candidates that stand out less than this, in local noise, are not looked at.
const FAINTEST: f32 = 1.5;

options! {
    /// Training of a cell classifier.
    pub struct TrainOptions("train_cell_classifier") {
        /// Diameter of a cell body in micrometres, above 0.
        pub soma_diameter: f64 = 10.0,
        /// How many times longer a cell looks along z than across, 0.2 to 10: every length along z is as many times longer.
        pub elongation: f64 = 1.0,
        /// Farthest that a found centre may lie from an annotated one, in micrometres; none for 0.8 soma diameters.
        pub radius: Option<f64> = None,
        /// Smallest distance between two cells, as a share of the soma diameter, as in detection.
        pub min_distance: f64 = 0.6,
        /// Share of the annotated cells that may be lost to the gate before the trees, 0 to 0.5. Larger is faster.
        pub gate_loss: f64 = 0.02,
        /// The trees.
        pub boosting: TreesOptions = TreesOptions::default(),
        /// Channel of the volumes, from 0.
        pub channel: usize = 0,
        /// Bytes of working memory; none for 2 GiB.
        pub memory: Option<u64> = None,
    }
}

impl TrainOptions {
    fn check(&self) -> Result<()> {
        if !(self.soma_diameter > 0.0 && self.soma_diameter <= 1e4) {
            return Err(Error::parameter("soma_diameter", "a number above 0, at most 10000", self.soma_diameter));
        }
        check_elongation(self.elongation)?;
        if let Some(radius) = self.radius
            && !(radius > 0.0 && radius.is_finite())
        {
            return Err(Error::parameter("radius", "a finite length above 0", radius));
        }
        if !(0.0..=2.0).contains(&self.min_distance) {
            return Err(Error::parameter("min_distance", "between 0 and 2 soma diameters", self.min_distance));
        }
        if !(0.0..=0.5).contains(&self.gate_loss) {
            return Err(Error::parameter("gate_loss", "a share between 0 and 0.5", self.gate_loss));
        }
        self.boosting.validate()
    }
}

/// A volume whose cells are known.
pub struct Annotated<'a> {
    /// The signal.
    pub signal: &'a dyn VolumeBlocks,
    /// The channel of background, if there is one.
    pub background: Option<&'a dyn VolumeBlocks>,
    /// Micrometres per voxel.
    pub spacing: Spacing,
    /// Centres of all its cells (z, y, x) in micrometres.
    pub cells: &'a [[f64; 3]],
    /// Voxels that somebody looked at; none for all. Elsewhere nothing is learned and nothing judged.
    pub looked: Option<&'a Grid<bool>>,
    /// The animal or whatever else is left out as a whole when the score is chosen.
    pub group: usize,
}

/// One volume's candidates.
struct Patch {
    centres: Vec<[f64; 3]>,
    /// The centres with z as if no elongation were.
    round: Vec<[f64; 3]>,
    prominence: Vec<f32>,
    rows: Vec<f32>,
    is_cell: Vec<bool>,
    truth: Vec<[f64; 3]>,
    group: usize,
}

/// Trains a classifier on volumes whose every cell is annotated. Groups weigh the same, and so do cells and the rest within
/// each: a group with many cells does not outvote the others. The score from which on a candidate counts is the one with the
/// best F1 over the groups, each judged by trees trained on the others; with a single group, on its own rows.
///
/// Deterministic: same bits for any memory and any number of threads.
///
/// # Errors
/// [`Error::Parameter`] for options out of range; [`Error::Data`] for no volume, no annotated cell or no other candidate,
/// and whatever detection refuses.
pub fn train_cell_classifier(volumes: &[Annotated<'_>], options: &TrainOptions, ctx: &Ctx) -> Result<CellClassifier> {
    options.validate()?;
    let first = volumes.first().ok_or_else(|| Error::data(DataFault::Empty, "patches", "at least one volume", 0))?;
    let radius = options.radius.unwrap_or(0.8 * options.soma_diameter);
    let mut patches =
        volumes.iter().map(|volume| gather(volume, radius, options, ctx)).collect::<Result<Vec<Patch>>>()?;
    let mut faint: Vec<f32> = patches
        .iter()
        .flat_map(|patch| patch.prominence.iter().zip(&patch.is_cell).filter(|pair| *pair.1).map(|pair| *pair.0))
        .collect();
    if faint.is_empty() {
        let expected = "annotated cells with a candidate near them";
        return Err(Error::data(DataFault::TooFew, "annotations", expected, "none"));
    }
    faint.sort_by(f32::total_cmp);
    let gate = faint[((faint.len() - 1) as f64 * options.gate_loss) as usize];
    patches.iter_mut().for_each(|patch| patch.retain(gate));
    let mut groups: Vec<usize> = patches.iter().map(|patch| patch.group).collect();
    groups.sort_unstable();
    groups.dedup();
    let all: Vec<&Patch> = patches.iter().collect();
    let trees = fit(&all, &options.boosting, ctx)?;
    let mut judged: Vec<(&Patch, Vec<f32>)> = Vec::new();
    for &group in &groups {
        let others: Vec<&Patch> = patches.iter().filter(|patch| patch.group != group).collect();
        // A group whose others cannot teach is judged by what all teach.
        let own = if groups.len() > 1 { fit(&others, &options.boosting, ctx).ok() } else { None };
        ctx.check()?;
        let own = own.as_ref().unwrap_or(&trees);
        judged.extend(patches.iter().filter(|patch| patch.group == group).map(|patch| (patch, patch.scores(own))));
    }
    let distance = options.min_distance * options.soma_diameter;
    let mut best: Option<(Validation, f32)> = None;
    for step in 1..50 {
        let limit = step as f32 * 0.02;
        let (mut right, mut found, mut cells) = (0usize, 0usize, 0usize);
        for (patch, scores) in &judged {
            let kept = patch.found(scores, limit, distance);
            right += match_points(&kept, &patch.truth, radius)?.pairs.len();
            found += kept.len();
            cells += patch.truth.len();
        }
        let (precision, recall) = (right as f64 / found.max(1) as f64, right as f64 / cells.max(1) as f64);
        let f1 = 2.0 * right as f64 / (found + cells).max(1) as f64;
        if best.as_ref().is_none_or(|(best, _)| f1 > best.f1) {
            best = Some((Validation { groups: groups.len(), cells, precision, recall, f1, radius }, limit));
        }
    }
    let (validation, min_score) = best.unwrap_or_default();
    Ok(CellClassifier::new(
        first.spacing.um(),
        [options.soma_diameter, options.elongation],
        gate,
        min_score,
        validation,
        trees,
    ))
}

/// The candidates of one volume and which of them are cells.
fn gather(volume: &Annotated<'_>, radius: f64, options: &TrainOptions, ctx: &Ctx) -> Result<Patch> {
    let frame = Frame { time: 0, channel: options.channel };
    let diameter = options.soma_diameter;
    // Patches are tissue; what is dark in them is annotated as well.
    let manner = Manner { diameter, elongation: options.elongation, noise_floor: 0.0, describe: true };
    let search = Search::new(volume.signal, volume.background, frame, volume.spacing, manner, ctx)?;
    let shape = volume.signal.info().space();
    if let Some(grid) = volume.looked
        && grid.shape != shape
    {
        let expected = format!("the shape of the patch, {shape:?}");
        return Err(Error::data(DataFault::Shape, "regions", expected, format!("{:?}", grid.shape)));
    }
    let looked = |centre: [f64; 3]| {
        volume.looked.is_none_or(|grid| {
            let place = volume.spacing.point_voxels(centre);
            // Centres lie at most half a voxel outside.
            let [z, y, x] = std::array::from_fn(|a| (place[a].round().max(0.0) as usize).min(shape[a] - 1));
            grid.at(z, y, x)
        })
    };
    let mut patch = Patch {
        centres: Vec::new(),
        round: Vec::new(),
        prominence: Vec::new(),
        rows: Vec::new(),
        is_cell: Vec::new(),
        truth: volume.cells.iter().copied().filter(|&centre| looked(centre)).collect(),
        group: volume.group,
    };
    let plan = search.plan(options.memory)?;
    let mut all: Vec<Candidate> = Vec::new();
    crate::blocks::map_blocks(
        &plan,
        "candidates",
        ctx,
        |region| search.block(region, &|_, prominence, _| prominence >= FAINTEST),
        |_, found| {
            all.extend(found.candidates);
            Ok(())
        },
    )?;
    all.sort_by_key(|candidate| candidate.peak.voxel);
    for candidate in all {
        let centre = volume.spacing.point_um(candidate.peak.place);
        if !looked(centre) {
            continue;
        }
        patch.centres.push(centre);
        patch.prominence.push(candidate.prominence);
        patch.rows.extend(candidate.features);
    }
    patch.round = rounded(&patch.centres, volume.spacing, search.round);
    patch.is_cell = assign(&patch.centres, &patch.prominence, &patch.truth, radius);
    Ok(patch)
}

/// Gives each annotated cell one candidate within `radius`: near and strong before far and faint.
fn assign(centres: &[[f64; 3]], prominence: &[f32], truth: &[[f64; 3]], radius: f64) -> Vec<bool> {
    let mut pairs: Vec<(f64, usize, usize)> = Vec::new();
    for (t, point) in truth.iter().enumerate() {
        // Centres lie in raster order: z never falls by more than a voxel's place; a plain scan is short beside the features.
        for (i, centre) in centres.iter().enumerate() {
            if (centre[0] - point[0]).abs() > radius {
                continue;
            }
            let distance = (0..3).map(|a| (centre[a] - point[a]).powi(2)).sum::<f64>().sqrt();
            if distance <= radius {
                pairs.push((distance / radius - 0.15 * f64::from(prominence[i].max(1.0)).ln(), t, i));
            }
        }
    }
    pairs.sort_by(|a, b| a.0.total_cmp(&b.0).then((a.1, a.2).cmp(&(b.1, b.2))));
    let mut is_cell = vec![false; centres.len()];
    let mut taken = vec![false; truth.len()];
    for (_, t, i) in pairs {
        if !taken[t] && !is_cell[i] {
            taken[t] = true;
            is_cell[i] = true;
        }
    }
    is_cell
}

/// Trees for these patches, each group and each class within it weighing the same.
fn fit(patches: &[&Patch], options: &TreesOptions, ctx: &Ctx) -> Result<Trees> {
    let features = crate::detect::feature_names().len();
    let (mut rows, mut classes, mut weights) = (Vec::new(), Vec::new(), Vec::new());
    for patch in patches {
        let count = |is_cell: bool| {
            let same = patches.iter().filter(|other| other.group == patch.group);
            same.map(|other| other.is_cell.iter().filter(|&&c| c == is_cell).count()).sum::<usize>().max(1)
        };
        let weight = [500.0 / count(false) as f32, 500.0 / count(true) as f32];
        rows.extend_from_slice(&patch.rows);
        classes.extend_from_slice(&patch.is_cell);
        weights.extend(patch.is_cell.iter().map(|&c| weight[usize::from(c)]));
    }
    Trees::train(&rows, features, &classes, &weights, options, &ctx.silent())
}

impl Patch {
    /// Keeps candidates that stand out at least as much as `gate`.
    fn retain(&mut self, gate: f32) {
        let features = crate::detect::feature_names().len();
        let keep: Vec<usize> = (0..self.centres.len()).filter(|&i| self.prominence[i] >= gate).collect();
        self.rows = keep.iter().flat_map(|&i| self.rows[i * features..(i + 1) * features].to_vec()).collect();
        self.centres = keep.iter().map(|&i| self.centres[i]).collect();
        self.round = keep.iter().map(|&i| self.round[i]).collect();
        self.is_cell = keep.iter().map(|&i| self.is_cell[i]).collect();
        self.prominence = keep.iter().map(|&i| self.prominence[i]).collect();
    }

    fn scores(&self, trees: &Trees) -> Vec<f32> {
        self.rows.chunks_exact(crate::detect::feature_names().len()).map(|row| trees.probability(row)).collect()
    }

    /// The cells that detection would give.
    fn found(&self, scores: &[f32], limit: f32, distance: f64) -> Vec<[f64; 3]> {
        let kept: Vec<usize> = (0..scores.len()).filter(|&i| scores[i] >= limit).collect();
        let centres: Vec<[f64; 3]> = kept.iter().map(|&i| self.centres[i]).collect();
        let ranks: Vec<_> =
            kept.iter().map(|&i| (scores[i], self.prominence[i], self.centres[i].map(f64::to_bits))).collect();
        let round: Vec<[f64; 3]> = kept.iter().map(|&i| self.round[i]).collect();
        let alive = thin(&round, &ranks, distance);
        centres.into_iter().zip(alive).filter(|pair| pair.1).map(|pair| pair.0).collect()
    }
}
