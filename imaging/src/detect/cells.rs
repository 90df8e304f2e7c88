//! The cells that were found.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use zensaibo_core::data::Dtype;

use super::{Candidate, DetectOptions, Search, square_distance};
use crate::space::Spacing;

/// Cells as columns of one length, in raster order of their voxels.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Cells {
    /// Centre (z, y, x) in micrometres from the centre of voxel 0, between voxels.
    pub centre: Vec<[f64; 3]>,
    /// Probability of a cell when a classifier decided, else how far it stands out in local noise.
    pub score: Vec<f32>,
    /// Volume of the body in cubic micrometres: voxels that hang together with the centre and are brighter than half
    /// way from the local median, within 0.8 soma diameters.
    pub volume: Vec<f32>,
    /// Radius in micrometres of a ball of that volume.
    pub radius: Vec<f32>,
    /// Mean intensity of the body (without what a background channel explains).
    pub mean: Vec<f32>,
    /// Greatest intensity of the body.
    pub peak: Vec<f32>,
    /// Local median of the signal.
    pub background: Vec<f32>,
    /// Local noise from voxel to voxel.
    pub noise: Vec<f32>,
    /// Whether the centre lies in the edge zone.
    pub edge: Vec<bool>,
    /// What was seen on the way.
    pub report: DetectionReport,
    /// Prominence decides between equal scores.
    prominence: Vec<f32>,
}

/// What was seen while cells were sought.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct DetectionReport {
    /// Voxels looked at.
    pub voxels: u64,
    /// Voxels at the largest value that the number type holds.
    pub saturated: u64,
    /// Whether all voxels have one value.
    pub constant: bool,
    /// Candidates that stood out enough to be looked at.
    pub candidates: u64,
    /// Others that stand out from the noise around them but not from the least noise that is believed, as outside of tissue.
    pub dark: u64,
    /// The least noise that is believed, in units of the signal.
    pub least_noise: f64,
    /// Cells dropped since one that stands out more lies too near.
    pub too_near: u64,
    /// Cells in the edge zone.
    pub edge: u64,
    /// Whether a classifier decided.
    pub classified: bool,
}

impl Cells {
    pub(super) fn new(search: &Search<'_>, classified: bool) -> Self {
        let info = search.signal.info();
        let saturated =
            if matches!(info.dtype, Dtype::F32 | Dtype::F64 | Dtype::F16) { 0 } else { search.local.saturated };
        Self {
            report: DetectionReport {
                voxels: info.space().iter().map(|&n| n as u64).product(),
                saturated,
                constant: search.local.constant,
                least_noise: f64::from(search.local.floor[0]),
                classified,
                ..Default::default()
            },
            ..Default::default()
        }
    }

    /// Number of cells.
    pub fn len(&self) -> usize {
        self.centre.len()
    }

    /// Whether no cell was found.
    pub fn is_empty(&self) -> bool {
        self.centre.is_empty()
    }

    pub(super) fn push(&mut self, spacing: Spacing, candidate: Candidate, score: f32) {
        let volume = f64::from(candidate.measured.voxels) * spacing.volume();
        self.centre.push(spacing.point_um(candidate.peak.place));
        self.score.push(score);
        self.volume.push(volume as f32);
        self.radius.push((volume * 0.75 / std::f64::consts::PI).cbrt() as f32);
        self.mean.push(candidate.measured.mean);
        self.peak.push(candidate.measured.peak);
        self.background.push(candidate.normal.median);
        self.noise.push(candidate.normal.noise);
        self.prominence.push(candidate.prominence);
    }

    /// Drops what is too near, orders by place, marks the edge zone.
    pub(super) fn finish(&mut self, spacing: Spacing, round: Spacing, shape: [usize; 3], options: &DetectOptions) {
        let key = |centre: &[f64; 3]| centre.map(f64::to_bits);
        let mut order: Vec<usize> = (0..self.len()).collect();
        order.sort_by_key(|&i| {
            // Positive f64 sort as their bits do; a centre may lie half a voxel before the first.
            self.centre[i].map(|v| (v + 1e6).to_bits())
        });
        let ranks: Vec<(f32, f32, [u64; 3])> =
            (0..self.len()).map(|i| (self.score[i], self.prominence[i], key(&self.centre[i]))).collect();
        let alive = thin(&rounded(&self.centre, spacing, round), &ranks, options.min_distance * options.soma_diameter);
        order.retain(|&i| alive[i]);
        self.report.too_near = (self.len() - order.len()) as u64;
        let zone = options.edge_zone * options.soma_diameter;
        let far: [f64; 3] = spacing.point_um(shape.map(|n| n as f64 - 1.0));
        let edge = |centre: [f64; 3]| (0..3).any(|a| shape[a] > 1 && (centre[a] < zone || centre[a] > far[a] - zone));
        let pick = |values: &[f32]| order.iter().map(|&i| values[i]).collect::<Vec<f32>>();
        let chosen = Self {
            edge: order.iter().map(|&i| edge(self.centre[i])).collect(),
            centre: order.iter().map(|&i| self.centre[i]).collect(),
            score: pick(&self.score),
            volume: pick(&self.volume),
            radius: pick(&self.radius),
            mean: pick(&self.mean),
            peak: pick(&self.peak),
            background: pick(&self.background),
            noise: pick(&self.noise),
            prominence: pick(&self.prominence),
            report: self.report.clone(),
        };
        *self = chosen;
        self.report.edge = self.edge.iter().filter(|&&edge| edge).count() as u64;
    }
}

/// Points with z as if no elongation were.
pub(crate) fn rounded(points: &[[f64; 3]], spacing: Spacing, round: Spacing) -> Vec<[f64; 3]> {
    let share = round.um()[0] / spacing.um()[0];
    points.iter().map(|p| [p[0] * share, p[1], p[2]]).collect()
}

/// Which points stay when, from the highest rank down, each that stays removes those nearer than `radius`.
pub(crate) fn thin(points: &[[f64; 3]], ranks: &[(f32, f32, [u64; 3])], radius: f64) -> Vec<bool> {
    let mut alive = vec![true; points.len()];
    if radius <= 0.0 {
        return alive;
    }
    let bin = |p: [f64; 3]| p.map(|v| (v / radius).floor() as i64);
    let mut bins: HashMap<[i64; 3], Vec<usize>> = HashMap::new();
    for (i, &point) in points.iter().enumerate() {
        bins.entry(bin(point)).or_default().push(i);
    }
    let mut order: Vec<usize> = (0..points.len()).collect();
    order.sort_by(|&a, &b| {
        let (a, b) = (&ranks[a], &ranks[b]);
        b.0.total_cmp(&a.0).then(b.1.total_cmp(&a.1)).then(a.2.cmp(&b.2))
    });
    for i in order {
        if !alive[i] {
            continue;
        }
        let [z, y, x] = bin(points[i]);
        for cell in 0..27 {
            let key = [z + cell / 9 - 1, y + cell / 3 % 3 - 1, x + cell % 3 - 1];
            for &j in bins.get(&key).into_iter().flatten() {
                if j != i && square_distance(points[i], points[j]) < radius * radius {
                    alive[j] = false;
                }
            }
        }
    }
    alive
}
