//! From a few sure pairs to pairs everywhere: each next cell is placed by the pairs about it.
//!
//! Where a cell should lie follows from a local affine fit to its neighbours that have a partner; the fixed cell found there
//! becomes its partner. So pairs spread from the seed outwards and follow bends that no single map has. Pairs that their
//! neighbours do not bear out are given up again.

use rayon::prelude::*;
use zensaibo_core::{Ctx, Result};

use crate::cloud::{Point, square};
use crate::linear::{Linear, Pairs};
use crate::scene::Scene;

/// Neighbours by which a cell is placed, and how many of them must have partners.
const NEAR: usize = 32;
const NEEDED: usize = 6;
/// Rounds at most, and rounds in which a young pair is looked at again.
const ROUNDS: usize = 1000;
const YOUNG: u32 = 3;
/// Where the second nearest fixed cell is less than this many times as far as the nearest, none is taken.
const CLEAR: f64 = 1.4;
/// Least number of pairs, and share of the cells tried that found one, for pairs to count as spreading.
const LEAST: usize = 16;
const SPREADING: f64 = 0.35;

/// The nearest moving cells of each moving cell.
pub(crate) struct Neighbors {
    lists: Vec<Vec<u32>>,
}

impl Neighbors {
    pub(crate) fn new(points: &[Point]) -> Self {
        let tree = crate::cloud::tree(points);
        let k = NEAR.min(points.len() - 1);
        let lists = points
            .par_iter()
            .with_min_len(256)
            .enumerate()
            .map_init(Vec::new, |best, (own, place)| {
                tree.nearest(place, k + 1, f64::INFINITY, None, best);
                best.iter().map(|found| found.1).filter(|&at| at as usize != own).take(k).collect()
            })
            .collect();
        Self { lists }
    }

    pub(crate) fn of(&self, own: usize) -> &[u32] {
        &self.lists[own]
    }
}

/// Pairs that spread from a seed.
pub(crate) struct Grown {
    /// Partner of each moving cell.
    pub(crate) pairs: Vec<Option<u32>>,
    /// Cells tried beyond the seed, and those that found a partner.
    tried: usize,
    hits: usize,
}

impl Grown {
    pub(crate) fn count(&self) -> usize {
        self.pairs.iter().flatten().count()
    }

    /// Whether pairs spread as they do from a right beginning, and not as they do by chance.
    pub(crate) fn holds(&self) -> bool {
        self.count() >= LEAST && self.hits as f64 >= SPREADING * self.tried as f64
    }
}

/// Pairs of the moving cell `seed` and its neighbours, which `start` takes to their places.
pub(crate) fn sow(
    moving: &[Point],
    neighbors: &Neighbors,
    scene: &Scene<'_>,
    start: &Linear,
    seed: usize,
    tolerance: f64,
) -> Vec<Option<u32>> {
    let mut pairs: Vec<Option<u32>> = vec![None; moving.len()];
    let mut taken = Vec::new();
    for &own in std::iter::once(&(seed as u32)).chain(neighbors.of(seed)) {
        if let Some((_, fixed)) = scene.tree.first(&start.apply(&moving[own as usize]), tolerance * tolerance, None)
            && !taken.contains(&fixed)
        {
            pairs[own as usize] = Some(fixed);
            taken.push(fixed);
        }
    }
    pairs
}

/// Pairs that spread from those given.
pub(crate) fn grow(
    moving: &[Point],
    neighbors: &Neighbors,
    scene: &Scene<'_>,
    mut pairs: Vec<Option<u32>>,
    tolerance: f64,
    ctx: &Ctx,
) -> Result<Grown> {
    let limit = tolerance * tolerance;
    let n = moving.len();
    let mut taken = vec![false; scene.points.len()];
    pairs.iter().flatten().for_each(|&fixed| taken[fixed as usize] = true);
    let mut age = vec![0u32; n];
    // With how many partners about it a cell was tried last, in vain.
    let mut vain = vec![0u32; n];
    let mut active: Vec<u32> = (0..n as u32).filter(|&own| pairs[own as usize].is_some()).collect();
    let (mut tried, mut hits) = (0, 0);
    let mut young = active.clone();
    for _ in 0..ROUNDS {
        ctx.check()?;
        // Cells next to pairs that are new.
        let mut edge: Vec<u32> = active.iter().flat_map(|&own| neighbors.of(own as usize)).copied().collect();
        edge.sort_unstable();
        edge.dedup();
        edge.retain(|&own| pairs[own as usize].is_none());
        let placed: Vec<Option<(Point, u32)>> =
            edge.par_iter().with_min_len(64).map(|&own| place(own, moving, neighbors, scene, &pairs)).collect();
        let mut wanted: Vec<(f64, u32, u32)> = Vec::new();
        for (&own, placed) in edge.iter().zip(&placed) {
            let Some((there, about)) = placed else { continue };
            if *about <= vain[own as usize] {
                continue;
            }
            if vain[own as usize] == 0 {
                tried += 1;
            }
            vain[own as usize] = *about;
            if let Some((squared, fixed)) = clear(scene, there, limit) {
                wanted.push((squared, own, fixed));
            }
        }
        wanted.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        active.clear();
        for (_, own, fixed) in wanted {
            if !taken[fixed as usize] {
                (pairs[own as usize], taken[fixed as usize], age[own as usize]) = (Some(fixed), true, 0);
                active.push(own);
                hits += 1;
            }
        }
        // Young pairs must be borne out by those about them.
        young.extend(&active);
        let off: Vec<bool> = young
            .par_iter()
            .with_min_len(64)
            .map(|&own| {
                let (Some(fixed), Some((there, _))) =
                    (pairs[own as usize], place(own, moving, neighbors, scene, &pairs))
                else {
                    return false;
                };
                square(&there, &scene.points[fixed as usize]) > 1.5 * 1.5 * limit
            })
            .collect();
        for (&own, off) in young.iter().zip(off) {
            if off && let Some(fixed) = pairs[own as usize].take() {
                taken[fixed as usize] = false;
            }
            age[own as usize] += 1;
        }
        young.retain(|&own| pairs[own as usize].is_some() && age[own as usize] < YOUNG);
        if active.is_empty() {
            break;
        }
    }
    hits = hits.min(pairs.iter().flatten().count());
    Ok(Grown { pairs, tried, hits })
}

/// Where the pairs about a moving cell place it, and how many they are.
fn place(
    own: u32,
    moving: &[Point],
    neighbors: &Neighbors,
    scene: &Scene<'_>,
    pairs: &[Option<u32>],
) -> Option<(Point, u32)> {
    let here = &moving[own as usize];
    let near = neighbors.of(own as usize);
    let width = near.last().map_or(0.0, |&last| square(&moving[last as usize], here)).max(f64::MIN_POSITIVE);
    let mut sums = Pairs::default();
    let mut about = 0;
    for &other in near {
        if let Some(fixed) = pairs[other as usize] {
            let weight = (-2.0 * square(&moving[other as usize], here) / width).exp();
            sums.add(&moving[other as usize], &scene.points[fixed as usize], weight);
            about += 1;
        }
    }
    if about < NEEDED as u32 {
        return None;
    }
    // Drawn to the similarity of the same pairs, so that a few of them do not shear it.
    let stiff = sums.similarity(scene.dimensions, true, false)?;
    let map = sums.affine(scene.dimensions, 2.0 * width, &stiff)?;
    Some((map.apply(here), about))
}

/// The fixed cell at a place, unless another is nearly as near.
fn clear(scene: &Scene<'_>, place: &Point, limit: f64) -> Option<(f64, u32)> {
    let mut best = Vec::with_capacity(3);
    scene.tree.nearest(place, 2, CLEAR * CLEAR * limit, None, &mut best);
    let first = *best.first()?;
    let alone = best.get(1).is_none_or(|second| second.0 > CLEAR * CLEAR * first.0);
    (first.0 <= limit && alone).then_some(first)
}
