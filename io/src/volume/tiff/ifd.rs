//! The table of pages of a TIFF or BigTIFF file: read first, so that pages are then read in any order by any thread.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use zensaibo_core::data::Dtype;
use zensaibo_core::{Error, Result};

/// A TIFF file and where its pages lie.
pub(in crate::volume) struct TiffFile {
    pub(super) path: PathBuf,
    pub(super) file: fs::File,
    pub(super) len: u64,
    /// Numbers are stored most significant byte first.
    pub(super) big_endian: bool,
    /// BigTIFF: offsets of 64 bits.
    pub(super) big: bool,
    pub(super) pages: Vec<Page>,
    pub(super) about: About,
}

/// One image of a file.
#[derive(Clone, Debug)]
pub(super) struct Page {
    /// Place of its directory in the file.
    pub(super) at: u64,
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) dtype: Dtype,
    /// Values of one pixel.
    pub(super) samples: usize,
    /// Whether each sample has a plane of its own.
    pub(super) separate: bool,
    pub(super) compression: u64,
    pub(super) predictor: u64,
    /// Rows and columns of a strip or a tile.
    pub(super) unit: [usize; 2],
    pub(super) tiled: bool,
    pub(super) offsets: Vec<u64>,
    pub(super) counts: Vec<u64>,
}

/// What the first page says about the file.
#[derive(Clone, Debug, Default)]
pub(super) struct About {
    pub(super) description: String,
    /// Pixels per unit along x and y.
    pub(super) resolution: [Option<f64>; 2],
}

impl Page {
    /// Units (strips or tiles) down and across.
    pub(super) fn units(&self) -> [usize; 2] {
        [self.height.div_ceil(self.unit[0]), self.width.div_ceil(self.unit[1])]
    }

    /// Samples that lie together in one unit.
    pub(super) fn together(&self) -> usize {
        if self.separate { 1 } else { self.samples }
    }

    /// "512 x 512, uint16".
    pub(super) fn describe(&self) -> String {
        let samples = if self.samples > 1 { format!(", {} samples", self.samples) } else { String::new() };
        format!("{} x {} (y, x), {}{samples}", self.height, self.width, self.dtype.name())
    }
}

/// An entry of a directory: its type, how many values, and where they are.
struct Entry {
    kind: u16,
    count: u64,
    /// The values themselves where they fit, else their place.
    raw: [u8; 8],
}

/// Whether the first bytes are those of a TIFF or BigTIFF file.
pub(in crate::volume) fn is_tiff(start: &[u8]) -> bool {
    matches!(start.get(..4), Some(b"II*\0" | b"MM\0*" | b"II+\0" | b"MM\0+"))
}

impl TiffFile {
    /// Reads the table of pages.
    pub(in crate::volume) fn open(path: &Path) -> Result<Self> {
        let io = |error| Error::io(path, "read", error);
        let file = fs::File::open(path).map_err(io)?;
        let len = file.metadata().map_err(io)?.len();
        let mut tiff = Self {
            path: path.to_path_buf(),
            file,
            len,
            big_endian: false,
            big: false,
            pages: Vec::new(),
            about: About::default(),
        };
        let mut start = [0u8; 16];
        tiff.bytes("header", 0, &mut start[..8])?;
        if !is_tiff(&start) {
            return Err(tiff.fault("header", "a TIFF file", format!("bytes {:02x?}", &start[..4])));
        }
        tiff.big_endian = start[0] == b'M';
        tiff.big = start.contains(&b'+');
        if tiff.big {
            tiff.bytes("header", 0, &mut start)?;
        }
        let mut next = if tiff.big { tiff.u64(&start[8..16]) } else { u64::from(tiff.u32(&start[4..8])) };
        let mut seen = BTreeSet::new();
        while next != 0 {
            if !seen.insert(next) {
                return Err(tiff.fault(
                    &page_name(tiff.pages.len()),
                    "a chain of pages that ends",
                    "one that turns in a circle",
                ));
            }
            next = tiff.directory(next)?;
        }
        if tiff.pages.is_empty() {
            return Err(tiff.fault("pages", "at least one image", "none"));
        }
        Ok(tiff)
    }

    /// A format error at `key`.
    pub(super) fn fault(&self, key: &str, expected: impl Into<String>, found: impl ToString) -> Error {
        Error::format(&self.path, key, expected, found)
    }

    /// Reads bytes at an offset; the end of the file is a fault of the file.
    pub(super) fn bytes(&self, key: &str, offset: u64, out: &mut [u8]) -> Result<()> {
        self.file.read_exact_at(out, offset).map_err(|error| match error.kind() {
            std::io::ErrorKind::UnexpectedEof => {
                let expected = format!("{} bytes at offset {offset}", out.len());
                self.fault(key, expected, format!("the end of the file at {} (truncated?)", self.len))
            }
            _ => Error::io(&self.path, "read", error),
        })
    }

    fn u16(&self, bytes: &[u8]) -> u16 {
        let bytes = [bytes[0], bytes[1]];
        if self.big_endian { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) }
    }

    fn u32(&self, bytes: &[u8]) -> u32 {
        let bytes = [bytes[0], bytes[1], bytes[2], bytes[3]];
        if self.big_endian { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) }
    }

    fn u64(&self, bytes: &[u8]) -> u64 {
        let bytes = [bytes[0], bytes[1], bytes[2], bytes[3], bytes[4], bytes[5], bytes[6], bytes[7]];
        if self.big_endian { u64::from_be_bytes(bytes) } else { u64::from_le_bytes(bytes) }
    }

    /// The bytes of an entry's values.
    fn raw(&self, entry: &Entry, key: &str) -> Result<Vec<u8>> {
        let size: u64 = match entry.kind {
            1 | 2 | 6 | 7 => 1,
            3 | 8 => 2,
            4 | 9 | 11 | 13 => 4,
            5 | 10 | 12 | 16..=18 => 8,
            other => return Err(self.fault(key, "a known type of values", format!("type {other}"))),
        };
        let bytes = entry.count.checked_mul(size).filter(|&bytes| bytes <= self.len);
        let Some(bytes) = bytes else {
            return Err(self.fault(key, "values inside the file", format!("{} values", entry.count)));
        };
        let inline = if self.big { 8 } else { 4 };
        if bytes <= inline {
            return Ok(entry.raw[..bytes as usize].to_vec());
        }
        let offset = if self.big { self.u64(&entry.raw) } else { u64::from(self.u32(&entry.raw)) };
        let mut out = vec![0; bytes as usize];
        self.bytes(key, offset, &mut out)?;
        Ok(out)
    }

    /// Whole numbers of an entry.
    fn whole(&self, entry: &Entry, key: &str) -> Result<Vec<u64>> {
        let raw = self.raw(entry, key)?;
        Ok(match entry.kind {
            1 | 7 => raw.iter().map(|&x| u64::from(x)).collect(),
            3 => raw.chunks_exact(2).map(|x| u64::from(self.u16(x))).collect(),
            4 | 13 => raw.chunks_exact(4).map(|x| u64::from(self.u32(x))).collect(),
            16 | 18 => raw.chunks_exact(8).map(|x| self.u64(x)).collect(),
            other => return Err(self.fault(key, "whole numbers", format!("type {other}"))),
        })
    }

    /// Reads the directory at `at`, adds its page, and says where the next is.
    fn directory(&mut self, at: u64) -> Result<u64> {
        let name = page_name(self.pages.len());
        let (head, size, tail) = if self.big { (8, 20, 8) } else { (2, 12, 4) };
        let mut block = vec![0u8; 512.min(self.len.saturating_sub(at)) as usize];
        if block.len() < head {
            return Err(self.fault(&name, "a directory", format!("the end of the file at {} (truncated?)", self.len)));
        }
        self.bytes(&name, at, &mut block)?;
        let count = if self.big { self.u64(&block) } else { u64::from(self.u16(&block)) };
        if count > 4096 {
            return Err(self.fault(&name, "a directory of at most 4096 tags", format!("{count} tags")));
        }
        let whole = head + count as usize * size + tail;
        if whole > block.len() {
            block.resize(whole, 0);
            self.bytes(&name, at, &mut block)?;
        }
        let mut page = Page {
            at,
            width: 0,
            height: 0,
            dtype: Dtype::U8,
            samples: 1,
            separate: false,
            compression: 1,
            predictor: 1,
            unit: [usize::MAX, 0],
            tiled: false,
            offsets: Vec::new(),
            counts: Vec::new(),
        };
        let (mut bits, mut format, mut reduced) = (vec![1u64], vec![1u64], false);
        let mut about = About::default();
        let first_page = self.pages.is_empty();
        for entry in block[head..head + count as usize * size].chunks_exact(size) {
            let tag = self.u16(entry);
            let kind = self.u16(&entry[2..]);
            let (count, place) = if self.big {
                (self.u64(&entry[4..]), &entry[12..20])
            } else {
                (u64::from(self.u32(&entry[4..])), &entry[8..12])
            };
            let mut raw = [0u8; 8];
            raw[..place.len()].copy_from_slice(place);
            let entry = Entry { kind, count, raw };
            let key = format!("{name}, tag {tag}");
            let one = || -> Result<u64> {
                self.whole(&entry, &key)?.first().copied().ok_or_else(|| self.fault(&key, "a value", "none"))
            };
            match tag {
                254 => reduced = one()? & 1 == 1,
                256 => page.width = one()? as usize,
                257 => page.height = one()? as usize,
                258 => bits = self.whole(&entry, &key)?,
                259 => page.compression = one()?,
                270 if first_page => {
                    let text = self.raw(&entry, &key)?;
                    about.description = String::from_utf8_lossy(&text).trim_end_matches('\0').to_string();
                }
                277 => page.samples = one()? as usize,
                278 => page.unit[0] = one()? as usize,
                284 => page.separate = one()? == 2,
                273 | 324 => page.offsets = self.whole(&entry, &key)?,
                279 | 325 => page.counts = self.whole(&entry, &key)?,
                282 | 283 if first_page => {
                    let raw = self.raw(&entry, &key)?;
                    if raw.len() == 8 {
                        let (over, under) = (self.u32(&raw), self.u32(&raw[4..]));
                        about.resolution[tag as usize - 282] =
                            (over > 0 && under > 0).then(|| f64::from(over) / f64::from(under));
                    }
                }
                317 => page.predictor = one()?,
                322 => (page.unit[1], page.tiled) = (one()? as usize, true),
                323 => (page.unit[0], page.tiled) = (one()? as usize, true),
                339 => format = self.whole(&entry, &key)?,
                _ => {}
            }
        }
        let next = &block[head + count as usize * size..];
        let next = if self.big { self.u64(next) } else { u64::from(self.u32(next)) };
        if first_page {
            self.about = about;
        }
        // Pages that only repeat another at lower resolution are no planes of the volume.
        if reduced && !first_page {
            return Ok(next);
        }
        if bits.iter().any(|&n| n != bits[0]) || format.iter().any(|&n| n != format[0]) {
            return Err(self.fault(&name, "samples of one type", format!("bits {bits:?}, formats {format:?}")));
        }
        page.dtype = match (bits.first(), format.first()) {
            (Some(8), Some(1 | 4)) => Dtype::U8,
            (Some(16), Some(1 | 4)) => Dtype::U16,
            (Some(32), Some(1 | 4)) => Dtype::U32,
            (Some(64), Some(1 | 4)) => Dtype::U64,
            (Some(8), Some(2)) => Dtype::I8,
            (Some(16), Some(2)) => Dtype::I16,
            (Some(32), Some(2)) => Dtype::I32,
            (Some(64), Some(2)) => Dtype::I64,
            (Some(16), Some(3)) => Dtype::F16,
            (Some(32), Some(3)) => Dtype::F32,
            (Some(64), Some(3)) => Dtype::F64,
            (bits, format) => {
                let expected = "8, 16, 32 or 64 bits per sample, or floating-point numbers of 16, 32 or 64";
                let found = format!("{} bits of format {}", bits.unwrap_or(&0), format.unwrap_or(&0));
                return Err(self.fault(&name, expected, found));
            }
        };
        self.finish(&mut page, &name)?;
        self.pages.push(page);
        Ok(next)
    }

    /// Checks a page, and that all of its data lie in the file.
    fn finish(&self, page: &mut Page, name: &str) -> Result<()> {
        if page.width == 0 || page.height == 0 || page.samples == 0 || page.samples > 4096 {
            let found = format!("{} x {} of {} samples", page.height, page.width, page.samples);
            return Err(self.fault(name, "an image with pixels", found));
        }
        if !page.tiled {
            page.unit = [page.unit[0].clamp(1, page.height), page.width];
        }
        let line = page.width.checked_mul(page.samples * page.dtype.size());
        let all = line.and_then(|line| line.checked_mul(page.height)).filter(|&n| n < isize::MAX as usize);
        let unit = page.unit[0].checked_mul(page.unit[1]).and_then(|n| n.checked_mul(page.samples * page.dtype.size()));
        let (Some(_), Some(unit)) = (all, unit.filter(|&n| n > 0 && n < 1 << 40)) else {
            let found = format!("{} x {} in pieces of {:?}", page.height, page.width, page.unit);
            return Err(self.fault(name, "an image that can be held", found));
        };
        let [down, across] = page.units();
        let planes = if page.separate { page.samples } else { 1 };
        let units = down.checked_mul(across).and_then(|n| n.checked_mul(planes)).unwrap_or(usize::MAX);
        let kind = if page.tiled { "tiles" } else { "strips" };
        if page.counts.is_empty() && page.compression == 1 && page.offsets.len() == 1 && units == 1 {
            page.counts = vec![unit as u64];
        }
        if page.offsets.len() != units || page.counts.len() != units {
            let found = format!("{} offsets and {} sizes", page.offsets.len(), page.counts.len());
            return Err(self.fault(name, format!("{units} {kind}"), found));
        }
        for (index, (&offset, &count)) in page.offsets.iter().zip(&page.counts).enumerate() {
            if offset.checked_add(count).is_none_or(|end| end > self.len) {
                let expected = format!("{kind} inside the file's {} bytes", self.len);
                let found = format!("number {index} at {offset}, {count} bytes long (truncated?)");
                return Err(self.fault(name, expected, found));
            }
        }
        Ok(())
    }
}

/// "page 3" (from 0).
pub(super) fn page_name(index: usize) -> String {
    format!("page {index}")
}
