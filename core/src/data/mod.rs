//! Plain types that several crates share: no algorithms here.

mod csr;

pub use csr::Csr;
pub(crate) use csr::check_indptr;
