//! Each step against its definition in plain loops.

mod mixtures;
mod neighbors;
