//! Where the tissue is: what stands out from the background, its holes filled.

use zensaibo_core::data::Grid;

use super::pyramid::Level;
use super::smooth::smooth;
use crate::filters::two_classes;

/// Smoothed tissue above this is deep in tissue: two voxels at least.
const DEEP: f32 = 0.97;
/// Smoothed tissue below this is none: the outermost layer of voxels, which holds part of the background, counts to it.
const NONE: f32 = 0.6;
/// Smoothed tissue below this is two voxels away; above the other, at most one.
const FAR: f32 = 0.02;
const TOUCHED: f32 = 0.15;

/// 1 where a level stands out from its background: its mask, or Otsu's threshold.
pub(super) fn tissue(level: &Level) -> Grid<f32> {
    if let Some(mask) = &level.mask {
        return mask.clone();
    }
    const BINS: usize = 256;
    let image = &level.image;
    let (low, high) = image
        .data
        .iter()
        .fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), &value| (low.min(value), high.max(value)));
    let span = (high - low).max(f32::MIN_POSITIVE);
    // On the square root, which brings bright outliers nearer.
    let bin = |value: f32| ((((value - low) / span).sqrt() * BINS as f32) as usize).min(BINS - 1);
    let mut counts = [0f64; BINS];
    image.data.iter().for_each(|&value| counts[bin(value)] += 1.0);
    let cut = two_classes(&counts, 0.0).map_or(0, |classes| classes.cut);
    let data = image.data.iter().map(|&value| f32::from(u8::from(bin(value) > cut))).collect();
    Grid { shape: image.shape, data }
}

/// Tissue without holes, smoothed by a voxel: 1 deep inside, 0 outside.
pub(super) fn body(level: &Level) -> Grid<f32> {
    let mut found = tissue(level);
    fill(&mut found);
    smooth::<1>(&mut found.data, found.shape, [1.0; 3]);
    found
}

/// Whether tissue is missing where a fixed volume has `fixed` and a moving one, laid on it, `moving` of their [`body`]:
/// the one deep in tissue and the other outside, or the one in tissue and the other far from it. What is left of the
/// surface of the fixed volume is what lies near a surface of the moving one.
#[inline]
pub(super) fn missing(fixed: f32, moving: f32) -> bool {
    (fixed > DEEP && moving < NONE) || (fixed > TOUCHED && moving < FAR)
}

/// Sets to 1 what cannot be reached from the faces without crossing tissue.
fn fill(tissue: &mut Grid<f32>) {
    let shape = tissue.shape;
    let [depth, height, width] = shape;
    let mut outside = vec![false; tissue.len()];
    let mut open = Vec::new();
    let reach = |at: usize, outside: &mut Vec<bool>, open: &mut Vec<usize>| {
        if tissue.data[at] < 0.5 && !outside[at] {
            outside[at] = true;
            open.push(at);
        }
    };
    for z in 0..depth {
        for y in 0..height {
            let row = (z * height + y) * width;
            if z == 0 || z + 1 == depth || y == 0 || y + 1 == height {
                (row..row + width).for_each(|at| reach(at, &mut outside, &mut open));
            } else {
                reach(row, &mut outside, &mut open);
                reach(row + width - 1, &mut outside, &mut open);
            }
        }
    }
    while let Some(at) = open.pop() {
        let voxel = [at / width / height, at / width % height, at % width];
        for (axis, step) in [height * width, width, 1].into_iter().enumerate() {
            if voxel[axis] > 0 {
                reach(at - step, &mut outside, &mut open);
            }
            if voxel[axis] + 1 < shape[axis] {
                reach(at + step, &mut outside, &mut open);
            }
        }
    }
    tissue.data.iter_mut().zip(&outside).for_each(|(value, &outside)| *value = f32::from(u8::from(!outside)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_is_filled_and_a_bay_is_not() {
        let shape = [9, 10, 11];
        let mut image = Grid::filled(shape, 0f32);
        for at in 0..image.len() {
            let voxel = [at / 110, at / 11 % 10, at % 11];
            let inside = (0..3).all(|axis| (2..shape[axis] - 2).contains(&voxel[axis]));
            let hollow = (0..3).all(|axis| (4..shape[axis] - 4).contains(&voxel[axis]));
            let bay = voxel[1] == 5 && voxel[2] == 5 && voxel[0] < 4;
            image.data[at] = if inside && !hollow && !(bay && voxel[0] < 3) { 10.0 } else { 0.3 * (at % 3) as f32 };
        }
        let level = Level { image, more: Vec::new(), spacing: [1.0; 3], mask: None, body: None };
        let found = body(&level);
        assert!(found.at(4, 5, 5) > 0.9 && found.at(0, 0, 0) < 0.01 && found.at(1, 5, 5) < 0.3);
        let mut bare = tissue(&level);
        assert_eq!(bare.at(4, 5, 5), 0.0);
        fill(&mut bare);
        assert!(bare.at(4, 5, 5) == 1.0 && bare.at(2, 5, 5) == 0.0 && bare.at(2, 4, 5) == 1.0);
        assert!(
            missing(1.0, 0.5) && !missing(0.9, 0.5) && !missing(1.0, 0.7) && missing(0.5, 0.0) && !missing(0.1, 0.0)
        );
    }
}
