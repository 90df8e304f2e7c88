//! Objects behind URLs: `http://`, `https://` and `s3://`.
//!
//! [`Object`] is one object read by ranges (HDF5), [`Folder`] one of many small ones (Zarr). Both ask through a [`Client`],
//! which knows the settings of the environment ([`Settings`]) and how S3 is spoken to. A request that fails in a way that may
//! pass (no connection, no byte for a while, status 5xx or 429, a body cut short) is repeated after a pause; one that fails for
//! good, or too often, is a [`Fault`] that names the URL, what was asked and what came back. Reading threads wait where Ctrl-C
//! is looked for, while the request itself runs on a thread of its own: a server that stalls holds up nobody.
//!
//! Sources: RFC 9110 (ranges, conditions, retries), AWS Signature Version 4 as documented by AWS, S3's REST documentation.

mod address;
mod client;
mod fault;
mod fetch;
mod folder;
mod object;
mod s3;
mod settings;

pub(crate) use address::Address;
pub(crate) use client::Client;
pub(crate) use fault::fault_in;
pub(crate) use folder::{Folder, document};
pub(crate) use object::Object;
