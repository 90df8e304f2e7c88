//! How a volume is cut.

use zensaibo_core::data::Region;
use zensaibo_core::{Error, Result};

/// Bytes of working memory when nobody says otherwise.
pub const DEFAULT_MEMORY: u64 = 2 << 30;

/// Voxels of a padded block above which more do not help: 16 MiB of f32, of which a few stay in a shared cache.
const PREFERRED_VOXELS: f64 = 4.0 * 1024.0 * 1024.0;

/// What a computation on blocks needs, for the plan.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Work {
    /// Voxels beyond the block that its result depends on, on each side.
    pub halo: [usize; 3],
    /// Bytes held for each voxel of a padded block while it is worked on: input, intermediates and output together.
    pub bytes_per_voxel: usize,
    /// Voxels of the pieces in which input or output is stored; blocks begin at multiples. 1 where it does not matter.
    pub chunk: [usize; 3],
    /// Bytes that all blocks in work together may take; `None` for [`DEFAULT_MEMORY`].
    pub memory: Option<u64>,
}

/// Blocks that cover a volume once.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    shape: [usize; 3],
    block: [usize; 3],
    halo: [usize; 3],
    /// Blocks that are in work at one time.
    at_once: usize,
    /// Bytes that those take.
    bytes: u64,
}

impl Plan {
    /// Cuts a volume of `shape` for the current thread pool, so that `work` stays within its memory and as little as possible is read twice.
    ///
    /// # Errors
    /// [`Error::Limit`] when even one block at a time, as small as it may be, does not fit.
    pub fn new(shape: [usize; 3], work: &Work) -> Result<Self> {
        Self::for_threads(shape, work, rayon::current_num_threads())
    }

    /// As [`Plan::new`], the same for any thread pool: for processes that share the blocks out.
    ///
    /// # Errors
    /// As [`Plan::new`].
    pub fn shared(shape: [usize; 3], work: &Work) -> Result<Self> {
        /// Threads of a process, at most: more wait for each other.
        const THREADS: usize = 8;
        Self::for_threads(shape, work, THREADS)
    }

    fn for_threads(shape: [usize; 3], work: &Work, threads: usize) -> Result<Self> {
        let memory = work.memory.unwrap_or(DEFAULT_MEMORY);
        let lengths: [Vec<usize>; 3] =
            std::array::from_fn(|axis| lengths(shape[axis], work.chunk[axis], work.halo[axis]));
        // Fewer blocks at one time before giving up: slower, but within the memory.
        let mut at_once = threads;
        while at_once >= 1 {
            let mut best: Option<(f64, [usize; 3], u64)> = None;
            for &z in &lengths[0] {
                for &y in &lengths[1] {
                    for &x in &lengths[2] {
                        let block = [z, y, x];
                        let padded: f64 = (0..3).map(|a| (block[a].min(shape[a]) + 2 * work.halo[a]) as f64).product();
                        let bytes = (padded * work.bytes_per_voxel as f64) as u64;
                        // Results wait their turn: one more block each.
                        if bytes.saturating_mul(at_once as u64).saturating_mul(2) > memory {
                            continue;
                        }
                        let count: f64 = (0..3).map(|a| shape[a].div_ceil(block[a].max(1)) as f64).product();
                        // Voxels worked on by the busiest thread, and a fixed cost for each block.
                        let rounds = (count / at_once as f64).ceil();
                        let spill = (padded / PREFERRED_VOXELS).max(1.0).ln() * 0.08;
                        let cost = rounds * (padded + 20_000.0) * (1.0 + spill);
                        if best.is_none_or(|(least, ..)| cost < least) {
                            best = Some((cost, block, bytes));
                        }
                    }
                }
            }
            if let Some((_, block, bytes)) = best {
                let bytes = bytes.saturating_mul(at_once as u64).saturating_mul(2);
                return Ok(Self { shape, block, halo: work.halo, at_once, bytes });
            }
            at_once /= 2;
        }
        let smallest: f64 = (0..3).map(|a| (lengths[a][0].min(shape[a]) + 2 * work.halo[a]) as f64).product();
        Err(Error::Limit {
            what: "memory".into(),
            needed: format!(
                "{:.0} MiB for one block with its halo",
                smallest * work.bytes_per_voxel as f64 * 2.0 / 1048576.0
            ),
            limit: format!("{:.0} MiB", memory as f64 / 1048576.0),
        })
    }

    /// Blocks of a given size: for tests, and where the size is part of the result.
    pub fn with_block(shape: [usize; 3], block: [usize; 3], halo: [usize; 3]) -> Self {
        let block = block.map(|n| n.max(1));
        Self { shape, block, halo, at_once: rayon::current_num_threads(), bytes: 0 }
    }

    /// Shape of the volume.
    pub fn shape(&self) -> [usize; 3] {
        self.shape
    }

    /// Voxels along each axis of a block that is not at the end.
    pub fn block(&self) -> [usize; 3] {
        self.block
    }

    /// Voxels beyond each block that its result depends on.
    pub fn halo(&self) -> [usize; 3] {
        self.halo
    }

    /// Blocks in work at one time.
    pub fn at_once(&self) -> usize {
        self.at_once
    }

    /// Bytes that the blocks in work take together.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Number of blocks along each axis.
    pub fn counts(&self) -> [usize; 3] {
        std::array::from_fn(|axis| self.shape[axis].div_ceil(self.block[axis]))
    }

    /// Number of blocks.
    pub fn len(&self) -> usize {
        self.counts().iter().product()
    }

    /// Whether there is no block.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Block `index`, z outermost.
    pub fn region(&self, index: usize) -> Region {
        let counts = self.counts();
        let at = [index / (counts[1] * counts[2]), index / counts[2] % counts[1], index % counts[2]];
        let start: [usize; 3] = std::array::from_fn(|axis| at[axis] * self.block[axis]);
        Region { start, size: std::array::from_fn(|axis| self.block[axis].min(self.shape[axis] - start[axis])) }
    }
}

/// Lengths that a block may have along an axis of `n`, smallest first.
fn lengths(n: usize, chunk: usize, halo: usize) -> Vec<usize> {
    let chunk = chunk.max(1);
    // Below the halo, most of the work would be on neighbours.
    let least = halo.max(8).min(n.max(1)).next_multiple_of(chunk);
    let mut all: Vec<usize> = (1..=64usize)
        .chain([80, 96, 128, 192, 256, 384, 512, 768, 1024, 2048, 4096])
        .map(|parts| n.div_ceil(parts).max(1).next_multiple_of(chunk))
        .filter(|&length| length >= least)
        .collect();
    all.push(least);
    all.sort_unstable();
    all.dedup();
    all
}
