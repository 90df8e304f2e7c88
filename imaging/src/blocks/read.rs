//! Reading a region, with what lies around it.

use std::cell::RefCell;

use zensaibo_core::Result;
use zensaibo_core::data::{Dtype, Frame, Grid, Region, VolumeBlocks};
use zensaibo_core::memory::zeros;

use super::convert::{Pixel, each_pixel, to_f32};
use super::{Border, convert, pool};

thread_local! {
    /// Bytes of a region in the volume's own type; words, so that they are aligned for any of them.
    static SCRATCH: RefCell<Vec<u64>> = const { RefCell::new(Vec::new()) };
}

/// Lends zeroed or used bytes of this thread.
pub(super) fn with_scratch<R>(bytes: usize, job: impl FnOnce(&mut [u8]) -> R) -> R {
    // Taken out, so that a source that itself reads with scratch finds an empty one instead of a borrowed one.
    let mut words = SCRATCH.with(|scratch| scratch.take());
    if bytes.div_ceil(8) > words.capacity() {
        words = zeros(bytes.div_ceil(8));
    }
    words.resize(bytes.div_ceil(8).max(words.len()), 0);
    let result = job(&mut bytemuck::cast_slice_mut(&mut words)[..bytes]);
    SCRATCH.with(|scratch| scratch.replace(words));
    result
}

/// A region as f32 (exact up to 16 bits and for whole numbers below 2^24).
///
/// # Errors
/// Whatever the source returns.
pub fn read_f32(source: &dyn VolumeBlocks, frame: Frame, region: &Region) -> Result<Grid<f32>> {
    let dtype = source.info().dtype;
    let mut out = pool::take(region.len());
    if dtype == Dtype::F32 {
        source.read(frame, region, bytemuck::cast_slice_mut(&mut out))?;
    } else {
        with_scratch(region.len() * dtype.size(), |bytes| {
            source.read(frame, region, bytes)?;
            to_f32(dtype, bytes, &mut out);
            Ok::<(), zensaibo_core::Error>(())
        })?;
    }
    Ok(Grid { shape: region.size, data: out })
}

/// A region as any type: whole numbers and labels exactly where the type holds them, else saturated.
///
/// # Errors
/// Whatever the source returns.
pub fn read_as<T: Pixel>(source: &dyn VolumeBlocks, frame: Frame, region: &Region) -> Result<Grid<T>> {
    let dtype = source.info().dtype;
    let mut out: Vec<T> = zeros(region.len());
    if dtype == T::DTYPE || (dtype == Dtype::Bool && T::DTYPE == Dtype::U8) {
        source.read(frame, region, bytemuck::cast_slice_mut(&mut out))?;
    } else {
        with_scratch(region.len() * dtype.size(), |bytes| {
            source.read(frame, region, bytes)?;
            each_pixel!(dtype, S => {
                let voxels: &[S] = bytemuck::cast_slice(bytes);
                out.iter_mut().zip(voxels).for_each(|(out, &value)| *out = T::from_f64(value.to_f64()));
            }, half => {
                let mut floats = vec![0f32; region.len()];
                convert::to_f32(dtype, bytes, &mut floats);
                out.iter_mut().zip(&floats).for_each(|(out, &value)| *out = T::from_f64(f64::from(value)));
            });
            Ok::<(), zensaibo_core::Error>(())
        })?;
    }
    Ok(Grid { shape: region.size, data: out })
}

/// The whole of a frame as f32: 4 bytes per voxel.
///
/// # Errors
/// Whatever the source returns.
pub fn whole(source: &dyn VolumeBlocks, frame: Frame) -> Result<Grid<f32>> {
    read_f32(source, frame, &Region::whole(source.info().space()))
}

/// A region and `halo` voxels around it as f32; beyond the volume, what `border` says.
///
/// # Errors
/// Whatever the source returns.
pub fn read_padded(
    source: &dyn VolumeBlocks,
    frame: Frame,
    region: &Region,
    halo: [usize; 3],
    border: Border,
) -> Result<Grid<f32>> {
    read_sides(source, frame, region, [halo; 2], border)
}

/// As [`read_padded`], with so many voxels before the region and so many after it.
///
/// # Errors
/// Whatever the source returns.
pub(crate) fn read_sides(
    source: &dyn VolumeBlocks,
    frame: Frame,
    region: &Region,
    halo: [[usize; 3]; 2],
    border: Border,
) -> Result<Grid<f32>> {
    let shape = source.info().space();
    let start: [usize; 3] = std::array::from_fn(|a| region.start[a].saturating_sub(halo[0][a]));
    let size = std::array::from_fn(|a| (region.end()[a] + halo[1][a]).min(shape[a]) - start[a]);
    let inside = Region { start, size };
    let inner = read_f32(source, frame, &inside)?;
    let padded: [usize; 3] = std::array::from_fn(|axis| region.size[axis] + halo[0][axis] + halo[1][axis]);
    if padded == inside.size || region.is_empty() {
        return Ok(inner);
    }
    // For each place of the padded block, the place in `inner` that stands for it. A mirrored place lies no deeper than the halo and is there.
    let places: [Vec<Option<usize>>; 3] = std::array::from_fn(|axis| {
        (0..padded[axis])
            .map(|at| {
                let at = (region.start[axis] + at) as isize - halo[0][axis] as isize;
                border.place(at, shape[axis]).map(|place| place - inside.start[axis])
            })
            .collect()
    });
    let mut out = pool::take_grid(padded);
    if border == Border::Zero {
        out.data.fill(0.0);
    }
    let before = places[2].iter().position(|place| *place == Some(0)).unwrap_or(0);
    // The stretch of x that is copied as it stands.
    let from = halo[0][2] - (region.start[2] - inside.start[2]);
    debug_assert!(before <= from);
    let width = inside.size[2];
    for (z, source_z) in places[0].iter().enumerate() {
        let Some(source_z) = *source_z else { continue };
        for (y, source_y) in places[1].iter().enumerate() {
            let Some(source_y) = *source_y else { continue };
            let line = inner.row(source_z, source_y);
            let target = out.row_mut(z, y);
            target[from..from + width].copy_from_slice(line);
            for x in (0..from).chain(from + width..padded[2]) {
                target[x] = places[2][x].map_or(0.0, |place| line[place]);
            }
        }
    }
    pool::give(inner.data);
    Ok(out)
}
