//! Regions in which a registration deserves a second look.

use zensaibo_core::data::Grid;

use super::pyramid::median;
use super::smooth::smooth;

/// Voxels that a region needs.
const FEWEST: usize = 200;
/// Regions that are reported at most, the largest.
const MOST: usize = 100;
/// Local likeness that is low: less than this, and than this share of the median.
const UNLIKE: [f32; 2] = [0.15, 0.35];
/// Brightness, as a share of that of tissue, below which there is none.
const DARK: f32 = 0.2;
/// Growth that is extreme.
const GROWTH: [f32; 2] = [0.3, 3.0];

/// Why a region is suspicious.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// The images are hardly alike there: torn or missing tissue, bubbles, or a wrong fit.
    Unlike,
    /// The moving volume is as dark there as beyond its tissue.
    Missing,
    /// Volumes grow to more than threefold on their way to the moving volume, by the deformation alone.
    Stretched,
    /// Volumes shrink to less than 0.3.
    Pressed,
}

/// A connected region of the fixed volume that deserves a second look.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Suspect {
    /// The voxel of the region that is nearest to its centre: (z, y, x) in micrometres of the fixed volume.
    pub place: [f64; 3],
    /// Volume in cubic millimetres.
    pub volume: f64,
    /// What is wrong.
    pub reason: Reason,
    /// Mean squared correlation in windows, mean brightness as a share of that of tissue, or mean growth.
    pub value: f64,
}

/// What is known of each voxel of the fixed volume.
pub(super) struct Seen<'a> {
    /// Mean squared correlation in the window around it; NaN where nothing was compared.
    pub(super) likeness: &'a [f32],
    /// Brightness of the moving volume, from 0 beyond its tissue to 1, the median of its tissue; NaN where there is none.
    pub(super) brightness: &'a [f32],
    pub(super) growth: &'a [f32],
}

/// The regions, the largest first. `tissue` is above 0.5 where the fixed volume has tissue.
pub(super) fn suspects(seen: &Seen<'_>, tissue: &Grid<f32>, spacing: [f64; 3]) -> Vec<Suspect> {
    let shape = tissue.shape;
    let inside = |at: usize| tissue.data[at] > 0.5;
    let (likeness, brightness) = (blurred(seen.likeness, shape), blurred(seen.brightness, shape));
    let known = (0..likeness.len()).filter(|&at| inside(at) && !likeness[at].is_nan()).map(|at| likeness[at]);
    let median = median(known.collect()).unwrap_or(0.0);
    let low = UNLIKE[0].min(UNLIKE[1] * median);
    let mut found = Vec::new();
    let mut collect = |reason: Reason, values: &[f32], wrong: &dyn Fn(f32) -> bool| {
        for region in regions(shape, |at| inside(at) && wrong(values[at])) {
            found.push(describe(&region, reason, values, shape, spacing));
        }
    };
    collect(Reason::Unlike, &likeness, &|value| value < low);
    collect(Reason::Missing, &brightness, &|value| value < DARK);
    collect(Reason::Stretched, seen.growth, &|value| value > GROWTH[1]);
    collect(Reason::Pressed, seen.growth, &|value| value < GROWTH[0]);
    // Of equal ones the first.
    found.sort_by(|a, b| b.volume.total_cmp(&a.volume));
    found.truncate(MOST);
    found
}

/// Smoothed by a voxel over what is a number; NaN far from any.
fn blurred(values: &[f32], shape: [usize; 3]) -> Vec<f32> {
    let mut sum: Vec<f32> = values.iter().map(|value| if value.is_nan() { 0.0 } else { *value }).collect();
    let mut counted: Vec<f32> = values.iter().map(|value| f32::from(u8::from(!value.is_nan()))).collect();
    smooth::<1>(&mut sum, shape, [1.0; 3]);
    smooth::<1>(&mut counted, shape, [1.0; 3]);
    sum.iter().zip(&counted).map(|(sum, n)| if *n > 0.1 { sum / n } else { f32::NAN }).collect()
}

fn describe(region: &[usize], reason: Reason, values: &[f32], shape: [usize; 3], spacing: [f64; 3]) -> Suspect {
    let place = |at: usize| {
        let voxel = [at / shape[2] / shape[1], at / shape[2] % shape[1], at % shape[2]];
        std::array::from_fn::<f64, 3, _>(|axis| voxel[axis] as f64 * spacing[axis])
    };
    let n = region.len() as f64;
    let centre = region.iter().fold([0.0; 3], |sum, &at| {
        let place = place(at);
        std::array::from_fn(|axis| sum[axis] + place[axis] / n)
    });
    let far = |at: usize| (0..3).map(|axis| (place(at)[axis] - centre[axis]).powi(2)).sum::<f64>();
    let nearest = region.iter().copied().min_by(|&a, &b| far(a).total_cmp(&far(b)).then(a.cmp(&b)));
    Suspect {
        place: nearest.map_or(centre, place),
        volume: n * spacing.iter().product::<f64>() * 1e-9,
        reason,
        value: region.iter().map(|&at| f64::from(values[at])).sum::<f64>() / n,
    }
}

/// Connected regions (across faces) of enough voxels, each in rising order of its voxels, by their first voxel.
fn regions(shape: [usize; 3], wanted: impl Fn(usize) -> bool) -> Vec<Vec<usize>> {
    let [depth, height, width] = shape;
    let n = depth * height * width;
    let mut open: Vec<bool> = (0..n).map(wanted).collect();
    let mut found = Vec::new();
    for first in 0..n {
        if !open[first] {
            continue;
        }
        open[first] = false;
        let mut region = vec![first];
        let mut next = 0;
        while next < region.len() {
            let at = region[next];
            next += 1;
            let voxel = [at / width / height, at / width % height, at % width];
            for (axis, step) in [height * width, width, 1].into_iter().enumerate() {
                if voxel[axis] > 0 && open[at - step] {
                    open[at - step] = false;
                    region.push(at - step);
                }
                if voxel[axis] + 1 < shape[axis] && open[at + step] {
                    open[at + step] = false;
                    region.push(at + step);
                }
            }
        }
        if region.len() >= FEWEST {
            region.sort_unstable();
            found.push(region);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn planted_regions_are_found_with_place_size_and_reason() {
        let shape = [24, 26, 30];
        let spacing = [20.0, 10.0, 10.0];
        let tissue = Grid::filled(shape, 1f32);
        let mut likeness = vec![0.6f32; tissue.len()];
        let mut brightness = vec![1f32; tissue.len()];
        let mut growth = vec![1f32; tissue.len()];
        for at in 0..tissue.len() {
            let [z, y, x] = [at / 30 / 26, at / 30 % 26, at % 30];
            let ball = |c: [usize; 3], r: usize| {
                z.abs_diff(c[0]).pow(2) + y.abs_diff(c[1]).pow(2) + x.abs_diff(c[2]).pow(2) <= r * r
            };
            if ball([7, 8, 9], 6) {
                likeness[at] = 0.02;
            }
            if ball([17, 18, 20], 5) {
                growth[at] = 4.0;
            }
            if ball([7, 18, 23], 6) {
                brightness[at] = 0.1;
            }
            // Too small to be told.
            if ball([20, 4, 25], 2) {
                growth[at] = 0.1;
            }
        }
        (likeness[0], brightness[0]) = (f32::NAN, f32::NAN);
        let seen = Seen { likeness: &likeness, brightness: &brightness, growth: &growth };
        let found = suspects(&seen, &tissue, spacing);
        let [unlike, stretched, missing] = &found[..] else { panic!("{found:?}") };
        assert_eq!((unlike.reason, stretched.reason), (Reason::Unlike, Reason::Stretched));
        assert_eq!(unlike.place, [140.0, 80.0, 90.0]);
        assert_eq!(stretched.place, [340.0, 180.0, 200.0]);
        assert!((stretched.volume - 515.0 * 2000.0 * 1e-9).abs() < 1e-12 && stretched.value == 4.0, "{stretched:?}");
        assert!(unlike.value < 0.15);
        assert_eq!((missing.reason, missing.place), (Reason::Missing, [140.0, 180.0, 230.0]));
        assert!((0.1..0.2).contains(&missing.value), "{missing:?}");
        let ones = vec![1f32; tissue.len()];
        assert_eq!(suspects(&Seen { likeness: &ones, brightness: &ones, growth: &ones }, &tissue, spacing), []);
    }
}
