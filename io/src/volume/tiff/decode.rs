//! Strips and tiles to voxels. Plain, deflate, zstd and LZW data are decoded here; what else there is (PackBits, JPEG)
//! goes through the `tiff` crate.

use std::cell::RefCell;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;

use tiff::decoder::{Decoder, Limits};
use zensaibo_core::Result;

use super::ifd::{Page, TiffFile, page_name};

const PLAIN: u64 = 1;
const DEFLATE: [u64; 2] = [8, 32946];
const ZSTD: [u64; 2] = [50000, 34926];
const LZW: u64 = 5;
/// Kinds of compression that the crate decodes for us: JPEG, PackBits.
const CRATE: [u64; 2] = [7, 32773];

thread_local! {
    static INFLATE: RefCell<libdeflater::Decompressor> = RefCell::new(libdeflater::Decompressor::new());
}

/// Refuses a compression that nobody here can undo, by its name.
pub(super) fn check(file: &TiffFile, index: usize) -> Result<()> {
    let page = &file.pages[index];
    let name = match page.compression {
        PLAIN | LZW => "",
        n if DEFLATE.contains(&n) || ZSTD.contains(&n) || CRATE.contains(&n) => "",
        2..=4 => "fax compression",
        6 => "old-style JPEG",
        33003 | 33004 | 33005 | 34712 => "JPEG 2000",
        34887 => "LERC",
        34925 => "LZMA",
        50001 => "WebP",
        50002 | 22610 => "JPEG XL or JPEG XR",
        _ => "compression",
    };
    if !name.is_empty() {
        let expected = "no compression, deflate, zstd, LZW, PackBits or JPEG";
        return Err(file.fault(&page_name(index), expected, format!("{name} ({})", page.compression)));
    }
    if !matches!(page.predictor, 1..=3) {
        return Err(file.fault(&page_name(index), "predictor 1, 2 or 3", page.predictor));
    }
    if page.predictor == 3 && page.dtype.is_integer() {
        return Err(file.fault(&page_name(index), "floating-point numbers under predictor 3", page.dtype.name()));
    }
    Ok(())
}

/// A decoded strip or tile: rows of pixels, samples together, in this machine's byte order.
pub(super) struct Unit {
    pub(super) rows: usize,
    pub(super) columns: usize,
    pub(super) data: Vec<u8>,
}

/// Decodes units of one page, one after another.
pub(super) struct Units<'a> {
    file: &'a TiffFile,
    page: &'a Page,
    index: usize,
    helper: Option<Decoder<BufReader<Renumbered<'a>>>>,
}

impl<'a> Units<'a> {
    /// For page `index`.
    pub(super) fn new(file: &'a TiffFile, index: usize) -> Self {
        Self { file, page: &file.pages[index], index, helper: None }
    }

    /// Unit `at` of the page: its samples one plane after another where they are stored apart, row by row.
    pub(super) fn decode(&mut self, at: usize) -> Result<Unit> {
        let page = self.page;
        let [down, across] = page.units();
        let row = at % (down * across) / across;
        // Tiles are stored whole; the last strip is as high as the image needs.
        let rows = if page.tiled { page.unit[0] } else { page.unit[0].min(page.height - row * page.unit[0]) };
        let columns = page.unit[1];
        let bytes = rows * columns * page.together() * page.dtype.size();
        let key = || format!("{}, {} {at}", page_name(self.index), if page.tiled { "tile" } else { "strip" });
        if page.counts[at] == 0 {
            // Sparse files leave out what is zero.
            return Ok(Unit { rows, columns, data: vec![0; bytes] });
        }
        if CRATE.contains(&page.compression) {
            return self.by_crate(at);
        }
        let broken = |found: String| self.file.fault(&key(), format!("{bytes} bytes of voxels"), found);
        let mut stored = vec![0; page.counts[at] as usize];
        let mut data = if page.compression == PLAIN {
            if stored.len() < bytes {
                return Err(broken(format!("{} bytes", stored.len())));
            }
            stored.truncate(bytes);
            self.file.bytes(&key(), page.offsets[at], &mut stored)?;
            stored
        } else {
            self.file.bytes(&key(), page.offsets[at], &mut stored)?;
            let mut data = vec![0; bytes];
            let written = if page.compression == LZW {
                unlzw(&stored, &mut data).map_err(|error| broken(format!("LZW data that cannot be read ({error})")))?
            } else if DEFLATE.contains(&page.compression) {
                INFLATE
                    .with_borrow_mut(|inflate| inflate.zlib_decompress(&stored, &mut data))
                    .map_err(|error| broken(format!("deflate data that cannot be read ({error:?})")))?
            } else {
                zstd::bulk::decompress_to_buffer(&stored, &mut data[..])
                    .map_err(|error| broken(format!("zstd data that cannot be read ({error})")))?
            };
            if written != bytes {
                return Err(broken(format!("{written} bytes")));
            }
            data
        };
        let size = page.dtype.size();
        let line = columns * page.together() * size;
        if page.predictor == 3 {
            data.chunks_exact_mut(line).for_each(|line| undo_float(line, page.together(), size));
        } else {
            if self.file.big_endian {
                swap(&mut data, size);
            }
            if page.predictor == 2 {
                data.chunks_exact_mut(line).for_each(|line| undo_differences(line, page.together(), size));
            }
        }
        Ok(Unit { rows, columns, data })
    }

    fn by_crate(&mut self, at: usize) -> Result<Unit> {
        let (file, page) = (self.file, self.page);
        let key = format!("{}, {} {at}", page_name(self.index), if page.tiled { "tile" } else { "strip" });
        let broken = |error: tiff::TiffError| file.fault(&key, "data that can be decoded", error);
        if self.helper.is_none() {
            let decoder = Decoder::new(BufReader::new(Renumbered { file, start: page.at, at: 0 })).map_err(broken)?;
            self.helper = Some(decoder.with_limits(Limits::unlimited()));
        }
        let Some(decoder) = &mut self.helper else {
            return Err(zensaibo_core::Error::Internal("no decoder".into()));
        };
        let (columns, rows) = decoder.chunk_data_dimensions(at as u32);
        let (columns, rows) = (columns as usize, rows as usize);
        let mut data = vec![0; rows * columns * page.together() * page.dtype.size()];
        decoder.read_chunk_bytes(at as u32, &mut data).map_err(broken)?;
        Ok(Unit { rows, columns, data })
    }
}

/// Undoes LZW as far as `out` goes: some writers leave out the code that ends it.
fn unlzw(stored: &[u8], out: &mut [u8]) -> std::result::Result<usize, weezl::LzwError> {
    let mut decoder = weezl::decode::Decoder::with_tiff_size_switch(weezl::BitOrder::Msb, 8);
    let (mut from, mut to) = (0, 0);
    while to < out.len() {
        let step = decoder.decode_bytes(&stored[from..], &mut out[to..]);
        from += step.consumed_in;
        to += step.consumed_out;
        match step.status? {
            weezl::LzwStatus::Ok if step.consumed_in + step.consumed_out > 0 => {}
            _ => break,
        }
    }
    Ok(to)
}

/// Turns the bytes of each value around.
pub(in crate::volume) fn swap(data: &mut [u8], size: usize) {
    match size {
        2 => data.chunks_exact_mut(2).for_each(|x| x.swap(0, 1)),
        4 => data.chunks_exact_mut(4).for_each(<[u8]>::reverse),
        8 => data.chunks_exact_mut(8).for_each(<[u8]>::reverse),
        _ => {}
    }
}

/// Undoes predictor 2: each value was stored as its difference from the pixel before.
fn undo_differences(line: &mut [u8], samples: usize, size: usize) {
    macro_rules! add {
        ($type:ty) => {{
            const SIZE: usize = size_of::<$type>();
            let value = |bytes: &[u8]| <$type>::from_ne_bytes(std::array::from_fn(|k| bytes[k]));
            for at in (samples * SIZE..line.len()).step_by(SIZE) {
                let sum = value(&line[at..]).wrapping_add(value(&line[at - samples * SIZE..]));
                line[at..at + SIZE].copy_from_slice(&sum.to_ne_bytes());
            }
        }};
    }
    match size {
        1 => add!(u8),
        2 => add!(u16),
        4 => add!(u32),
        _ => add!(u64),
    }
}

/// Undoes predictor 3: the bytes of equal significance of a row stand together, the highest first, as differences.
fn undo_float(line: &mut [u8], samples: usize, size: usize) {
    for at in samples..line.len() {
        line[at] = line[at].wrapping_add(line[at - samples]);
    }
    let count = line.len() / size;
    let planes = line.to_vec();
    for (index, value) in line.chunks_exact_mut(size).enumerate() {
        for (k, byte) in value.iter_mut().enumerate() {
            let significance = if cfg!(target_endian = "little") { size - 1 - k } else { k };
            *byte = planes[significance * count + index];
        }
    }
}

/// The file as it would be if one of its pages were the first: a decoder then begins there at once.
struct Renumbered<'a> {
    file: &'a TiffFile,
    /// Place of that page's directory.
    start: u64,
    at: u64,
}

impl Read for Renumbered<'_> {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        let read = self.file.file.read_at(out, self.at)?;
        let (place, width) = if self.file.big { (8u64, 8usize) } else { (4, 4) };
        let wide = if self.file.big_endian { self.start.to_be_bytes() } else { self.start.to_le_bytes() };
        let number = if self.file.big || !self.file.big_endian { &wide[..width] } else { &wide[4..] };
        for (k, &byte) in number.iter().enumerate() {
            if let Some(at) = (place + k as u64).checked_sub(self.at).filter(|&at| at < read as u64) {
                out[at as usize] = byte;
            }
        }
        self.at += read as u64;
        Ok(read)
    }
}

impl Seek for Renumbered<'_> {
    fn seek(&mut self, to: SeekFrom) -> std::io::Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(by) => self.file.len.checked_add_signed(by),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
        };
        self.at = at.ok_or_else(|| std::io::Error::from(std::io::ErrorKind::InvalidInput))?;
        Ok(self.at)
    }
}
