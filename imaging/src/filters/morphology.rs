//! Grey-value morphology with flat boxes and balls, and the rolling ball.

use serde::{Deserialize, Serialize};
use zensaibo_core::data::Grid;
use zensaibo_core::options::Options;
use zensaibo_core::{Ctx, Error, Result};

use super::extreme::{Lines, Profile, by_box, by_lines};
use super::{Footprint, Form, LocalFilter, inner_part, subtract};
use crate::blocks::Border;
use crate::space::{Spacing, check_lengths};

/// What is done with the extremes of a neighbourhood.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Operation {
    /// The lowest voxel.
    Erosion,
    /// The highest voxel.
    Dilation,
    #[default]
    /// Erosion, then dilation: takes away what is bright and smaller than the neighbourhood.
    Opening,
    /// Dilation, then erosion: fills what is dark and smaller than the neighbourhood.
    Closing,
    /// The volume less its opening: keeps what is bright and smaller than the neighbourhood.
    #[serde(rename = "white_tophat")]
    WhiteTopHat,
}

zensaibo_core::options! {
    /// Grey-value morphology.
    pub struct MorphologyOptions("im_morphology") {
        /// "erosion", "dilation", "opening", "closing" or "white_tophat".
        pub operation: Operation = Operation::Opening,
        /// Voxels whose centres lie within this many micrometres along z, y and x belong to the neighbourhood; at most 500 voxels.
        pub radius: [f64; 3] = [1.0; 3],
        /// "box" or "ball" (an ellipsoid with these half axes).
        pub form: Form = Form::Box,
    }
}

impl MorphologyOptions {
    fn check(&self) -> Result<()> {
        check_lengths("radius", self.radius).map(|_| ())
    }
}

/// Grey-value morphology: the same numbers as scipy.ndimage's `grey_erosion`, `grey_dilation`, `grey_opening`, `grey_closing` and
/// `white_tophat` with `mode="reflect"`.
///
/// Boxes take a time of log2(radius) a voxel and axis; balls one comparison for each line along x of the neighbourhood.
#[derive(Clone, Debug)]
pub struct Morphology {
    operation: Operation,
    form: Form,
    radius: [usize; 3],
    lines: Lines,
}

impl Morphology {
    /// The filter for voxels of a given spacing.
    ///
    /// # Errors
    /// [`Error::Parameter`] for options out of range, and a radius that reaches no neighbour.
    pub fn new(options: &MorphologyOptions, spacing: Spacing) -> Result<Self> {
        options.validate()?;
        let footprint = Footprint::new(options.radius, spacing, options.form)?;
        let lines = Lines::flat(footprint.radius, &footprint.lines);
        Ok(Self { operation: options.operation, form: options.form, radius: footprint.radius, lines })
    }

    fn extreme<const MAX: bool>(&self, padded: Grid<f32>, ctx: &Ctx) -> Result<Grid<f32>> {
        ctx.check()?;
        match self.form {
            Form::Box => Ok(by_box::<MAX>(padded, self.radius)),
            Form::Ball => by_lines::<MAX>(padded, &self.lines, ctx),
        }
    }
}

impl LocalFilter for Morphology {
    fn name(&self) -> &'static str {
        match self.operation {
            Operation::Erosion => "erosion",
            Operation::Dilation => "dilation",
            Operation::Opening => "opening",
            Operation::Closing => "closing",
            Operation::WhiteTopHat => "white top-hat",
        }
    }

    fn halo(&self) -> [usize; 3] {
        match self.operation {
            Operation::Erosion | Operation::Dilation => self.radius,
            _ => self.radius.map(|r| 2 * r),
        }
    }

    fn held(&self) -> usize {
        3
    }

    fn orders(&self) -> bool {
        true
    }

    fn apply(&self, padded: Grid<f32>, ctx: &Ctx) -> Result<Grid<f32>> {
        match self.operation {
            Operation::Erosion => self.extreme::<false>(padded, ctx),
            Operation::Dilation => self.extreme::<true>(padded, ctx),
            Operation::Opening => self.extreme::<true>(self.extreme::<false>(padded, ctx)?, ctx),
            Operation::Closing => self.extreme::<false>(self.extreme::<true>(padded, ctx)?, ctx),
            Operation::WhiteTopHat => {
                let inner = inner_part(&padded, self.halo());
                let opened = self.extreme::<true>(self.extreme::<false>(padded, ctx)?, ctx)?;
                Ok(subtract(inner, opened))
            }
        }
    }
}

zensaibo_core::options! {
    /// Background by a rolling ball.
    pub struct RollingBallOptions("im_rolling_ball") {
        /// Half axes of the ball along z, y and x in micrometres; larger than what shall not count as background, at most 500
        /// voxels. 0 along z rolls a disc over each plane by itself.
        pub radius: [f64; 3] = [0.0, 50.0, 50.0],
        /// How many intensity units the ball's apex lies above its middle. Smaller is flatter and follows the volume less; none for the
        /// largest half axis in voxels, as scikit-image has it.
        pub height: Option<f64> = None,
        /// Give the volume less its background, in place of the background.
        pub subtract: bool = false,
    }
}

impl RollingBallOptions {
    fn check(&self) -> Result<()> {
        check_lengths("radius", self.radius)?;
        match self.height {
            Some(height) if !(height > 0.0 && height.is_finite()) => {
                Err(Error::parameter("height", "a finite number of intensity units above 0", height))
            }
            _ => Ok(()),
        }
    }
}

/// The background under which a ball of a given radius can be rolled (Sternberg, "Biomedical image processing", Computer 16(1),
/// 22-34, 1983), as scikit-image defines it: at each voxel the lowest of its neighbours in the ball, each raised by how far the
/// ball's surface lies below its apex there.
///
/// Cost: for each voxel about an eighth of the voxels of the ball, vectorised.
#[derive(Clone, Debug)]
pub struct RollingBall {
    lines: Lines,
    subtract: bool,
}

impl RollingBall {
    /// The filter for voxels of a given spacing.
    ///
    /// # Errors
    /// [`Error::Parameter`] for options out of range, and a radius that reaches no neighbour.
    pub fn new(options: &RollingBallOptions, spacing: Spacing) -> Result<Self> {
        options.validate()?;
        let um = spacing.um();
        let ball = Footprint::new(options.radius, spacing, Form::Ball)?;
        let voxels: [f64; 3] = std::array::from_fn(|axis| options.radius[axis] / um[axis]);
        let height = options.height.unwrap_or(voxels.into_iter().fold(0.0, f64::max));
        let part =
            |step: isize, axis: usize| if ball.radius[axis] == 0 { 0.0 } else { (step as f64 / voxels[axis]).powi(2) };
        // Lines at the same distance share a profile.
        let mut all: Vec<(f64, [isize; 2], isize)> =
            ball.lines.iter().map(|&[z, y, half]| (part(z, 0) + part(y, 1), [z, y], half)).collect();
        all.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        let (mut lines, mut profiles) = (Vec::new(), Vec::new());
        let mut last = f64::NEG_INFINITY;
        for (distance, step, half) in all {
            if distance > last + 1e-12 {
                last = distance;
                let rise = |x: isize| height * (1.0 - (1.0 - distance - part(x, 2)).max(0.0).sqrt());
                profiles.push(Profile::Raised((0..=half).map(|x| rise(x) as f32).collect()));
            }
            lines.push((step, profiles.len() - 1));
        }
        Ok(Self { lines: Lines { radius: ball.radius, lines, profiles }, subtract: options.subtract })
    }
}

impl LocalFilter for RollingBall {
    fn name(&self) -> &'static str {
        "rolling ball"
    }

    fn halo(&self) -> [usize; 3] {
        self.lines.radius
    }

    /// A mirrored neighbour lies no nearer than the voxel that it mirrors, so it never counts: the ball sees nothing outside.
    fn border(&self) -> Border {
        Border::Reflect
    }

    fn held(&self) -> usize {
        2
    }

    fn orders(&self) -> bool {
        true
    }

    fn apply(&self, padded: Grid<f32>, ctx: &Ctx) -> Result<Grid<f32>> {
        if !self.subtract {
            return by_lines::<false>(padded, &self.lines, ctx);
        }
        let inner = inner_part(&padded, self.halo());
        Ok(subtract(inner, by_lines::<false>(padded, &self.lines, ctx)?))
    }
}
