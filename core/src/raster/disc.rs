//! Anti-aliased discs, made once for every position within a pixel.

/// Positions within a pixel, along each axis.
pub(super) const STEPS: usize = 8;

/// Coverage of the pixels around a disc, for `STEPS` x `STEPS` positions of its centre within a pixel.
pub(super) struct Stamps {
    /// Pixels on each side of the pixel that holds the centre.
    pub(super) reach: usize,
    side: usize,
    coverage: Vec<f32>,
}

impl Stamps {
    /// Discs of `radius` pixels.
    ///
    /// Coverage falls linearly over one pixel at the rim, from the distance of pixel centre to disc centre. Such a disc
    /// of radius s covers pi (s^2 + 1/12) on average, so s^2 = r^2 - 1/12 makes the area right; s stays at least 1/2,
    /// and smaller discs are drawn fainter, by 3 r^2.
    pub(super) fn new(radius: f64) -> Self {
        let (drawn, faintness) = if radius * radius >= 1.0 / 3.0 {
            ((radius * radius - 1.0 / 12.0).sqrt(), 1.0)
        } else {
            (0.5, 3.0 * radius * radius)
        };
        let reach = (drawn + 0.5).ceil() as usize;
        let side = 2 * reach + 1;
        let mut coverage = Vec::with_capacity(STEPS * STEPS * side * side);
        // The centre lies in the middle of its step.
        let offset = |step: usize| (step as f64 + 0.5) / STEPS as f64 - 0.5 + reach as f64;
        for step_y in 0..STEPS {
            for step_x in 0..STEPS {
                for row in 0..side {
                    for column in 0..side {
                        let (dx, dy) = (column as f64 - offset(step_x), row as f64 - offset(step_y));
                        let inside = (drawn + 0.5 - (dx * dx + dy * dy).sqrt()).clamp(0.0, 1.0);
                        coverage.push((inside * faintness) as f32);
                    }
                }
            }
        }
        Self { reach, side, coverage }
    }

    /// One row of a stamp; row `reach` holds the centre.
    #[inline]
    pub(super) fn row(&self, step_x: usize, step_y: usize, row: usize) -> &[f32] {
        let start = ((step_y * STEPS + step_x) * self.side + row) * self.side;
        &self.coverage[start..start + self.side]
    }
}
