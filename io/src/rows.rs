//! Matrices in HDF5 files as sources of row blocks, and whole into memory.

use std::ops::Range;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use zensaibo_core::data::Csr;
use zensaibo_core::matrix::{RowBlock, RowBlocks, Scratch, rows_per_block};
use zensaibo_core::parallel::{ordered_reduce, pieces};
use zensaibo_core::{Ctx, DataFault, Error, Result};

use crate::h5::{Attr, H5File, read_attr};
use crate::numbers::{Buffers, NumberArray, zeroed};
use crate::turned::{Turned, Turning};
use crate::value::SparseArray;
use crate::values::Dtype;

/// How a matrix is laid out in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MatrixLayout {
    /// Compressed sparse rows.
    Csr,
    /// Compressed sparse columns.
    Csc,
    /// Every entry, row after row.
    Dense,
}

impl MatrixLayout {
    /// Its usual short name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Csr => "csr",
            Self::Csc => "csc",
            Self::Dense => "dense",
        }
    }
}

/// A matrix in a file, opened but not read.
#[derive(Clone)]
pub(crate) struct StoredMatrix {
    pub(crate) layout: MatrixLayout,
    pub(crate) n_rows: usize,
    pub(crate) n_cols: usize,
    /// The values: `data` of a sparse matrix, or the dense array.
    pub(crate) values: NumberArray,
    /// Row numbers or column numbers of a sparse matrix, and its pointers.
    pub(crate) sparse: Option<(NumberArray, NumberArray)>,
}

/// Layout and shape of the sparse matrix at `key`, under the names of anndata >= 0.7 or the older ones.
fn sparse_shape(file: &H5File, key: &str) -> Result<(MatrixLayout, usize, usize)> {
    let group = file.group(key)?;
    let name = read_attr(&group, "encoding-type").or_else(|| read_attr(&group, "h5sparse_format")).and_then(Attr::text);
    let layout = match name.as_deref() {
        Some("csr_matrix" | "csr") => MatrixLayout::Csr,
        Some("csc_matrix" | "csc") => MatrixLayout::Csc,
        Some(other) => return Err(file.fault(key, "csr_matrix, csc_matrix or a dense array", other)),
        None => return Err(file.fault(key, "an encoding-type", "none")),
    };
    let shape = read_attr(&group, "shape").or_else(|| read_attr(&group, "h5sparse_shape")).and_then(Attr::whole);
    match shape.as_deref() {
        Some(&[rows, columns]) if rows >= 0 && columns >= 0 => Ok((layout, rows as usize, columns as usize)),
        other => {
            Err(file.fault(key, "a shape of two numbers", other.map_or_else(|| "none".into(), |s| format!("{s:?}"))))
        }
    }
}

impl StoredMatrix {
    /// Opens the matrix at `key` and checks that its parts belong together.
    pub(crate) fn open(file: &H5File, key: &str) -> Result<Self> {
        if !file.is_group(key) {
            return Self::dense(NumberArray::open(file, key)?);
        }
        let (layout, n_rows, n_cols) = sparse_shape(file, key)?;
        let part = |name: &str| NumberArray::open(file, &format!("{key}/{name}"));
        Self::from_parts(&file.path, key, layout, (n_rows, n_cols), (part("data")?, part("indices")?, part("indptr")?))
    }

    /// From an array that holds every entry.
    pub(crate) fn dense(values: NumberArray) -> Result<Self> {
        let &[n_rows, n_cols] = values.shape.as_slice() else {
            return Err(values.refused("a matrix", format!("an array of {} dimensions", values.shape.len())));
        };
        check_width(&values.path, &values.key, n_cols)?;
        Ok(Self { layout: MatrixLayout::Dense, n_rows, n_cols, values, sparse: None })
    }

    /// From the three arrays of a sparse matrix.
    pub(crate) fn from_parts(
        path: &Path,
        key: &str,
        layout: MatrixLayout,
        (n_rows, n_cols): (usize, usize),
        (values, indices, indptr): (NumberArray, NumberArray, NumberArray),
    ) -> Result<Self> {
        for array in [&values, &indices, &indptr] {
            if array.shape.len() != 1 {
                return Err(array.refused("one dimension", array.shape.len()));
            }
        }
        for array in [&indices, &indptr] {
            if !array.dtype.is_integer() || array.dtype == Dtype::Bool {
                return Err(array.refused("whole numbers", array.dtype.name()));
            }
        }
        if values.len() != indices.len() {
            let found = format!("{} values and {} indices", values.len(), indices.len());
            return Err(Error::format(path, key, "as many values as indices", found));
        }
        let lines = if layout == MatrixLayout::Csr { n_rows } else { n_cols };
        if lines.checked_add(1) != Some(indptr.len()) {
            return Err(indptr.refused(format!("{} entries", lines as u128 + 1), indptr.len()));
        }
        check_width(path, key, n_cols)?;
        check_width(path, key, if layout == MatrixLayout::Csc { n_rows } else { 0 })?;
        Ok(Self { layout, n_rows, n_cols, values, sparse: Some((indices, indptr)) })
    }

    /// Reads and checks the pointers of a sparse matrix.
    pub(crate) fn pointers(&self, indptr: &NumberArray, ctx: &Ctx) -> Result<Vec<u64>> {
        let pointers: Vec<u64> = indptr.read_all(ctx)?;
        let fault = |expected: String, found: String| Err(indptr.refused(expected, found));
        if pointers.first() != Some(&0) {
            return fault("to start at 0".into(), format!("{:?}", pointers.first()));
        }
        if let Some(at) = pointers.windows(2).position(|pair| pair[0] > pair[1]) {
            return fault(
                "never to fall".into(),
                format!("{} after {} at position {}", pointers[at + 1], pointers[at], at + 1),
            );
        }
        if pointers.last() != Some(&(self.values.len() as u64)) {
            return fault(format!("to end at {}", self.values.len()), format!("{:?}", pointers.last()));
        }
        Ok(pointers)
    }

    /// Reads a sparse matrix in the types of the file, checking pointers and indices.
    pub(crate) fn read_sparse(&self, ctx: &Ctx) -> Result<SparseArray> {
        let Some((indices, indptr)) = &self.sparse else {
            return Err(self.values.refused("a sparse matrix", "a dense array"));
        };
        self.pointers(indptr, ctx)?;
        Ok(SparseArray {
            layout: self.layout,
            n_rows: self.n_rows,
            n_cols: self.n_cols,
            indptr: indptr.read_values(ctx)?,
            indices: indices
                .read_checked(if self.layout == MatrixLayout::Csr { self.n_cols } else { self.n_rows }, ctx)?,
            values: self.values.read_values(ctx)?,
        })
    }

    /// Reads everything into sparse rows.
    pub(crate) fn read(&self, ctx: &Ctx) -> Result<Csr> {
        match (&self.sparse, self.layout) {
            (Some((indices, indptr)), MatrixLayout::Csr) => self.read_csr(indices, indptr, ctx),
            (Some((indices, indptr)), _) => self.read_csc(indices, indptr, ctx),
            (None, _) => self.read_dense(ctx),
        }
    }

    fn read_csr(&self, indices: &NumberArray, indptr: &NumberArray, ctx: &Ctx) -> Result<Csr> {
        let pointers = self.pointers(indptr, ctx)?;
        let rising = AtomicBool::new(true);
        let columns = indices.read_all_columns(self.n_cols, ctx, |first, piece| {
            if !rises(&pointers, first, piece) {
                rising.store(false, Ordering::Relaxed);
            }
        })?;
        // The pieces saw all neighbours but those across their borders.
        let mut matrix =
            Csr { n_rows: self.n_rows, n_cols: self.n_cols, indptr: pointers, indices: columns, values: Vec::new() };
        matrix.values = self.values.read_all(ctx)?;
        if !rising.into_inner() || !borders_rise(&matrix, indices.task_len()) {
            matrix.canonical();
        }
        Ok(matrix)
    }

    /// Columns to rows in two readings, so that nothing but the result is held.
    fn read_csc(&self, indices: &NumberArray, indptr: &NumberArray, ctx: &Ctx) -> Result<Csr> {
        let pointers = self.pointers(indptr, ctx)?;
        let n = self.values.len();
        let mut starts = vec![0u64; self.n_rows + 1];
        let mut rows = Vec::new();
        let mut buffers = Buffers::default();
        const STEP: usize = 1 << 20;
        for span in pieces(n, STEP) {
            ctx.check()?;
            rows.resize(span.len(), 0u32);
            indices.read_columns(span, self.n_rows, &mut rows, &mut buffers)?;
            rows.iter().for_each(|&row| starts[row as usize + 1] += 1);
        }
        for row in 0..self.n_rows {
            starts[row + 1] += starts[row];
        }
        let mut next = starts.clone();
        let mut columns: Vec<u32> = zeroed(n, &self.values.path, &self.values.key)?;
        let mut values: Vec<f32> = zeroed(n, &self.values.path, &self.values.key)?;
        let mut data = Vec::new();
        let mut column = 0usize;
        for span in pieces(n, STEP) {
            ctx.check()?;
            rows.resize(span.len(), 0);
            data.resize(span.len(), 0f32);
            indices.read_columns(span.clone(), self.n_rows, &mut rows, &mut buffers)?;
            self.values.read_into(span.clone(), &mut data, &mut buffers)?;
            for (at, (&row, &value)) in span.zip(rows.iter().zip(&data)) {
                while pointers[column + 1] <= at as u64 {
                    column += 1;
                }
                let place = &mut next[row as usize];
                columns[*place as usize] = column as u32;
                values[*place as usize] = value;
                *place += 1;
            }
        }
        let mut matrix = Csr { n_rows: self.n_rows, n_cols: self.n_cols, indptr: starts, indices: columns, values };
        matrix.canonical();
        Ok(matrix)
    }

    fn read_dense(&self, ctx: &Ctx) -> Result<Csr> {
        let mut out =
            Csr { n_rows: self.n_rows, n_cols: self.n_cols, indptr: vec![0], indices: Vec::new(), values: Vec::new() };
        let bands = pieces(self.n_rows, self.values.task_rows());
        ordered_reduce(
            bands.len(),
            ctx,
            |band| {
                let mut scratch = Scratch::default();
                self.dense_rows(bands[band].clone(), &mut scratch, &mut Buffers::default())?;
                Ok(scratch)
            },
            |_, band| {
                let base = out.indices.len() as u64;
                out.indptr.extend(band.indptr[1..].iter().map(|&end| base + end));
                out.indices.extend_from_slice(&band.indices);
                out.values.extend_from_slice(&band.values);
                Ok(())
            },
        )?;
        Ok(out)
    }

    /// Non-zeros of some rows of a dense matrix.
    fn dense_rows(&self, rows: Range<usize>, scratch: &mut Scratch, buffers: &mut Buffers) -> Result<()> {
        let n_rows = rows.len();
        let mut dense = vec![0f32; n_rows * self.n_cols];
        self.values.read_into(rows, &mut dense, buffers)?;
        scratch.begin();
        if self.n_cols == 0 {
            scratch.indptr.resize(n_rows + 1, 0);
        }
        for row in dense.chunks_exact(self.n_cols.max(1)) {
            for (column, &value) in row.iter().enumerate() {
                if value != 0.0 {
                    scratch.indices.push(column as u32);
                    scratch.values.push(value);
                }
            }
            scratch.end_row();
        }
        Ok(())
    }
}

fn check_width(path: &Path, key: &str, n: usize) -> Result<()> {
    if n >= u32::MAX as usize {
        return Err(Error::format(path, key, "fewer than 2^32 columns", n));
    }
    Ok(())
}

/// Whether columns rise within each row, as far as this piece (from position `first`) shows.
fn rises(pointers: &[u64], first: usize, piece: &[u32]) -> bool {
    let end = first + piece.len();
    let mut row = pointers.partition_point(|&at| at <= first as u64);
    let mut from = first;
    let mut ok = true;
    while from < end {
        let to = pointers.get(row).map_or(end, |&at| (at as usize).min(end));
        let line = &piece[from - first..to - first];
        ok &= line.windows(2).fold(true, |all, pair| all & (pair[0] < pair[1]));
        from = to;
        row += 1;
    }
    ok
}

/// Whether columns rise across the borders of pieces of `step` entries.
fn borders_rise(matrix: &Csr, step: usize) -> bool {
    (1..)
        .map(|i| i * step)
        .take_while(|&at| at < matrix.nnz())
        .all(|at| matrix.indices[at - 1] < matrix.indices[at] || matrix.indptr.binary_search(&(at as u64)).is_ok())
}

enum Held {
    /// Pointers in memory, the rest in the file.
    Sparse { pointers: Vec<u64>, indices: NumberArray },
    /// A dense matrix in the file.
    Dense,
    /// Columns in the file, of which no rows can be read; the pointers in memory.
    Columns(Vec<u64>),
    /// Rows made of the columns.
    Turned(Turned),
}

/// The rows of a matrix in a file, read block by block when asked for.
///
/// Blocks and values are the same, to the last bit, as those of the same matrix in memory. Sparse rows: memory of
/// 8 bytes per row. A dense matrix is looked through once on opening, to count its non-zeros. A matrix stored by
/// columns, of which no block of rows lies together, is turned into packed rows in one read, within the memory of a
/// [`Turning`] and a scratch file.
pub struct FileRows {
    matrix: StoredMatrix,
    held: Held,
    entries: usize,
    buffers: Mutex<Vec<Buffers>>,
}

impl FileRows {
    /// Opens a matrix; one that is stored by columns is turned as [`Turning::default`] has it.
    pub(crate) fn new(matrix: StoredMatrix, ctx: &Ctx) -> Result<Self> {
        Self::open(matrix, ctx)?.turned(&Turning::default(), None, ctx)
    }

    /// Opens a matrix; one that is stored by columns is to be turned before it is read.
    pub(crate) fn open(matrix: StoredMatrix, ctx: &Ctx) -> Result<Self> {
        let mut entries = matrix.values.len();
        let held = match (&matrix.sparse, matrix.layout) {
            (Some((indices, indptr)), MatrixLayout::Csr) => {
                let pointers = matrix.pointers(indptr, ctx)?;
                Held::Sparse { pointers, indices: indices.clone() }
            }
            (Some((_, indptr)), _) => Held::Columns(matrix.pointers(indptr, ctx)?),
            (None, _) => {
                let bands = pieces(matrix.n_rows, matrix.values.task_rows());
                entries = 0;
                ordered_reduce(
                    bands.len(),
                    ctx,
                    |band| {
                        let mut dense = vec![0f32; bands[band].len() * matrix.n_cols];
                        matrix.values.read_into(bands[band].clone(), &mut dense, &mut Buffers::default())?;
                        Ok(dense.iter().filter(|&&x| x != 0.0).count())
                    },
                    |_, count| {
                        entries += count;
                        Ok(())
                    },
                )?;
                Held::Dense
            }
        };
        Ok(Self { matrix, held, entries, buffers: Mutex::default() })
    }

    /// The same with its columns turned into rows, where it is stored by columns and they are not yet. `rows`: the only ones
    /// that are wanted, where the others belong to other processes. One read of the file.
    ///
    /// Repeated entries of a column are added up, as in memory.
    ///
    /// # Errors
    /// [`Error::Format`] when the file is damaged; [`Error::Data`] for repeated entries among only some rows;
    /// [`Error::Io`] when the scratch file cannot be written; [`Error::Limit`] when memory does not suffice;
    /// [`Error::Interrupted`].
    pub fn turned(mut self, turning: &Turning, rows: Option<Range<usize>>, ctx: &Ctx) -> Result<Self> {
        if let Held::Columns(pointers) = &self.held {
            let made = Turned::new(&self.matrix, pointers, rows, turning, ctx)?;
            self.entries = made.entries();
            self.held = Held::Turned(made);
        }
        Ok(self)
    }

    /// Whether it is stored by columns that are not turned yet.
    pub fn is_by_columns(&self) -> bool {
        matches!(self.held, Held::Columns(_))
    }

    /// Stored values in the columns that are kept, where the file says so without being read.
    pub(crate) fn entries_in(&self, kept: &[bool]) -> Option<usize> {
        match &self.held {
            Held::Columns(pointers) => {
                let ends = pointers.windows(2).zip(kept).filter(|(_, kept)| **kept);
                Some(ends.map(|(ends, _)| (ends[1] - ends[0]) as usize).sum())
            }
            _ => None,
        }
    }

    /// The whole matrix in memory: 8 bytes per stored value. Columns that are repeated in a row, which [`RowBlocks::read`] refuses,
    /// are added up.
    ///
    /// # Errors
    /// [`Error::Format`] when it is damaged; [`Error::Limit`] when memory does not suffice.
    pub fn to_memory(&self, ctx: &Ctx) -> Result<Csr> {
        self.matrix.read(ctx)
    }

    /// Type of the values in the file.
    pub fn dtype(&self) -> Dtype {
        self.matrix.values.dtype
    }

    /// How the file lays the matrix out.
    pub fn layout(&self) -> MatrixLayout {
        self.matrix.layout
    }
}

impl RowBlocks for FileRows {
    fn n_rows(&self) -> usize {
        self.matrix.n_rows
    }
    fn n_cols(&self) -> usize {
        self.matrix.n_cols
    }
    fn n_entries(&self) -> usize {
        self.entries
    }
    fn n_blocks(&self) -> usize {
        self.matrix.n_rows.div_ceil(rows_per_block(self.matrix.n_rows, self.entries))
    }
    fn block_rows(&self, block: usize) -> Range<usize> {
        let size = rows_per_block(self.matrix.n_rows, self.entries);
        block * size..((block + 1) * size).min(self.matrix.n_rows)
    }
    fn read<'a>(&'a self, block: usize, scratch: &'a mut Scratch) -> Result<RowBlock<'a>> {
        let rows = self.block_rows(block);
        self.read_rows(rows.clone(), scratch)?;
        Ok(scratch.as_block(rows.start, self.matrix.n_cols))
    }
}

/// Rows of a matrix in memory, as a block of their own.
pub(crate) fn copy_rows(matrix: &Csr, rows: Range<usize>, scratch: &mut Scratch) {
    let (from, to) = (matrix.indptr[rows.start], matrix.indptr[rows.end]);
    let span = from as usize..to as usize;
    scratch.begin();
    scratch.indptr.extend(matrix.indptr[rows.start + 1..=rows.end].iter().map(|&end| end - from));
    scratch.indices.extend_from_slice(&matrix.indices[span.clone()]);
    scratch.values.extend_from_slice(&matrix.values[span]);
}

impl FileRows {
    /// Reads rows of any range, which need not be those of a block, into `scratch`.
    pub(crate) fn read_rows(&self, rows: Range<usize>, scratch: &mut Scratch) -> Result<()> {
        match &self.held {
            Held::Turned(turned) => return turned.read(rows, scratch),
            Held::Columns(_) => {
                return Err(Error::Internal(
                    "rows of a matrix that is stored by columns, which were not turned".into(),
                ));
            }
            _ => {}
        }
        let lock = || self.buffers.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let mut buffers = lock().pop().unwrap_or_default();
        let outcome = match &self.held {
            Held::Sparse { pointers, indices } => self.read_sparse(pointers, indices, &rows, scratch, &mut buffers),
            _ => self.matrix.dense_rows(rows, scratch, &mut buffers),
        };
        lock().push(buffers);
        outcome
    }

    fn read_sparse(
        &self,
        pointers: &[u64],
        indices: &NumberArray,
        rows: &Range<usize>,
        scratch: &mut Scratch,
        buffers: &mut Buffers,
    ) -> Result<()> {
        let (from, to) = (pointers[rows.start], pointers[rows.end]);
        let span = from as usize..to as usize;
        scratch.indptr.clear();
        scratch.indptr.extend(pointers[rows.start..=rows.end].iter().map(|&at| at - from));
        scratch.indices.resize(span.len(), 0);
        scratch.values.resize(span.len(), 0.0);
        indices.read_columns(span.clone(), self.matrix.n_cols, &mut scratch.indices, buffers)?;
        self.matrix.values.read_into(span, &mut scratch.values, buffers)?;
        if rises(&scratch.indptr, 0, &scratch.indices) {
            return Ok(());
        }
        // Sorting within rows keeps the number of entries, and with it the blocks; adding up would not.
        let mut line: Vec<(u32, f32)> = Vec::new();
        for ends in scratch.indptr.windows(2) {
            let span = ends[0] as usize..ends[1] as usize;
            line.clear();
            line.extend(
                scratch.indices[span.clone()].iter().copied().zip(scratch.values[span.clone()].iter().copied()),
            );
            line.sort_by_key(|&(column, _)| column);
            if line.windows(2).any(|pair| pair[0].0 == pair[1].0) {
                let what = format!("{}: {}", indices.path.display(), indices.key);
                let expected = "each column at most once per row (read it into memory to add the repeated ones up)";
                return Err(Error::data(DataFault::Invalid, what, expected, "repeated columns"));
            }
            for (at, &(column, value)) in span.zip(&line) {
                scratch.indices[at] = column;
                scratch.values[at] = value;
            }
        }
        Ok(())
    }
}
