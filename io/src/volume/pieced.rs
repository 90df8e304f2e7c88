//! Volumes that are stored in pieces: which pieces a region needs, and bringing them together.

use rayon::prelude::*;
use zensaibo_core::data::{Frame, Region, VolumeBlocks, VolumeInfo};
use zensaibo_core::{Error, Result};

use super::cache::{self, Piece};

/// Where pieces come from.
pub(super) trait Store: Send + Sync {
    /// Reads and decodes the piece at place `at` of the grid of pieces, on this thread alone.
    fn load(&self, at: [usize; 5]) -> Result<Piece>;
}

/// A volume cut into pieces of one size along (t, c, z, y, x), of which decoded ones are kept for a while.
pub(super) struct Pieced<S> {
    info: VolumeInfo,
    chunk: [usize; 5],
    fill: [u8; 8],
    store: S,
    id: u64,
}

impl<S> Pieced<S> {
    /// A volume of pieces of `chunk` voxels; `fill` is the value (in bytes) where a piece was never stored.
    pub(super) fn new(info: VolumeInfo, chunk: [usize; 5], fill: [u8; 8], store: S) -> Self {
        let chunk = chunk.map(|n| n.max(1));
        Self { info, chunk, fill, store, id: cache::new_volume() }
    }
}

impl<S> Drop for Pieced<S> {
    fn drop(&mut self) {
        cache::forget(self.id);
    }
}

/// Memory that several threads fill, each its own boxes.
struct Target(*mut u8);
// Each voxel of a region lies in one piece, and each piece is copied by one thread.
unsafe impl Send for Target {}
unsafe impl Sync for Target {}

impl<S: Store> Pieced<S> {
    fn piece(&self, at: [usize; 5]) -> Result<std::sync::Arc<Piece>> {
        let shape = self.info.shape;
        let index =
            (0..5).fold(0u64, |all, axis| all * shape[axis].div_ceil(self.chunk[axis]) as u64 + at[axis] as u64);
        cache::get(self.id, index, || {
            let piece = self.store.load(at)?;
            let due = |axis: usize| self.chunk[axis].min(shape[axis] - at[axis] * self.chunk[axis]);
            let bytes = piece.size.iter().product::<usize>() * self.info.dtype.size();
            let whole = piece.data.as_ref().is_none_or(|data| data.len() == bytes);
            if !whole || (0..5).any(|axis| piece.size[axis] < due(axis)) {
                let expected = format!("a piece of at least {:?} voxels", std::array::from_fn::<usize, 5, _>(due));
                return Err(Error::format(
                    &self.info.name,
                    format!("piece {at:?}"),
                    expected,
                    format!("{:?}", piece.size),
                ));
            }
            Ok(piece)
        })
    }

    /// Copies what `region` shares with one piece to its place in `out`.
    fn copy(&self, frame: Frame, region: &Region, at: [usize; 5], out: &Target) -> Result<()> {
        let piece = self.piece(at)?;
        let bytes = self.info.dtype.size();
        let origin: [usize; 5] = std::array::from_fn(|axis| at[axis] * self.chunk[axis]);
        let own =
            Region { start: [origin[2], origin[3], origin[4]], size: [self.chunk[2], self.chunk[3], self.chunk[4]] };
        let shared = region.intersect(&own);
        let [_, channels, depth, height, width] = piece.size;
        let first = (frame.time - origin[0]) * channels + (frame.channel - origin[1]);
        let line = shared.size[2] * bytes;
        for z in shared.range(0) {
            for y in shared.range(1) {
                let target = ((z - region.start[0]) * region.size[1] + (y - region.start[1])) * region.size[2]
                    + (shared.start[2] - region.start[2]);
                // Inside `out`, whose length was checked against the region; no other thread writes this line.
                let target = unsafe { std::slice::from_raw_parts_mut(out.0.add(target * bytes), line) };
                match &piece.data {
                    Some(data) => {
                        let from = ((first * depth + z - origin[2]) * height + y - origin[3]) * width + shared.start[2]
                            - origin[4];
                        target.copy_from_slice(&data[from * bytes..from * bytes + line]);
                    }
                    None => target.chunks_exact_mut(bytes).for_each(|voxel| voxel.copy_from_slice(&self.fill[..bytes])),
                }
            }
        }
        Ok(())
    }
}

impl<S: Store> VolumeBlocks for Pieced<S> {
    fn info(&self) -> &VolumeInfo {
        &self.info
    }

    fn read(&self, frame: Frame, region: &Region, out: &mut [u8]) -> Result<()> {
        self.info.check(frame, region)?;
        if out.len() != region.len() * self.info.dtype.size() {
            return Err(Error::Internal(format!("{} bytes for a region of {} voxels", out.len(), region.len())));
        }
        if region.is_empty() {
            return Ok(());
        }
        let end = region.end();
        let pieces =
            |axis: usize| region.start[axis] / self.chunk[axis + 2]..(end[axis] - 1) / self.chunk[axis + 2] + 1;
        let (time, channel) = (frame.time / self.chunk[0], frame.channel / self.chunk[1]);
        let mut places = Vec::new();
        for z in pieces(0) {
            for y in pieces(1) {
                places.extend(pieces(2).map(|x| [time, channel, z, y, x]));
            }
        }
        let target = Target(out.as_mut_ptr());
        if let [only] = places[..] {
            return self.copy(frame, region, only, &target);
        }
        let outcomes: Vec<Result<()>> =
            places.into_par_iter().with_max_len(1).map(|at| self.copy(frame, region, at, &target)).collect();
        outcomes.into_iter().collect()
    }
}

/// Rows of `width` bytes that make a piece worth a task of its own, in whole multiples of `step`, at most `height`.
pub(super) fn band(width: usize, step: usize, height: usize) -> usize {
    const BYTES: usize = 512 << 10;
    let step = step.max(1);
    ((BYTES / width.max(1)).max(1).div_ceil(step) * step).min(height.max(1))
}
