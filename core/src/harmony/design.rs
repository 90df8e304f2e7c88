//! Which cell belongs to which batches, and the order in which cells are visited.
//!
//! Cells are sorted by block (a random part of all cells, whose assignments are renewed together), within a block
//! by combination of batches, and cut into tiles of one block and one combination. Whatever depends on the batches
//! is then constant within a tile.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::random::Stream;
use crate::{DataFault, Error, Result};

/// Cells per tile at most: a tile of assignments stays in the second-level cache.
const TILE: usize = 512;
/// Stream of the permutation.
const ORDER: u64 = 1 << 40;

/// One batch key: a level for each cell.
#[derive(Clone, Debug)]
pub struct BatchKey<'a> {
    /// Name, for errors.
    pub name: &'a str,
    /// Level of each cell, below `n_levels`. Levels without cells are allowed and ignored.
    pub codes: &'a [u32],
    /// Number of levels.
    pub n_levels: usize,
}

/// Cells of one block and one combination of batches: rows `rows` of the sorted cells.
#[derive(Clone, Debug)]
pub(super) struct Segment {
    pub(super) combination: usize,
    pub(super) rows: Range<usize>,
}

/// A piece of a segment.
#[derive(Clone, Debug)]
pub(super) struct Tile {
    pub(super) segment: usize,
    pub(super) rows: Range<usize>,
}

/// The batches and the order of the cells.
pub(super) struct Design {
    /// Cell at each place of the sorted order.
    pub(super) order: Vec<u32>,
    /// Levels of each combination, one per key, numbered over all keys.
    pub(super) combinations: Vec<Vec<u32>>,
    /// Key of each level.
    pub(super) key_of: Vec<usize>,
    /// Cells of each level.
    pub(super) counts: Vec<f64>,
    pub(super) segments: Vec<Segment>,
    /// Segments of each block.
    pub(super) blocks: Vec<Range<usize>>,
    pub(super) tiles: Vec<Tile>,
    /// Tiles of each segment.
    pub(super) tiles_of: Vec<Range<usize>>,
}

impl Design {
    pub(super) fn new(n: usize, keys: &[BatchKey<'_>], block_proportion: f64, seed: u64) -> Result<Self> {
        if keys.is_empty() {
            return Err(Error::parameter("key", "at least one batch key", "none"));
        }
        let mut levels: Vec<Vec<u32>> = Vec::new();
        let (mut key_of, mut counts) = (Vec::new(), Vec::new());
        for (index, key) in keys.iter().enumerate() {
            if key.codes.len() != n {
                let expected = format!("{n} labels, one per cell");
                return Err(Error::data(DataFault::Shape, key.name, expected, key.codes.len()));
            }
            let mut cells = vec![0u64; key.n_levels];
            for (cell, &code) in key.codes.iter().enumerate() {
                match cells.get_mut(code as usize) {
                    Some(count) => *count += 1,
                    None => {
                        let expected = format!("levels below {}", key.n_levels);
                        let found = format!("{code} for cell {cell}");
                        return Err(Error::data(DataFault::Invalid, key.name, expected, found));
                    }
                }
            }
            let mut number = vec![0u32; key.n_levels];
            for (level, &count) in cells.iter().enumerate().filter(|&(_, &count)| count > 0) {
                number[level] = counts.len() as u32;
                counts.push(count as f64);
                key_of.push(index);
            }
            levels.push(number);
        }
        // Combinations in order of their levels.
        let of_cell = |cell: usize| -> Vec<u32> {
            keys.iter().zip(&levels).map(|(key, number)| number[key.codes[cell] as usize]).collect()
        };
        let mut numbers: BTreeMap<Vec<u32>, usize> = (0..n).map(|cell| (of_cell(cell), 0)).collect();
        numbers.values_mut().enumerate().for_each(|(index, number)| *number = index);
        let combination: Vec<u32> = (0..n).map(|cell| numbers[&of_cell(cell)] as u32).collect();

        let mut order: Vec<u32> = (0..n as u32).collect();
        Stream::new(seed, ORDER).shuffle(&mut order);
        let n_blocks = ((1.0 / block_proportion).ceil() as usize).clamp(1, n.max(1));
        let (mut segments, mut blocks) = (Vec::new(), Vec::new());
        for block in 0..n_blocks {
            let rows = block * n / n_blocks..(block + 1) * n / n_blocks;
            let cells = &mut order[rows.clone()];
            cells.sort_unstable_by_key(|&cell| (combination[cell as usize], cell));
            let first = segments.len();
            let mut start = rows.start;
            for group in order[rows].chunk_by(|&a, &b| combination[a as usize] == combination[b as usize]) {
                let rows = start..start + group.len();
                start = rows.end;
                segments.push(Segment { combination: combination[group[0] as usize] as usize, rows });
            }
            blocks.push(first..segments.len());
        }
        let (mut tiles, mut tiles_of) = (Vec::new(), Vec::new());
        for (index, segment) in segments.iter().enumerate() {
            let first = tiles.len();
            let length = segment.rows.len();
            let pieces = length.div_ceil(TILE).max(1);
            for piece in 0..pieces {
                let start = segment.rows.start;
                let rows = start + piece * length / pieces..start + (piece + 1) * length / pieces;
                tiles.push(Tile { segment: index, rows });
            }
            tiles_of.push(first..tiles.len());
        }
        let combinations = numbers.into_keys().collect();
        Ok(Self { order, combinations, key_of, counts, segments, blocks, tiles, tiles_of })
    }

    /// Number of levels of all keys.
    pub(super) fn n_levels(&self) -> usize {
        self.counts.len()
    }

    /// Cuts an array of `width` values per sorted cell into its tiles.
    pub(super) fn cut<'a, T>(&self, mut values: &'a mut [T], width: usize) -> Vec<&'a mut [T]> {
        let mut parts = Vec::with_capacity(self.tiles.len());
        for tile in &self.tiles {
            let (part, rest) = values.split_at_mut(tile.rows.len() * width);
            parts.push(part);
            values = rest;
        }
        parts
    }
}
