//! Keeping a field from folding.
//!
//! A chain of small steps never folds, but its samples on a grid can, where space is pressed together to a few
//! hundredths. There the field is smoothed, and only there, until it is loose again.

use rayon::prelude::*;

use super::smooth::smooth;

/// Volumes pressed together below this share are loosened.
const TIGHT: f32 = 0.08;
/// Voxels around a tight one that are loosened with it at first.
const AROUND: usize = 2;

/// Loosens `field` (three displacements per voxel, in voxels) where it is tight or folds, in so many `rounds` at most. The
/// smoothing, and from the eighth round on the region that is smoothed, grows from one to the next.
pub(super) fn unfold(field: &mut [f32], shape: [usize; 3], rounds: usize) {
    let [depth, height, width] = shape;
    for round in 0..rounds {
        let tight: Vec<Vec<usize>> = (0..depth)
            .into_par_iter()
            .map(|z| {
                (0..height * width).filter(|at| growth(field, shape, [z, at / width, at % width]) < TIGHT).collect()
            })
            .collect();
        if tight.iter().all(Vec::is_empty) {
            return;
        }
        let around = AROUND + round / 8;
        let mut chosen = vec![false; depth * height * width];
        for (z, places) in tight.iter().enumerate() {
            for at in places {
                let voxel = [z, at / width, at % width];
                let near =
                    |axis: usize| voxel[axis].saturating_sub(around)..(voxel[axis] + around + 1).min(shape[axis]);
                for z in near(0) {
                    for y in near(1) {
                        chosen[(z * height + y) * width + near(2).start..][..near(2).len()].fill(true);
                    }
                }
            }
        }
        let mut looser = field.to_vec();
        smooth::<3>(&mut looser, shape, [1.0 + 0.1 * round as f64; 3]);
        let pairs = field.par_chunks_mut(3).zip(looser.par_chunks(3)).with_min_len(1 << 14);
        pairs.zip(&chosen).for_each(|((old, new), &chosen)| {
            if chosen {
                old.copy_from_slice(new);
            }
        });
    }
}

/// Determinant of the Jacobian at a voxel, by the differences to its neighbours on both sides: the smaller of the two
/// one-sided ones, which sees a fold between two voxels that central differences look past.
fn growth(field: &[f32], shape: [usize; 3], voxel: [usize; 3]) -> f32 {
    let strides = [3 * shape[1] * shape[2], 3 * shape[2], 3];
    let at: usize = (0..3).map(|axis| voxel[axis] * strides[axis]).sum();
    let side = |forth: bool| {
        let mut m = [[0f32; 3]; 3];
        for axis in 0..3 {
            let exists = if forth { voxel[axis] + 1 < shape[axis] } else { voxel[axis] > 0 };
            if exists {
                let (low, high) = if forth { (at, at + strides[axis]) } else { (at - strides[axis], at) };
                for row in 0..3 {
                    m[row][axis] = field[high + row] - field[low + row];
                }
            }
            m[axis][axis] += 1.0;
        }
        m[0][0] * (m[1][1] * m[2][2] - m[1][2] * m[2][1]) - m[0][1] * (m[1][0] * m[2][2] - m[1][2] * m[2][0])
            + m[0][2] * (m[1][0] * m[2][1] - m[1][1] * m[2][0])
    };
    side(true).min(side(false))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folds_are_loosened_and_the_rest_stays() {
        let shape = [12, 14, 30];
        let mut field = vec![0f32; 3 * 12 * 14 * 30];
        for z in 0..12 {
            for y in 0..14 {
                // Along x, voxel 10 goes beyond voxel 12.
                field[((z * 14 + y) * 30 + 10) * 3 + 2] = 2.4;
                field[((z * 14 + y) * 30 + 27) * 3 + 2] = 0.3;
            }
        }
        let before = field.clone();
        assert!(growth(&field, shape, [5, 5, 10]) < 0.0);
        unfold(&mut field, shape, 12);
        for at in 0..12 * 14 * 30 {
            assert!(growth(&field, shape, [at / 420, at / 30 % 14, at % 30]) >= TIGHT);
        }
        assert_eq!(field[(5 * 14 + 5) * 90 + 27 * 3..][..9], before[(5 * 14 + 5) * 90 + 27 * 3..][..9]);
        let mut smooth_one: Vec<f32> = (0..field.len()).map(|at| 0.2 * (at as f32 / 500.0).sin()).collect();
        let copy = smooth_one.clone();
        unfold(&mut smooth_one, shape, 12);
        assert_eq!(smooth_one, copy);
    }
}
