//! Packed blocks that do not fit into memory, in a file that no one else sees.

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use zensaibo_core::exchange::StoredBlocks;
use zensaibo_core::matrix::{BlockStore, MemoryStore};
use zensaibo_core::{Error, Result};

/// Keeps the first blocks in memory and the others in a scratch file.
///
/// The file has no name: it is gone when the store is dropped and when the process ends, however it ends. Each block of it
/// has a checksum (CRC-32), which is compared when it is read.
pub struct ScratchStore {
    folder: PathBuf,
    /// Bytes that may be held.
    limit: u64,
    held: u64,
    memory: MemoryStore,
    file: Option<File>,
    /// Offset, length and checksum of each block in the file.
    places: Vec<(u64, u32, u32)>,
    end: u64,
    buffers: Mutex<Vec<Vec<u8>>>,
}

impl ScratchStore {
    /// A store that holds `limit` bytes and makes its file, once it needs one, in `folder`.
    pub fn new(folder: &Path, limit: u64) -> Self {
        Self {
            folder: folder.to_path_buf(),
            limit,
            held: 0,
            memory: MemoryStore::default(),
            file: None,
            places: Vec::new(),
            end: 0,
            buffers: Mutex::default(),
        }
    }

    fn fault(&self, action: &str, error: std::io::Error) -> Error {
        Error::io(&self.folder, format!("{action} a scratch file in it"), error)
    }
}

impl BlockStore for ScratchStore {
    fn push(&mut self, bytes: Vec<u8>) -> Result<()> {
        if self.file.is_none() && self.held + bytes.len() as u64 <= self.limit {
            self.held += bytes.len() as u64;
            return self.memory.push(bytes);
        }
        let mut file = match self.file.take() {
            Some(file) => file,
            None => tempfile::tempfile_in(&self.folder).map_err(|error| self.fault("make", error))?,
        };
        let Ok(length) = u32::try_from(bytes.len()) else {
            return Err(Error::Internal(format!("a packed block of {} bytes", bytes.len())));
        };
        file.write_all(&bytes).map_err(|error| self.fault("write", error))?;
        self.file = Some(file);
        self.places.push((self.end, length, crc32fast::hash(&bytes)));
        self.end += u64::from(length);
        Ok(())
    }
}

impl StoredBlocks for ScratchStore {
    fn visit(&self, block: usize, read: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
        if block < self.memory.len() {
            return self.memory.visit(block, read);
        }
        let place = self.places.get(block - self.memory.len());
        let (Some(&(offset, length, checksum)), Some(file)) = (place, &self.file) else {
            return Err(Error::Internal(format!("no packed block {block}")));
        };
        let lock = || self.buffers.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let mut bytes = lock().pop().unwrap_or_default();
        bytes.resize(length as usize, 0);
        let outcome = file.read_exact_at(&mut bytes, offset).map_err(|error| self.fault("read", error));
        let outcome = outcome.and_then(|()| {
            if crc32fast::hash(&bytes) != checksum {
                let expected = format!("block {block} of the scratch file as it was written");
                return Err(Error::format(&self.folder, "scratch", expected, "other bytes (a failing disk?)"));
            }
            read(&bytes)
        });
        lock().push(bytes);
        outcome
    }
}

#[cfg(test)]
mod tests {
    use zensaibo_core::Ctx;
    use zensaibo_core::data::Csr;
    use zensaibo_core::matrix::{PackedRows, RowBlocks, collect};
    use zensaibo_core::parallel::with_threads;

    use super::*;

    fn matrix() -> Csr {
        let (n, width) = (90_000u64, 40u64);
        let indices = (0..n).flat_map(|row| (0..width as u32).map(move |at| 3 * at + (row % 3) as u32)).collect();
        let values = (0..n * width).map(|at| (at % 251) as f32).collect();
        Csr::new(n as usize, 120, (0..=n).map(|row| row * width).collect(), indices, values).unwrap()
    }

    fn packed(matrix: &Csr, folder: &Path, limit: u64) -> Result<PackedRows> {
        PackedRows::pack(matrix, matrix.nnz(), Box::new(ScratchStore::new(folder, limit)), "pack", &Ctx::quiet())
    }

    #[test]
    fn memory_file_and_both_give_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let matrix = matrix();
        assert!(matrix.n_blocks() > 3);
        for limit in [0, 4_000_000, u64::MAX] {
            for threads in [1, 4] {
                let found =
                    with_threads(Some(threads), || collect(&packed(&matrix, folder.path(), limit)?, &Ctx::quiet()));
                assert_eq!(found.unwrap(), matrix);
            }
        }
        // Nothing that has a name is left, not even while the store lives.
        let _alive = packed(&matrix, folder.path(), 0).unwrap();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn changed_bytes_are_told() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = ScratchStore::new(folder.path(), 2);
        for bytes in [vec![1, 2], vec![3, 4, 5], vec![6]] {
            store.push(bytes).unwrap();
        }
        let read = |store: &ScratchStore, block| {
            let mut found = Vec::new();
            store.visit(block, &mut |bytes| {
                found = bytes.to_vec();
                Ok(())
            })?;
            Ok::<_, Error>(found)
        };
        assert_eq!(
            (0..3).map(|block| read(&store, block).unwrap()).collect::<Vec<_>>(),
            [vec![1, 2], vec![3, 4, 5], vec![6]]
        );
        store.file.as_ref().unwrap().write_all_at(&[9], 1).unwrap();
        assert!(read(&store, 1).unwrap_err().to_string().contains("block 1"));
        store.file.as_ref().unwrap().set_len(2).unwrap();
        assert!(read(&store, 2).unwrap_err().to_string().contains("read a scratch file"));
        assert!(read(&store, 3).is_err());
    }

    #[test]
    fn a_folder_that_is_not_there_is_named() {
        let gone = Path::new("/no/such/folder");
        assert!(packed(&matrix(), gone, 0).err().unwrap().to_string().contains("/no/such/folder"));
        assert!(packed(&matrix(), gone, u64::MAX).is_ok());
    }
}
