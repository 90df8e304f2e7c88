//! Rank sums of all groups, gene by gene, sorting only what is not zero.

use std::ops::Range;

use rayon::prelude::*;

use super::Grouping;
use super::moments::{Moments, not_finite_error};
use super::options::RankGenesOptions;
use super::sort::{ranked_key, sort_by_value, value_of};
use crate::exchange::units;
use crate::matrix::{ColumnChunk, Lazy, RowBlocks, column_chunks};
use crate::{Ctx, Result};

/// Statistics of the rank-sum test, `[group * n_genes + gene]` over the groups (not those of no group).
pub(super) struct RankSums {
    /// Twice the excess of the rank sum over its expectation; a whole number, exact below 2^53.
    pub(super) excess: Vec<f64>,
    /// Factor of the variance for ties, in 0..=1; empty without `tie_correct`.
    pub(super) ties: Vec<f64>,
}

/// What one gene yields.
#[derive(serde::Serialize, serde::Deserialize)]
struct Gene {
    excess: Vec<f64>,
    ties: Vec<f64>,
    sums: Vec<f64>,
    non_zeros: Vec<f64>,
    unlogged: Vec<f64>,
}

/// Buffers of one worker.
#[derive(Default)]
struct Buffers {
    keys: Vec<u64>,
    spare: Vec<u64>,
    counts: Vec<u64>,
    ranks: Vec<u64>,
    in_block: Vec<u64>,
    touched: Vec<u32>,
    cubes: Vec<u128>,
}

/// Rank sums and plain sums of every group and gene.
///
/// Genes come in chunks of at most `options.memory` bytes (see [`column_chunks`]); each is sorted on its own.
/// Zeros, stored or not, are one block of ties whose place is known, so only non-zeros are sorted: the cost is
/// that of sorting the non-zeros, whatever the number of groups. Ranks are kept doubled, as whole numbers, so
/// that rank sums are exact and no order of addition matters. Processes that share the source take some genes each.
pub(super) fn rank_sums(
    source: &dyn RowBlocks,
    grouping: &Grouping,
    options: &RankGenesOptions,
    ctx: &Ctx,
) -> Result<(RankSums, Moments)> {
    let (n_genes, n_groups) = (source.n_cols(), grouping.n_groups());
    let unlogged = options.fold_change.needs_exp();
    let mut moments = Moments::new(n_groups + 1, n_genes, false, options.pts, unlogged);
    let mut ranks = RankSums {
        excess: vec![0.0; n_groups * n_genes],
        ties: if options.tie_correct { vec![1.0; n_groups * n_genes] } else { Vec::new() },
    };
    let here = |wanted: Range<usize>, put: &mut dyn FnMut(usize, Gene) -> Result<()>| {
        if wanted.len() == n_genes {
            return genes_of(source, 0, grouping, options, ctx, put);
        }
        let mask: Vec<bool> = (0..n_genes).map(|gene| wanted.contains(&gene)).collect();
        genes_of(&Lazy::new(source).select_columns(&mask)?, wanted.start, grouping, options, ctx, put)
    };
    units(source.exchange(), "rank sums", n_genes, ctx, here, |gene, found: Gene| {
        let scatter = |table: &mut [f64], values: &[f64]| {
            for (group, &value) in values.iter().enumerate() {
                table[group * n_genes + gene] = value;
            }
        };
        scatter(&mut ranks.excess, &found.excess);
        scatter(&mut ranks.ties, &found.ties);
        scatter(&mut moments.sums, &found.sums);
        scatter(&mut moments.non_zeros, &found.non_zeros);
        scatter(&mut moments.unlogged, &found.unlogged);
        Ok(())
    })?;
    Ok((ranks, moments))
}

/// What all genes of a source yield; `first` is the number of the first one.
fn genes_of(
    source: &dyn RowBlocks,
    first: usize,
    grouping: &Grouping,
    options: &RankGenesOptions,
    ctx: &Ctx,
    put: &mut dyn FnMut(usize, Gene) -> Result<()>,
) -> Result<()> {
    column_chunks(source, options.memory, "rank sums", ctx, |chunk| {
        let genes: Vec<Result<Gene>> = chunk
            .columns()
            .into_par_iter()
            .map_init(Buffers::default, |buffers, gene| {
                ctx.check()?;
                one_gene(chunk, gene, first, grouping, options, buffers)
            })
            .collect();
        chunk.columns().zip(genes).try_for_each(|(gene, found)| put(first + gene, found?))
    })
}

fn one_gene(
    chunk: &ColumnChunk<'_>,
    gene: usize,
    first: usize,
    grouping: &Grouping,
    options: &RankGenesOptions,
    buffers: &mut Buffers,
) -> Result<Gene> {
    let (n_groups, labels) = (grouping.n_groups(), grouping.labels());
    let against = grouping.reference();
    let Buffers { keys, spare, counts, .. } = buffers;
    keys.clear();
    counts.clear();
    counts.resize(n_groups + 1, 0);
    let mut sums = vec![0.0; n_groups + 1];
    let mut unlogged = vec![0.0; if options.fold_change.needs_exp() { n_groups + 1 } else { 0 }];
    let scale = options.log_base.map_or(1.0, f64::ln);
    let mut check = 0.0f32;
    for (first_row, run) in chunk.runs(gene) {
        let run_labels = &labels[first_row..];
        for entry in run {
            let group = run_labels[entry.row as usize];
            counts[group as usize] += 1;
            sums[group as usize] += f64::from(entry.value);
            check += entry.value * 0.0;
            keys.push(ranked_key(entry.value, group));
        }
        if options.fold_change.needs_exp() {
            for entry in run {
                unlogged[run_labels[entry.row as usize] as usize] += (f64::from(entry.value) * scale).exp_m1();
            }
        }
    }
    if check.is_nan() {
        let mut entries = chunk.runs(gene).flat_map(|(row, run)| run.iter().map(move |entry| (row, entry)));
        let found = entries.find(|(_, entry)| !entry.value.is_finite());
        return Err(not_finite_error(found.map_or_else(String::new, |(row, entry)| {
            format!("{} at row {}, column {}", entry.value, row + entry.row as usize, first + gene)
        })));
    }
    if against.is_some() {
        // Cells of no group take part in no comparison with a reference.
        keys.retain(|&key| (key as u32) < n_groups as u32);
    }
    sort_by_value(keys, spare);
    let (excess, ties) = match against {
        None => against_rest(grouping, options.tie_correct, buffers),
        Some(reference) => against_reference(grouping, reference, options.tie_correct, buffers),
    };
    let non_zeros = if options.pts { buffers.counts.iter().map(|&count| count as f64).collect() } else { Vec::new() };
    Ok(Gene { excess, ties, sums, non_zeros, unlogged })
}

/// Walks the tie blocks of sorted keys, zeros included where they belong: `visit(keys of the block, zeros)`.
fn tie_blocks(keys: &[u64], zeros: bool, mut visit: impl FnMut(&[u64], bool)) {
    let mut zeros_left = zeros;
    let mut at = 0;
    while at < keys.len() {
        let value = keys[at] >> 32;
        if zeros_left && value_of(keys[at]) > 0.0 {
            zeros_left = false;
            visit(&[], true);
        }
        let mut end = at + 1;
        while end < keys.len() && keys[end] >> 32 == value {
            end += 1;
        }
        visit(&keys[at..end], false);
        at = end;
    }
    if zeros_left {
        visit(&[], true);
    }
}

/// t^3 - t, what a block of `t` ties takes from the variance.
fn tie_term(t: u64) -> u128 {
    let t = u128::from(t);
    t * t * t - t
}

fn tie_factor(terms: u128, n: usize) -> f64 {
    if n < 2 { 1.0 } else { 1.0 - terms as f64 / tie_term(n as u64) as f64 }
}

/// Ranks over all cells: each group against all others.
fn against_rest(grouping: &Grouping, tie_correct: bool, buffers: &mut Buffers) -> (Vec<f64>, Vec<f64>) {
    let (n_groups, n_cells) = (grouping.n_groups(), grouping.labels().len());
    let Buffers { keys, counts, ranks, .. } = buffers;
    ranks.clear();
    ranks.resize(n_groups + 1, 0);
    let n_zeros = (n_cells - keys.len()) as u64;
    let (mut before, mut terms) = (0u64, 0u128);
    tie_blocks(keys, n_zeros > 0, |block, zeros| {
        let size = if zeros { n_zeros } else { block.len() as u64 };
        // Ranks before + 1 ..= before + size, twice their mean:
        let twice_rank = 2 * before + size + 1;
        if zeros {
            for (group, &cells) in grouping.sizes().iter().enumerate() {
                ranks[group] += (cells as u64 - counts[group]) * twice_rank;
            }
        } else {
            for &key in block {
                ranks[key as u32 as usize] += twice_rank;
            }
        }
        if tie_correct && size > 1 {
            terms += tie_term(size);
        }
        before += size;
    });
    let excess = grouping
        .sizes()
        .iter()
        .zip(ranks.iter())
        .map(|(&cells, &twice)| (i128::from(twice) - cells as i128 * (n_cells as i128 + 1)) as f64)
        .collect();
    let ties = if tie_correct { vec![tie_factor(terms, n_cells); n_groups] } else { Vec::new() };
    (excess, ties)
}

/// Ranks over a group and the reference, for all groups in one walk: a cell's rank among both is its rank among
/// its own kind plus the reference cells before it, so only the latter need counting (U instead of W).
fn against_reference(
    grouping: &Grouping,
    reference: usize,
    tie_correct: bool,
    buffers: &mut Buffers,
) -> (Vec<f64>, Vec<f64>) {
    let n_groups = grouping.n_groups();
    let Buffers { keys, counts, ranks, in_block, touched, cubes, .. } = buffers;
    ranks.clear();
    ranks.resize(n_groups, 0);
    in_block.clear();
    in_block.resize(n_groups, 0);
    cubes.clear();
    cubes.resize(n_groups, 0);
    let sizes = grouping.sizes();
    let zeros_of = |group: usize| sizes[group] as u64 - counts[group];
    let any_zeros = (0..n_groups).any(|group| zeros_of(group) > 0);
    // Terms of the blocks with the reference cells alone; a group's own are added where it takes part.
    let (mut before, mut alone) = (0u64, 0u128);
    tie_blocks(keys, any_zeros, |block, zeros| {
        touched.clear();
        if zeros {
            for group in 0..n_groups {
                in_block[group] = zeros_of(group);
                if in_block[group] > 0 {
                    touched.push(group as u32);
                }
            }
        } else {
            for &key in block {
                let group = key as u32;
                if in_block[group as usize] == 0 {
                    touched.push(group);
                }
                in_block[group as usize] += 1;
            }
        }
        let tied = in_block[reference];
        for &group in touched.iter() {
            let own = in_block[group as usize];
            ranks[group as usize] += own * (2 * before + tied);
            if tie_correct && group as usize != reference {
                cubes[group as usize] += tie_term(own + tied) - tie_term(tied);
            }
        }
        alone += tie_term(tied);
        before += tied;
        for &group in touched.iter() {
            in_block[group as usize] = 0;
        }
    });
    let m = sizes[reference];
    let excess = (0..n_groups).map(|group| (i128::from(ranks[group]) - (sizes[group] * m) as i128) as f64).collect();
    let ties = if tie_correct {
        (0..n_groups).map(|group| tie_factor(cubes[group] + alone, sizes[group] + m)).collect()
    } else {
        Vec::new()
    };
    (excess, ties)
}
