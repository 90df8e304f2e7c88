//! An index of nearest neighbours in one file.
//!
//! Layout, all numbers little-endian:
//!
//! | bytes | what |
//! |---|---|
//! | 8 | letters `zs-index` |
//! | 4 | version (u32), 1 |
//! | 4 | CRC-32 of all of the head after it |
//! | 8 | bytes of the head, these 24 included |
//! | 8, 8, 8 | rows n, columns d, lists |
//! | 8, 16 | seed; fingerprint of the rows |
//! | 4, 4 | bytes per value (4: f32, 8: f64); metric (0 euclidean, 1 cosine, 2 correlation) |
//! | 8, 8 d | scale, and centre (f64): what rows are moved and scaled by before they are compared |
//! | 4 d x lists | centres of the lists, moved and scaled so (f32) |
//! | 8 (lists + 1) | where each list starts among the rows |
//! | 4 x pieces | CRC-32 of each piece |
//! | n x record | the rows, list after list, in each by rising number; a record is a number (u32) and d values |
//!
//! A piece is a stretch of one list (see [`IndexHead::piece_rows`]) and is read at once. The file has this length and no other.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use zensaibo_core::exchange::StoredBlocks;
use zensaibo_core::knn::{IndexHead, IndexOptions, IndexSink, Metric, NeighborIndex, PointBlocks, learn_index};
use zensaibo_core::{Ctx, Error, Result};

const LETTERS: &[u8; 8] = b"zs-index";
const VERSION: u32 = 1;
/// Bytes before what the checksum of the head is of, and before its length ends.
const CHECKED: usize = 16;
const FIRST: usize = 24;
const METRICS: [Metric; 3] = [Metric::Euclidean, Metric::Cosine, Metric::Correlation];

/// Makes an index over `source` at `path` and opens it: see [`learn_index`] for memory, cost, chance and errors.
///
/// The file appears whole or not at all: it is written beside the target and renamed.
///
/// # Errors
/// What [`learn_index`] and writing return; [`Error::Io`] for a path that cannot be written, before any work.
pub fn build_index(
    path: impl AsRef<Path>,
    source: &dyn PointBlocks,
    options: &IndexOptions,
    memory: Option<u64>,
    ctx: &Ctx,
) -> Result<NeighborIndex> {
    let mut writer = Writer::create(path.as_ref())?;
    let learnt = learn_index(source, options, memory, ctx)?;
    writer.begin(learnt.head())?;
    learnt.write(source, &mut writer, ctx)?;
    writer.finish(learnt.head())?;
    drop(learnt);
    open_index(path)
}

/// Opens an index: reads its head, checks that the file is whole; rows are read and checked as they are needed.
///
/// # Errors
/// [`Error::Io`]; [`Error::Format`] for a file that is no index, of another version, cut short or changed, naming the place.
pub fn open_index(path: impl AsRef<Path>) -> Result<NeighborIndex> {
    let path = path.as_ref();
    let io = |error| Error::io(path, "open", error);
    let file = File::open(path).map_err(io)?;
    let length = file.metadata().map_err(io)?.len();
    let fault = |key: &str, expected: String, found: String| Err(Error::format(path, key, expected, found));
    let mut first = [0u8; FIRST];
    if length < FIRST as u64 {
        return fault("head", format!("an index of neighbours, at least {FIRST} bytes"), format!("{length} bytes"));
    }
    file.read_exact_at(&mut first, 0).map_err(io)?;
    if &first[..8] != LETTERS {
        return fault("letters", "those of an index of neighbours, zs-index".into(), format!("{:?}", &first[..8]));
    }
    let version = u32::from_le_bytes([first[8], first[9], first[10], first[11]]);
    if version != VERSION {
        return fault("version", VERSION.to_string(), version.to_string());
    }
    let checksum = u32::from_le_bytes([first[12], first[13], first[14], first[15]]);
    let head_bytes = Bytes(&first[CHECKED..]).u64().unwrap_or(0);
    if head_bytes < FIRST as u64 || head_bytes > length {
        let expected = format!("a head of {FIRST} bytes to the length of the file, {length} bytes");
        return fault("head", expected, format!("{head_bytes} bytes (a file cut short?)"));
    }
    let mut bytes = vec![0u8; head_bytes as usize - CHECKED];
    file.read_exact_at(&mut bytes, CHECKED as u64).map_err(io)?;
    if crc32fast::hash(&bytes) != checksum {
        return fault("head", "the bytes that were written (CRC-32)".into(), "other bytes".into());
    }
    let Some((head, checksums)) = decode(&bytes[FIRST - CHECKED..]) else {
        return fault("head", "numbers that fit its length".into(), format!("{head_bytes} bytes of others"));
    };
    head.check().map_err(|error| Error::format(path, "head", "numbers that fit each other", error))?;
    let starts = head.piece_starts();
    let pieces = starts[head.n_lists()];
    if checksums.len() != pieces {
        return fault("checksums", format!("{pieces}, one for each piece"), checksums.len().to_string());
    }
    let expected = head_bytes + (head.n * head.record()) as u64;
    if length != expected {
        let found = format!("{length} bytes{}", if length < expected { " (cut short)" } else { "" });
        return fault("length", format!("{expected} bytes for {} rows", head.n), found);
    }
    let mut places = Vec::with_capacity(pieces);
    for (list, span) in head.starts.windows(2).enumerate() {
        for start in (span[0]..span[1]).step_by(head.piece_rows()) {
            let rows = head.piece_rows().min(span[1] - start);
            places.push(Place { list, at: head_bytes + (start * head.record()) as u64, bytes: rows * head.record() });
        }
    }
    NeighborIndex::new(head, Box::new(Rows { path: path.to_path_buf(), file, places, checksums }))
}

/// Where a piece lies.
struct Place {
    list: usize,
    at: u64,
    bytes: usize,
}

/// The rows of an index in their file.
struct Rows {
    path: PathBuf,
    file: File,
    places: Vec<Place>,
    checksums: Vec<u32>,
}

impl StoredBlocks for Rows {
    fn visit(&self, block: usize, read: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
        let Some(place) = self.places.get(block) else {
            return Err(Error::Internal(format!("no piece {block} in an index of {}", self.places.len())));
        };
        let key = || format!("list {}, piece {block}", place.list);
        let mut bytes = vec![0u8; place.bytes];
        self.file.read_exact_at(&mut bytes, place.at).map_err(|error| {
            if error.kind() == std::io::ErrorKind::UnexpectedEof {
                let expected = format!("{} bytes at {}", place.bytes, place.at);
                return Error::format(
                    &self.path,
                    key(),
                    expected,
                    "the end of the file (cut short since it was opened)",
                );
            }
            Error::io(&self.path, format!("read {}", key()), error)
        })?;
        let found = crc32fast::hash(&bytes);
        let expected = self.checksums[block];
        if found != expected {
            let expected = format!("the bytes that were written (CRC-32 {expected:08x})");
            return Err(Error::format(&self.path, key(), expected, format!("other bytes (CRC-32 {found:08x})")));
        }
        read(&bytes)
    }
}

/// Numbers taken from the front of bytes; none where they end.
struct Bytes<'a>(&'a [u8]);

impl Bytes<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (first, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*first)
    }

    fn u32(&mut self) -> Option<u32> {
        self.take().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.take().map(u64::from_le_bytes)
    }

    fn usize(&mut self) -> Option<usize> {
        usize::try_from(self.u64()?).ok()
    }

    fn many<T>(&mut self, count: usize, size: usize, take: impl Fn(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        // Before anything is reserved: a wrong number must not ask for all memory.
        if count.checked_mul(size)? > self.0.len() {
            return None;
        }
        (0..count).map(|_| take(self)).collect()
    }
}

/// The head after its length; none where it does not end with the bytes.
fn decode(bytes: &[u8]) -> Option<(IndexHead, Vec<u32>)> {
    let mut bytes = Bytes(bytes);
    let (n, d, lists) = (bytes.usize()?, bytes.usize()?, bytes.usize()?);
    let seed = bytes.u64()?;
    let fingerprint = [bytes.u64()?, bytes.u64()?];
    let double = match bytes.u32()? {
        4 => false,
        8 => true,
        _ => return None,
    };
    let metric = *METRICS.get(bytes.u32()? as usize)?;
    let scale = bytes.take().map(f64::from_le_bytes)?;
    let centre = bytes.many(d, 8, |bytes| bytes.take().map(f64::from_le_bytes))?;
    let centroids = bytes.many(lists.checked_mul(d)?, 4, |bytes| bytes.take().map(f32::from_le_bytes))?;
    let starts = bytes.many(lists.checked_add(1)?, 8, Bytes::usize)?;
    let checksums = bytes.many(bytes.0.len() / 4, 4, Bytes::u32)?;
    n.checked_mul(d.checked_mul(8)?.checked_add(4)?)?;
    let head = IndexHead { n, d, double, metric, seed, fingerprint, centre, scale, centroids, starts };
    bytes.0.is_empty().then_some((head, checksums))
}

/// The whole head as it stands in the file.
fn encode(head: &IndexHead, checksums: &[u32]) -> Vec<u8> {
    let mut out = Vec::with_capacity(head_bytes(head, checksums.len()));
    out.extend_from_slice(LETTERS);
    out.extend_from_slice(&VERSION.to_le_bytes());
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&(head_bytes(head, checksums.len()) as u64).to_le_bytes());
    let numbers = [head.n, head.d, head.n_lists()].map(|x| x as u64);
    for number in numbers.into_iter().chain([head.seed]).chain(head.fingerprint) {
        out.extend_from_slice(&number.to_le_bytes());
    }
    let metric = METRICS.iter().position(|&metric| metric == head.metric).unwrap_or(0) as u32;
    for number in [if head.double { 8u32 } else { 4 }, metric] {
        out.extend_from_slice(&number.to_le_bytes());
    }
    out.extend_from_slice(&head.scale.to_le_bytes());
    head.centre.iter().for_each(|x| out.extend_from_slice(&x.to_le_bytes()));
    head.centroids.iter().for_each(|x| out.extend_from_slice(&x.to_le_bytes()));
    head.starts.iter().for_each(|&x| out.extend_from_slice(&(x as u64).to_le_bytes()));
    checksums.iter().for_each(|x| out.extend_from_slice(&x.to_le_bytes()));
    let checksum = crc32fast::hash(&out[CHECKED..]);
    out[12..CHECKED].copy_from_slice(&checksum.to_le_bytes());
    out
}

fn head_bytes(head: &IndexHead, pieces: usize) -> usize {
    FIRST + 6 * 8 + 2 * 4 + 8 + head.d * 8 + head.centroids.len() * 4 + head.starts.len() * 8 + pieces * 4
}

/// A file in the making, beside its target.
struct Writer {
    target: PathBuf,
    partial: PathBuf,
    file: File,
    record: usize,
    piece_rows: usize,
    /// Where the rows begin.
    rows_at: u64,
    starts: Vec<usize>,
    piece_starts: Vec<usize>,
    /// Rows of each list so far.
    written: Vec<usize>,
    /// Checksum of each piece so far.
    checksums: Vec<u32>,
}

impl Writer {
    fn create(path: &Path) -> Result<Self> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        // A link is followed, so that what it points at is replaced and the link stays.
        let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
        let io = |error| Error::io(&target, "write", error);
        if target.is_dir() {
            return Err(io(std::io::ErrorKind::IsADirectory.into()));
        }
        let name = target.file_name().ok_or_else(|| io(std::io::ErrorKind::InvalidInput.into()))?;
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let partial = format!(".{}.{}-{number}.partial", name.to_string_lossy(), std::process::id());
        let partial = target.with_file_name(partial);
        let file = fs::OpenOptions::new().write(true).create_new(true).open(&partial).map_err(io)?;
        Ok(Self {
            target,
            partial,
            file,
            record: 0,
            piece_rows: 1,
            rows_at: 0,
            starts: Vec::new(),
            piece_starts: Vec::new(),
            written: Vec::new(),
            checksums: Vec::new(),
        })
    }

    fn io(&self, error: std::io::Error) -> Error {
        Error::io(&self.target, "write", error)
    }

    /// Takes the places of lists; nothing is written yet.
    fn begin(&mut self, head: &IndexHead) -> Result<()> {
        self.piece_starts = head.piece_starts();
        let pieces = self.piece_starts[head.n_lists()];
        (self.record, self.piece_rows) = (head.record(), head.piece_rows());
        self.rows_at = head_bytes(head, pieces) as u64;
        self.starts = head.starts.clone();
        self.written = vec![0; head.n_lists()];
        self.checksums = vec![0; pieces];
        // The full length first, so that a full disk may be told early, and lists are laid out side by side.
        self.file.set_len(self.rows_at + (head.n * self.record) as u64).map_err(|error| self.io(error))
    }

    fn finish(mut self, head: &IndexHead) -> Result<()> {
        for (list, span) in self.starts.windows(2).enumerate() {
            if self.written[list] != span[1] - span[0] {
                let rows = span[1] - span[0];
                return Err(Error::Internal(format!("list {list} has {} rows of {rows}", self.written[list])));
            }
        }
        self.file.write_all_at(&encode(head, &self.checksums), 0).map_err(|error| self.io(error))?;
        self.file.sync_all().map_err(|error| self.io(error))?;
        fs::rename(&self.partial, &self.target).map_err(|error| self.io(error))?;
        self.partial = PathBuf::new();
        // The new name itself reaches the disk with its folder.
        let folder = self.target.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        if let Ok(folder) = File::open(folder) {
            folder.sync_all().map_err(|error| self.io(error))?;
        }
        Ok(())
    }
}

impl IndexSink for Writer {
    fn append(&mut self, list: usize, rows: &[u8]) -> Result<()> {
        let first = self.written[list];
        let count = rows.len() / self.record;
        if first + count > self.starts[list + 1] - self.starts[list] {
            return Err(Error::Internal(format!("more rows than list {list} has")));
        }
        let at = self.rows_at + ((self.starts[list] + first) * self.record) as u64;
        self.file.write_all_at(rows, at).map_err(|error| self.io(error))?;
        let mut left = rows;
        let mut row = first;
        while !left.is_empty() {
            let piece = row / self.piece_rows;
            let part = ((piece + 1) * self.piece_rows - row).min(left.len() / self.record);
            let here;
            (here, left) = left.split_at(part * self.record);
            let checksum = &mut self.checksums[self.piece_starts[list] + piece];
            let mut hasher = crc32fast::Hasher::new_with_initial(*checksum);
            hasher.update(here);
            *checksum = hasher.finalize();
            row += part;
        }
        self.written[list] = row;
        Ok(())
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        if !self.partial.as_os_str().is_empty() {
            let _ = fs::remove_file(&self.partial);
        }
    }
}

#[cfg(test)]
mod tests {
    use zensaibo_core::knn::{Algorithm, KnnOptions, Points, SearchOptions, knn};
    use zensaibo_core::matrix::ValueSlice;
    use zensaibo_core::parallel::with_threads;
    use zensaibo_core::random::Stream;

    use super::*;

    fn draw(n: usize, d: usize) -> Vec<f32> {
        let mut stream = Stream::new(3, 1);
        (0..n * d).map(|at| stream.normal() as f32 + 4.0 * ((at / d) % 5) as f32).collect()
    }

    fn points(values: &[f32], d: usize) -> Points<'_> {
        Points::new(values.len() / d, d, ValueSlice::F32(values)).unwrap()
    }

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> =
            fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().to_string_lossy().into()).collect();
        names.sort();
        names
    }

    #[test]
    fn the_same_file_and_the_same_neighbours_for_any_memory_and_threads() {
        let folder = tempfile::tempdir().unwrap();
        let (n, d) = (30_000, 12);
        let values = draw(n, d);
        let view = points(&values, d);
        let options = IndexOptions { seed: 4, ..IndexOptions::default() };
        let run = |threads, memory, name: &str| {
            with_threads(Some(threads), || {
                let path = folder.path().join(name);
                let index = build_index(&path, &view, &options, memory, &Ctx::quiet())?;
                let found = index.neighbors(&SearchOptions::default(), memory, &Ctx::quiet())?;
                Ok((fs::read(&path).unwrap(), found))
            })
            .unwrap()
        };
        let one = run(1, None, "a");
        // The sample of 3,160 rows takes 340 kB; runs of some 3,000 rows.
        assert!(one == run(4, Some(400_000), "b"));
        let memory = KnnOptions { algorithm: Algorithm::Approximate, seed: 4, ..KnnOptions::default() };
        assert_eq!(one.1, knn(&view, &memory, &Ctx::quiet()).unwrap());
        let again = open_index(folder.path().join("b")).unwrap();
        assert_eq!(again.neighbors(&SearchOptions::default(), None, &Ctx::quiet()).unwrap(), one.1);
        assert_eq!(again.head().seed, 4);
        assert_eq!(names(folder.path()), ["a", "b"]);
    }

    #[test]
    fn what_is_cut_or_changed_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("index");
        let values = draw(600, 3);
        let options = IndexOptions { n_lists: Some(4), metric: Metric::Cosine, ..IndexOptions::default() };
        build_index(&path, &points(&values, 3), &options, None, &Ctx::quiet()).unwrap();
        let whole = fs::read(&path).unwrap();
        let head = u64::from_le_bytes(whole[16..24].try_into().unwrap()) as usize;
        let search = || -> Result<()> {
            let all = SearchOptions { probes: Some(4), effort: 3.0, ..SearchOptions::default() };
            open_index(&path)?.neighbors(&all, None, &Ctx::quiet()).map(|_| ())
        };
        search().unwrap();
        for length in (0..whole.len()).step_by(37).chain([head - 1, head, whole.len() - 1]) {
            fs::write(&path, &whole[..length]).unwrap();
            let error = search().unwrap_err();
            assert!(
                matches!(error, Error::Format { .. }) && error.to_string().contains("index: "),
                "{length}: {error}"
            );
        }
        fs::write(&path, [whole.as_slice(), b"x"].concat()).unwrap();
        assert!(search().unwrap_err().to_string().contains("length"));
        for place in (0..whole.len()).step_by(11) {
            let mut changed = whole.clone();
            changed[place] ^= 4;
            fs::write(&path, &changed).unwrap();
            let error = search().unwrap_err();
            let named = match place {
                0..8 => "letters",
                8..12 => "version",
                _ if place < head => "head",
                _ => "piece",
            };
            assert!(matches!(error, Error::Format { .. }) && error.to_string().contains(named), "{place}: {error}");
        }
        // Cut while it is open.
        fs::write(&path, &whole).unwrap();
        let open = open_index(&path).unwrap();
        fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(head as u64 + 5).unwrap();
        let error = open.neighbors(&SearchOptions::default(), None, &Ctx::quiet()).unwrap_err().to_string();
        assert!(error.contains("the end of the file"), "{error}");
        assert!(matches!(open_index(folder.path().join("none")).err().unwrap(), Error::Io { .. }));
    }

    #[test]
    fn what_fails_leaves_the_old_file_and_nothing_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("index");
        fs::write(&path, b"old").unwrap();
        let mut values = draw(100, 3);
        values[8] = f32::NAN;
        let source = zensaibo_core::knn::PointSlice::new(100, 3, ValueSlice::F32(&values)).unwrap();
        let error = build_index(&path, &source, &IndexOptions::default(), None, &Ctx::quiet()).err().unwrap();
        assert!(error.to_string().contains("row 2, column 2"), "{error}");
        assert_eq!((names(folder.path()), fs::read(&path).unwrap()), (vec!["index".to_string()], b"old".to_vec()));
        let gone = build_index(folder.path().join("no/x"), &source, &IndexOptions::default(), None, &Ctx::quiet());
        assert!(matches!(gone.err().unwrap(), Error::Io { .. }));
        assert!(build_index(folder.path(), &source, &IndexOptions::default(), None, &Ctx::quiet()).is_err());
    }
}
