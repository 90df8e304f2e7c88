//! Fine detail of a deformation, kept only where it stands out.
//!
//! Noise, edges cut into voxels and what else differs between two images move every place by a fraction of a voxel at
//! random: fine detail of the field that is nowhere large. Where two shapes truly differ it is larger. So the field is split
//! into a smooth part and the detail, and the detail counts by its local strength, as in Lee's filter of images (Lee 1980,
//! Digital image enhancement and noise filtering by use of local statistics, IEEE Transactions on Pattern Analysis and
//! Machine Intelligence 2, 165), with a gain that rises from none to all within a factor of two.

use rayon::prelude::*;

use super::smooth::smooth;

/// Standard deviation of the smooth part's kernel, in voxels.
const SCALE: f64 = 4.0;
/// Standard deviation of the window in which the strength of the detail is measured, in voxels.
const AROUND: f64 = 1.5;
/// Voxels to a task.
const TASK: usize = 1 << 14;

/// Takes detail out of a deformation given as its two `sides` (three displacements per voxel, in voxels), which lead from
/// one middle to the two images: where the mean square nearby of the detail of the one less that of the other is below that
/// of a displacement of `least` voxels. From twice that on it stays as it is. Both sides lose the same share, so that detail
/// that both hold, which moves the middle and not the images, still cancels. The smooth part is 2 K - K K of a side, K a
/// Gaussian of 4 voxels: away from the faces it changes no polynomial of up to third degree. `relative` are the lengths of a
/// voxel relative to the shortest, which is the voxel meant.
///
/// `smooth_parts`, `spare` (each as long as a side) and `strength` (one number per voxel) are overwritten. Cost: 13
/// smoothings of an image; memory: a copy of a side.
pub(super) fn keep_detail(
    sides: &mut [Vec<f32>; 2],
    shape: [usize; 3],
    relative: [f64; 3],
    least: f64,
    smooth_parts: &mut [Vec<f32>; 2],
    spare: &mut Vec<f32>,
    strength: &mut Vec<f32>,
) {
    if !(least > 0.0) {
        return;
    }
    let kernel = |sigma: f64| relative.map(|relative| sigma / relative);
    for (side, part) in sides.iter().zip(&mut *smooth_parts) {
        part.copy_from_slice(side);
        smooth::<3>(part, shape, kernel(SCALE));
        spare.copy_from_slice(part);
        smooth::<3>(spare, shape, kernel(SCALE));
        part.par_iter_mut().with_min_len(TASK).zip(&spare[..]).for_each(|(once, twice)| *once = 2.0 * *once - twice);
    }
    let squares = relative.map(|relative| (relative * relative) as f32);
    let [a, b] = sides.each_ref().map(|side| side.as_chunks::<3>().0);
    let [smooth_a, smooth_b] = smooth_parts.each_ref().map(|part| part.as_chunks::<3>().0);
    strength.par_iter_mut().with_min_len(TASK).enumerate().for_each(|(at, strength)| {
        let detail = |axis: usize| (a[at][axis] - smooth_a[at][axis]) - (b[at][axis] - smooth_b[at][axis]);
        *strength = (0..3).map(|axis| squares[axis] * detail(axis).powi(2)).sum();
    });
    smooth::<1>(strength, shape, kernel(AROUND));
    let floor = (least * least) as f32;
    for (side, part) in sides.iter_mut().zip(&*smooth_parts) {
        let vectors = side.as_chunks_mut::<3>().0.par_iter_mut().with_min_len(TASK);
        vectors.zip(part.as_chunks::<3>().0).zip(&strength[..]).for_each(|((own, smooth), strength)| {
            let gain = (strength / floor - 1.0).clamp(0.0, 1.0);
            *own = std::array::from_fn(|axis| smooth[axis] + gain * (own[axis] - smooth[axis]));
        });
    }
}

#[cfg(test)]
mod tests {
    use zensaibo_core::random::Stream;

    use super::*;

    const SHAPE: [usize; 3] = [40, 44, 48];
    const VOXELS: usize = 40 * 44 * 48;

    fn kept(mut sides: [Vec<f32>; 2], least: f64) -> [Vec<f32>; 2] {
        let mut parts = [0, 1].map(|_| vec![0f32; 3 * VOXELS]);
        let (mut spare, mut strength) = (vec![0f32; 3 * VOXELS], vec![0f32; VOXELS]);
        keep_detail(&mut sides, SHAPE, [1.0; 3], least, &mut parts, &mut spare, &mut strength);
        sides
    }

    /// Three numbers at each voxel: a bend that no smoothing of the second order changes.
    fn bend() -> Vec<f32> {
        let at = |voxel: usize| [voxel / 48 / 44, voxel / 48 % 44, voxel % 48].map(|place| place as f32 - 20.0);
        (0..VOXELS)
            .flat_map(|voxel| {
                let [z, y, x] = at(voxel);
                [0.004 * x * x - 0.1 * z, 0.003 * y * z, 1e-4 * x * x * x]
            })
            .collect()
    }

    fn noise(size: f32) -> Vec<f32> {
        let mut random = Stream::new(3, 0);
        let mut noise: Vec<f32> = (0..3 * VOXELS).map(|_| size * random.normal() as f32).collect();
        smooth::<3>(&mut noise, SHAPE, [1.0; 3]);
        noise
    }

    /// Root mean square of the difference away from the faces, where a test of the place holds.
    fn apart(a: &[f32], b: &[f32], holds: impl Fn([usize; 3]) -> bool) -> f64 {
        let inner = (0..VOXELS).filter(|&voxel| {
            let place = [voxel / 48 / 44, voxel / 48 % 44, voxel % 48];
            (0..3).all(|axis| place[axis] >= 14 && place[axis] + 14 < SHAPE[axis]) && holds(place)
        });
        let squares: Vec<f64> = inner
            .map(|voxel| (0..3).map(|axis| f64::from(a[3 * voxel + axis] - b[3 * voxel + axis]).powi(2)).sum())
            .collect();
        (squares.iter().sum::<f64>() / squares.len() as f64).sqrt()
    }

    #[test]
    fn noise_goes_and_a_bend_and_what_stands_out_stay() {
        let near = |[z, y, x]: [usize; 3]| z.abs_diff(20) < 2 && y.abs_diff(22) < 2 && x.abs_diff(24) < 2;
        let (mut truth, noise) = (bend(), noise(0.5));
        // A bump of two voxels along x.
        for voxel in 0..VOXELS {
            let place = [voxel / 48 / 44, voxel / 48 % 44, voxel % 48];
            let far: f32 = [20.0, 22.0, 24.0].iter().zip(place).map(|(c, p)| (p as f32 - c).powi(2)).sum();
            truth[3 * voxel + 2] += 2.0 * (-0.5 * far / 4.0).exp();
        }
        // Half to each side of the middle.
        let halves = |field: &[f32]| [-0.5, 0.5].map(|half| field.iter().map(|v| half * v).collect::<Vec<f32>>());
        let noisy: Vec<f32> = truth.iter().zip(&noise).map(|(a, b)| a + b).collect();
        let whole = |sides: [Vec<f32>; 2]| sides[1].iter().zip(&sides[0]).map(|(b, a)| b - a).collect::<Vec<f32>>();
        let found = whole(kept(halves(&noisy), 0.35));
        let far = |place: [usize; 3]| (0..3).any(|axis| place[axis].abs_diff([20, 22, 24][axis]) >= 6);
        assert!(apart(&found, &truth, far) < 0.4 * apart(&noisy, &truth, far));
        // The bump with its noise is as it was; without a threshold everything is.
        assert!(apart(&found, &noisy, near) < 1e-6, "{}", apart(&found, &noisy, near));
        assert_eq!(kept(halves(&noisy), 0.0), halves(&noisy));
        assert!(apart(&whole(kept(halves(&noisy), 9.0)), &truth, near) > 0.5);
    }

    #[test]
    fn what_both_sides_hold_cancels_and_sides_may_be_exchanged() {
        let (bend, large) = (bend(), noise(9.0));
        let sides = [large.clone(), large.iter().zip(&bend).map(|(a, b)| a + b).collect()];
        let found = kept(sides.clone(), 0.35);
        let between: Vec<f32> = found[1].iter().zip(&found[0]).map(|(b, a)| b - a).collect();
        assert!(apart(&between, &bend, |_| true) < 5e-3, "{}", apart(&between, &bend, |_| true));
        let [a, b] = sides;
        let [found_b, found_a] = kept([b, a], 0.35);
        assert!(found_a == found[0] && found_b == found[1]);
    }
}
