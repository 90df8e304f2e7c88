//! Keeping a field from folding.
//!
//! A chain of small steps never folds, but its samples on a grid can, where space is pressed together to a few
//! hundredths. There the field is smoothed, and only there, until it is loose again.

use rayon::prelude::*;

/// Volumes pressed together below this share are loosened.
const TIGHT: f32 = 0.08;
/// Voxels around a tight one that are loosened with it at first.
const AROUND: usize = 2;
/// Differences of a voxel from its neighbours that add up to less in every component cannot press space that much: the
/// determinant of 1 + E is at least the cube of 1 less the largest row sum of E.
const LOOSE: f32 = 0.5;

/// Loosens `field` (three displacements per voxel, in voxels) where it is tight or folds, in so many `rounds` at most. From
/// one round to the next the field is smoothed more, and from the eighth on, further around.
///
/// Cost: one look at the field, then only what is near tight voxels.
pub(super) fn unfold(field: &mut [f32], shape: [usize; 3], rounds: usize) {
    let [depth, height, width] = shape;
    let (field, _) = field.as_chunks_mut::<3>();
    let seen = &*field;
    let found: Vec<Vec<usize>> = (0..depth)
        .into_par_iter()
        .map(|z| {
            let plane = z * height * width;
            (plane..plane + height * width).filter(|&at| tight(seen, shape, at)).collect()
        })
        .collect();
    let mut narrow = found.concat();
    if narrow.is_empty() {
        return;
    }
    let mut marked = vec![false; field.len()];
    for round in 0..rounds {
        let chosen = around(&narrow, shape, AROUND + round / 8, &mut marked);
        // A mean of a voxel and its six neighbours has a variance of 2/7 along each axis.
        let sigma = 1.0 + 0.1 * round as f32;
        for _ in 0..(3.5 * sigma * sigma).round() as usize {
            let seen = &*field;
            let looser: Vec<[f32; 3]> =
                chosen.par_iter().with_min_len(1 << 12).map(|&at| neighbours_mean(seen, shape, at)).collect();
            chosen.iter().zip(looser).for_each(|(&at, vector)| field[at] = vector);
        }
        let touched = around(&chosen, shape, 1, &mut marked);
        let seen = &*field;
        narrow = touched.into_par_iter().with_min_len(1 << 12).filter(|&at| tight(seen, shape, at)).collect();
        if narrow.is_empty() {
            return;
        }
    }
}

/// The voxels at most `far` from any of `places` along every axis, each once, in rising order. `marked` is all false before
/// and after.
fn around(places: &[usize], shape: [usize; 3], far: usize, marked: &mut [bool]) -> Vec<usize> {
    let [_, height, width] = shape;
    let mut found = Vec::new();
    for &at in places {
        let voxel = [at / width / height, at / width % height, at % width];
        let near = |axis: usize| voxel[axis].saturating_sub(far)..(voxel[axis] + far + 1).min(shape[axis]);
        for z in near(0) {
            for y in near(1) {
                for x in near(2) {
                    let at = (z * height + y) * width + x;
                    if !marked[at] {
                        marked[at] = true;
                        found.push(at);
                    }
                }
            }
        }
    }
    found.iter().for_each(|&at| marked[at] = false);
    found.par_sort_unstable();
    found
}

/// Mean of a voxel and its neighbours across faces; itself in place of those beyond the field.
fn neighbours_mean(field: &[[f32; 3]], shape: [usize; 3], at: usize) -> [f32; 3] {
    let mut sum = field[at];
    for (axis, (step, place)) in steps(shape, at).into_iter().enumerate() {
        let low = if place > 0 { at - step } else { at };
        let high = if place + 1 < shape[axis] { at + step } else { at };
        (0..3).for_each(|row| sum[row] += field[low][row] + field[high][row]);
    }
    sum.map(|sum| sum / 7.0)
}

/// For each axis the distance of neighbours in memory, and the place of a voxel along it.
#[inline]
fn steps([_, height, width]: [usize; 3], at: usize) -> [(usize, usize); 3] {
    [(height * width, at / width / height), (width, at / width % height), (1, at % width)]
}

/// Whether space is tight at a voxel: the Jacobian's determinant by the differences to its neighbours, to one side or the
/// other of each axis. All eight choices see a fold between voxels that central differences look past.
#[inline]
fn tight(field: &[[f32; 3]], shape: [usize; 3], at: usize) -> bool {
    let own = field[at];
    let mut sides = [[[0f32; 3]; 3]; 2];
    let mut sums = [0f32; 3];
    for (axis, (step, place)) in steps(shape, at).into_iter().enumerate() {
        if place > 0 {
            let other = field[at - step];
            sides[0][axis] = std::array::from_fn(|row| own[row] - other[row]);
        }
        if place + 1 < shape[axis] {
            let other = field[at + step];
            sides[1][axis] = std::array::from_fn(|row| other[row] - own[row]);
        }
        (0..3).for_each(|row| sums[row] += sides[0][axis][row].abs().max(sides[1][axis][row].abs()));
    }
    if sums.iter().all(|&sum| sum < LOOSE) {
        return false;
    }
    (0..8usize).any(|choice| {
        // Columns of the Jacobian.
        let m: [[f32; 3]; 3] = std::array::from_fn(|axis| {
            let mut column = sides[choice >> axis & 1][axis];
            column[axis] += 1.0;
            column
        });
        let determinant = m[0][0] * (m[1][1] * m[2][2] - m[1][2] * m[2][1])
            - m[0][1] * (m[1][0] * m[2][2] - m[1][2] * m[2][0])
            + m[0][2] * (m[1][0] * m[2][1] - m[1][1] * m[2][0]);
        !(determinant >= TIGHT)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: [usize; 3] = [12, 14, 30];

    fn folds(field: &[f32]) -> usize {
        let (field, _) = field.as_chunks::<3>();
        (0..field.len()).filter(|&at| tight(field, SHAPE, at)).count()
    }

    #[test]
    fn folds_are_loosened_and_the_rest_stays() {
        let mut field = vec![0f32; 3 * 12 * 14 * 30];
        for z in 0..12 {
            for y in 0..14 {
                // Along x, voxel 10 goes beyond voxel 12.
                field[((z * 14 + y) * 30 + 10) * 3 + 2] = 2.4;
                field[((z * 14 + y) * 30 + 27) * 3 + 2] = 0.3;
            }
        }
        let before = field.clone();
        assert!(folds(&field) > 0);
        unfold(&mut field, SHAPE, 12);
        assert_eq!(folds(&field), 0);
        assert_eq!(field[(5 * 14 + 5) * 90 + 27 * 3..][..9], before[(5 * 14 + 5) * 90 + 27 * 3..][..9]);
        let mut smooth_one: Vec<f32> = (0..field.len()).map(|at| 0.2 * (at as f32 / 500.0).sin()).collect();
        let copy = smooth_one.clone();
        unfold(&mut smooth_one, SHAPE, 12);
        assert_eq!(smooth_one, copy);
    }

    #[test]
    fn a_wide_fold_is_loosened_in_the_end() {
        let mut field: Vec<f32> = (0..3 * 12 * 14 * 30)
            .map(|at| {
                // All of the middle goes to one plane and a little beyond it; noise elsewhere.
                let x = (at / 3 % 30) as f32;
                let noise = ((at * 7919) % 13) as f32 / 60.0;
                if at % 3 == 2 && (5.0..25.0).contains(&x) { 1.1 * (15.0 - x) } else { noise }
            })
            .collect();
        assert!(folds(&field) > 1000);
        unfold(&mut field, SHAPE, 400);
        assert_eq!(folds(&field), 0);
    }
}
