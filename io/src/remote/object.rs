//! One object, read by ranges: as a file that is read by `pread`.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use zensaibo_core::progress::CancelToken;
use zensaibo_core::{Error, Result};

use super::client::{Ask, Part, Version};
use super::fault::{Fault, Kind, Outcome};
use super::fetch::{MOST, check, fetch, fetch_one};
use super::{Address, Client};

/// Small reads go through blocks of so many bytes.
const BLOCK: u64 = 128 << 10;

/// Bytes of blocks, and of chunks, that are kept of an object.
const KEPT: usize = 16 << 20;

/// Pieces that are kept at most, so that looking for the oldest stays quick.
const MANY: usize = 512;

/// Blocks that are read ahead at most where one after the other is wanted.
const AHEAD: u64 = 16;

/// Chunks at most this far apart come in one request.
const GAP: u64 = 64 << 10;

/// An object that was opened. It must not change until the last range is read: what tells is its length, its ETag and the time of
/// its last change, in every answer.
pub(crate) struct Object {
    client: Arc<Client>,
    address: Address,
    version: Version,
    blocks: Mutex<Kept>,
    chunks: Mutex<Kept>,
    /// The first failure, which whoever reads through another library asks for.
    lost: Mutex<Option<Fault>>,
}

/// Pieces by the place where they begin, the least used ones dropped.
#[derive(Default)]
struct Kept {
    pieces: HashMap<u64, (Arc<Vec<u8>>, u64)>,
    bytes: usize,
    clock: u64,
    /// The block after the last one that was asked for, and how many were read ahead.
    next: u64,
    run: u64,
}

impl Kept {
    fn get(&mut self, at: u64) -> Option<Arc<Vec<u8>>> {
        self.clock += 1;
        let (piece, used) = self.pieces.get_mut(&at)?;
        *used = self.clock;
        Some(piece.clone())
    }

    fn put(&mut self, at: u64, piece: Arc<Vec<u8>>) {
        self.clock += 1;
        self.bytes += piece.len();
        if let Some((old, _)) = self.pieces.insert(at, (piece, self.clock)) {
            self.bytes -= old.len();
        }
        while (self.bytes > KEPT || self.pieces.len() > MANY) && self.pieces.len() > 1 {
            let Some(oldest) = self.pieces.iter().min_by_key(|(_, (_, used))| *used).map(|(&at, _)| at) else { break };
            if let Some((piece, _)) = self.pieces.remove(&oldest) {
                self.bytes -= piece.len();
            }
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The object opened last, and all that are in use: looking what a file is and then reading it asks for its start once.
static OPENED: Mutex<(Option<Arc<Object>>, Vec<Weak<Object>>)> = Mutex::new((None, Vec::new()));

impl Object {
    /// Opens the object at a URL: its start is read, which says how long it is.
    ///
    /// # Errors
    /// [`Error::Io`] when it is not there or the server does not let it be read; [`Error::Parameter`] for a URL that is none.
    pub(crate) fn open(path: &Path) -> Result<Arc<Self>> {
        Self::open_at(Client::of_environment()?, Address::of(path)?).map_err(|fault| fault.to_error())
    }

    pub(super) fn open_at(client: Arc<Client>, address: Address) -> Outcome<Arc<Self>> {
        let start = fetch_one(&client, Ask::new(&address, Part::Range(0, BLOCK)))?;
        let mut opened = locked(&OPENED);
        opened.1.retain(|known| known.strong_count() > 0);
        let same = |known: &Arc<Self>| {
            known.address == address
                && known.version == start.version
                && known.client.settings == client.settings
                && locked(&known.lost).is_none()
        };
        if let Some(known) = opened.1.iter().filter_map(Weak::upgrade).find(same) {
            opened.0 = Some(known.clone());
            return Ok(known);
        }
        let mut blocks = Kept::default();
        blocks.put(0, Arc::new(start.body));
        blocks.next = 1;
        let version = start.version;
        let object = Self {
            client,
            address,
            version,
            blocks: Mutex::new(blocks),
            chunks: Mutex::default(),
            lost: Mutex::default(),
        };
        let object = Arc::new(object);
        opened.0 = Some(object.clone());
        opened.1.push(Arc::downgrade(&object));
        Ok(object)
    }

    /// Bytes.
    pub(crate) fn len(&self) -> u64 {
        self.version.length
    }

    /// What tells this state of the object from others.
    pub(crate) fn version(&self) -> &Version {
        &self.version
    }

    /// For messages: the URL without what may be secret.
    pub(crate) fn shown(&self) -> String {
        self.address.shown()
    }

    /// What reading met that another library may have made something else of: the first failure, or that the user asked to
    /// stop.
    pub(crate) fn lost(&self) -> Option<Error> {
        if CancelToken::of_this_thread().is_some_and(|token| token.is_cancelled()) {
            return Some(Error::Interrupted);
        }
        locked(&self.lost).as_ref().map(Fault::to_error)
    }

    fn noted<T>(&self, outcome: Outcome<T>) -> Outcome<T> {
        if let Err(fault) = &outcome
            && !matches!(fault.kind, Kind::Interrupted)
        {
            locked(&self.lost).get_or_insert_with(|| fault.clone());
        }
        outcome
    }

    /// Fills `out` from `offset` on; small reads through blocks that are kept.
    ///
    /// # Errors
    /// What the server or the way to it refused; a range beyond the end.
    pub(crate) fn read_exact_at(&self, out: &mut [u8], offset: u64) -> Outcome<()> {
        let outcome = self.read(out, offset);
        self.noted(outcome)
    }

    fn read(&self, out: &mut [u8], offset: u64) -> Outcome<()> {
        let length = out.len() as u64;
        if offset.checked_add(length).is_none_or(|end| end > self.len()) {
            return Err(Fault {
                url: self.shown(),
                action: format!("read bytes {offset}..{}", offset.saturating_add(length)),
                kind: Kind::Refused(std::io::ErrorKind::UnexpectedEof, format!("the object ends at {}", self.len())),
            });
        }
        if length >= BLOCK {
            let found = self.ranges(&[(offset, length)])?;
            out.copy_from_slice(&found[0]);
            return Ok(());
        }
        let mut done = 0;
        while done < out.len() {
            let at = offset + done as u64;
            let block = self.block(at / BLOCK)?;
            let from = (at % BLOCK) as usize;
            let count = (block.len() - from).min(out.len() - done);
            out[done..done + count].copy_from_slice(&block[from..from + count]);
            done += count;
        }
        Ok(())
    }

    fn block(&self, index: u64) -> Outcome<Arc<Vec<u8>>> {
        let count = {
            let mut kept = locked(&self.blocks);
            if let Some(block) = kept.get(index) {
                return Ok(block);
            }
            kept.run = if kept.next == index { (kept.run * 2).clamp(1, AHEAD) } else { 1 };
            kept.next = index + kept.run;
            kept.run
        };
        let (start, end) = (index * BLOCK, ((index + count) * BLOCK).min(self.len()));
        let read = self.ranges(&[(start, end - start)])?.swap_remove(0);
        let mut kept = locked(&self.blocks);
        for (at, block) in read.chunks(BLOCK as usize).enumerate().rev() {
            kept.put(index + at as u64, Arc::new(block.to_vec()));
        }
        // The first one was put last, so it is there whatever the limit.
        Ok(kept.get(index).unwrap_or_else(|| Arc::new(read[..read.len().min(BLOCK as usize)].to_vec())))
    }

    /// Reads ranges, all at once, each in parts of [`MOST`] bytes.
    fn ranges(&self, ranges: &[(u64, u64)]) -> Outcome<Vec<Vec<u8>>> {
        let mut asks = Vec::new();
        for &(start, length) in ranges {
            let end = start + length;
            let starts = (start..end).step_by(MOST as usize);
            asks.extend(starts.map(|at| Ask::new(&self.address, Part::Range(at, MOST.min(end - at)))));
        }
        let mut answers = fetch(&self.client, asks)?.into_iter();
        let mut out = Vec::with_capacity(ranges.len());
        for &(_, length) in ranges {
            let mut whole = Vec::new();
            while (whole.len() as u64) < length {
                let Some(answer) = answers.next() else { break };
                check(&self.address, &self.version, &answer.version)?;
                if whole.is_empty() {
                    whole = answer.body;
                } else {
                    whole.extend_from_slice(&answer.body);
                }
            }
            out.push(whole);
        }
        Ok(out)
    }

    /// Reads chunks (place and length), neighbours in one request and all requests at once. Those read last are kept: blocks of
    /// rows share the chunks at their borders.
    ///
    /// # Errors
    /// As [`Object::read_exact_at`].
    pub(crate) fn chunks(&self, chunks: &[(u64, u64)]) -> Outcome<Vec<Arc<Vec<u8>>>> {
        let mut found: Vec<Option<Arc<Vec<u8>>>> = {
            let mut kept = locked(&self.chunks);
            let sound = |piece: &Arc<Vec<u8>>, length: u64| piece.len() as u64 == length;
            chunks.iter().map(|&(at, length)| kept.get(at).filter(|piece| sound(piece, length))).collect()
        };
        let mut missing: Vec<usize> = (0..chunks.len()).filter(|&i| found[i].is_none()).collect();
        missing.sort_by_key(|&i| chunks[i].0);
        let mut ranges: Vec<(u64, u64)> = Vec::new();
        let mut range_of = vec![0usize; chunks.len()];
        for &i in &missing {
            let (at, length) = chunks[i];
            match ranges.last_mut() {
                Some((start, all)) if at <= *start + *all + GAP && at + length - *start <= MOST => {
                    *all = (*all).max(at + length - *start);
                }
                _ => ranges.push((at, length)),
            }
            range_of[i] = ranges.len() - 1;
        }
        if !missing.is_empty() {
            let outcome = self.ranges(&ranges);
            let read = self.noted(outcome)?;
            let mut kept = locked(&self.chunks);
            for i in missing {
                let (at, length) = chunks[i];
                let from = (at - ranges[range_of[i]].0) as usize;
                let piece = Arc::new(read[range_of[i]][from..from + length as usize].to_vec());
                kept.put(at, piece.clone());
                found[i] = Some(piece);
            }
        }
        Ok(found.into_iter().flatten().collect())
    }
}
