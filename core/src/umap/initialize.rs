//! Where the layout starts.

use super::options::{InitPos, UmapOptions};
use super::spectral::{SpectralLimits, spectral_vectors};
use crate::graph::Graph;
use crate::random::Stream;
use crate::{Ctx, DataFault, Error, Result};

/// Width of the starting layout along each axis.
const WIDTH: f32 = 10.0;
/// Seeds of the different uses are kept apart.
const SEED_RANDOM: u64 = 0x7261_6e64;
const SEED_NOISE: u64 = 0x6e6f_6973;
const SEED_PARTS: u64 = 0x7061_7274;

/// Starting positions, n x `n_components`, each axis spanning 0 to 10.
///
/// Spectral: eigenvectors of the normalised Laplacian scaled to at most 10, plus normal noise of 1e-4 so that
/// no two vertices coincide. Each connected part is laid out by itself, in an area that grows with its
/// number of vertices; the largest lies in the middle, the others around it.
///
/// # Errors
/// [`Error::Interrupted`].
pub fn initial_positions(graph: &Graph, options: &UmapOptions, ctx: &Ctx) -> Result<Vec<f32>> {
    let (n, d) = (graph.n, options.n_components);
    let mut positions = match options.init_pos {
        InitPos::Random => (0..n)
            .flat_map(|vertex| {
                let mut stream = Stream::new(options.seed ^ SEED_RANDOM, vertex as u64);
                (0..d).map(move |_| (20.0 * stream.uniform() - 10.0) as f32)
            })
            .collect(),
        InitPos::Spectral => {
            let stage = ctx.stage("umap: spectral initialisation", 1);
            let mut positions = spectral(graph, d, options.seed, &ctx.silent())?;
            stage.advance(1)?;
            let largest = positions.iter().fold(0f32, |best, x| best.max(x.abs()));
            let factor = if largest > 0.0 { 10.0 / largest } else { 1.0 };
            positions.iter_mut().for_each(|x| *x *= factor);
            add_noise(&mut positions, d, options.seed, 1e-4);
            positions
        }
    };
    rescale(&mut positions, d);
    Ok(positions)
}

/// Positions handed in, made ready: each axis brought to 0 to 10, coinciding vertices moved apart by a hair.
///
/// # Errors
/// [`Error::Data`] for another length or values that are not finite.
pub fn given_positions(graph: &Graph, given: &[f32], options: &UmapOptions) -> Result<Vec<f32>> {
    let d = options.n_components;
    if given.len() != graph.n * d {
        let expected = format!("{} vertices x {d} coordinates", graph.n);
        return Err(Error::data(DataFault::Shape, "initial positions", expected, format!("{} values", given.len())));
    }
    if let Some(place) = given.iter().position(|value| !value.is_finite()) {
        let found = format!("{} at vertex {}", given[place], place / d);
        return Err(Error::data(DataFault::NotFinite, "initial positions", "finite values", found));
    }
    let mut positions = given.to_vec();
    rescale(&mut positions, d);
    let mut rows: Vec<&[f32]> = positions.chunks_exact(d).collect();
    rows.sort_by(|a, b| {
        a.iter().zip(*b).map(|(x, y)| x.total_cmp(y)).find(|o| o.is_ne()).unwrap_or(std::cmp::Ordering::Equal)
    });
    if rows.windows(2).any(|pair| pair[0] == pair[1]) {
        add_noise(&mut positions, d, options.seed, 1e-3);
    }
    Ok(positions)
}

fn add_noise(positions: &mut [f32], d: usize, seed: u64, scale: f64) {
    for (vertex, row) in positions.chunks_exact_mut(d).enumerate() {
        let mut stream = Stream::new(seed ^ SEED_NOISE, vertex as u64);
        row.iter_mut().for_each(|x| *x += (scale * stream.normal()) as f32);
    }
}

/// Brings each axis to 0 to [`WIDTH`]; an axis without extent becomes 0.
fn rescale(positions: &mut [f32], d: usize) {
    for axis in 0..d {
        let values = || positions.iter().skip(axis).step_by(d);
        let (low, high) =
            values().fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), &x| (low.min(x), high.max(x)));
        // Halved, so that a range beyond the largest f32 does not overflow.
        let half = high / 2.0 - low / 2.0;
        positions.iter_mut().skip(axis).step_by(d).for_each(|x| {
            *x = if half > 0.0 { WIDTH * ((*x / 2.0 - low / 2.0) / half) } else { 0.0 };
        });
    }
}

/// Unscaled spectral positions of all connected parts.
fn spectral(graph: &Graph, d: usize, seed: u64, ctx: &Ctx) -> Result<Vec<f32>> {
    let parts = graph.components();
    if parts.count <= 1 {
        return part_positions(graph, d, seed, ctx);
    }
    let mut members: Vec<Vec<u32>> = vec![Vec::new(); parts.count];
    parts.labels.iter().enumerate().for_each(|(vertex, &part)| members[part as usize].push(vertex as u32));
    members.sort_by_key(|vertices| (std::cmp::Reverse(vertices.len()), vertices.first().copied()));

    let mut positions = vec![0f32; graph.n * d];
    let mut local = vec![0u32; graph.n];
    let mut placed = 0usize;
    for (rank, vertices) in members.iter().enumerate() {
        ctx.check()?;
        for (index, &vertex) in vertices.iter().enumerate() {
            local[vertex as usize] = index as u32;
        }
        let own = part_positions(&subgraph(graph, vertices, &local)?, d, seed.wrapping_add(rank as u64), ctx)?;
        let radius = |row: &[f32]| row.iter().map(|x| x * x).sum::<f32>().sqrt();
        let largest = own.chunks_exact(d).map(radius).fold(f32::MIN_POSITIVE, f32::max);
        let extent = 0.4 * (vertices.len() as f64).powf(1.0 / d as f64);
        let centre = centre_of_part(rank, placed, d, seed);
        for (&vertex, row) in vertices.iter().zip(own.chunks_exact(d)) {
            for axis in 0..d {
                let inside = f64::from(row[axis] / largest) * extent;
                positions[vertex as usize * d + axis] = (centre[axis] + inside) as f32;
            }
        }
        placed += vertices.len();
    }
    Ok(positions)
}

/// Middle of the part that comes after `placed` vertices in larger parts: as far out as those need room, in a
/// direction of its own (golden angle in the plane).
fn centre_of_part(rank: usize, placed: usize, d: usize, seed: u64) -> Vec<f64> {
    let radius = (placed as f64).powf(1.0 / d as f64);
    match d {
        1 => vec![if rank.is_multiple_of(2) { radius } else { -radius }],
        2 => {
            let angle = rank as f64 * std::f64::consts::PI * (3.0 - 5f64.sqrt());
            vec![radius * angle.cos(), radius * angle.sin()]
        }
        _ => {
            let mut stream = Stream::new(seed ^ SEED_PARTS, rank as u64);
            let direction: Vec<f64> = (0..d).map(|_| stream.normal()).collect();
            let length = direction.iter().map(|x| x * x).sum::<f64>().sqrt().max(1e-300);
            direction.iter().map(|x| radius * x / length).collect()
        }
    }
}

/// Positions of one connected part; random where it has too few vertices for `d` eigenvectors.
fn part_positions(graph: &Graph, d: usize, seed: u64, ctx: &Ctx) -> Result<Vec<f32>> {
    let n = graph.n;
    if n <= d + 1 {
        return Ok((0..n)
            .flat_map(|vertex| {
                let mut stream = Stream::new(seed ^ SEED_PARTS, vertex as u64);
                (0..d).map(move |_| (2.0 * stream.uniform() - 1.0) as f32)
            })
            .collect());
    }
    let vectors = spectral_vectors(graph, d, seed, SpectralLimits::for_layout(n), ctx)?.vectors;
    if vectors.iter().any(|value| !value.is_finite()) {
        return Err(Error::Internal("the spectral start of the layout holds values that are not finite".into()));
    }
    Ok(vectors)
}

/// The graph among `vertices` (a whole connected part); `local` holds their new numbers.
fn subgraph(graph: &Graph, vertices: &[u32], local: &[u32]) -> Result<Graph> {
    let (mut indptr, mut indices, mut weights) = (vec![0u64], Vec::new(), Vec::new());
    for &vertex in vertices {
        let (targets, values) = graph.row(vertex as usize);
        // Edges of weight 0 may lead to other parts.
        for (&target, &weight) in targets.iter().zip(values).filter(|&(_, &weight)| weight > 0.0) {
            indices.push(local[target as usize]);
            weights.push(weight);
        }
        indptr.push(indices.len() as u64);
    }
    Graph::new(vertices.len(), indptr, indices, weights)
}
