//! What several tests share; each uses a part of it.
#![allow(dead_code, unreachable_pub)]

pub mod server;
pub mod zarr_store;
