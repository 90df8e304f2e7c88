//! The imaging half of zensaibo: from volumes of cleared tissue to cells.
//!
//! Nothing here opens a file or knows Python. A volume comes in as
//! [`VolumeBlocks`](zensaibo_core::data::VolumeBlocks), is cut into blocks with a halo ([`blocks`]), and every function
//! gives the same bits for any size of the blocks and any number of threads: a block sees all the voxels that its
//! result depends on, and partial results merge in block order.
//!
//! Order is (z, y, x) everywhere; lengths are micrometres and become voxels in one place, [`space`].

pub mod atlas;
pub mod blocks;
pub mod classify;
pub mod compare;
pub mod detect;
pub mod filters;
pub mod matching;
pub mod measure;
pub mod morphology;
pub mod organoid;
pub mod phantom;
pub mod register;
pub mod segment;
pub mod space;
pub mod stitch;
pub mod track;
pub mod transform;
