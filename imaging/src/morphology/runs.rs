//! Lines as runs of equal voxels, and which of them touch.

use zensaibo_core::data::Dtype;

use super::Connectivity;

/// Consecutive foreground voxels of one line: `start..end` along x.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) start: u32,
    pub(super) end: u32,
}

/// Lines of a block as runs, in raster order.
#[derive(Clone, Debug)]
pub(super) struct Runs {
    pub(super) runs: Vec<Run>,
    /// The value of each run; empty where all foreground is one.
    pub(super) values: Vec<u64>,
    /// Where each line begins in `runs`, and where the last ends.
    pub(super) lines: Vec<usize>,
}

impl Default for Runs {
    fn default() -> Self {
        Self::new()
    }
}

impl Runs {
    /// No line.
    pub(super) fn new() -> Self {
        Self { runs: Vec::new(), values: Vec::new(), lines: vec![0] }
    }

    /// Appends the runs of `voxels`, lines of `width` values of a type. Values are compared by their bits; all zeros of
    /// floating types are background.
    pub(super) fn add(&mut self, voxels: &[u8], dtype: Dtype, width: usize, by_value: bool) {
        let runs = self;
        let float = !dtype.is_integer() && dtype != Dtype::Bool;
        match (dtype.size(), float) {
            (1, _) => runs.fill::<Plain<u8>>(bytemuck::cast_slice(voxels), width, by_value),
            (2, false) => runs.fill::<Plain<u16>>(bytemuck::cast_slice(voxels), width, by_value),
            (4, false) => runs.fill::<Plain<u32>>(bytemuck::cast_slice(voxels), width, by_value),
            (8, false) => runs.fill::<Plain<u64>>(bytemuck::cast_slice(voxels), width, by_value),
            (2, true) => runs.fill::<Signed<u16>>(bytemuck::cast_slice(voxels), width, by_value),
            (4, true) => runs.fill::<Signed<u32>>(bytemuck::cast_slice(voxels), width, by_value),
            _ => runs.fill::<Signed<u64>>(bytemuck::cast_slice(voxels), width, by_value),
        }
    }

    fn fill<V: Voxel>(&mut self, voxels: &[V], width: usize, by_value: bool) {
        // Whether a voxel differs from the one before it, padded so that eight are looked at in one word.
        let mut changes = vec![0u8; width.next_multiple_of(8)];
        for line in voxels.chunks_exact(width) {
            V::changes(line, by_value, &mut changes[..width]);
            let mut open: Option<u32> = None;
            for (at, eight) in changes.chunks_exact(8).enumerate() {
                let mut word = u64::from_le_bytes([
                    eight[0], eight[1], eight[2], eight[3], eight[4], eight[5], eight[6], eight[7],
                ]);
                while word != 0 {
                    let x = (at * 8) as u32 + word.trailing_zeros() / 8;
                    word &= word - 1;
                    if let Some(start) = open.take() {
                        self.runs.push(Run { start, end: x });
                    }
                    let value = line[x as usize].bits();
                    if value != 0 {
                        open = Some(x);
                        if by_value {
                            self.values.push(value);
                        }
                    }
                }
            }
            if let Some(start) = open {
                self.runs.push(Run { start, end: width as u32 });
            }
            self.lines.push(self.runs.len());
        }
    }

    /// Where the runs of one line lie.
    #[inline]
    pub(super) fn line(&self, line: usize) -> std::ops::Range<usize> {
        self.lines[line]..self.lines[line + 1]
    }
}

/// A voxel that is compared by its bits.
trait Voxel: bytemuck::Pod {
    /// Its bits; 0 in the background.
    fn bits(self) -> u64;
    /// Marks with 1, in a line, the voxels that differ from the one before them, which is background before the first: in value, or
    /// in being background.
    fn changes(line: &[Self], by_value: bool, out: &mut [u8]);
}

/// A whole number.
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(transparent)]
struct Plain<T>(T);

/// A floating number: its zeros of both signs are background.
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(transparent)]
struct Signed<T>(T);

macro_rules! voxel {
    ($($kind:ident, $type:ty, $clean:expr);*) => {
        $(impl Voxel for $kind<$type> {
            #[inline]
            fn bits(self) -> u64 {
                let clean: fn($type) -> $type = $clean;
                u64::from(clean(self.0))
            }
            fn changes(line: &[Self], by_value: bool, out: &mut [u8]) {
                #[multiversion::multiversion(targets("x86_64+avx512f+avx512bw+avx512vl", "x86_64+avx2"))]
                fn marked(line: &[$type], by_value: bool, out: &mut [u8]) {
                    let clean: fn($type) -> $type = $clean;
                    let n = out.len();
                    if n == 0 {
                        return;
                    }
                    out[0] = u8::from(clean(line[0]) != 0);
                    let (before, here, out) = (&line[..n - 1], &line[1..n], &mut out[1..]);
                    if by_value {
                        for x in 0..n - 1 {
                            out[x] = u8::from(clean(here[x]) != clean(before[x]));
                        }
                    } else {
                        for x in 0..n - 1 {
                            out[x] = u8::from((clean(here[x]) != 0) != (clean(before[x]) != 0));
                        }
                    }
                }
                marked(bytemuck::cast_slice(line), by_value, out);
            }
        })*
    };
}
voxel!(
    Plain, u8, |v| v; Plain, u16, |v| v; Plain, u32, |v| v; Plain, u64, |v| v;
    // -0 is 0: without its sign there is nothing left of it.
    Signed, u16, |v| if v << 1 == 0 { 0 } else { v };
    Signed, u32, |v| if v << 1 == 0 { 0 } else { v };
    Signed, u64, |v| if v << 1 == 0 { 0 } else { v }
);

/// Calls `each(i, j)` for the runs `a[i]` and `b[j]` of two neighbouring lines that touch; `slack` is 1 where corners count.
#[inline]
pub(super) fn touching(a: &[Run], b: &[Run], slack: u32, mut each: impl FnMut(usize, usize)) {
    let (mut i, mut j) = (0, 0);
    while i < a.len() && j < b.len() {
        if a[i].start < b[j].end + slack && b[j].start < a[i].end + slack {
            each(i, j);
        }
        if a[i].end < b[j].end {
            i += 1;
        } else {
            // Where runs follow without a gap, the next one touches across the common end.
            if slack > 0 && a[i].end == b[j].end && i + 1 < a.len() && a[i + 1].start == b[j].end {
                each(i + 1, j);
            }
            j += 1;
        }
    }
}

/// The lines before a line that its voxels touch: steps in z and y, and whether corners along x count.
pub(super) fn earlier(connectivity: Connectivity) -> &'static [(isize, isize, u32)] {
    match connectivity {
        Connectivity::Faces => &[(0, -1, 0), (-1, 0, 0)],
        Connectivity::Edges => &[(0, -1, 1), (-1, 0, 1), (-1, -1, 0), (-1, 1, 0)],
        Connectivity::Corners => &[(0, -1, 1), (-1, 0, 1), (-1, -1, 1), (-1, 1, 1)],
    }
}

/// Disjoint sets of numbers; the smallest of a set stands for it.
#[derive(Default)]
pub(crate) struct Sets<I>(pub(crate) Vec<I>);

/// An index that a set may be made of.
pub(crate) trait Index: Copy + Ord {
    fn at(self) -> usize;
}

impl Index for u32 {
    #[inline]
    fn at(self) -> usize {
        self as usize
    }
}

impl Index for u64 {
    #[inline]
    fn at(self) -> usize {
        self as usize
    }
}

impl<I: Index> Sets<I> {
    #[inline]
    pub(crate) fn find(&mut self, mut i: I) -> I {
        while self.0[i.at()] != i {
            let up = self.0[self.0[i.at()].at()];
            self.0[i.at()] = up;
            i = up;
        }
        i
    }

    #[inline]
    pub(crate) fn join(&mut self, a: I, b: I) {
        let (a, b) = (self.find(a), self.find(b));
        if a < b {
            self.0[b.at()] = a;
        } else {
            self.0[a.at()] = b;
        }
    }
}
