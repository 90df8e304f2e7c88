//! Exact Euclidean distances to the background.

use rayon::prelude::*;
use zensaibo_core::data::{Dtype, Frame, Grid, Region, VolumeBlocks};
use zensaibo_core::options::Options;
use zensaibo_core::{Ctx, Error, Result};

use super::DistanceOptions;
use crate::blocks::Border;
use crate::filters::LocalFilter;
use crate::space::Spacing;

/// Voxels along x that are worked on together.
const STRETCH: usize = 64;
/// Columns that are turned over together for the lower envelope: a cache line of f32.
const GROUP: usize = 16;
/// Steps along an axis that are looked at one by one; columns that reach further take the lower envelope, whose cost does not
/// grow with distance.
const NEAR: usize = 24;

/// f32 or f64.
pub trait Real: bytemuck::Pod + Send + Sync + PartialOrd + std::ops::Add<Output = Self> {
    /// Beyond any distance.
    const FAR: Self;
    /// The nearest value.
    fn of(value: f64) -> Self;
    /// As f64.
    fn wide(self) -> f64;
    /// The square root.
    fn root(self) -> Self;
    /// For each row of `rows` (`width` values each) the least of `rows[j] + squares[|i - j|]` over all rows, into `out`, for the
    /// columns whose `cap` is FAR; those whose cap is 0 take what comes of it.
    fn near(rows: &[Self], width: usize, squares: &[Self], cap: &[Self], out: &mut [Self]);
    /// The greatest value of each column.
    fn greatest(rows: &[Self], width: usize, out: &mut [Self]);
}

macro_rules! real {
    ($type:ty, $near:ident, $greatest:ident) => {
        impl Real for $type {
            const FAR: Self = Self::INFINITY;
            #[inline]
            fn of(value: f64) -> Self {
                value as Self
            }
            #[inline]
            fn wide(self) -> f64 {
                f64::from(self)
            }
            #[inline]
            fn root(self) -> Self {
                self.sqrt()
            }
            fn near(rows: &[Self], width: usize, squares: &[Self], cap: &[Self], out: &mut [Self]) {
                $near(rows, width, squares, cap, out);
            }
            fn greatest(rows: &[Self], width: usize, out: &mut [Self]) {
                $greatest(rows, width, out);
            }
        }

        #[multiversion::multiversion(targets("x86_64+avx512f+avx512vl", "x86_64+avx2"))]
        fn $greatest(rows: &[$type], width: usize, out: &mut [$type]) {
            out.fill(0.0);
            for row in rows.chunks_exact(width) {
                out.iter_mut().zip(row).for_each(|(most, &value)| *most = if value > *most { value } else { *most });
            }
        }

        #[multiversion::multiversion(targets("x86_64+avx512f+avx512vl", "x86_64+avx2"))]
        fn $near(rows: &[$type], width: usize, squares: &[$type], cap: &[$type], out: &mut [$type]) {
            let n = rows.len() / width;
            // The greatest value of a row that still matters.
            let greatest = |row: &[$type]| {
                row.iter().zip(cap).fold(0.0, |most: $type, (&value, &cap)| {
                    let value = if cap < value { cap } else { value };
                    if value > most { value } else { most }
                })
            };
            for i in 0..n {
                let best = &mut out[i * width..(i + 1) * width];
                best.copy_from_slice(&rows[i * width..(i + 1) * width]);
                let mut furthest = greatest(best);
                let mut k = 1;
                while k < n && squares[k] < furthest {
                    if i >= k {
                        let row = &rows[(i - k) * width..(i - k + 1) * width];
                        best.iter_mut().zip(row).for_each(|(a, &b)| {
                            let b = b + squares[k];
                            *a = if b < *a { b } else { *a };
                        });
                    }
                    if i + k < n {
                        let row = &rows[(i + k) * width..(i + k + 1) * width];
                        best.iter_mut().zip(row).for_each(|(a, &b)| {
                            let b = b + squares[k];
                            *a = if b < *a { b } else { *a };
                        });
                    }
                    // What is furthest now only decides when to stop.
                    if k % 2 == 0 {
                        furthest = greatest(best);
                    }
                    k += 1;
                }
            }
        }
    };
}
real!(f32, near_f32, greatest_f32);
real!(f64, near_f64, greatest_f64);

/// The distance in micrometres from the centre of each foreground voxel (any value but 0) to the centre of the nearest background
/// voxel of the frame; 0 in the background, infinity where there is none.
///
/// Holds the whole frame: 4 (f32) or 8 (f64) bytes per voxel and its mask. Exact up to the rounding of squared distances
/// in the type. Nothing is random, same bits for any number of threads. Time grows with the number of voxels: along y and z columns
/// near the background compare themselves with the nearest rows, all of a stretch at once, and the lower envelope of
/// parabolas serves those that lie deep (Felzenszwalb and Huttenlocher, Theory of Computing 2012).
///
/// # Errors
/// What the source returns; [`Error::Interrupted`].
pub fn distance_transform<T: Real>(
    source: &dyn VolumeBlocks,
    frame: Frame,
    spacing: Spacing,
    options: &DistanceOptions,
    ctx: &Ctx,
) -> Result<Grid<T>> {
    options.validate()?;
    let shape = source.info().space();
    let [depth, height, width] = shape;
    let mut out = Grid { shape, data: vec![T::zeroed(); shape.iter().product()] };
    if out.is_empty() {
        return Ok(out);
    }
    let plane = height * width;
    let stage = ctx.stage("distance transform", 2 * depth as u64);
    let um = spacing.um();
    let squares = squares::<T>(shape, spacing);
    out.data.par_chunks_mut(plane).enumerate().try_for_each(|(z, out)| {
        let region = Region { start: [z, 0, 0], size: [1, height, width] };
        lines(&foreground(source, frame, &region)?, width, &squares[2], options.black_border, out);
        let mut rows: Vec<&mut [T]> = out.chunks_mut(width).collect();
        let along = Along { squares: &squares[1], step: um[1], black: options.black_border, root: false, reach: NEAR };
        along.apply(&mut rows, &mut Scratch::default());
        stage.advance(1)
    })?;
    // The lines of each y, from the first plane to the last.
    let mut columns: Vec<Vec<&mut [T]>> = (0..height).map(|_| Vec::with_capacity(depth)).collect();
    out.data.chunks_mut(width).enumerate().for_each(|(line, row)| columns[line % height].push(row));
    columns.par_iter_mut().try_for_each_init(Scratch::default, |scratch, rows| {
        let (black, root) = (options.black_border, !options.squared);
        Along { squares: &squares[0], step: um[0], black, root, reach: NEAR }.apply(rows, scratch);
        ctx.check()
    })?;
    stage.advance(depth as u64)?;
    Ok(out)
}

/// Squares of 0, 1, 2, ... steps along each axis in square micrometres.
fn squares<T: Real>(shape: [usize; 3], spacing: Spacing) -> [Vec<T>; 3] {
    let um = spacing.um();
    std::array::from_fn(|axis| (0..=shape[axis]).map(|k| T::of((k as f64 * um[axis]).powi(2))).collect())
}

/// Which voxels of a region are not 0, as 0 and 1.
fn foreground(source: &dyn VolumeBlocks, frame: Frame, region: &Region) -> Result<Vec<u8>> {
    let dtype = source.info().dtype;
    let bytes = region.len() * dtype.size();
    let mut words = vec![0u64; bytes.div_ceil(8)];
    let voxels = &mut bytemuck::cast_slice_mut(&mut words)[..bytes];
    source.read(frame, region, voxels)?;
    // Without its sign, a floating zero has no bit set.
    let keep = if dtype.is_integer() || dtype == Dtype::Bool { u64::MAX } else { u64::MAX >> 1 };
    Ok(match dtype.size() {
        1 => voxels.iter().map(|&v| u8::from(v != 0)).collect(),
        2 => {
            let keep = if keep == u64::MAX { u16::MAX } else { u16::MAX >> 1 };
            bytemuck::cast_slice(voxels).iter().map(|&v: &u16| u8::from(v & keep != 0)).collect()
        }
        4 => {
            let keep = if keep == u64::MAX { u32::MAX } else { u32::MAX >> 1 };
            bytemuck::cast_slice(voxels).iter().map(|&v: &u32| u8::from(v & keep != 0)).collect()
        }
        _ => bytemuck::cast_slice(voxels).iter().map(|&v: &u64| u8::from(v & keep != 0)).collect(),
    })
}

/// Squared distances along x, for all lines of a mask.
fn lines<T: Real>(mask: &[u8], width: usize, squares: &[T], black: bool, out: &mut [T]) {
    for (mask, line) in mask.chunks_exact(width).zip(out.chunks_exact_mut(width)) {
        let mut x = 0;
        while x < width {
            if mask[x] == 0 {
                line[x] = T::zeroed();
                x += 1;
                continue;
            }
            let end = mask[x..].iter().position(|&v| v == 0).map_or(width, |n| x + n);
            // Background on either side, if there is one.
            let (left, right) = (x > 0 || black, end < width || black);
            for i in x..end {
                line[i] = match (left, right) {
                    (true, true) => squares[(i - x + 1).min(end - i)],
                    (true, false) => squares[i - x + 1],
                    (false, true) => squares[end - i],
                    (false, false) => T::FAR,
                };
            }
            x = end;
        }
    }
}

/// Memory of one thread.
struct Scratch<T> {
    from: Vec<T>,
    to: Vec<T>,
    cap: Vec<T>,
    /// Columns of a group, one after another.
    columns: Vec<T>,
    sites: Vec<Site>,
}

impl<T> Default for Scratch<T> {
    fn default() -> Self {
        Self { from: Vec::new(), to: Vec::new(), cap: Vec::new(), columns: Vec::new(), sites: Vec::new() }
    }
}

/// A parabola of the lower envelope, in steps of its axis: `height - place^2` at its own row.
#[derive(Clone, Copy)]
struct Site {
    place: f64,
    height: f64,
}

/// One axis other than x.
struct Along<'a, T> {
    squares: &'a [T],
    /// Micrometres from row to row.
    step: f64,
    /// Whether background lies before the first and after the last row.
    black: bool,
    /// Whether roots come back.
    root: bool,
    /// Steps that are looked at one by one.
    reach: usize,
}

impl<T: Real> Along<'_, T> {
    /// Takes in what the other rows say: `rows[i][x] = min_j rows[j][x] + (step (i - j))^2`.
    fn apply(&self, rows: &mut [&mut [T]], scratch: &mut Scratch<T>) {
        let (n, width) = (rows.len(), rows[0].len());
        // What a column may hold at most to be done within reach.
        let bound = self.squares[self.reach.min(n)];
        for first in (0..width).step_by(STRETCH) {
            let stretch = first..(first + STRETCH).min(width);
            let w = stretch.len();
            scratch.from.clear();
            rows.iter().for_each(|row| scratch.from.extend_from_slice(&row[stretch.clone()]));
            scratch.to.resize(n * w, T::zeroed());
            scratch.cap.resize(w, T::zeroed());
            T::greatest(&scratch.from, w, &mut scratch.cap);
            let all = self.reach >= n;
            let cap = |most: T| if all || most <= bound { T::FAR } else { T::zeroed() };
            scratch.cap.iter_mut().for_each(|most| *most = cap(*most));
            T::near(&scratch.from, w, self.squares, &scratch.cap, &mut scratch.to);
            for group in (0..w).step_by(GROUP) {
                let group = group..(group + GROUP).min(w);
                if scratch.cap[group.clone()].iter().any(|&cap| cap == T::zeroed()) {
                    self.envelopes(scratch, w, group);
                }
            }
            if self.black {
                // What lies beyond is background for its own row only: steps to it along the axis, and no others.
                for (i, to) in scratch.to.chunks_exact_mut(w).enumerate() {
                    let border = self.squares[(i + 1).min(n - i)];
                    to.iter_mut().for_each(|v| *v = if border < *v { border } else { *v });
                }
            }
            for (row, to) in rows.iter_mut().zip(scratch.to.chunks_exact(w)) {
                let row = &mut row[stretch.clone()];
                if self.root {
                    row.iter_mut().zip(to).for_each(|(row, &to)| *row = to.root());
                } else {
                    row.copy_from_slice(to);
                }
            }
        }
    }

    /// Lower envelopes of the deep columns of a group, turned over so that each lies in one piece.
    fn envelopes(&self, scratch: &mut Scratch<T>, width: usize, group: std::ops::Range<usize>) {
        let n = scratch.from.len() / width;
        // Not a multiple of a page, so that the columns do not fall into the same lines of the cache.
        let pitch = n + 24;
        scratch.columns.resize(2 * GROUP * pitch, T::zeroed());
        let (from, to) = scratch.columns.split_at_mut(GROUP * pitch);
        for (i, row) in scratch.from.chunks_exact(width).enumerate() {
            for (column, &value) in row[group.clone()].iter().enumerate() {
                from[column * pitch + i] = value;
            }
        }
        let deep = |column: usize| scratch.cap[group.start + column] == T::zeroed();
        for column in (0..group.len()).filter(|&column| deep(column)) {
            let place = column * pitch..column * pitch + n;
            self.envelope(&from[place.clone()], &mut to[place], &mut scratch.sites);
        }
        for (i, row) in scratch.to.chunks_exact_mut(width).enumerate() {
            for (column, value) in row[group.clone()].iter_mut().enumerate() {
                if deep(column) {
                    *value = to[column * pitch + i];
                }
            }
        }
    }

    /// One column: between two background voxels nothing beyond them matters.
    fn envelope(&self, from: &[T], to: &mut [T], sites: &mut Vec<Site>) {
        let (n, zero) = (from.len(), T::zeroed());
        let mut i = 0;
        while i < n {
            if from[i] == zero {
                to[i] = zero;
                i += 1;
                continue;
            }
            let start = i;
            while i < n && from[i] != zero {
                i += 1;
            }
            self.between(from, start.saturating_sub(1)..(i + 1).min(n), start..i, to, sites);
        }
    }

    /// The lower envelope of the parabolas of `rows`, read at the rows `inner`. Parabolas of one width are in the order of the
    /// envelope as points (place, height + place^2) are on a lower convex hull, which takes no division.
    fn between(
        &self,
        from: &[T],
        rows: std::ops::Range<usize>,
        inner: std::ops::Range<usize>,
        to: &mut [T],
        sites: &mut Vec<Site>,
    ) {
        let scale = 1.0 / (self.step * self.step);
        sites.clear();
        for row in rows {
            let value = from[row].wide();
            if value == f64::INFINITY {
                continue;
            }
            let place = row as f64;
            let new = Site { place, height: value * scale + place * place };
            while let [.., before, last] = sites[..] {
                // Whether the last lies on or above the line from the one before it to the new one.
                let above = (last.height - before.height) * (new.place - last.place)
                    >= (new.height - last.height) * (last.place - before.place);
                if !above {
                    break;
                }
                sites.pop();
            }
            sites.push(new);
        }
        if sites.is_empty() {
            to[inner].fill(T::FAR);
            return;
        }
        let mut at = 0;
        for row in inner {
            let twice = 2.0 * row as f64;
            while let Some(next) = sites.get(at + 1) {
                let here = sites[at];
                if next.height - here.height >= twice * (next.place - here.place) {
                    break;
                }
                at += 1;
            }
            let site = sites[at].place as usize;
            to[row] = from[site] + self.squares[site.abs_diff(row)];
        }
    }
}

/// Distances to the background up to a stated one, which all voxels further inside take: a filter whose blocks need no
/// more than that around them.
#[derive(Clone, Debug)]
pub struct BoundedDistance {
    spacing: Spacing,
    furthest: f64,
    black_border: bool,
}

impl BoundedDistance {
    /// Distances up to `furthest` micrometres.
    ///
    /// # Errors
    /// [`Error::Parameter`] when `furthest` is not positive or beyond 10,000 voxels.
    pub fn new(furthest: f64, spacing: Spacing, black_border: bool) -> Result<Self> {
        if !(furthest > 0.0) || spacing.to_voxels(furthest).iter().any(|&n| !(n <= 10_000.0)) {
            return Err(Error::parameter("max_distance", "above 0 and at most 10000 voxels", furthest));
        }
        Ok(Self { spacing, furthest, black_border })
    }
}

impl LocalFilter for BoundedDistance {
    fn name(&self) -> &'static str {
        "distance transform"
    }

    fn halo(&self) -> [usize; 3] {
        self.spacing.to_voxels(self.furthest).map(|n| n.ceil() as usize)
    }

    fn border(&self) -> Border {
        // A mirrored background voxel is never nearer than the voxel itself.
        if self.black_border { Border::Zero } else { Border::Reflect }
    }

    fn held(&self) -> usize {
        2
    }

    fn apply(&self, padded: Grid<f32>, ctx: &Ctx) -> Result<Grid<f32>> {
        ctx.check()?;
        let shape = padded.shape;
        let [depth, height, width] = shape;
        let mask: Vec<u8> = padded.data.iter().map(|&v| u8::from(v != 0.0)).collect();
        let (squares, um) = (squares::<f32>(shape, self.spacing), self.spacing.um());
        let mut out = padded;
        lines(&mask, width, &squares[2], false, &mut out.data);
        let most = (self.furthest * self.furthest) as f32;
        out.data.iter_mut().for_each(|v| *v = v.min(most));
        let mut scratch = Scratch::default();
        // Every step within the bound is looked at: the least of rounded sums does not depend on what else is in the block.
        let along = |axis: usize, root| Along {
            squares: &squares[axis],
            step: um[axis],
            black: false,
            root,
            reach: usize::MAX,
        };
        for plane in out.data.chunks_mut(height * width) {
            let mut rows: Vec<&mut [f32]> = plane.chunks_mut(width).collect();
            along(1, false).apply(&mut rows, &mut scratch);
        }
        let mut columns: Vec<Vec<&mut [f32]>> = (0..height).map(|_| Vec::with_capacity(depth)).collect();
        out.data.chunks_mut(width).enumerate().for_each(|(line, row)| columns[line % height].push(row));
        columns.iter_mut().for_each(|rows| along(0, true).apply(rows, &mut scratch));
        let halo = self.halo();
        let size = std::array::from_fn(|axis| shape[axis] - 2 * halo[axis]);
        Ok(out.crop(&Region { start: halo, size }))
    }
}
