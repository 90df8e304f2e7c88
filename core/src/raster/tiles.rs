//! Which points touch which tile.

use super::disc::STEPS;
use crate::{Ctx, Result};

/// Side of a tile in pixels: a tile of f32 RGBA fits the second-level cache.
pub(super) const TILE: usize = 64;

/// Where coordinates fall in the image.
#[derive(Clone, Copy)]
pub(super) struct Frame {
    pub(super) left: f64,
    pub(super) top: f64,
    /// Pixels per unit; y runs down.
    pub(super) scale_x: f64,
    pub(super) scale_y: f64,
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) reach: usize,
}

/// A point's pixel and its position within it. The pixel may lie outside the image.
#[derive(Clone, Copy)]
pub(super) struct Spot {
    pub(super) column: i64,
    pub(super) row: i64,
    pub(super) step_x: usize,
    pub(super) step_y: usize,
}

impl Frame {
    /// Where a point falls, or none if no pixel of the image can be touched.
    #[inline]
    pub(super) fn spot(&self, x: f32, y: f32) -> Option<Spot> {
        let px = (f64::from(x) - self.left) * self.scale_x;
        let py = (self.top - f64::from(y)) * self.scale_y;
        let reach = self.reach as f64;
        // NaN and infinity fail here, and what remains fits an i64.
        let within = |p: f64, side: usize| p >= -reach - 1.0 && p <= side as f64 + reach + 1.0;
        if !within(px, self.width) || !within(py, self.height) {
            return None;
        }
        let step = |p: f64| (((p - p.floor()) * STEPS as f64) as usize).min(STEPS - 1);
        Some(Spot { column: px.floor() as i64, row: py.floor() as i64, step_x: step(px), step_y: step(py) })
    }

    /// Tiles across and down.
    pub(super) fn tiles(&self) -> (usize, usize) {
        (self.width.div_ceil(TILE), self.height.div_ceil(TILE))
    }

    /// Tiles that the disc at a spot touches: first and last column, first and last row.
    #[inline]
    fn touched(&self, spot: Spot) -> Option<(usize, usize, usize, usize)> {
        let reach = self.reach as i64;
        let range = |centre: i64, side: usize| {
            let (first, last) = ((centre - reach).max(0), (centre + reach).min(side as i64 - 1));
            (first <= last).then_some((first as usize / TILE, last as usize / TILE))
        };
        let (left, right) = range(spot.column, self.width)?;
        let (top, bottom) = range(spot.row, self.height)?;
        Some((left, right, top, bottom))
    }
}

/// Points by tile, in drawing order within each.
pub(super) struct Tiled {
    /// Start of each tile in `points`; one longer than the number of tiles.
    pub(super) start: Vec<usize>,
    pub(super) points: Vec<u32>,
}

/// Sorts points into tiles, keeping `order`. 4 bytes for each point and tile it touches.
pub(super) fn assign(frame: &Frame, x: &[f32], y: &[f32], order: &[u32], ctx: &Ctx) -> Result<Tiled> {
    let (across, down) = frame.tiles();
    let visit = |visit: &mut dyn FnMut(u32, usize)| -> Result<()> {
        for (i, &point) in order.iter().enumerate() {
            if i & 0xffff == 0 {
                ctx.check()?;
            }
            let touched = frame.spot(x[point as usize], y[point as usize]).and_then(|spot| frame.touched(spot));
            if let Some((left, right, top, bottom)) = touched {
                for row in top..=bottom {
                    for column in left..=right {
                        visit(point, row * across + column);
                    }
                }
            }
        }
        Ok(())
    };
    let mut start = vec![0usize; across * down + 1];
    visit(&mut |_, tile| start[tile + 1] += 1)?;
    for tile in 0..across * down {
        start[tile + 1] += start[tile];
    }
    let mut next = start.clone();
    let mut points = vec![0u32; start[across * down]];
    visit(&mut |point, tile| {
        points[next[tile]] = point;
        next[tile] += 1;
    })?;
    Ok(Tiled { start, points })
}
