//! Writing a matrix out of parts of stored ones, in their types, piece by piece.

use zensaibo_core::parallel::{ordered_reduce, pieces};
use zensaibo_core::{Ctx, DataFault, Error, Result};

use super::element_out::sparse_group;
use super::writer::AnnDataWriter;
use crate::h5::{Stream, put_encoding};
use crate::lines::{Lines, Piece};
use crate::matrix_file::MatrixFile;
use crate::rows::MatrixLayout;
use crate::values::{Dtype, Values};

/// What of a stored matrix goes into the one that is written.
pub struct StackPart {
    /// The matrix; none stands for lines of nothing but the fill value.
    pub source: Option<MatrixFile>,
    /// Lines of the matrix.
    pub n_lines: usize,
    /// Which of its lines are kept; none keeps all.
    pub lines: Option<Vec<bool>>,
    /// New place in the line of each place (`u32::MAX` leaves it out); none where they stay what they are.
    pub places: Option<Vec<u32>>,
}

/// How a matrix is written.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum StackLayout {
    /// Sparse rows. The lines of the parts are rows.
    Csr,
    /// Sparse columns. The lines of the parts are columns, and each part is stored by columns.
    Csc,
    /// Every value; this where a part has none. The lines of the parts are rows, and no part is sparse.
    Dense(f64),
}

/// A matrix made of parts of others, one after the other.
pub struct Stack {
    /// How it is written.
    pub layout: StackLayout,
    /// Length of its lines: columns, or rows of sparse columns.
    pub width: usize,
    /// Type of its values.
    pub dtype: Dtype,
    /// Where its lines come from.
    pub parts: Vec<StackPart>,
}

/// A part that is open.
struct Open<'a> {
    lines: Option<Lines>,
    part: &'a StackPart,
    /// Whether the new places rise with the old ones.
    rising: bool,
}

impl AnnDataWriter {
    /// Writes a matrix out of parts of stored ones, piece by piece, in the type asked for. Sparse places come out sorted where
    /// they change. Memory: a few megabytes per thread and 8 bytes per line; a part that is stored by columns and read by rows
    /// is held.
    ///
    /// # Errors
    /// What reading the parts returns; [`Error::Data`] where a part has another shape than its masks, or a value that the type
    /// does not hold; [`Error::Io`] when writing fails; [`Error::Interrupted`].
    pub fn stack(&mut self, key: &str, stack: &Stack, ctx: &Ctx) -> Result<()> {
        let mut open = Vec::with_capacity(stack.parts.len());
        for part in &stack.parts {
            let lines = match &part.source {
                Some(file) if stack.layout == StackLayout::Csc => Some(Lines::stored(file.stored()?, ctx)?),
                Some(file) => Some(Lines::rows(file.stored()?, ctx)?),
                None => None,
            };
            check(part, lines.as_ref(), stack)?;
            let rising = part.places.iter().flatten().filter(|&&place| place != u32::MAX).is_sorted();
            open.push(Open { lines, part, rising });
        }
        match stack.layout {
            StackLayout::Dense(fill) => self.stack_dense(key, stack, &open, fill, ctx),
            _ => self.stack_sparse(key, stack, &open, ctx),
        }
    }

    fn stack_sparse(&mut self, key: &str, stack: &Stack, open: &[Open<'_>], ctx: &Ctx) -> Result<()> {
        let (parent, name) = self.place(key)?;
        let most: usize = open.iter().filter_map(|open| open.lines.as_ref()).map(Lines::entries).sum();
        let n_lines: usize = open.iter().map(Open::kept).sum();
        let narrow = most.max(stack.width).max(n_lines) <= i32::MAX as usize;
        let index = if narrow { Dtype::I32 } else { Dtype::I64 };
        let csc = stack.layout == StackLayout::Csc;
        let (layout, n_rows, n_cols) =
            if csc { (MatrixLayout::Csc, stack.width, n_lines) } else { (MatrixLayout::Csr, n_lines, stack.width) };
        let (group, mut places, mut values) = self.put(key, |_, gzip| {
            let group = sparse_group(&parent, name, layout, n_rows, n_cols)?;
            let places = Stream::new(&group, "indices", index, &[], most as u64, gzip)?;
            let values = Stream::new(&group, "data", stack.dtype, &[], most as u64, gzip)?;
            Ok((group, places, values))
        })?;
        let mut ends: Vec<i64> = Vec::with_capacity(n_lines + 1);
        ends.push(0);
        let refused = |reason: String| self.refused(key, reason);
        each_piece(
            open,
            ctx,
            |open, lines| open.sparse(lines, stack.dtype),
            |(lengths, new, found): (Vec<u64>, Vec<u32>, Values)| {
                for length in lengths {
                    ends.push(ends.last().copied().unwrap_or(0) + length as i64);
                }
                if narrow {
                    places.push(bytemuck::cast_slice(&new)).map_err(refused)?;
                } else {
                    let wide: Vec<i64> = new.iter().map(|&place| i64::from(place)).collect();
                    places.push(bytemuck::cast_slice(&wide)).map_err(refused)?;
                }
                values.push(found.bytes()).map_err(refused)
            },
        )?;
        self.put(key, |_, gzip| {
            put_encoding(&*places.finish()?, "array", "0.2.0")?;
            put_encoding(&*values.finish()?, "array", "0.2.0")?;
            let mut stream = Stream::new(&group, "indptr", index, &[], ends.len() as u64, gzip)?;
            if narrow {
                let short: Vec<i32> = ends.iter().map(|&end| end as i32).collect();
                stream.push(bytemuck::cast_slice(&short))?;
            } else {
                stream.push(bytemuck::cast_slice(&ends))?;
            }
            put_encoding(&*stream.finish()?, "array", "0.2.0")
        })
    }

    fn stack_dense(&mut self, key: &str, stack: &Stack, open: &[Open<'_>], fill: f64, ctx: &Ctx) -> Result<()> {
        let (parent, name) = self.place(key)?;
        let n_lines: usize = open.iter().map(Open::kept).sum();
        let mut stream = self
            .put(key, |_, gzip| Stream::new(&parent, name, stack.dtype, &[stack.width as u64], n_lines as u64, gzip))?;
        let refused = |reason: String| self.refused(key, reason);
        each_piece(
            open,
            ctx,
            |open, lines| open.dense(lines, stack, fill),
            |bytes: Vec<u8>| stream.push(&bytes).map_err(refused),
        )?;
        self.put(key, |_, _| put_encoding(&*stream.finish()?, "array", "0.2.0"))
    }
}

/// Maps all pieces of all parts in parallel and folds what comes out in order.
fn each_piece<T: Send>(
    open: &[Open<'_>],
    ctx: &Ctx,
    map: impl Fn(&Open<'_>, std::ops::Range<usize>) -> Result<T> + Sync,
    mut fold: impl FnMut(T) -> Result<()>,
) -> Result<()> {
    let mut tasks = Vec::new();
    for (at, part) in open.iter().enumerate() {
        let all = match &part.lines {
            Some(lines) => lines.pieces(),
            None => pieces(part.part.n_lines, 1 << 12),
        };
        // Lines of which none is kept are not read.
        let kept = |lines: &std::ops::Range<usize>| {
            part.part.lines.as_ref().is_none_or(|mask| mask[lines.clone()].contains(&true))
        };
        tasks.extend(all.into_iter().filter(kept).map(|lines| (at, lines)));
    }
    let progress = ctx.stage("write", tasks.iter().map(|(_, lines)| lines.len() as u64).sum());
    ordered_reduce(
        tasks.len(),
        ctx,
        |task| map(&open[tasks[task].0], tasks[task].1.clone()),
        |task, made| {
            fold(made)?;
            progress.advance(tasks[task].1.len() as u64)
        },
    )
}

fn check(part: &StackPart, lines: Option<&Lines>, stack: &Stack) -> Result<()> {
    let name =
        part.source.as_ref().map_or_else(String::new, |file| format!("{}: {}", file.path().display(), file.key()));
    let fault = |expected: String, found: String| Err(Error::data(DataFault::Shape, name.clone(), expected, found));
    if let Some(lines) = lines {
        let width = part.places.as_ref().map_or(stack.width, Vec::len);
        if lines.shape != (part.n_lines, width) {
            let found = format!("{} lines of {} values", lines.shape.0, lines.shape.1);
            return fault(format!("{} lines of {width} values", part.n_lines), found);
        }
    }
    let masked = part.lines.as_ref().map_or(part.n_lines, Vec::len);
    if masked != part.n_lines {
        return fault(format!("a mask of {} lines", part.n_lines), masked.to_string());
    }
    let beyond = part.places.iter().flatten().find(|&&place| place != u32::MAX && place as usize >= stack.width);
    beyond.map_or(Ok(()), |place| fault(format!("places below {}", stack.width), place.to_string()))
}

impl Open<'_> {
    /// Lines that are kept.
    fn kept(&self) -> usize {
        self.part.lines.as_ref().map_or(self.part.n_lines, |mask| mask.iter().filter(|&&kept| kept).count())
    }

    fn keeps(&self, line: usize) -> bool {
        self.part.lines.as_ref().is_none_or(|mask| mask[line])
    }

    fn new_place(&self, place: u32) -> u32 {
        self.part.places.as_ref().map_or(place, |places| places[place as usize])
    }

    fn cast(&self, values: Values, dtype: Dtype) -> Result<Values> {
        let from = values.dtype();
        values.cast(dtype).map_err(|value| {
            let file = self.part.source.as_ref();
            let name = file.map_or_else(String::new, |file| format!("{}: {}", file.path().display(), file.key()));
            let expected = format!("values that {} holds", dtype.name());
            Error::data(DataFault::Invalid, name, expected, format!("{value} ({})", from.name()))
        })
    }

    /// The kept lines as sparse ones: their lengths, new places, values.
    fn sparse(&self, lines: std::ops::Range<usize>, dtype: Dtype) -> Result<(Vec<u64>, Vec<u32>, Values)> {
        let Some(source) = &self.lines else {
            let count = lines.filter(|&line| self.keeps(line)).count();
            return Ok((vec![0; count], Vec::new(), Values::F32(Vec::new())));
        };
        let (mut lengths, mut new, mut taken) = (Vec::with_capacity(lines.len()), Vec::new(), Vec::new());
        let mut line: Vec<(u32, usize)> = Vec::new();
        let mut add = |entries: &mut dyn Iterator<Item = (u32, usize)>| {
            line.clear();
            line.extend(entries.map(|(place, at)| (self.new_place(place), at)).filter(|&(place, _)| place != u32::MAX));
            if !self.rising {
                // Stable: repeated places keep their order.
                line.sort_by_key(|&(place, _)| place);
            }
            lengths.push(line.len() as u64);
            new.extend(line.iter().map(|&(place, _)| place));
            taken.extend(line.iter().map(|&(_, at)| at));
        };
        let values = match source.read(lines.clone())? {
            Piece::Sparse(ends, places, values) => {
                if self.part.lines.is_none() && self.part.places.is_none() {
                    let lengths = ends.windows(2).map(|pair| pair[1] - pair[0]).collect();
                    return Ok((lengths, places, self.cast(values, dtype)?));
                }
                for (at, _) in lines.enumerate().filter(|&(_, line)| self.keeps(line)) {
                    let span = ends[at] as usize..ends[at + 1] as usize;
                    add(&mut span.map(|at| (places[at], at)));
                }
                values
            }
            Piece::Dense(values) => {
                let (numbers, width) = (values.to_f64(), source.shape.1);
                for (at, _) in lines.enumerate().filter(|&(_, line)| self.keeps(line)) {
                    let span = at * width..(at + 1) * width;
                    add(&mut span.filter(|&at| numbers[at] != 0.0).map(|at| ((at % width) as u32, at)));
                }
                values
            }
        };
        Ok((lengths, new, self.cast(values.take(&taken, 1), dtype)?))
    }

    /// The kept lines, every value, as bytes.
    fn dense(&self, lines: std::ops::Range<usize>, stack: &Stack, fill: f64) -> Result<Vec<u8>> {
        let size = stack.dtype.size();
        let count = lines.clone().filter(|&line| self.keeps(line)).count();
        let mut out = fill_bytes(stack.dtype, fill).repeat(count * stack.width);
        let Some(source) = &self.lines else { return Ok(out) };
        let Piece::Dense(values) = source.read(lines.clone())? else {
            return Err(Error::Internal("a sparse part of a dense matrix".into()));
        };
        let values = self.cast(values, stack.dtype)?;
        let (bytes, width) = (values.bytes(), source.shape.1);
        let kept = lines.enumerate().filter(|&(_, line)| self.keeps(line));
        for (to, (from, _)) in kept.enumerate() {
            let (source, target) = (&bytes[from * width * size..], &mut out[to * stack.width * size..]);
            match &self.part.places {
                None => target[..width * size].copy_from_slice(&source[..width * size]),
                Some(places) => {
                    for (old, &new) in places.iter().enumerate().filter(|&(_, &new)| new != u32::MAX) {
                        let new = new as usize;
                        target[new * size..(new + 1) * size].copy_from_slice(&source[old * size..(old + 1) * size]);
                    }
                }
            }
        }
        Ok(out)
    }
}

/// The bytes of a fill value in a type; 0 where the type has no such value.
fn fill_bytes(dtype: Dtype, fill: f64) -> Vec<u8> {
    match dtype {
        Dtype::F32 => (fill as f32).to_ne_bytes().to_vec(),
        Dtype::F64 => fill.to_ne_bytes().to_vec(),
        Dtype::F16 if fill.is_nan() => 0x7e00u16.to_ne_bytes().to_vec(),
        other => vec![0; other.size()],
    }
}
