//! Registration: which place of one volume is which place of another.
//!
//! A map leads from the fixed volume (an atlas) to the moving one (a sample): first a field of displacements on the grid
//! of the fixed volume, then an affine map. It is found from coarse to fine: which way the volume is turned
//! ([`orientation`](right_turns)), the affine map (rigid, one stretch, free), the deformation (symmetric, diffeomorphic,
//! by local correlation). Points and images travel both ways ([`Registration`]); the way back is solved for each point,
//! so that forth and back lead home.

mod align;
mod correlation;
mod deform;
mod detail;
mod landmarks;
mod minimise;
mod options;
mod orientation;
mod pyramid;
mod quality;
mod registration;
mod shift;
mod similarity;
mod smooth;
mod suspects;
#[cfg(test)]
mod tests;
mod tissue;
mod unfold;
mod volume;
mod warp;

pub use landmarks::Landmark;
pub use options::RegisterOptions;
pub use orientation::right_turns;
pub use quality::Quality;
pub use registration::{Interpolation, Registration};
pub use shift::{Shift, phase_shift};
pub use similarity::Similarity;
pub use suspects::{Reason, Suspect};
pub use volume::{Reduced, Sample, other_axes, where_counts};

use zensaibo_core::data::{Grid, Orientation};
use zensaibo_core::options::Options;
use zensaibo_core::{Ctx, DataFault, Error, Result};

use crate::space::Spacing;
use crate::transform::{Affine, Field};
use align::{Freedom, Search, align};
use deform::{Effort, deform};
use landmarks::Pull;
use orientation::try_turns;
use pyramid::Level;

/// Voxels along the longest axis of the images on which turns are tried.
const SMALL: f64 = 32.0;

/// A volume to be registered.
#[derive(Clone, Debug)]
pub struct Image {
    /// Its voxels; finite.
    pub voxels: Grid<f32>,
    /// Further channels on the same grid, each compared with that of the other volume in its place. Tissue and the turn of
    /// several are looked for in all.
    pub more: Vec<Grid<f32>>,
    /// Micrometres per voxel.
    pub spacing: Spacing,
    /// Which way it lies in the body, if known.
    pub orientation: Option<Orientation>,
    /// Where it counts: above 0.5, on the grid of the voxels.
    pub mask: Option<Grid<f32>>,
}

impl Image {
    fn check(&self, name: &str) -> Result<()> {
        if self.voxels.shape.iter().any(|&n| n < 4) {
            let found = format!("{:?}", self.voxels.shape);
            return Err(Error::data(DataFault::TooFew, name, "at least 4 voxels along every axis", found));
        }
        for image in std::iter::once(&self.voxels).chain(&self.more) {
            if image.shape != self.voxels.shape {
                let (expected, found) = (format!("{:?}", self.voxels.shape), format!("{:?}", image.shape));
                return Err(Error::data(DataFault::Shape, format!("channels of {name}"), expected, found));
            }
            if let Some(at) = image.data.iter().position(|value| !value.is_finite()) {
                let found = format!("{} at voxel {at}", image.data[at]);
                return Err(Error::data(DataFault::NotFinite, name, "finite values", found));
            }
            let first = image.data[0];
            if image.data.iter().all(|&value| value == first) {
                let found = format!("{first} everywhere");
                return Err(Error::data(DataFault::Invalid, name, "an image with structure", found));
            }
        }
        if let Some(mask) = &self.mask {
            if mask.shape != self.voxels.shape {
                let expected = format!("{:?}", self.voxels.shape);
                return Err(Error::data(
                    DataFault::Shape,
                    format!("mask of {name}"),
                    expected,
                    format!("{:?}", mask.shape),
                ));
            }
            if !mask.data.iter().any(|&value| value > 0.5) {
                return Err(Error::data(DataFault::Empty, format!("mask of {name}"), "voxels that count", "none"));
            }
        }
        Ok(())
    }

    /// The level from which all others are made.
    fn level(&self, compression: f64) -> Level {
        let image = pyramid::compressed(&self.voxels, compression);
        let more = self.more.iter().map(|image| pyramid::compressed(image, compression)).collect();
        Level { image, more, spacing: self.spacing.um(), mask: self.mask.clone(), body: None }
    }
}

/// Registers `moving` to `fixed`, which have the same number of channels; `landmarks`, if any, are kept together.
///
/// Cost: some 0.2 microseconds per voxel of the fixed grid and step of the deformation at the finest level. Memory: some 150
/// bytes per voxel of the finest level. Nothing is random, and threads change no bit.
///
/// # Errors
/// [`Error::Parameter`] for options out of range; [`Error::Data`] for images that are too small, constant or not finite,
/// empty masks; [`Error::Interrupted`]. Whether the result can be trusted is said by [`Registration::quality`].
pub fn register(
    moving: &Image,
    fixed: &Image,
    landmarks: &[Landmark],
    options: &RegisterOptions,
    ctx: &Ctx,
) -> Result<Registration> {
    options.validate()?;
    moving.check("moving volume")?;
    fixed.check("fixed volume")?;
    let channels = 1 + fixed.more.len();
    if moving.more.len() != fixed.more.len() {
        let found = format!("{} in the moving volume", 1 + moving.more.len());
        return Err(Error::data(DataFault::Shape, "channels", format!("{channels}, as in the fixed volume"), found));
    }
    if !options.channel_weights.is_empty() && options.channel_weights.len() != channels {
        let expected = format!("{channels} numbers, one per channel");
        return Err(Error::parameter("channel_weights", expected, options.channel_weights.len()));
    }
    if let Some(at) = landmarks.iter().position(|l| l.moving.iter().chain(&l.fixed).any(|value| !value.is_finite())) {
        let found = format!("{:?}", landmarks[at]);
        return Err(Error::data(DataFault::NotFinite, "landmarks", "finite places", found));
    }
    let weights = options.shares(channels);
    let finest = options.finest_to(fixed.voxels.shape, fixed.spacing);
    let [whole_fixed, whole_moving] = [fixed, moving].map(|image| image.level(options.compression));
    let said = axes_between(fixed.orientation, moving.orientation);

    let longest =
        whole_fixed.extent().into_iter().fold(0.0, f64::max).max(whole_moving.extent().into_iter().fold(0.0, f64::max));
    let pair = |spacing: f64| {
        let (fixed, moving) = (whole_fixed.reduced(spacing), whole_moving.reduced(spacing));
        if options.partial { (fixed.with_body(), moving.with_body()) } else { (fixed, moving) }
    };

    let stage = ctx.stage("orientation and affine map", 0);
    let coarse = (longest / SMALL).max(finest);
    let (small_fixed, small_moving) = pair(coarse);
    let turns: Vec<usize> = if options.try_orientations { (0..24).collect() } else { vec![0] };
    let known = fixed.orientation.is_some() && moving.orientation.is_some();
    let search = |fixed: &Level, freedom, steps| Search {
        similarity: options.similarity,
        freedom,
        steps,
        partial: options.partial,
        weights: &weights,
        pull: Pull::new(landmarks, fixed, options),
    };
    let first = search(&small_fixed, Freedom::Similar, 20);
    let tried = try_turns(&small_fixed, &small_moving, (&said, known), &turns, &first, ctx)?;
    let best = tried.first().ok_or_else(|| Error::Internal("no turn was tried".into()))?;
    let (turn, mut map) = (best.turn, best.map);
    let rival = tried.get(1).map(|other| other.score);
    let score = best.score;

    let mut spacing = coarse;
    loop {
        stage.advance(1)?;
        let last = spacing <= 2.0 * finest;
        let (fixed, moving) = pair(spacing);
        // What is missing in a part is seen anew at each turn.
        let again = if options.partial { 3 } else { 1 };
        let affine = std::iter::repeat_n((Freedom::Affine, 40), again);
        for (freedom, steps) in [(Freedom::Rigid, 20), (Freedom::Similar, 20)].into_iter().chain(affine) {
            map = align(&fixed, &moving, &map, &search(&fixed, freedom, steps), ctx)?.0;
        }
        if last {
            break;
        }
        spacing = (0.5 * spacing).max(finest);
    }
    drop(stage);

    let count = if options.deform { options.iterations.len() } else { 1 };
    let levels: Vec<(Level, Level)> =
        (0..count).map(|level| pair(finest * 2f64.powi((count - 1 - level) as i32))).collect();
    drop((whole_fixed, whole_moving));
    let (finest_fixed, finest_moving) = &levels[count - 1];
    let (field, before, after) = if options.deform {
        let effort = Effort {
            steps: options.iterations.clone(),
            radius: options.radius,
            smoothing: options.smoothing(count),
            least_detail: options.least_detail,
            step: options.step,
            partial: options.partial,
            weights: weights.clone(),
            landmarks: landmarks.to_vec(),
            landmark_weight: options.landmark_weight,
        };
        let found = deform(&levels, &map, &effort, ctx)?;
        (found.field, Some(found.before), Some(found.after))
    } else {
        (Field::still(finest_fixed.image.shape, finest_fixed.spacing), None, None)
    };
    let mut registration = Registration::new(
        field,
        map,
        (fixed.voxels.shape, fixed.spacing.um()),
        (moving.voxels.shape, moving.spacing.um()),
    )?;
    registration.quality = quality::judge(
        &registration,
        (finest_fixed, finest_moving),
        finest,
        options,
        landmarks,
        (turn, score, rival),
        (before, after),
    );
    Ok(registration)
}

/// The linear part that the headers say leads from the axes of `fixed` to those of `moving`: axes exchanged and turned
/// round. Nothing is exchanged where one of the two is not known.
fn axes_between(fixed: Option<Orientation>, moving: Option<Orientation>) -> [[f64; 3]; 3] {
    let (Some(fixed), Some(moving)) = (fixed, moving) else { return Affine::IDENTITY.matrix };
    let mut matrix = [[0f64; 3]; 3];
    for (row, side) in moving.0.iter().enumerate() {
        for (at, other) in fixed.0.iter().enumerate() {
            if side.direction() == other.direction() {
                matrix[row][at] = if side == other { 1.0 } else { -1.0 };
            }
        }
    }
    matrix
}
