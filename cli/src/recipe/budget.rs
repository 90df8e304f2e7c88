//! How much of the memory that a run may take goes where.

use std::path::Path;

use zensaibo_core::matrix::BlockStore;
use zensaibo_core::{Error, Result};
use zensaibo_io::{ScratchStore, Turning};

use super::ClusterConfig;
use crate::measure::{bytes_text, counted};

/// Bytes of a process before it has read anything, and of tables of genes, results per cluster and the like.
const BASE: u64 = 160 << 20;
/// Bytes of each thread for blocks in work.
const PER_THREAD: u64 = 96 << 20;
/// Least bytes to be shared out: a third of it holds some blocks of every step.
const LEAST: u64 = 96 << 20;

/// The memory of a run of `cluster`: what grows with the cells is held, what grows with the counts is shared out.
pub(super) struct Budget<'a> {
    /// Bytes that may be shared out; absent where there is no limit.
    free: Option<u64>,
    scratch: &'a Path,
}

impl<'a> Budget<'a> {
    /// For so many cells. `memory`: bytes that the process may take, absent: any.
    ///
    /// # Errors
    /// [`Error::Limit`] that says how much would suffice.
    pub(super) fn new(memory: Option<u64>, scratch: &'a Path, cells: usize, config: &ClusterConfig) -> Result<Self> {
        let Some(memory) = memory else { return Ok(Self { free: None, scratch }) };
        let held = BASE + PER_THREAD * rayon::current_num_threads() as u64 + cells as u64 * per_cell(config);
        if memory < held + LEAST {
            return Err(Error::Limit {
                what: format!("memory for {}", counted(cells, "cell")),
                needed: bytes_text(held + LEAST),
                limit: bytes_text(memory),
            });
        }
        Ok(Self { free: Some(memory - held), scratch })
    }

    /// Whether there is a limit.
    pub(super) fn limited(&self) -> bool {
        self.free.is_some()
    }

    /// A third: of the counts as they were read, of those that are kept, and of what a later step takes.
    pub(super) fn share(&self) -> Option<u64> {
        self.free.map(|free| free / 3)
    }

    /// What turning columns into rows may take: a share for what is packed, over so many files, and one for columns in work.
    pub(super) fn turning(&self, files: usize) -> Turning {
        let share = self.share().unwrap_or(u64::MAX);
        Turning { working: share, held: share / files.max(1) as u64, scratch: self.scratch.to_path_buf() }
    }

    /// A store for packed blocks within a share.
    pub(super) fn store(&self) -> Box<dyn BlockStore> {
        Box::new(ScratchStore::new(self.scratch, self.share().unwrap_or(u64::MAX)))
    }
}

/// Bytes per cell of all that is held whole: names and metrics, components, neighbours, graph, and the working memory of
/// the hungriest step among these.
fn per_cell(config: &ClusterConfig) -> u64 {
    let (comps, k) = (config.pca.n_comps.unwrap_or(50) as u64, config.neighbors.n_neighbors as u64);
    500 + 16 * comps + 70 * k
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_little_says_what_would_do() {
        let config = ClusterConfig::default();
        let make = |memory, cells| Budget::new(memory, Path::new("."), cells, &config);
        let refused = make(Some(300 << 20), 1_000_000).err().unwrap();
        assert!(matches!(refused, Error::Limit { .. }));
        let said = refused.to_string();
        assert!(said.contains("1,000,000 cells") && said.contains("GB") && said.contains("limit"), "{said}");
        let held = BASE + PER_THREAD * rayon::current_num_threads() as u64 + 1000 * per_cell(&config);
        assert_eq!(make(Some(held + LEAST), 1000).unwrap().share(), Some(LEAST / 3));
        assert!(make(Some(held + LEAST - 1), 1000).is_err());
        let open = make(None, usize::MAX >> 20).unwrap();
        assert!(!open.limited() && open.share().is_none());
    }
}
