//! What is added up for each label: whole numbers, whose sums do not depend on their order.

/// Labels of one block and where their sums are: open addressing, linear probing.
pub(super) struct Slots {
    keys: Vec<u64>,
    places: Vec<u32>,
    pub(super) labels: Vec<u64>,
}

impl Slots {
    pub(super) fn new() -> Self {
        Self { keys: vec![0; 64], places: vec![0; 64], labels: Vec::new() }
    }

    /// The place of a label other than 0; a new one when it was not there.
    #[inline]
    pub(super) fn place(&mut self, label: u64) -> usize {
        let mask = self.keys.len() - 1;
        let mut at = (label.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 20) as usize & mask;
        loop {
            if self.keys[at] == label {
                return self.places[at] as usize;
            }
            if self.keys[at] == 0 {
                break;
            }
            at = (at + 1) & mask;
        }
        self.keys[at] = label;
        self.places[at] = self.labels.len() as u32;
        self.labels.push(label);
        if self.labels.len() * 2 > self.keys.len() {
            self.grow();
        }
        self.labels.len() - 1
    }

    fn grow(&mut self) {
        let size = self.keys.len() * 2;
        (self.keys, self.places) = (vec![0; size], vec![0; size]);
        for (place, &label) in self.labels.iter().enumerate() {
            let mut at = (label.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 20) as usize & (size - 1);
            while self.keys[at] != 0 {
                at = (at + 1) & (size - 1);
            }
            self.keys[at] = label;
            self.places[at] = place as u32;
        }
    }
}

/// Products of coordinates that are summed: zz, yy, xx, zy, zx, yx.
pub(super) const PAIRS: [[usize; 2]; 6] = [[0, 0], [1, 1], [2, 2], [0, 1], [0, 2], [1, 2]];

/// Sums of one label within one block, in coordinates of the block.
#[derive(Clone, Copy, Debug, serde::Serialize, serde::Deserialize)]
pub(super) struct Local {
    pub(super) count: u64,
    pub(super) sum: [u64; 3],
    pub(super) products: [u64; 6],
    pub(super) low: [u32; 3],
    pub(super) high: [u32; 3],
    pub(super) surface: u64,
}

impl Local {
    pub(super) const EMPTY: Self =
        Self { count: 0, sum: [0; 3], products: [0; 6], low: [u32::MAX; 3], high: [0; 3], surface: 0 };

    /// Adds the voxels `start..end` of the line (z, y).
    #[inline]
    pub(super) fn run(&mut self, z: usize, y: usize, start: usize, end: usize) {
        let n = (end - start) as u64;
        let (first, last) = (start as u64, end as u64 - 1);
        let (z64, y64) = (z as u64, y as u64);
        // Sums of x and of its square over first..=last.
        let x = (first + last) * n / 2;
        let below = |k: u64| k * (k + 1) * (2 * k + 1) / 6;
        let squares = below(last) - if first == 0 { 0 } else { below(first - 1) };
        self.count += n;
        self.sum[0] += n * z64;
        self.sum[1] += n * y64;
        self.sum[2] += x;
        self.products[0] += n * z64 * z64;
        self.products[1] += n * y64 * y64;
        self.products[2] += squares;
        self.products[3] += n * z64 * y64;
        self.products[4] += z64 * x;
        self.products[5] += y64 * x;
        let (low, high) = ([z as u32, y as u32, start as u32], [z as u32, y as u32, end as u32 - 1]);
        for axis in 0..3 {
            self.low[axis] = self.low[axis].min(low[axis]);
            self.high[axis] = self.high[axis].max(high[axis]);
        }
    }
}

/// Sums of one label over the volume.
#[derive(Clone, Copy, Debug)]
pub(super) struct Total {
    pub(super) count: u128,
    pub(super) sum: [u128; 3],
    pub(super) products: [u128; 6],
    pub(super) low: [u64; 3],
    pub(super) high: [u64; 3],
    pub(super) surface: u128,
}

impl Total {
    pub(super) const EMPTY: Self =
        Self { count: 0, sum: [0; 3], products: [0; 6], low: [u64::MAX; 3], high: [0; 3], surface: 0 };

    /// Takes in a block that begins at `start`.
    pub(super) fn add(&mut self, local: &Local, start: [usize; 3]) {
        let start = start.map(|n| n as u128);
        let (n, sum) = (u128::from(local.count), local.sum.map(u128::from));
        self.count += n;
        for axis in 0..3 {
            self.sum[axis] += sum[axis] + n * start[axis];
            self.low[axis] = self.low[axis].min(u64::from(local.low[axis]) + start[axis] as u64);
            self.high[axis] = self.high[axis].max(u64::from(local.high[axis]) + start[axis] as u64);
        }
        for (k, [a, b]) in PAIRS.into_iter().enumerate() {
            self.products[k] +=
                u128::from(local.products[k]) + start[a] * sum[b] + start[b] * sum[a] + n * start[a] * start[b];
        }
        self.surface += u128::from(local.surface);
    }
}

/// Sums of intensities: whole parts and fractions (in units of 2^-48) apart, so that sums of floating values do not
/// depend on their order either.
#[derive(Clone, Copy, Debug, serde::Serialize, serde::Deserialize)]
pub(super) struct Light {
    whole: i128,
    fraction: u128,
    squares: u128,
    square_fraction: u128,
    pub(super) min: f64,
    pub(super) max: f64,
}

const FRACTION: f64 = (1u64 << 48) as f64;

impl Light {
    pub(super) const EMPTY: Self =
        Self { whole: 0, fraction: 0, squares: 0, square_fraction: 0, min: f64::INFINITY, max: f64::NEG_INFINITY };

    /// Adds whole numbers of at most 16 bits.
    #[inline]
    pub(super) fn small(&mut self, values: &[i32]) {
        let (mut sum, mut squares, mut min, mut max) = (0i64, 0u64, i32::MAX, i32::MIN);
        for &value in values {
            sum += i64::from(value);
            squares += u64::from(value.unsigned_abs()) * u64::from(value.unsigned_abs());
            min = min.min(value);
            max = max.max(value);
        }
        self.whole += i128::from(sum);
        self.squares += u128::from(squares);
        self.min = self.min.min(f64::from(min));
        self.max = self.max.max(f64::from(max));
    }

    /// Adds values of at most 1e15; false when one is not.
    #[inline]
    pub(super) fn large(&mut self, values: &[f64]) -> bool {
        for &value in values {
            if !(value.abs() <= 1e15) {
                return false;
            }
            let floor = value.floor();
            self.whole += i128::from(floor as i64);
            self.fraction += u128::from(((value - floor) * FRACTION) as u64);
            let square = value * value;
            if square < 4e18 {
                let floor = square as u64;
                self.squares += u128::from(floor);
                self.square_fraction += u128::from(((square - floor as f64) * FRACTION) as u64);
            } else {
                self.squares += square as u128;
            }
            self.min = self.min.min(value);
            self.max = self.max.max(value);
        }
        true
    }

    pub(super) fn add(&mut self, other: &Self) {
        self.whole += other.whole;
        self.fraction += other.fraction;
        self.squares += other.squares;
        self.square_fraction += other.square_fraction;
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
    }

    pub(super) fn sum(&self) -> f64 {
        self.whole as f64 + self.fraction as f64 / FRACTION
    }

    /// Standard deviation of `n` values (divided by n).
    pub(super) fn deviation(&self, n: u128) -> f64 {
        let count = n as f64;
        if self.fraction == 0
            && self.square_fraction == 0
            && let Some(squares) = i128::try_from(self.squares).ok().and_then(|s| s.checked_mul(n as i128))
            && let Some(square) = self.whole.checked_mul(self.whole)
        {
            return ((squares - square).max(0) as f64).sqrt() / count;
        }
        let squares = self.squares as f64 + self.square_fraction as f64 / FRACTION;
        (squares / count - (self.sum() / count).powi(2)).max(0.0).sqrt()
    }
}
