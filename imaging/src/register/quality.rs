//! How far a registration can be trusted.

use zensaibo_core::data::Grid;

use super::RegisterOptions;
use super::correlation::{Pair, correlation_map};
use super::landmarks::Landmark;
use super::pyramid::{Level, background, median};
use super::registration::Registration;
use super::similarity::{Similarity, similarity};
use super::suspects::{Seen, Suspect, suspects};
use super::tissue::tissue;
use super::warp::{Beyond, warp};

/// Below this overlap of the tissues a registration of whole samples is not trusted.
const OVERLAP: f64 = 0.6;
/// Below this correlation it is not trusted.
const ALIKE: f64 = 0.15;
/// Above this share of folded voxels it is not trusted.
const FOLDS: f64 = 0.01;
/// Stretches beyond these are not trusted.
const STRETCH: [f64; 2] = [0.4, 2.5];
/// Voxels to each side of the windows in which likeness is looked at.
const WINDOW: f64 = 4.0;
/// Landmarks that are missed by more than these spacings are told.
const MISSED: f64 = 5.0;
/// A second way to turn the volume that fits this nearly as well makes the first doubtful.
const RIVAL: f64 = 0.99;

/// Measures of a registration, and what they give reason to doubt.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct Quality {
    /// Whether the measures below were taken: not of a map that was imported.
    pub judged: bool,
    /// Which of the right-angled turns of the moving volume fits, 0 being what the headers say.
    pub turn: usize,
    /// Likeness of small images under it, and under the next best turn.
    pub turn_score: f64,
    /// See `turn_score`.
    pub rival_score: Option<f64>,
    /// Correlation of all voxels of the fixed volume with those of the moving one, after everything.
    pub correlation: f64,
    /// Mean squared correlation in windows, before and after the deformation.
    pub local_before: Option<f64>,
    /// See `local_before`.
    pub local_after: Option<f64>,
    /// Dice coefficient of the tissues: of the two masks, or of what stands out from the background. For part of a sample,
    /// the share of its tissue that lies on tissue.
    pub overlap: f64,
    /// Stretches of the affine map along its three axes, falling.
    pub stretches: [f64; 3],
    /// Share of the voxels at which the deformation folds.
    pub folds: f64,
    /// Smallest and largest growth of volume by the deformation alone.
    pub growth: [f64; 2],
    /// Largest distance in micrometres by which points of the fixed volume miss themselves after going forth and back.
    pub inverse_error: f64,
    /// For each landmark, by how many micrometres it is missed in the moving volume.
    pub landmark_errors: Vec<f64>,
    /// Regions that deserve a second look, the largest first.
    pub suspicious: Vec<Suspect>,
    /// What the user should look at.
    pub warnings: Vec<String>,
    /// Why the result is not to be trusted; nothing where it is.
    pub faults: Vec<String>,
}

impl Quality {
    /// Whether nothing speaks against the result.
    pub fn trustworthy(&self) -> bool {
        self.faults.is_empty()
    }
}

/// Judges a registration at the spacing at which it was made.
pub(super) fn judge(
    found: &Registration,
    (fixed, moving): (&Level, &Level),
    finest: f64,
    options: &RegisterOptions,
    landmarks: &[Landmark],
    (turn, turn_score, rival_score): (usize, f64, Option<f64>),
    (local_before, local_after): (Option<f64>, Option<f64>),
) -> Quality {
    let growth = found.field.jacobian();
    let folds = growth.data.iter().filter(|&&value| value <= 0.0).count() as f64 / growth.len() as f64;
    let range = growth.data.iter().fold([f64::INFINITY, f64::NEG_INFINITY], |[low, high], &value| {
        [low.min(f64::from(value)), high.max(f64::from(value))]
    });
    // The deformed moving volume on the fixed grid: by the field in voxels, then the affine map.
    let vectors: Vec<f32> = found
        .field
        .vectors
        .iter()
        .flat_map(|v| (0..3).map(|axis| v[axis] / found.field.spacing[axis] as f32))
        .collect();
    let map = found.affine.between_voxels(fixed.spacing, moving.spacing);
    let see = |image: &Grid<f32>, beyond| warp(image, &map, Some(&vectors), fixed.image.shape, beyond);
    let see_channel = |image: &Grid<f32>| {
        see(image, if options.partial { Beyond::Nothing } else { Beyond::Value(background(image)) })
    };
    let weights = options.shares(1 + moving.more.len());
    let seen: Vec<Grid<f32>> = moving.channels().map(see_channel).collect();
    let mask = fixed.mask.as_ref().map(|mask| &mask.data[..]);
    let correlation = (fixed.channels().zip(&seen).zip(&weights))
        .map(|((a, b), weight)| weight * similarity(Similarity::Correlation, a, b, mask, None))
        .sum();
    let (tissue_fixed, tissue_moving) = (tissue(fixed), tissue(moving));
    let laid = see(&tissue_moving, Beyond::Value(0.0));
    let (mut both, mut of_fixed, mut of_moving) = (0f64, 0f64, 0f64);
    for (&a, &b) in tissue_fixed.data.iter().zip(&laid.data) {
        let (a, b) = (f64::from(u8::from(a > 0.5)), f64::from(u8::from(b > 0.5)));
        both += a * b;
        of_fixed += a;
        of_moving += b;
    }
    let overlap =
        if options.partial { both / of_moving.max(1.0) } else { 2.0 * both / (of_fixed + of_moving).max(1.0) };
    // How alike each neighbourhood is, where there is tissue in the fixed volume and, of a part, in the moving one.
    let counts: Vec<f32> = (0..laid.len())
        .map(|at| {
            let held = !options.partial || laid.data[at] > 0.5;
            f32::from(u8::from(held && !seen[0].data[at].is_nan() && mask.is_none_or(|mask| mask[at] > 0.5)))
        })
        .collect();
    let shortest = fixed.spacing.iter().copied().fold(f64::INFINITY, f64::min);
    let radius = fixed.spacing.map(|spacing| ((WINDOW * shortest / spacing).round() as usize).max(1));
    let lit = brightness(&seen[0], &moving.image, &tissue_moving, mask);
    let mut alike = vec![0f32; laid.len()];
    for ((a, mut b), &weight) in fixed.channels().zip(seen).zip(&weights) {
        b.data.iter_mut().filter(|value| value.is_nan()).for_each(|value| *value = 0.0);
        let map = correlation_map(&Pair { a, b: &b, weight: Some(&counts) }, radius);
        alike.iter_mut().zip(&map).for_each(|(sum, value)| *sum += weight as f32 * value);
    }
    let landmark_errors = landmarks.iter().map(|landmark| {
        let there = found.to_moving(landmark.fixed);
        (0..3).map(|axis| (there[axis] - landmark.moving[axis]).powi(2)).sum::<f64>().sqrt()
    });
    let mut quality = Quality {
        judged: true,
        landmark_errors: landmark_errors.collect(),
        suspicious: suspects(
            &Seen { likeness: &alike, brightness: &lit, growth: &growth.data },
            &tissue_fixed,
            fixed.spacing,
        ),
        turn,
        turn_score,
        rival_score,
        correlation,
        local_before,
        local_after,
        overlap,
        stretches: found.affine.stretches(),
        folds,
        growth: range,
        inverse_error: inverse_error(found),
        ..Quality::default()
    };
    quality.speak(options, finest);
    quality
}

impl Quality {
    fn speak(&mut self, options: &RegisterOptions, finest: f64) {
        if self.turn != 0 {
            let turned = "the volume fits best when turned by right angles against what its orientation says";
            self.warnings.push(format!("{turned} (turn {}): check the orientation", self.turn));
        }
        if let Some(rival) = self.rival_score.filter(|&rival| rival > RIVAL * self.turn_score) {
            let text = "another way to turn the volume fits nearly as well";
            self.warnings.push(format!("{text} ({rival:.3} against {:.3})", self.turn_score));
        }
        if let (Some(before), Some(after)) = (self.local_before, self.local_after)
            && after < before
        {
            self.warnings.push(format!("the deformation made the images less alike ({before:.3} to {after:.3})"));
        }
        for (at, error) in self.landmark_errors.iter().enumerate().filter(|pair| *pair.1 > MISSED * finest) {
            self.warnings.push(format!("landmark {at} is missed by {error:.0} um: is it a pair?"));
        }
        let mut fault = |wrong: bool, text: String| {
            if wrong {
                self.faults.push(text);
            }
        };
        fault(self.overlap < OVERLAP, format!("the tissues overlap by {:.2} only, expected {OVERLAP}", self.overlap));
        if options.similarity == Similarity::Correlation {
            let text = format!("the images are hardly alike: correlation {:.2}, expected {ALIKE}", self.correlation);
            fault(!(self.correlation >= ALIKE), text);
        }
        let [most, .., least] = self.stretches;
        fault(
            most > STRETCH[1] || least < STRETCH[0],
            format!("the affine map stretches by {least:.2} to {most:.2}, expected {} to {}", STRETCH[0], STRETCH[1]),
        );
        fault(self.folds > FOLDS, format!("the deformation folds at {:.1} % of the voxels", 100.0 * self.folds));
        let text = format!("points miss themselves by {:.1} um after going forth and back", self.inverse_error);
        fault(self.inverse_error > finest, text);
    }
}

/// Brightness of what is `seen` of an image: 0 where it is as beyond its tissue, 1 at the median of its tissue, NaN where
/// it was not imaged, outside the mask, and everywhere where tissue is not the brighter.
fn brightness(seen: &Grid<f32>, image: &Grid<f32>, tissue: &Grid<f32>, mask: Option<&[f32]>) -> Vec<f32> {
    let dark = background(image);
    let of = image.data.iter().zip(&tissue.data).filter(|pair| *pair.1 > 0.5).map(|pair| *pair.0);
    let bright = median(of.collect()).unwrap_or(dark);
    let known = |at: usize| bright > dark && mask.is_none_or(|mask| mask[at] > 0.5);
    let share = |(at, value): (usize, &f32)| if known(at) { (value - dark) / (bright - dark) } else { f32::NAN };
    seen.data.iter().enumerate().map(share).collect()
}

/// Forth and back from points spread over the fixed volume.
fn inverse_error(found: &Registration) -> f64 {
    const ALONG: usize = 16;
    let (shape, spacing) = (found.field.shape, found.field.spacing);
    let mut worst = 0f64;
    for at in 0..ALONG.pow(3) {
        let step = [at / ALONG / ALONG, at / ALONG % ALONG, at % ALONG];
        let place: [f64; 3] = std::array::from_fn(|axis| {
            (step[axis] as f64 + 0.5) / ALONG as f64 * (shape[axis] - 1) as f64 * spacing[axis]
        });
        let (home, _) = found.to_fixed(found.to_moving(place));
        worst = worst.max((0..3).map(|axis| (home[axis] - place[axis]).powi(2)).sum::<f64>().sqrt());
    }
    worst
}
