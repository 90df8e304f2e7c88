//! Stitching: where overlapping tiles lie, how bright each is, and the one volume that they make.
//!
//! [`stitch`] compares neighbours over what both hold, solves for one place per tile, drops pairs that contradict the
//! others, and gives every tile a gain. [`Fused`] is the whole as a volume that is put together where it is read. Places are
//! micrometres (z, y, x) of the centre of a tile's first voxel.
//!
//! A pair is compared by Pearson correlation of the logarithm of intensity, over tissue that both hold, at every whole shift
//! within the search at a low resolution (by Fourier transforms), then closer and closer on those bricks that hold most
//! structure, to parts of a voxel by a parabola. Places minimise the weighted sum of squares of what the remaining pairs say.

pub(crate) mod fft;
mod fuse;
mod level;
mod options;
mod pair;
mod search;
mod solve;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use zensaibo_core::data::{Frame, VolumeBlocks};
use zensaibo_core::options::Options;
use zensaibo_core::{Ctx, DataFault, Error, Result};

pub use fuse::Fused;
pub use options::{FuseOptions, StitchOptions};

use crate::blocks::DEFAULT_MEMORY;
use crate::space::Spacing;
use pair::{BYTES, Found, Task};
use solve::{Link, agreeing, groups, least_squares, loops, residuals};

/// A tile and where it is said to lie.
#[derive(Clone)]
pub struct Tile {
    /// Its voxels; all tiles have one number of channels and time points and one number type.
    pub volume: Arc<dyn VolumeBlocks>,
    /// Micrometres (z, y, x) of the centre of its first voxel.
    pub position: [f64; 3],
}

/// What became of a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Its measured shift counts.
    Used,
    /// Too few voxels of tissue are in both.
    LittleTissue,
    /// What both show is too little alike.
    LowCorrelation,
    /// The best shift lies at the border of the search: a better one may lie beyond.
    AtBorder,
    /// Another shift fits about as well.
    Ambiguous,
    /// It contradicts the others.
    Contradicts,
}

/// Two tiles that overlap.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pair {
    /// Number of the first tile.
    pub a: usize,
    /// Number of the second.
    pub b: usize,
    /// Micrometres by which the second lies elsewhere relative to the first than it was said to.
    pub shift: [f64; 3],
    /// Correlation at the best shift.
    pub correlation: f64,
    /// Correlation of the best other place, if there is one.
    pub rival: Option<f64>,
    /// Voxels of tissue in both, on the level of the search.
    pub voxels: u64,
    /// What became of it.
    pub verdict: Verdict,
    /// Micrometres that the pair is away from where the tiles were placed; of pairs with a shift to speak of.
    pub residual: Option<[f64; 3]>,
    /// Micrometres that one is from where one began, going along this pair and back along the fewest others; of pairs
    /// that are used and lie on a loop.
    pub closure: Option<[f64; 3]>,
    /// Difference in intensity where they overlap in percent, as they come and with the gains; of pairs that are used.
    pub step_before: Option<f64>,
    /// The same with the gains.
    pub step_after: Option<f64>,
}

/// Where tiles lie.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stitching {
    /// Micrometres per voxel.
    pub spacing: [f64; 3],
    /// Where each tile was said to lie.
    pub nominal: Vec<[f64; 3]>,
    /// Where each tile lies.
    pub positions: Vec<[f64; 3]>,
    /// Gain of each tile; their geometric mean is 1 in each group.
    pub gains: Vec<f64>,
    /// What stays as it is when gains act.
    pub dark: f64,
    /// Group of each tile: pairs that are used connect its members. The places of groups relative to each other are as
    /// they were said.
    pub group: Vec<usize>,
    /// Whether any pair places the tile.
    pub placed: Vec<bool>,
    /// All pairs that were compared, by first and second tile.
    pub pairs: Vec<Pair>,
    /// What the user should know.
    pub warnings: Vec<String>,
}

/// Refuses tiles that cannot be parts of one volume.
fn check_tiles(tiles: &[Tile]) -> Result<()> {
    let Some(first) = tiles.first() else {
        return Err(Error::data(DataFault::Empty, "tiles", "at least one tile", "none"));
    };
    let known = first.volume.info();
    for (at, tile) in tiles.iter().enumerate() {
        let info = tile.volume.info();
        let what = || format!("tile {at} ({})", info.name);
        if info.shape.contains(&0) {
            return Err(Error::data(DataFault::Empty, what(), "voxels", format!("shape {:?}", info.shape)));
        }
        if info.dtype != known.dtype {
            let expected = format!("{}, as tile 0", known.dtype.name());
            return Err(Error::data(DataFault::Invalid, what(), expected, info.dtype.name()));
        }
        if info.shape[..2] != known.shape[..2] {
            let expected = format!("{} time points and {} channels, as tile 0", known.shape[0], known.shape[1]);
            return Err(Error::data(
                DataFault::Shape,
                what(),
                expected,
                format!("{} and {}", info.shape[0], info.shape[1]),
            ));
        }
        if let (Some(own), Some(other)) = (info.spacing, known.spacing)
            && (0..3).any(|a| (own[a] - other[a]).abs() > 1e-3 * other[a])
        {
            let expected = format!("{other:?} micrometres per voxel, as tile 0");
            return Err(Error::data(DataFault::Invalid, what(), expected, format!("{own:?}")));
        }
        if tile.position.iter().any(|x| !x.is_finite()) {
            let found = format!("{:?}", tile.position);
            return Err(Error::data(DataFault::NotFinite, what(), "a finite position", found));
        }
    }
    Ok(())
}

/// Finds where tiles lie.
///
/// Reads of each pair what both may hold, once at a low resolution and parts of it again. Pairs are worked on side by side,
/// as many as memory holds. Nothing is random; threads and memory change no bit.
///
/// # Errors
/// [`Error::Parameter`] for options out of range; [`Error::Data`] for fewer than two tiles, tiles that differ in type or
/// spacing, tiles of which no two overlap, and where no pair can be believed: with what became of them;
/// [`Error::Limit`] where memory does not hold one pair; what reading returns.
pub fn stitch(tiles: &[Tile], spacing: Spacing, options: &StitchOptions, ctx: &Ctx) -> Result<Stitching> {
    options.validate()?;
    check_tiles(tiles)?;
    let um = spacing.um();
    let info = tiles[0].volume.info();
    if options.channel >= info.shape[1] {
        return Err(Error::parameter("channel", format!("0..{} of the tiles", info.shape[1]), options.channel));
    }
    let memory = options.memory.unwrap_or(DEFAULT_MEMORY);
    if memory < BYTES {
        let needed = format!("{} MiB to compare two tiles", BYTES >> 20);
        return Err(Error::Limit { what: "memory".into(), needed, limit: format!("{} MiB", memory >> 20) });
    }
    let frame = Frame { time: 0, channel: options.channel };
    let neighbors = neighbors(tiles, um)?;
    let stage = ctx.stage("compare tiles", neighbors.len() as u64);
    let at_once = ((memory / BYTES) as usize).clamp(1, 4 * rayon::current_num_threads());
    let mut found: Vec<Found> = Vec::with_capacity(neighbors.len());
    for wave in neighbors.chunks(at_once) {
        let results: Vec<Result<Found>> = wave
            .par_iter()
            .with_max_len(1)
            .map(|&(a, b)| {
                let (first, second) = (&tiles[a], &tiles[b]);
                let sizes = [&first.volume, &second.volume].map(|volume| volume.info().space());
                let task = Task {
                    a: first.volume.as_ref(),
                    b: second.volume.as_ref(),
                    frame,
                    nominal: std::array::from_fn(|x| (second.position[x] - first.position[x]) / um[x]),
                    search: std::array::from_fn(|x| match options.search {
                        Some(search) => search[x] / um[x],
                        None => (0.05 * sizes[0][x].min(sizes[1][x]) as f64).max(10.0),
                    }),
                    spacing: um,
                };
                let found = task.measure(options, ctx)?;
                stage.advance(1)?;
                Ok(found)
            })
            .collect();
        for result in results {
            found.push(result?);
        }
    }
    drop(stage);
    ctx.check()?;
    solved(tiles, &neighbors, &found, spacing, options)
}

/// Pairs of tiles that overlap as they are said to lie.
fn neighbors(tiles: &[Tile], um: [f64; 3]) -> Result<Vec<(usize, usize)>> {
    if tiles.len() < 2 {
        return Err(Error::data(DataFault::TooFew, "tiles", "at least two", tiles.len()));
    }
    let span = |at: usize, axis: usize| {
        let (from, n) = (tiles[at].position[axis], tiles[at].volume.info().space()[axis]);
        (from, from + (n - 1) as f64 * um[axis])
    };
    // By where they begin along the axis that is longest: only those that may meet are compared.
    let length = |axis: usize| {
        let ends = (0..tiles.len()).map(|at| span(at, axis));
        ends.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), (from, to)| (low.min(from), high.max(to)))
    };
    let axis = (0..3).max_by(|&a, &b| (length(a).1 - length(a).0).total_cmp(&(length(b).1 - length(b).0))).unwrap_or(2);
    let mut order: Vec<usize> = (0..tiles.len()).collect();
    order.sort_by(|&a, &b| span(a, axis).0.total_cmp(&span(b, axis).0).then(a.cmp(&b)));
    let mut out = Vec::new();
    for (place, &a) in order.iter().enumerate() {
        for &b in order[place + 1..].iter().take_while(|&&b| span(b, axis).0 <= span(a, axis).1) {
            let meet = (0..3).all(|x| span(a, x).0 <= span(b, x).1 && span(b, x).0 <= span(a, x).1);
            if meet {
                out.push((a.min(b), a.max(b)));
            }
        }
    }
    out.sort_unstable();
    if out.is_empty() {
        let far = |at: usize| format!("{} at {:?} um", tiles[at].volume.info().name, tiles[at].position);
        let found = format!("{}, {} and {} more", far(0), far(1), tiles.len() - 2);
        return Err(Error::data(DataFault::Invalid, "tiles", "positions at which some of them overlap", found));
    }
    if let Some(&(a, b)) = out.iter().find(|&&(a, b)| tiles[a].position == tiles[b].position) {
        let found = format!("tiles {a} and {b} both at {:?} um", tiles[a].position);
        return Err(Error::data(DataFault::Invalid, "tiles", "a position of its own for each tile", found));
    }
    Ok(out)
}

fn solved(
    tiles: &[Tile],
    neighbors: &[(usize, usize)],
    found: &[Found],
    spacing: Spacing,
    options: &StitchOptions,
) -> Result<Stitching> {
    let (n, um) = (tiles.len(), spacing.um());
    let nominal: Vec<[f64; 3]> = tiles.iter().map(|tile| tile.position).collect();
    // All in micrometres from where the tiles are said to lie.
    let shifts: Vec<[f64; 3]> = neighbors
        .iter()
        .zip(found)
        .map(|(&(a, b), found)| {
            std::array::from_fn(|x| {
                let nominal = (nominal[b][x] - nominal[a][x]) / um[x];
                (found.offset[x] - nominal) * um[x]
            })
        })
        .collect();
    let link = |at: usize| {
        let r2 = found[at].correlation.clamp(0.0, 0.99).powi(2);
        let weight = r2 / (1.0 - r2) * found[at].voxels.max(1.0).sqrt();
        Link { from: neighbors[at].0, to: neighbors[at].1, by: shifts[at], weight }
    };
    let mut verdicts: Vec<Verdict> = found.iter().map(|found| found.verdict).collect();
    let believed: Vec<usize> = (0..found.len()).filter(|&at| verdicts[at] == Verdict::Used).collect();
    if believed.is_empty() {
        return Err(Error::data(
            DataFault::TooFew,
            "tiles",
            "at least one pair of neighbours that shows the same tissue",
            format!("{} pairs: {}", found.len(), tally(&verdicts)),
        ));
    }
    let links: Vec<Link<3>> = believed.iter().map(|&at| link(at)).collect();
    let scale = match options.tolerance {
        Some(tolerance) => [tolerance; 3],
        None => um.map(|um| 2.0 * um),
    };
    let (kept, mut moved) = agreeing(n, &links, scale);
    for (&at, _) in believed.iter().zip(&kept).filter(|(_, kept)| !**kept) {
        verdicts[at] = Verdict::Contradicts;
    }
    let used: Vec<usize> = (0..found.len()).filter(|&at| verdicts[at] == Verdict::Used).collect();
    let used_links: Vec<Link<3>> = used.iter().map(|&at| link(at)).collect();
    let group = groups(n, &used_links);
    anchor(&group, neighbors, &mut moved);
    let positions: Vec<[f64; 3]> =
        nominal.iter().zip(&moved).map(|(from, by)| std::array::from_fn(|x| from[x] + by[x])).collect();

    let logs = if options.gains { gains(n, &used, neighbors, found) } else { vec![0.0; n] };
    let mut placed = vec![false; n];
    used_links.iter().for_each(|link| (placed[link.from], placed[link.to]) = (true, true));
    let around: BTreeMap<usize, [f64; 3]> =
        used.iter().zip(loops(n, &used_links)).filter_map(|(&at, closure)| Some((at, closure?))).collect();
    let percent = |log: f64| 100.0 * (log.exp() - 1.0).abs();
    let pairs: Vec<Pair> = (0..found.len())
        .map(|at| {
            let ((a, b), one) = (neighbors[at], &found[at]);
            let used = verdicts[at] == Verdict::Used;
            let measured = !matches!(verdicts[at], Verdict::LittleTissue | Verdict::LowCorrelation);
            let link = Link { from: a, to: b, by: shifts[at], weight: 1.0 };
            Pair {
                a,
                b,
                shift: shifts[at],
                correlation: one.correlation,
                rival: one.rival,
                voxels: one.voxels as u64,
                verdict: verdicts[at],
                residual: measured.then(|| residuals(&moved, &[link])[0]),
                closure: around.get(&at).copied(),
                step_before: used.then(|| percent(one.log_ratio)),
                step_after: used.then(|| percent(one.log_ratio + logs[a] - logs[b])),
            }
        })
        .collect();
    let warnings = warnings(tiles, &placed, &group, &verdicts);
    let gains = logs.iter().map(|log| log.exp()).collect();
    Ok(Stitching { spacing: um, nominal, positions, gains, dark: options.dark, group, placed, pairs, warnings })
}

/// Moves groups as wholes, so that they lie to each other as they were said to: the largest one stays, its mean shift 0.
fn anchor(group: &[usize], neighbors: &[(usize, usize)], moved: &mut [[f64; 3]]) {
    let count = group.iter().max().map_or(0, |&most| most + 1);
    let mut sizes = vec![0usize; count];
    group.iter().for_each(|&group| sizes[group] += 1);
    let largest = (0..count).fold(0, |best, at| if sizes[at] > sizes[best] { at } else { best });
    let between: Vec<Link<3>> = neighbors
        .iter()
        .filter(|&&(a, b)| group[a] != group[b])
        .map(|&(a, b)| {
            let by = std::array::from_fn(|x| moved[a][x] - moved[b][x]);
            Link { from: group[a], to: group[b], by, weight: 1.0 }
        })
        .collect();
    let shifts = least_squares(count, &between);
    let islands = groups(count, &between);
    for (at, place) in moved.iter_mut().enumerate() {
        let own = group[at];
        // What nothing connects with the largest stays with its mean where it was said to lie.
        let reference = if islands[own] == islands[largest] { shifts[largest] } else { [0.0; 3] };
        (0..3).for_each(|x| place[x] += shifts[own][x] - reference[x]);
    }
}

/// Logarithms of the gains that make overlaps equally bright, their mean 0 in each group.
fn gains(n: usize, used: &[usize], neighbors: &[(usize, usize)], found: &[Found]) -> Vec<f64> {
    let links: Vec<Link<1>> = used
        .iter()
        .map(|&at| Link {
            from: neighbors[at].0,
            to: neighbors[at].1,
            by: [found[at].log_ratio],
            weight: found[at].voxels.max(1.0).sqrt(),
        })
        .collect();
    least_squares(n, &links).into_iter().map(|[log]| log).collect()
}

/// "3 low correlation, 1 little tissue".
fn tally(verdicts: &[Verdict]) -> String {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for verdict in verdicts {
        *counts.entry(verdict.to_string()).or_default() += 1;
    }
    counts.iter().map(|(name, count)| format!("{count} {name}")).collect::<Vec<_>>().join(", ")
}

fn warnings(tiles: &[Tile], placed: &[bool], group: &[usize], verdicts: &[Verdict]) -> Vec<String> {
    let mut out = Vec::new();
    let wrong = verdicts.iter().filter(|&&verdict| verdict == Verdict::Contradicts).count();
    if wrong > 0 {
        out.push(format!("{wrong} of {} pairs contradict the others and were dropped", verdicts.len()));
    }
    let lost: Vec<usize> = (0..tiles.len()).filter(|&at| !placed[at]).collect();
    if !lost.is_empty() {
        let names: Vec<String> =
            lost.iter().take(5).map(|&at| format!("{at} ({})", tiles[at].volume.info().name)).collect();
        let more = if lost.len() > 5 { ", ..." } else { "" };
        out.push(format!(
            "{} of {} tiles have no pair that can be believed and lie as they were said to beside their neighbours: {}{more}",
            lost.len(),
            tiles.len(),
            names.join(", ")
        ));
    }
    let mut several: Vec<usize> = (0..tiles.len()).filter(|&at| placed[at]).map(|at| group[at]).collect();
    several.sort_unstable();
    several.dedup();
    if several.len() > 1 {
        out.push(format!(
            "{} groups of tiles lie to each other as they were said to: no pair connects them",
            several.len()
        ));
    }
    out
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Used => "used",
            Self::LittleTissue => "little tissue",
            Self::LowCorrelation => "low correlation",
            Self::AtBorder => "at the border of the search",
            Self::Ambiguous => "ambiguous",
            Self::Contradicts => "contradicts",
        })
    }
}

/// How well the parts fit together, over all pairs that are used.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Pairs that were compared.
    pub pairs: usize,
    /// Pairs that are used.
    pub used: usize,
    /// Median and largest residual in micrometres.
    pub residual: Option<[f64; 2]>,
    /// Median and largest closure of a loop in micrometres.
    pub closure: Option<[f64; 2]>,
    /// Median and largest step in intensity in percent as the tiles come.
    pub step_before: Option<[f64; 2]>,
    /// The same with the gains.
    pub step_after: Option<[f64; 2]>,
    /// Median and largest distance in micrometres between where a tile lies and where it was said to lie.
    pub moved: [f64; 2],
}

impl Stitching {
    /// The numbers in short.
    pub fn summary(&self) -> Summary {
        let length = |by: &[f64; 3]| by.iter().map(|x| x * x).sum::<f64>().sqrt();
        let spread = |mut all: Vec<f64>| {
            all.sort_by(f64::total_cmp);
            Some([*all.get(all.len() / 2)?, *all.last()?])
        };
        let used = || self.pairs.iter().filter(|pair| pair.verdict == Verdict::Used);
        let moved = self.nominal.iter().zip(&self.positions);
        let moved = moved.map(|(from, to)| length(&std::array::from_fn(|x| to[x] - from[x]))).collect();
        Summary {
            pairs: self.pairs.len(),
            used: used().count(),
            residual: spread(used().filter_map(|pair| pair.residual.as_ref().map(length)).collect()),
            closure: spread(used().filter_map(|pair| pair.closure.as_ref().map(length)).collect()),
            step_before: spread(used().filter_map(|pair| pair.step_before).collect()),
            step_after: spread(used().filter_map(|pair| pair.step_after).collect()),
            moved: spread(moved).unwrap_or_default(),
        }
    }

    /// The tiles where they lie, with their gains.
    ///
    /// # Errors
    /// As [`Fused::new`].
    pub fn fuse(&self, tiles: &[Tile], options: &FuseOptions) -> Result<Fused> {
        if tiles.len() != self.positions.len() {
            let expected = format!("the {} tiles that were stitched", self.positions.len());
            return Err(Error::parameter("tiles", expected, tiles.len()));
        }
        let placed: Vec<Tile> = tiles
            .iter()
            .zip(&self.positions)
            .map(|(tile, &position)| Tile { volume: tile.volume.clone(), position })
            .collect();
        Fused::new(&placed, &self.gains, self.dark, Spacing::new(self.spacing)?, options)
    }
}
