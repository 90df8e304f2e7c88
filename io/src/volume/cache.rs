//! Decoded pieces of volumes, kept while they fit a budget that all open volumes share.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};

use zensaibo_core::Result;

/// A decoded piece of a volume: (t, c, z, y, x) with x running fastest, in this machine's byte order.
#[derive(Debug)]
pub(super) struct Piece {
    /// Voxels along each axis; at least as many as the volume has there.
    pub(super) size: [usize; 5],
    /// The voxels; none where nothing was ever stored and the fill value holds.
    pub(super) data: Option<Vec<u8>>,
}

/// Which volume, and which piece of it.
type Key = (u64, u64);
/// A piece, once it is decoded. Threads that want the same one wait for the first instead of decoding it again.
type Slot = Arc<Mutex<Option<Arc<Piece>>>>;

/// Bytes kept unless someone says otherwise.
const DEFAULT_BYTES: usize = 256 << 20;

#[derive(Default)]
struct Kept {
    slots: BTreeMap<Key, (Slot, u64, usize)>,
    /// By time of last use.
    order: BTreeMap<u64, Key>,
    clock: u64,
    bytes: usize,
}

static LIMIT: AtomicU64 = AtomicU64::new(DEFAULT_BYTES as u64);

fn kept() -> MutexGuard<'static, Kept> {
    static KEPT: OnceLock<Mutex<Kept>> = OnceLock::new();
    KEPT.get_or_init(Mutex::default).lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// Sets how many bytes of decoded pieces all open volumes keep together (256 MiB at first). Least recently used
/// pieces go first.
pub fn set_cache_bytes(bytes: u64) {
    LIMIT.store(bytes, Ordering::Relaxed);
    kept().shrink();
}

/// How many bytes of decoded pieces all open volumes may keep together.
pub fn cache_limit() -> u64 {
    LIMIT.load(Ordering::Relaxed)
}

/// Bytes of decoded pieces that are kept at this moment.
pub fn cache_bytes() -> u64 {
    kept().bytes as u64
}

impl Kept {
    fn touch(&mut self, key: Key) -> Slot {
        self.clock += 1;
        let now = self.clock;
        let (slot, used, _) = self.slots.entry(key).or_insert_with(|| (Slot::default(), now, 0));
        self.order.remove(used);
        *used = now;
        let slot = slot.clone();
        self.order.insert(now, key);
        slot
    }

    fn filled(&mut self, key: Key, bytes: usize) {
        if let Some((_, _, held)) = self.slots.get_mut(&key) {
            self.bytes = self.bytes - *held + bytes;
            *held = bytes;
        }
        self.shrink();
    }

    fn remove(&mut self, key: Key) {
        if let Some((_, used, bytes)) = self.slots.remove(&key) {
            self.order.remove(&used);
            self.bytes -= bytes;
        }
    }

    fn shrink(&mut self) {
        let limit = LIMIT.load(Ordering::Relaxed) as usize;
        while self.bytes > limit {
            let Some((_, key)) = self.order.pop_first() else { break };
            if let Some((_, _, bytes)) = self.slots.remove(&key) {
                self.bytes -= bytes;
            }
        }
    }
}

/// A number for a volume that was just opened.
pub(super) fn new_volume() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// Forgets a volume that is closed.
pub(super) fn forget(volume: u64) {
    let mut kept = kept();
    let keys: Vec<Key> = kept.slots.range((volume, 0)..=(volume, u64::MAX)).map(|(&key, _)| key).collect();
    keys.into_iter().for_each(|key| kept.remove(key));
}

/// A piece, from the cache or by `load`, which runs once at a time for each piece and must not wait for other pieces.
pub(super) fn get(volume: u64, index: u64, load: impl FnOnce() -> Result<Piece>) -> Result<Arc<Piece>> {
    let key = (volume, index);
    let slot = kept().touch(key);
    let mut held = slot.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    if let Some(piece) = &*held {
        return Ok(piece.clone());
    }
    match load() {
        Ok(piece) => {
            let piece = Arc::new(piece);
            *held = Some(piece.clone());
            drop(held);
            kept().filled(key, piece.data.as_ref().map_or(0, Vec::len) + 128);
            Ok(piece)
        }
        Err(error) => {
            kept().remove(key);
            Err(error)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_decoded_once_and_the_budget_holds() {
        let volume = new_volume();
        let mut loads = 0;
        for _ in 0..3 {
            let piece = get(volume, 7, || {
                loads += 1;
                Ok(Piece { size: [1, 1, 1, 1, 3], data: Some(vec![1, 2, 3]) })
            });
            assert_eq!(piece.unwrap().data.as_deref(), Some(&[1u8, 2, 3][..]));
        }
        assert_eq!(loads, 1);
        for index in 0..400 {
            get(volume, index, || Ok(Piece { size: [1, 1, 1, 1, 1 << 20], data: Some(vec![0; 1 << 20]) })).unwrap();
            assert!(cache_bytes() <= DEFAULT_BYTES as u64);
        }
        forget(volume);
        let mut again = false;
        get(volume, 399, || {
            again = true;
            Ok(Piece { size: [1; 5], data: None })
        })
        .unwrap();
        assert!(again);
        forget(volume);
    }

    #[test]
    fn a_failed_load_is_tried_again() {
        let volume = new_volume();
        let failed = get(volume, 0, || Err(zensaibo_core::Error::Interrupted));
        assert!(failed.is_err());
        assert!(get(volume, 0, || Ok(Piece { size: [1; 5], data: None })).is_ok());
        forget(volume);
    }
}
