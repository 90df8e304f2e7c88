//! The median of 3 x 3 x 3 voxels by comparisons alone, on whole lines.
//!
//! Three voxels along z are sorted once for the nine results that see them, nine voxels of a (z, y) square once for three. What is
//! left is the middle of three sorted lists of nine. Standing below one another, their columns of three are sorted;
//! then an element has all that stand left of or above it below itself, so only 13 of the 27 can be in the
//! middle: 96 minima and maxima for a voxel in all.

use zensaibo_core::data::Grid;
use zensaibo_core::{Ctx, Result};

/// Voxels of a line that are worked on at a time: all lists stay in the first cache.
const STRETCH: usize = 128;

/// A list of `N` lines, each sorted against the others voxel by voxel.
type Lines<const N: usize> = [[f32; STRETCH + 2]; N];

/// Compares two lines: the lower voxels to the first, the higher ones to the second.
macro_rules! order {
    ($lines:ident, $n:expr, $(($low:literal, $high:literal)),+) => {
        $(
            for i in 0..$n {
                let (a, b) = ($lines[$low][i], $lines[$high][i]);
                $lines[$low][i] = low(a, b);
                $lines[$high][i] = high(a, b);
            }
        )+
    };
}

#[inline(always)]
fn low(a: f32, b: f32) -> f32 {
    if a < b { a } else { b }
}

#[inline(always)]
fn high(a: f32, b: f32) -> f32 {
    if a > b { a } else { b }
}

/// Medians of the 3 x 3 x 3 voxels around each voxel of a block that is padded by one voxel.
pub(super) fn median_of_27(padded: &Grid<f32>, out: &mut Grid<f32>, ctx: &Ctx) -> Result<()> {
    let [depth, height, width] = out.shape;
    // Sorted triples along z of the last three lines of y.
    let mut triples = [[[0f32; STRETCH + 2]; 3]; 3];
    for from in (0..width).step_by(STRETCH) {
        let n = STRETCH.min(width - from);
        for z in 0..depth {
            if z % 16 == 0 {
                ctx.check()?;
            }
            for y in 0..height + 2 {
                let lines = std::array::from_fn(|dz| &padded.row(z + dz, y)[from..from + n + 2]);
                sort_triples(lines, &mut triples[y % 3]);
                if y >= 2 {
                    let target = &mut out.row_mut(z, y - 2)[from..from + n];
                    median_of_triples(&triples, target);
                }
            }
        }
    }
    Ok(())
}

/// Sorts three lines voxel by voxel.
#[multiversion::multiversion(targets("x86_64+avx512f+avx512vl", "x86_64+avx2"))]
fn sort_triples(lines: [&[f32]; 3], sorted: &mut Lines<3>) {
    let n = lines[0].len().min(STRETCH + 2);
    let (a, b, c) = (&lines[0][..n], &lines[1][..n], &lines[2][..n]);
    for i in 0..n {
        let (least, more) = (low(a[i], b[i]), high(a[i], b[i]));
        let (middle, most) = (low(more, c[i]), high(more, c[i]));
        sorted[0][i] = low(least, middle);
        sorted[1][i] = high(least, middle);
        sorted[2][i] = most;
    }
}

/// The median of 27 from the sorted triples of three lines of y, for each voxel.
#[multiversion::multiversion(targets("x86_64+avx512f+avx512vl", "x86_64+avx2"))]
fn median_of_triples(triples: &[Lines<3>; 3], out: &mut [f32]) {
    let n = out.len().min(STRETCH);
    let wide = n + 2;
    let mut nine: Lines<9> = [[0.0; STRETCH + 2]; 9];
    for (y, triple) in triples.iter().enumerate() {
        for (k, line) in triple.iter().enumerate() {
            nine[3 * y + k][..wide].copy_from_slice(&line[..wide]);
        }
    }
    // The columns of three sorted triples (Floyd), then what is still open.
    order!(nine, wide, (0, 3), (3, 6), (0, 3), (1, 4), (4, 7), (1, 4), (2, 5), (5, 8), (2, 5));
    order!(nine, wide, (1, 3), (5, 7), (2, 6), (4, 6), (2, 4), (2, 3), (5, 6));
    // Columns of the three lists of nine that begin at x - 1, x and x + 1: their lowest (5..=8), middle (2..=6) and highest (0..=3).
    let mut ends: [[f32; STRETCH]; 8] = [[0.0; STRETCH]; 8];
    let mut middle: [[f32; STRETCH]; 5] = [[0.0; STRETCH]; 5];
    for j in 0..9 {
        let line = &nine[j];
        for i in 0..n {
            let (a, b, c) = (line[i], line[i + 1], line[i + 2]);
            let (least, more) = (low(a, b), high(a, b));
            if j >= 5 {
                ends[j - 5][i] = low(least, c);
            }
            if (2..=6).contains(&j) {
                middle[j - 2][i] = high(least, low(more, c));
            }
            if j <= 3 {
                ends[j + 4][i] = high(more, c);
            }
        }
    }
    // Two sorted lists of four into one (Batcher); the middle of its eight and the five others is the seventh of thirteen.
    order!(ends, n, (0, 4), (1, 5), (2, 6), (3, 7), (2, 4), (3, 5), (1, 2), (3, 4), (5, 6));
    for i in 0..n {
        let mut median = ends[6][i];
        for j in 0..5 {
            median = low(median, high(ends[5 - j][i], middle[j][i]));
        }
        out[i] = median;
    }
}
