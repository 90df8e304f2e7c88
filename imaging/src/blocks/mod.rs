//! Volumes in blocks with a halo: how they are cut, read, worked on and written, within a budget of memory.
//!
//! [`Plan::new`] cuts a volume into blocks whose number and size depend on shape, halo, chunk, budget and threads. That is
//! allowed because nothing that is computed here depends on where the cuts lie: [`read_padded`] hands out each block with
//! all the neighbours its result needs (mirrored or clamped at the border of the volume, and only there), so that
//! work on blocks equals work on the whole to the last bit. What is counted or labelled across blocks is merged in an order that
//! the voxels give, never the blocks.

mod border;
mod convert;
mod copy;
mod map;
mod plan;
pub(crate) mod pool;
mod read;
mod sink;
mod view;

pub use border::Border;
pub use convert::{Pixel, to_f32, write_as};
pub use copy::copy_volume;
pub(crate) use map::map_units;
pub use map::{map_blocks, map_shared};
pub use plan::{DEFAULT_MEMORY, Plan, Work};
pub(crate) use read::read_sides;
pub use read::{read_as, read_f32, read_padded, whole};
pub use sink::{GridSink, filled};
pub use view::View;

#[cfg(test)]
mod tests;
