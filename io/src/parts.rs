//! Parts of a pass over a shared matrix: partial results of some units one after the other, in memory or in a file.
//!
//! Layout: eight letters, then per unit its length (u32), its checksum (CRC-32, u32) and its bytes, at the end the number of units
//! (u64) and the letters again; all numbers little-endian. A part that was cut short is told from a whole one.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use zensaibo_core::exchange::StoredBlocks;
use zensaibo_core::{Error, Result};

/// First and last bytes of a part.
const LETTERS: &[u8; 8] = b"zs-part1";
/// Bytes of the end: number of units, letters.
const END: u64 = 16;

/// The units of part `part` (from 0) of `of`.
pub fn units_of_part(units: usize, part: usize, of: usize) -> Range<usize> {
    // In u128 no number of units or parts overflows.
    let at = |part: usize| (units as u128 * part as u128 / of.max(1) as u128) as usize;
    at(part)..at(part + 1)
}

/// Writes a part.
pub struct PartWriter<W: Write> {
    out: BufWriter<W>,
    units: u64,
}

impl<W: Write> PartWriter<W> {
    /// Begins a part.
    ///
    /// # Errors
    /// What writing returns.
    pub fn new(out: W) -> std::io::Result<Self> {
        let mut out = BufWriter::with_capacity(1 << 20, out);
        out.write_all(LETTERS)?;
        Ok(Self { out, units: 0 })
    }

    /// Adds the next unit.
    ///
    /// # Errors
    /// What writing returns; a unit of 4 GB and more.
    pub fn put(&mut self, unit: &[u8]) -> std::io::Result<()> {
        let length = u32::try_from(unit.len()).map_err(std::io::Error::other)?;
        self.out.write_all(&length.to_le_bytes())?;
        self.out.write_all(&crc32fast::hash(unit).to_le_bytes())?;
        self.out.write_all(unit)?;
        self.units += 1;
        Ok(())
    }

    /// Ends the part.
    ///
    /// # Errors
    /// What writing returns.
    pub fn finish(mut self) -> std::io::Result<W> {
        self.out.write_all(&self.units.to_le_bytes())?;
        self.out.write_all(LETTERS)?;
        self.out.into_inner().map_err(|error| error.into_error())
    }
}

/// Where the bytes of a part are.
enum Bytes {
    Memory(Vec<u8>),
    File(File),
}

impl Bytes {
    fn len(&self) -> std::io::Result<u64> {
        match self {
            Self::Memory(bytes) => Ok(bytes.len() as u64),
            Self::File(file) => Ok(file.metadata()?.len()),
        }
    }

    fn read_at(&self, to: &mut [u8], at: u64) -> std::io::Result<()> {
        match self {
            Self::File(file) => file.read_exact_at(to, at),
            Self::Memory(bytes) => {
                let found = usize::try_from(at).ok().and_then(|at| bytes.get(at..at.checked_add(to.len())?));
                to.copy_from_slice(found.ok_or(std::io::ErrorKind::UnexpectedEof)?);
                Ok(())
            }
        }
    }
}

/// One part that is whole.
struct Part {
    name: PathBuf,
    bytes: Bytes,
    /// Offset, length and checksum of each unit.
    places: Vec<(u64, u32, u32)>,
}

impl Part {
    /// Finds the units of a part; `None` where it is not whole.
    fn open(name: &Path, bytes: Bytes) -> Result<Option<Self>> {
        let io = |error| Error::io(name, "read", error);
        let length = bytes.len().map_err(io)?;
        let mut first = [0u8; 8];
        if length < 8 + END {
            return Ok(None);
        }
        bytes.read_at(&mut first, 0).map_err(io)?;
        let mut end = [0u8; END as usize];
        bytes.read_at(&mut end, length - END).map_err(io)?;
        let (units, last) = end.split_at(8);
        let units = u64::from_le_bytes(units.try_into().unwrap_or_default());
        if &first != LETTERS || last != LETTERS {
            return Ok(None);
        }
        let (mut at, mut places) = (8, Vec::new());
        while at < length - END {
            let mut header = [0u8; 8];
            bytes.read_at(&mut header, at).map_err(io)?;
            let [a, b, c, d, e, f, g, h] = header;
            let unit = u32::from_le_bytes([a, b, c, d]);
            places.push((at + 8, unit, u32::from_le_bytes([e, f, g, h])));
            at += 8 + u64::from(unit);
        }
        let whole = at == length - END && units == places.len() as u64;
        Ok(whole.then(|| Self { name: name.to_path_buf(), bytes, places }))
    }
}

/// All parts of a pass: its units by number.
pub struct Parts {
    parts: Vec<Part>,
    /// Number of the first unit of each part, and of all units at the end.
    starts: Vec<usize>,
}

impl Parts {
    /// Parts in memory, in order. `name`: what they are called in errors.
    ///
    /// # Errors
    /// [`Error::Format`] for parts that are not whole or hold other than `units` units.
    pub fn in_memory(name: &str, parts: Vec<Vec<u8>>, units: usize) -> Result<Self> {
        let names = (0..parts.len()).map(|part| PathBuf::from(format!("{name}, part {}", part + 1)));
        Self::new(names.zip(parts.into_iter().map(Bytes::Memory)), units)
    }

    /// Parts in files, in order.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Format`] for parts that are not whole or hold other than `units` units.
    pub fn in_files(paths: &[PathBuf], units: usize) -> Result<Self> {
        let files = paths.iter().map(|path| match File::open(path) {
            Ok(file) => Ok((path.clone(), Bytes::File(file))),
            Err(error) => Err(Error::io(path, "open", error)),
        });
        Self::new(files.collect::<Result<Vec<_>>>()?.into_iter(), units)
    }

    fn new(found: impl Iterator<Item = (PathBuf, Bytes)>, units: usize) -> Result<Self> {
        let (mut parts, mut starts) = (Vec::new(), vec![0]);
        for (name, bytes) in found {
            let Some(part) = Part::open(&name, bytes)? else {
                return Err(Error::format(
                    &name,
                    "part",
                    "a whole part of a pass",
                    "one that was cut short or damaged",
                ));
            };
            starts.push(starts.last().unwrap_or(&0) + part.places.len());
            parts.push(part);
        }
        let held = *starts.last().unwrap_or(&0);
        if held != units {
            let name = parts.first().map(|part| part.name.clone()).unwrap_or_default();
            return Err(Error::format(name, "part", format!("{units} units in {} parts", parts.len()), held));
        }
        Ok(Self { parts, starts })
    }
}

impl StoredBlocks for Parts {
    fn visit(&self, block: usize, read: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
        let at = self.starts.partition_point(|&start| start <= block).saturating_sub(1);
        let place = self.parts.get(at).and_then(|part| Some((part, part.places.get(block - self.starts[at])?)));
        let Some((part, &(offset, length, checksum))) = place else {
            return Err(Error::Internal(format!("no unit {block} among {}", self.starts.last().unwrap_or(&0))));
        };
        let mut bytes = vec![0; length as usize];
        part.bytes.read_at(&mut bytes, offset).map_err(|error| Error::io(&part.name, "read", error))?;
        if crc32fast::hash(&bytes) != checksum {
            return Err(Error::format(&part.name, "part", format!("unit {block} as it was written"), "other bytes"));
        }
        read(&bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(units: &[&[u8]]) -> Vec<u8> {
        let mut out = PartWriter::new(Vec::new()).unwrap();
        units.iter().for_each(|unit| out.put(unit).unwrap());
        out.finish().unwrap()
    }

    fn all(parts: &Parts, units: usize) -> Result<Vec<Vec<u8>>> {
        let mut found = Vec::new();
        for unit in 0..units {
            parts.visit(unit, &mut |bytes| {
                found.push(bytes.to_vec());
                Ok(())
            })?;
        }
        Ok(found)
    }

    #[test]
    fn units_come_back_from_memory_and_from_files() {
        let made = [part(&[b"one", b""]), part(&[]), part(&[b"three"])];
        let expected = vec![b"one".to_vec(), Vec::new(), b"three".to_vec()];
        let parts = Parts::in_memory("test", made.to_vec(), 3).unwrap();
        assert_eq!(all(&parts, 3).unwrap(), expected);
        assert!(all(&parts, 4).is_err());
        let folder = tempfile::tempdir().unwrap();
        let paths: Vec<PathBuf> = (0..3).map(|at| folder.path().join(at.to_string())).collect();
        paths.iter().zip(&made).for_each(|(path, bytes)| std::fs::write(path, bytes).unwrap());
        assert_eq!(all(&Parts::in_files(&paths, 3).unwrap(), 3).unwrap(), expected);
        std::fs::remove_file(&paths[1]).unwrap();
        assert!(Parts::in_files(&paths, 3).err().unwrap().to_string().contains("cannot open"));
    }

    #[test]
    fn what_is_cut_or_changed_is_told() {
        let whole = part(&[b"one", b"two"]);
        for length in 0..whole.len() {
            assert!(Parts::in_memory("test", vec![whole[..length].to_vec()], 2).is_err(), "{length}");
        }
        let said = Parts::in_memory("test", vec![whole.clone()], 3).err().unwrap().to_string();
        assert!(said.contains("3 units") && said.contains("part 1"), "{said}");
        let mut changed = whole;
        changed[16] ^= 1;
        let parts = Parts::in_memory("test", vec![changed], 2).unwrap();
        assert!(all(&parts, 2).unwrap_err().to_string().contains("unit 0"));
    }

    #[test]
    fn parts_cover_all_units_once() {
        for (units, of) in [(0, 3), (2, 5), (7, 3), (1000, 7)] {
            let all: Vec<usize> = (0..of).flat_map(|part| units_of_part(units, part, of)).collect();
            assert_eq!(all, (0..units).collect::<Vec<_>>());
        }
    }
}
