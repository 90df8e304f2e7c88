//! Surfaces from boundaries that lines cross.

use zensaibo_core::data::Grid;

use crate::space::Spacing;

/// Weights of the 26 neighbours as whole numbers, so that sums do not depend on their order.
pub(crate) struct Crofton {
    /// Steps in z, y and x, and the weight of a boundary in that direction.
    neighbours: Vec<([isize; 3], u32)>,
    /// Square micrometres for a weight of 1.
    unit: f64,
}

impl Crofton {
    pub(crate) fn new(spacing: Spacing) -> Self {
        let um = spacing.um();
        let mut steps = Vec::new();
        for step in 14..27isize {
            steps.push([step / 9 - 1, step / 3 % 3 - 1, step % 3 - 1]);
        }
        let lengths: Vec<f64> =
            steps.iter().map(|s| (0..3).map(|a| (s[a] as f64 * um[a]).powi(2)).sum::<f64>().sqrt()).collect();
        // Share of the sphere that is nearest to each direction, counted on an even spiral of points.
        const POINTS: usize = 100_000;
        let mut shares = [0usize; 13];
        let golden = std::f64::consts::PI * (3.0 - 5f64.sqrt());
        for i in 0..POINTS {
            let z = 1.0 - (2 * i + 1) as f64 / POINTS as f64;
            let (radius, angle) = ((1.0 - z * z).sqrt(), golden * i as f64);
            let point = [z, radius * angle.cos(), radius * angle.sin()];
            let (mut nearest, mut best) = (0, -1.0);
            for (k, step) in steps.iter().enumerate() {
                let along = (0..3).map(|a| step[a] as f64 * um[a] * point[a]).sum::<f64>().abs() / lengths[k];
                if along > best {
                    (nearest, best) = (k, along);
                }
            }
            shares[nearest] += 1;
        }
        // Crofton: S = 2 sum_k share_k crossings_k (area between the lines of direction k = voxel volume / step).
        let areas: Vec<f64> =
            (0..13).map(|k| 2.0 * shares[k] as f64 / POINTS as f64 * spacing.volume() / lengths[k]).collect();
        // All 26 together stay below 2^30.
        let unit = 2.0 * areas.iter().sum::<f64>() / f64::from(1 << 29);
        let mut neighbours = Vec::new();
        for (step, area) in steps.iter().zip(&areas) {
            let weight = (area / unit).round() as u32;
            neighbours.push((*step, weight));
            neighbours.push((step.map(|s| -s), weight));
        }
        Self { neighbours, unit }
    }

    /// Square micrometres of a sum of weights.
    pub(super) fn area(&self, sum: u128) -> f64 {
        sum as f64 * self.unit
    }

    /// Weights of the boundaries around each voxel of one inner line of a block that is padded by one voxel; 0 where all
    /// of a stretch is background.
    pub(super) fn line<L>(&self, padded: &Grid<L>, z: usize, y: usize, out: &mut [u32])
    where
        L: Copy + PartialEq + Default + Weigh,
    {
        const STRETCH: usize = 64;
        out.fill(0);
        let width = out.len();
        let centre = &padded.row(z + 1, y + 1)[1..=width];
        let zero = L::default();
        for from in (0..width).step_by(STRETCH) {
            let to = (from + STRETCH).min(width);
            if centre[from..to].iter().all(|&label| label == zero) {
                continue;
            }
            let mut lines: [(&[L], u32); 26] = [(&[], 0); 26];
            for (line, &(step, weight)) in lines.iter_mut().zip(&self.neighbours) {
                let row = padded.row((z + 1).wrapping_add_signed(step[0]), (y + 1).wrapping_add_signed(step[1]));
                let first = (from + 1).wrapping_add_signed(step[2]);
                *line = (&row[first..first + to - from], weight);
            }
            L::weigh(&centre[from..to], &lines, &mut out[from..to]);
        }
    }
}

/// Adds the weights of neighbours that differ.
pub(super) trait Weigh: Sized {
    fn weigh(centre: &[Self], lines: &[(&[Self], u32); 26], out: &mut [u32]);
}

macro_rules! weigh {
    ($type:ty, $name:ident) => {
        impl Weigh for $type {
            fn weigh(centre: &[Self], lines: &[(&[Self], u32); 26], out: &mut [u32]) {
                $name(centre, lines, out);
            }
        }

        #[multiversion::multiversion(targets("x86_64+avx512f+avx512vl", "x86_64+avx2"))]
        fn $name(centre: &[$type], lines: &[(&[$type], u32); 26], out: &mut [u32]) {
            for &(line, weight) in lines {
                for i in 0..out.len().min(centre.len()).min(line.len()) {
                    out[i] += if centre[i] == line[i] { 0 } else { weight };
                }
            }
        }
    };
}
weigh!(u32, weigh_u32);
weigh!(u64, weigh_u64);
