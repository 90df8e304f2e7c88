//! Single arrays out of HDF5 files, in the types of the file.

use std::path::Path;

use zensaibo_core::{Ctx, Result};

use crate::h5::H5File;
use crate::numbers::NumberArray;
use crate::value::SparseArray;
use crate::values::Values;

/// Reads an array of numbers at `key`: its shape and its values in row order, in the type of the file.
///
/// In parallel on the current pool; memory of the result and one chunk per thread.
///
/// # Errors
/// [`zensaibo_core::Error::Io`], [`zensaibo_core::Error::Format`], [`zensaibo_core::Error::Limit`].
pub fn read_array(path: impl AsRef<Path>, key: &str, ctx: &Ctx) -> Result<(Vec<usize>, Values)> {
    let file = H5File::open(path.as_ref())?;
    let array = NumberArray::open(&file, key)?;
    let values = file.sound(array.read_values(ctx))?;
    Ok((array.shape, values))
}

/// Reads the sparse matrix at `key` in the types of the file. Pointers and indices are checked to lie in range;
/// columns are left in the order in which they are stored.
///
/// In parallel on the current pool; memory of the result and one chunk per thread.
///
/// # Errors
/// As [`read_array`].
pub fn read_sparse(path: impl AsRef<Path>, key: &str, ctx: &Ctx) -> Result<SparseArray> {
    let file = H5File::open(path.as_ref())?;
    file.sound(crate::h5ad::read_sparse(&file, key, ctx))
}
