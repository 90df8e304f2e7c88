//! TIFF, BigTIFF, OME-TIFF, ImageJ hyperstacks, and folders of planes.
//!
//! The directories of all pages are read when a file is opened, so that a damaged or cut file is refused at once and
//! pages are then read in any order by any thread. Axes come from OME-XML, from ImageJ's or tifffile's description,
//! else pages are planes along z.

mod decode;
mod describe;
mod folder;
mod ifd;
mod ome;

use std::path::Path;
use std::sync::Arc;

use zensaibo_core::Result;
use zensaibo_core::data::{Dtype, VolumeBlocks, VolumeInfo};

use self::decode::Units;
pub(super) use self::decode::swap;
use self::describe::Plan;
pub(super) use self::folder::{holds_planes, open_folder};
use self::ifd::page_name;
pub(super) use self::ifd::{TiffFile, is_tiff};
pub(super) use self::ome::positions as ome_positions;
use super::OpenOptions;
use super::cache::Piece;
use super::pieced::{Pieced, Store, band};

/// Opens a TIFF file.
pub(super) fn open(path: &Path, options: &OpenOptions) -> Result<Arc<dyn VolumeBlocks>> {
    let mut file = TiffFile::open(path)?;
    let description = file.about.description.clone();
    let given = options.axes.as_deref();
    let plan = if ome::is_ome(&description) {
        ome::plan(&mut file, options.series)?
    } else {
        if let Some(series) = options.series.filter(|&series| series > 0) {
            return Err(zensaibo_core::Error::parameter("series", "0, for the file holds one image", series));
        }
        if description.starts_with("ImageJ=") {
            describe::imagej(&mut file)?
        } else if let Some(plan) = describe::shaped(&mut file, given)? {
            plan
        } else {
            describe::plain(&file, given)
        }
    };
    volume(path, file, plan)
}

/// Puts a volume together from the first file and its plan.
fn volume(path: &Path, file: TiffFile, plan: Plan) -> Result<Arc<dyn VolumeBlocks>> {
    let mut files = vec![file];
    files.extend(plan.others);
    let (source, index) = plan.pages[0];
    let first = files[source as usize].pages[index as usize].clone();
    let mut same = true;
    for (at, &(source, index)) in plan.pages.iter().enumerate() {
        let (file, index) = (&files[source as usize], index as usize);
        let page = &file.pages[index];
        let alike = |page: &ifd::Page| (page.height, page.width, page.dtype, page.samples, page.separate);
        if alike(page) != alike(&first) {
            let expected = format!("{}, as the first page", first.describe());
            return Err(file.fault(&page_name(index), expected, page.describe()));
        }
        if at == 0 || page.compression != first.compression || page.predictor != first.predictor {
            decode::check(file, index)?;
        }
        same &= page.unit == first.unit && page.tiled == first.tiled;
    }
    let size = first.dtype.size();
    let together = first.together();
    let step = if !same {
        [first.height, first.width]
    } else if first.tiled {
        [first.unit[0].min(first.height), first.unit[1].min(first.width)]
    } else {
        [band(first.width * together * size, first.unit[0], first.height), first.width]
    };
    let chunk = [1, together, 1, step[0], step[1]];
    let info = VolumeInfo {
        name: path.display().to_string(),
        shape: [plan.sizes[0], plan.sizes[1], plan.sizes[2], first.height, first.width],
        axes: plan.axes,
        dtype: first.dtype,
        spacing: plan.spacing,
        origin: [0.0; 3],
        time_step: plan.time_step,
        orientation: None,
        channels: plan.channels,
        chunk: [1, step[0], step[1]],
    };
    let store = Pages {
        files,
        pages: plan.pages,
        sizes: plan.sizes,
        step,
        samples: first.samples,
        together,
        dtype: first.dtype,
    };
    Ok(Arc::new(Pieced::new(info, chunk, [0; 8], store)))
}

/// Planes on pages of one or more files.
struct Pages {
    files: Vec<TiffFile>,
    pages: Vec<(u32, u32)>,
    sizes: [usize; 3],
    /// Rows and columns of a piece.
    step: [usize; 2],
    samples: usize,
    /// Samples that lie together.
    together: usize,
    dtype: Dtype,
}

impl Store for Pages {
    fn load(&self, at: [usize; 5]) -> Result<Piece> {
        let [time, channel, z, down, across] = at;
        // Channels come in groups of the samples of a page.
        let channel = channel * self.together;
        let group = channel / self.samples;
        let groups = self.sizes[1] / self.samples;
        let (source, index) = self.pages[(time * groups + group) * self.sizes[2] + z];
        let file = &self.files[source as usize];
        let page = &file.pages[index as usize];
        let (size, samples) = (self.dtype.size(), self.together);
        let (top, left) = (down * self.step[0], across * self.step[1]);
        let height = self.step[0].min(page.height - top);
        let width = self.step[1].min(page.width - left);
        let first = if page.separate { (channel % self.samples) * page.units()[0] * page.units()[1] } else { 0 };
        let mut units = Units::new(file, index as usize);
        let [unit_rows, unit_columns] = page.unit;
        let rows = top / unit_rows..(top + height).div_ceil(unit_rows);
        let columns = left / unit_columns..(left + width).div_ceil(unit_columns);
        if samples == 1 && rows.len() == 1 && columns.len() == 1 {
            let unit = units.decode(first + rows.start * page.units()[1] + columns.start)?;
            if (top, left) == (rows.start * unit_rows, columns.start * unit_columns) {
                return Ok(Piece { size: [1, 1, 1, unit.rows, unit.columns], data: Some(unit.data) });
            }
        }
        let plane = height * width * size;
        let mut data = vec![0u8; plane * samples];
        for row in rows {
            for column in columns.clone() {
                let unit = units.decode(first + row * page.units()[1] + column)?;
                let (y0, x0) = (row * unit_rows, column * unit_columns);
                let (from, to) = (left.max(x0), (left + width).min(x0 + unit.columns));
                for y in top.max(y0)..(top + height).min(y0 + unit.rows) {
                    let source = &unit.data[((y - y0) * unit.columns + from - x0) * samples * size..];
                    let source = &source[..(to - from) * samples * size];
                    let target = ((y - top) * width + from - left) * size;
                    if samples == 1 {
                        data[target..target + source.len()].copy_from_slice(source);
                        continue;
                    }
                    for (x, pixel) in source.chunks_exact(samples * size).enumerate() {
                        for (sample, value) in pixel.chunks_exact(size).enumerate() {
                            let target = sample * plane + target + x * size;
                            data[target..target + size].copy_from_slice(value);
                        }
                    }
                }
            }
        }
        Ok(Piece { size: [1, samples, 1, height, width], data: Some(data) })
    }
}
