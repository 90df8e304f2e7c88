//! Rows to make an index from, read in blocks.

use std::ops::Range;

use rayon::prelude::*;

use super::Points;
use crate::knn::points::PIECE;
use crate::matrix::ValueSlice;
use crate::{Ctx, DataFault, Error, Result};

/// Bytes of a block, about.
const BLOCK_BYTES: usize = 8 << 20;

/// Rows of a dense matrix that are read in blocks, several times.
pub trait PointBlocks: Sync {
    /// Number of rows.
    fn n(&self) -> usize;

    /// Number of columns.
    fn d(&self) -> usize;

    /// Whether values are f64; else they are f32.
    fn is_double(&self) -> bool;

    /// Hands the values of some consecutive rows to `read`, row by row.
    ///
    /// # Errors
    /// When they cannot be read; whatever `read` returns.
    fn visit(&self, rows: Range<usize>, read: &mut dyn FnMut(ValueSlice<'_>) -> Result<()>) -> Result<()>;
}

/// Values in memory, or of a file that is mapped into it, that no one has looked at yet.
#[derive(Clone, Copy, Debug)]
pub struct PointSlice<'a> {
    n: usize,
    d: usize,
    values: ValueSlice<'a>,
}

impl<'a> PointSlice<'a> {
    /// `n` rows of `d` values, f32 or f64.
    ///
    /// # Errors
    /// [`Error::Data`] for a length that is not `n * d` and values of another type.
    pub fn new(n: usize, d: usize, values: ValueSlice<'a>) -> Result<Self> {
        if !matches!(values, ValueSlice::F32(_) | ValueSlice::F64(_)) {
            return Err(Error::data(DataFault::Invalid, "points", "values of f32 or f64", "another type"));
        }
        if n.checked_mul(d) != Some(values.len()) {
            return Err(Error::data(DataFault::Shape, "points", format!("{n} x {d} values"), values.len()));
        }
        Ok(Self { n, d, values })
    }
}

/// Some of the values.
pub(super) fn part(values: ValueSlice<'_>, span: Range<usize>) -> ValueSlice<'_> {
    match values {
        ValueSlice::F32(v) => ValueSlice::F32(&v[span]),
        ValueSlice::F64(v) => ValueSlice::F64(&v[span]),
        other => other,
    }
}

impl PointBlocks for PointSlice<'_> {
    fn n(&self) -> usize {
        self.n
    }

    fn d(&self) -> usize {
        self.d
    }

    fn is_double(&self) -> bool {
        matches!(self.values, ValueSlice::F64(_))
    }

    fn visit(&self, rows: Range<usize>, read: &mut dyn FnMut(ValueSlice<'_>) -> Result<()>) -> Result<()> {
        read(part(self.values, rows.start * self.d..rows.end * self.d))
    }
}

/// Shape and type of a source that can be indexed.
pub(super) fn check_shape(source: &dyn PointBlocks) -> Result<()> {
    let (n, d) = (source.n(), source.d());
    if n == 0 || d == 0 {
        let found = format!("{n} x {d}");
        return Err(Error::data(DataFault::Empty, "points", "at least one row and one column", found));
    }
    if n > (u32::MAX - 16) as usize {
        return Err(Error::data(DataFault::Shape, "points", "fewer than 2^32 - 16 rows", n));
    }
    Ok(())
}

/// Rows that are read at once: whole pieces, so that sums over pieces do not depend on it.
pub(super) fn block_rows(source: &dyn PointBlocks) -> usize {
    PIECE * (BLOCK_BYTES / (PIECE * source.d() * 8).max(1)).max(1)
}

/// Reads all rows, block by block; checks that as many values come as were promised.
pub(super) fn each_block(
    source: &dyn PointBlocks,
    ctx: &Ctx,
    mut read: impl FnMut(Range<usize>, ValueSlice<'_>) -> Result<()>,
) -> Result<()> {
    let (n, d) = (source.n(), source.d());
    for rows in crate::parallel::pieces(n, block_rows(source)) {
        ctx.check()?;
        let mut visited = false;
        source.visit(rows.clone(), &mut |values| {
            let double = matches!(values, ValueSlice::F64(_));
            if values.len() != rows.len() * d || double != source.is_double() {
                let expected = format!("{} x {d} values of {}", rows.len(), type_name(source.is_double()));
                let found = format!("{} values of {}", values.len(), type_name(double));
                let what = format!("points, rows {} to {}", rows.start, rows.end);
                return Err(Error::data(DataFault::Shape, what, expected, found));
            }
            visited = true;
            read(rows.clone(), values)
        })?;
        if !visited {
            return Err(Error::Internal(format!("rows {rows:?} were not handed out")));
        }
    }
    Ok(())
}

fn type_name(double: bool) -> &'static str {
    if double { "float64" } else { "float32" }
}

/// One row as f64.
#[inline]
pub(super) fn row_into(values: ValueSlice<'_>, span: Range<usize>, out: &mut [f64]) {
    match values {
        ValueSlice::F32(v) => out.iter_mut().zip(&v[span]).for_each(|(out, &x)| *out = f64::from(x)),
        ValueSlice::F64(v) => out.copy_from_slice(&v[span]),
        _ => {}
    }
}

/// Two hashes of the bits of rows, in order: not against those who mean harm, but different rows differ in it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hash([u64; 2]);

impl Hash {
    pub(super) fn new(source: &dyn PointBlocks) -> Self {
        let mut hash = Self([0x9E37_79B9_7F4A_7C15, 0xC2B2_AE3D_27D4_EB4F]);
        [source.n() as u64, source.d() as u64, u64::from(source.is_double())].iter().for_each(|&word| hash.add(word));
        hash
    }

    #[inline]
    fn add(&mut self, word: u64) {
        let [a, b] = &mut self.0;
        *a = (a.rotate_left(23) ^ word).wrapping_mul(0x9FB2_1C65_1E98_DF25);
        *b = (b.rotate_left(41) ^ word).wrapping_mul(0xD6E8_FEB8_6659_FD93);
    }

    /// Adds a block of rows: pieces in parallel, their hashes in order.
    pub(super) fn add_block(&mut self, values: ValueSlice<'_>, d: usize) {
        let spans = crate::parallel::pieces(values.len(), PIECE * d);
        let pieces: Vec<Self> = spans
            .into_par_iter()
            .map(|span| {
                let mut hash = Self([1, 2]);
                match values {
                    ValueSlice::F32(v) => v[span].iter().for_each(|x| hash.add(u64::from(x.to_bits()))),
                    ValueSlice::F64(v) => v[span].iter().for_each(|x| hash.add(x.to_bits())),
                    _ => {}
                }
                hash
            })
            .collect();
        for Self([a, b]) in pieces {
            self.add(a);
            self.add(b);
        }
    }

    pub(super) fn finish(self) -> [u64; 2] {
        // The last words reach all bits only after a few more rounds.
        let mut hash = self;
        (0..4).for_each(|word| hash.add(word));
        hash.0.map(|x| (x ^ (x >> 29)).wrapping_mul(0xBF58_476D_1CE4_E5B9) ^ (x >> 32))
    }
}

/// What the fingerprint of an index over these rows would be: equal for equal rows (shape, type and bits), in practice only
/// for those. One read of the rows.
///
/// # Errors
/// What reading returns; [`Error::Interrupted`].
pub fn fingerprint(source: &dyn PointBlocks, ctx: &Ctx) -> Result<[u64; 2]> {
    check_shape(source)?;
    let mut hash = Hash::new(source);
    let stage = ctx.stage("fingerprint", source.n() as u64);
    each_block(source, ctx, |rows, values| {
        hash.add_block(values, source.d());
        stage.advance(rows.len() as u64)
    })?;
    Ok(hash.finish())
}

impl PointBlocks for Points<'_> {
    fn n(&self) -> usize {
        Points::n(self)
    }

    fn d(&self) -> usize {
        Points::d(self)
    }

    fn is_double(&self) -> bool {
        matches!(self.values(), ValueSlice::F64(_))
    }

    fn visit(&self, rows: Range<usize>, read: &mut dyn FnMut(ValueSlice<'_>) -> Result<()>) -> Result<()> {
        let d = Points::d(self);
        read(part(self.values(), rows.start * d..rows.end * d))
    }
}
