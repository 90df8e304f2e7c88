//! Scaling of values, in place or into a dense result.

use multiversion::multiversion;
use rayon::prelude::*;

use super::{ColumnScale, ScaleOptions, check_mask};
use crate::matrix::{RowBlocks, fill_rows};
use crate::options::Options as _;
use crate::qc::Index;
use crate::{Ctx, DataFault, Error, Result};

/// Values per piece of work: about a millisecond.
const PIECE: usize = 1 << 18;

/// The two number types of a scaled matrix. The arithmetic is f64 either way.
pub trait Real: Copy + Send + Sync {
    /// From f64, rounded.
    fn from_f64(value: f64) -> Self;
    /// As f64, exactly.
    fn to_f64(self) -> f64;
}

impl Real for f32 {
    #[inline(always)]
    fn from_f64(value: f64) -> Self {
        value as f32
    }
    #[inline(always)]
    fn to_f64(self) -> f64 {
        f64::from(self)
    }
}

impl Real for f64 {
    #[inline(always)]
    fn from_f64(value: f64) -> Self {
        value
    }
    #[inline(always)]
    fn to_f64(self) -> f64 {
        self
    }
}

/// What happens to a value of column j: (x - shift[j]) * factor[j], kept within low..high.
struct Kernel {
    shift: Vec<f64>,
    factor: Vec<f64>,
    low: f64,
    high: f64,
}

impl Kernel {
    fn new(scale: &ColumnScale, options: &ScaleOptions, n_cols: usize) -> Result<Self> {
        options.validate()?;
        if scale.mean.len() != n_cols || scale.std.len() != n_cols {
            let found = format!("{} means, {} deviations", scale.mean.len(), scale.std.len());
            return Err(Error::data(DataFault::Shape, "scale", format!("{n_cols} of each, one per gene"), found));
        }
        let high = options.max_value.unwrap_or(f64::INFINITY);
        Ok(Self {
            shift: if options.zero_center { scale.mean.clone() } else { vec![0.0; n_cols] },
            factor: scale.std.iter().map(|std| 1.0 / std).collect(),
            low: if options.zero_center { -high } else { f64::NEG_INFINITY },
            high,
        })
    }

    #[inline(always)]
    fn of(&self, column: usize, value: f64) -> f64 {
        ((value - self.shift[column]) * self.factor[column]).max(self.low).min(self.high)
    }

    fn row<T: Real>(&self, values: &mut [T]) {
        scale_row(values, &self.shift, &self.factor, self.low, self.high);
    }
}

#[multiversion(targets("x86_64+avx512f+avx512dq+avx512vl+avx512bw+fma+avx2", "x86_64+avx2+fma"))]
fn scale_row<T: Real>(values: &mut [T], shift: &[f64], factor: &[f64], low: f64, high: f64) {
    for ((value, shift), factor) in values.iter_mut().zip(shift).zip(factor) {
        *value = T::from_f64(((value.to_f64() - shift) * factor).max(low).min(high));
    }
}

fn taken(mask: Option<&[bool]>, row: usize) -> bool {
    mask.is_none_or(|mask| mask[row])
}

/// Scales a dense matrix (`n_rows` x genes, row-major) where it lies. Rows where `mask` is false stay as they are.
///
/// # Errors
/// [`Error::Parameter`] for options out of range; [`Error::Data`] for lengths that disagree (nothing is changed
/// then); [`Error::Interrupted`], when some rows are scaled and some are not.
pub fn scale_dense_in_place<T: Real>(
    values: &mut [T],
    n_rows: usize,
    scale: &ColumnScale,
    mask: Option<&[bool]>,
    options: &ScaleOptions,
    ctx: &Ctx,
) -> Result<()> {
    let n_cols = scale.mean.len();
    let kernel = Kernel::new(scale, options, n_cols)?;
    if n_rows.checked_mul(n_cols) != Some(values.len()) {
        return Err(Error::data(DataFault::Shape, "matrix", format!("{n_rows} x {n_cols} values"), values.len()));
    }
    if let Some(mask) = mask {
        check_mask(mask, n_rows)?;
    }
    let stage = ctx.stage("scale", n_rows as u64);
    let height = (PIECE / n_cols.max(1)).max(1);
    values.par_chunks_mut((height * n_cols).max(1)).enumerate().try_for_each(|(piece, part)| {
        for (offset, row) in part.chunks_exact_mut(n_cols).enumerate() {
            if taken(mask, piece * height + offset) {
                kernel.row(row);
            }
        }
        stage.advance((part.len() / n_cols) as u64)
    })
}

/// Divides the stored values of compressed sparse rows by their gene's deviation where they lie, and cuts them from
/// above. Rows where `mask` is false stay as they are. Centring would make the matrix dense and is refused.
///
/// # Errors
/// [`Error::Parameter`] for options out of range or with centring; [`Error::Data`] for lengths that disagree or
/// columns out of range (nothing is changed then); [`Error::Interrupted`], when some rows are scaled and some not.
pub fn scale_rows_in_place<T: Real, I: Index>(
    indptr: &[u64],
    indices: &[I],
    values: &mut [T],
    scale: &ColumnScale,
    mask: Option<&[bool]>,
    options: &ScaleOptions,
    ctx: &Ctx,
) -> Result<()> {
    let n_cols = scale.mean.len();
    let kernel = Kernel::new(scale, options, n_cols)?;
    if options.zero_center {
        return Err(Error::parameter("zero_center", "false for sparse rows in place", true));
    }
    let n_rows = indptr.len().saturating_sub(1);
    crate::data::check_indptr(indptr, n_rows, values.len(), "matrix")?;
    if indices.len() != values.len() {
        let found = format!("{} and {}", indices.len(), values.len());
        return Err(Error::data(DataFault::Shape, "matrix", "as many column indices as values", found));
    }
    if let Some(mask) = mask {
        check_mask(mask, n_rows)?;
    }
    if indices.par_iter().with_min_len(PIECE).any(|&column| column.to_u64() >= n_cols as u64) {
        return Err(Error::data(DataFault::Invalid, "matrix indices", format!("columns in 0..{n_cols}"), "others"));
    }
    let mut parts = Vec::new();
    let (mut rest, mut row) = (values, 0);
    while row < n_rows {
        let aim = indptr[row] + PIECE as u64;
        let end = (row + 1).max(indptr.partition_point(|&at| at <= aim) - 1).min(n_rows);
        let (head, tail) = rest.split_at_mut((indptr[end] - indptr[row]) as usize);
        parts.push((row..end, head));
        rest = tail;
        row = end;
    }
    let stage = ctx.stage("scale", n_rows as u64);
    parts.into_par_iter().try_for_each(|(rows, part)| {
        let first = indptr[rows.start] as usize;
        for row in rows.clone().filter(|&row| taken(mask, row)) {
            for at in indptr[row] as usize..indptr[row + 1] as usize {
                let value = &mut part[at - first];
                *value = T::from_f64(kernel.of(indices[at].to_u64() as usize, value.to_f64()));
            }
        }
        stage.advance(rows.len() as u64)
    })
}

/// Writes the scaled matrix into `out` (cells x genes, row-major). Rows where `mask` is false are copied as they are.
///
/// Memory: the blocks in flight and 8 bytes per gene beside the result. The same bits for any number of threads, and
/// for sparse rows as for [`scale_dense_in_place`].
///
/// # Errors
/// [`Error::Parameter`] for options out of range; [`Error::Data`] for lengths that disagree; whatever the source
/// returns; [`Error::Interrupted`], when some rows are written and some are not.
pub fn scale_into<T: Real>(
    source: &dyn RowBlocks,
    scale: &ColumnScale,
    mask: Option<&[bool]>,
    options: &ScaleOptions,
    out: &mut [T],
    ctx: &Ctx,
) -> Result<()> {
    let n_cols = source.n_cols();
    let kernel = Kernel::new(scale, options, n_cols)?;
    if let Some(mask) = mask {
        check_mask(mask, source.n_rows())?;
    }
    let zeros: Vec<T> = (0..n_cols).map(|column| T::from_f64(kernel.of(column, 0.0))).collect();
    fill_rows(
        source,
        n_cols,
        out,
        "scale",
        ctx,
        || (),
        |(), row, columns, values, out_row| {
            if taken(mask, row) {
                out_row.copy_from_slice(&zeros);
                for (&column, &value) in columns.iter().zip(values) {
                    out_row[column as usize] = T::from_f64(kernel.of(column as usize, f64::from(value)));
                }
            } else {
                out_row.fill(T::from_f64(0.0));
                for (&column, &value) in columns.iter().zip(values) {
                    out_row[column as usize] = T::from_f64(f64::from(value));
                }
            }
        },
    )
}
