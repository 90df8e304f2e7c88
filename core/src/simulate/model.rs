//! The model behind a simulation, and the cells that it yields.

use std::ops::Range;

use super::draw::{Alias, log_series, poisson};
use super::genes::{self, MITOCHONDRIAL};
use super::options::{SimulateOptions, Template};
use super::pbmc;
use crate::matrix::{RowBlock, RowBlocks, Scratch, rows_per_block};
use crate::options::Options;
use crate::random::Stream;
use crate::{Error, Result};

/// What a gene does in the simulation, beside being expressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GeneRole {
    /// Nothing that differs between types.
    Background,
    /// Rises in one type.
    TypeMarker(usize),
    /// Rises in all types of one lineage.
    LineageMarker(usize),
    /// Rises along one trajectory.
    Trajectory(usize),
    /// On the mitochondrial genome.
    Mitochondrial,
}

/// The truth about one cell.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cell {
    /// Its type.
    pub cell_type: usize,
    /// Its batch.
    pub batch: usize,
    /// The type of the second cell, of a doublet.
    pub doublet_of: Option<usize>,
    /// How far along its trajectory the cell is, 0 to 1; none in types without one.
    pub pseudotime: Option<f64>,
    /// Its depth relative to the median.
    pub depth: f64,
    /// Its mitochondrial activity relative to the median.
    mito: f64,
    /// Depth of the second cell of a doublet.
    second_depth: f64,
}

/// Profile of one type (or the end of its trajectory) in one batch.
struct Profile {
    /// Where bursts fall; the total is their expected number at median depth.
    bursts: Alias,
    /// For each gene: (p, ln(1 - p)) of the size of a burst.
    sizes: Vec<(f32, f32)>,
}

/// A simulated data set, made block by block as it is read.
pub struct Simulation {
    options: SimulateOptions,
    types: Vec<(String, usize)>,
    lineages: Vec<String>,
    shares: Alias,
    names: Vec<String>,
    roles: Vec<GeneRole>,
    /// For each type, its trajectory.
    trajectory_of: Vec<Option<usize>>,
    /// `[batch * (types + trajectories) + type or types + trajectory]`.
    profiles: Vec<Profile>,
    /// Mitochondrial genes and the burst profile over them.
    mito_genes: Vec<u32>,
    mito: Profile,
}

/// Streams beyond those of cells, which are numbered from 0.
const MODEL_STREAM: u64 = u64::MAX;

impl Simulation {
    /// Builds the model: types, programs, batch factors. Memory: 16 bytes per gene for each type (and
    /// trajectory) in each batch.
    ///
    /// # Errors
    /// [`Error::Parameter`] for bad options, also when no distribution of expression reaches `genes_per_cell`.
    pub fn new(options: &SimulateOptions) -> Result<Self> {
        options.validate()?;
        let n = options.n_vars;
        let mut stream = Stream::new(options.seed, MODEL_STREAM);
        let names = genes::names(n, &mut stream);
        let (types, lineages, shares) = kinds(options);
        let roles = roles(options, &names, &types, &mut stream);
        let trajectory_of = trajectories(options, types.len());
        let base = base_means(options, &names, &roles, &mut stream)?;
        let ln2 = std::f64::consts::LN_2;
        // Logarithm of the factor of each gene in its role; known markers of the template rise the most.
        let folds: Vec<f64> = (0..n)
            .map(|gene| {
                let drawn = (options.marker_fold + 0.5 * stream.normal()).max(0.0) * ln2;
                match roles[gene] {
                    GeneRole::TypeMarker(_) if known(options, &names[gene]) => drawn + 2.5 * ln2,
                    GeneRole::LineageMarker(_) if known(options, &names[gene]) => drawn + 1.5 * ln2,
                    GeneRole::TypeMarker(_) => drawn,
                    GeneRole::LineageMarker(_) => 0.8 * drawn,
                    GeneRole::Trajectory(_) => 0.6 * drawn,
                    _ => 0.0,
                }
            })
            .collect();
        let shape = 1.0 / options.dispersion;
        let is_mito = |gene: usize| roles[gene] == GeneRole::Mitochondrial;
        let mut profiles = Vec::new();
        for batch in 0..options.n_batches {
            let mut factors = Stream::new(options.seed, MODEL_STREAM - 1 - batch as u64);
            let batch_factor: Vec<f64> = (0..n).map(|_| (options.batch_effect * factors.normal()).exp()).collect();
            let ends = trajectory_of.iter().enumerate().filter_map(|(kind, path)| path.map(|path| (kind, Some(path))));
            let starts = (0..types.len()).map(|kind| (kind, None));
            for (kind, path) in starts.chain(ends) {
                let mut means: Vec<f64> = (0..n)
                    .map(|gene| {
                        let up = match roles[gene] {
                            GeneRole::TypeMarker(of) => of == kind,
                            GeneRole::LineageMarker(of) => of == types[kind].1,
                            GeneRole::Trajectory(of) => Some(of) == path,
                            GeneRole::Background | GeneRole::Mitochondrial => false,
                        };
                        if is_mito(gene) {
                            0.0
                        } else {
                            base[gene] * batch_factor[gene] * if up { folds[gene].exp() } else { 1.0 }
                        }
                    })
                    .collect();
                let scale = options.umi_per_cell * (1.0 - options.mito_fraction) / means.iter().sum::<f64>();
                means.iter_mut().for_each(|mean| *mean *= scale);
                profiles.push(profile(&means, shape));
            }
        }
        let mito_genes: Vec<u32> = (0..n).filter(|&gene| is_mito(gene)).map(|gene| gene as u32).collect();
        let even = options.umi_per_cell * options.mito_fraction / mito_genes.len().max(1) as f64;
        let mito = profile(&vec![even; mito_genes.len().max(1)], 20.0 * shape);
        Ok(Self {
            options: options.clone(),
            types,
            lineages,
            shares,
            names,
            roles,
            trajectory_of,
            profiles,
            mito_genes,
            mito,
        })
    }

    /// Names of the cell types.
    pub fn type_names(&self) -> impl Iterator<Item = &str> {
        self.types.iter().map(|(name, _)| name.as_str())
    }

    /// Names of the lineages.
    pub fn lineage_names(&self) -> &[String] {
        &self.lineages
    }

    /// Lineage of a cell type.
    pub fn lineage_of(&self, cell_type: usize) -> usize {
        self.types[cell_type].1
    }

    /// Trajectory of a cell type, if it has one.
    pub fn trajectory_of(&self, cell_type: usize) -> Option<usize> {
        self.trajectory_of[cell_type]
    }

    /// Names of the genes, all different.
    pub fn gene_names(&self) -> &[String] {
        &self.names
    }

    /// Role of each gene.
    pub fn roles(&self) -> &[GeneRole] {
        &self.roles
    }

    /// The truth about cell `index`.
    pub fn cell(&self, index: usize) -> Cell {
        self.draw_cell(index).0
    }

    fn draw_cell(&self, index: usize) -> (Cell, Stream) {
        let o = &self.options;
        let mut stream = Stream::new(o.seed, index as u64);
        let cell_type = self.shares.pick(&mut stream) as usize;
        let batch = stream.below(o.n_batches as u64) as usize;
        let time = stream.uniform();
        let depth = (o.depth_sd * stream.normal()).exp();
        let mito = (0.35 * stream.normal()).exp();
        let doublet = stream.uniform() < o.doublet_rate;
        let other = self.shares.pick(&mut stream) as usize;
        let second_depth = (o.depth_sd * stream.normal()).exp();
        let cell = Cell {
            cell_type,
            batch,
            doublet_of: doublet.then_some(other),
            pseudotime: self.trajectory_of[cell_type].map(|_| time),
            depth,
            mito,
            second_depth,
        };
        (cell, stream)
    }

    /// Adds one cell's counts to `counts`, and the genes that were zero before to `touched`.
    fn count(&self, index: usize, counts: &mut [u32], touched: &mut Vec<u32>) {
        let (cell, mut stream) = self.draw_cell(index);
        let per_batch = self.types.len() + self.trajectory_of.iter().flatten().count();
        let at = |kind: usize| &self.profiles[cell.batch * per_batch + kind];
        let mut add = |gene: u32, size: u32| {
            let count = &mut counts[gene as usize];
            if *count == 0 {
                touched.push(gene);
            }
            *count = count.saturating_add(size);
        };
        let mut fall = |profile: &Profile, depth: f64, stream: &mut Stream| {
            for _ in 0..poisson(stream, depth * profile.bursts.total) {
                let gene = profile.bursts.pick(stream);
                let (p, ln_q) = profile.sizes[gene as usize];
                add(gene, log_series(stream, f64::from(p), f64::from(ln_q)));
            }
        };
        let mut one = |kind: usize, time: Option<f64>, depth: f64, stream: &mut Stream| {
            match (time, self.trajectory_of[kind]) {
                // Between the two ends of a trajectory rates are mixed, so each end yields its share of bursts.
                (Some(time), Some(path)) => {
                    fall(at(kind), depth * (1.0 - time), stream);
                    fall(at(self.types.len() + path), depth * time, stream);
                }
                _ => fall(at(kind), depth, stream),
            }
        };
        one(cell.cell_type, cell.pseudotime, cell.depth, &mut stream);
        if let Some(other) = cell.doublet_of {
            one(other, None, cell.second_depth, &mut stream);
        }
        if !self.mito_genes.is_empty() && self.options.mito_fraction > 0.0 {
            let depth = cell.depth + if cell.doublet_of.is_some() { cell.second_depth } else { 0.0 };
            for _ in 0..poisson(&mut stream, depth * cell.mito * self.mito.bursts.total) {
                let gene = self.mito.bursts.pick(&mut stream);
                let (p, ln_q) = self.mito.sizes[gene as usize];
                add(self.mito_genes[gene as usize], log_series(&mut stream, f64::from(p), f64::from(ln_q)));
            }
        }
    }
}

/// Burst rates and sizes of negative binomial counts with the given means and shape.
fn profile(means: &[f64], shape: f64) -> Profile {
    let rates: Vec<f64> = means.iter().map(|mean| shape * (mean / shape).ln_1p()).collect();
    let sizes = means
        .iter()
        .map(|mean| {
            let p = mean / (mean + shape);
            (p as f32, (-p).ln_1p() as f32)
        })
        .collect();
    Profile { bursts: Alias::new(&rates), sizes }
}

/// (types with their lineages, lineages, shares of the types).
fn kinds(options: &SimulateOptions) -> (Vec<(String, usize)>, Vec<String>, Alias) {
    match options.template {
        Template::Pbmc => (
            pbmc::TYPES.iter().map(|(name, lineage, ..)| (name.to_string(), *lineage)).collect(),
            pbmc::LINEAGES.iter().map(|(name, _)| name.to_string()).collect(),
            Alias::new(&pbmc::TYPES.map(|kind| kind.2)),
        ),
        Template::Atlas => {
            let n = options.n_types;
            // Types of all sizes in every lineage: dealt out in turn.
            let types = (0..n).map(|kind| (format!("type{kind:02}"), kind % options.n_lineages)).collect();
            let step = if n > 1 { 50f64.powf(-1.0 / (n - 1) as f64) } else { 1.0 };
            let shares: Vec<f64> = (0..n).map(|kind| step.powi(kind as i32)).collect();
            (types, (0..options.n_lineages).map(|lineage| format!("lineage{lineage}")).collect(), Alias::new(&shares))
        }
    }
}

/// Which types have trajectories: spread evenly over the types, from the largest.
fn trajectories(options: &SimulateOptions, n_types: usize) -> Vec<Option<usize>> {
    let mut of = vec![None; n_types];
    for path in 0..options.n_trajectories {
        of[path * n_types / options.n_trajectories] = Some(path);
    }
    of
}

/// Whether the template names this gene as a marker.
fn known(options: &SimulateOptions, name: &str) -> bool {
    options.template == Template::Pbmc
        && (pbmc::TYPES.iter().any(|kind| kind.3.contains(&name)) || pbmc::LINEAGES.iter().any(|l| l.1.contains(&name)))
}

/// Deals out roles: one gene in 200 marks each type, one in 200 each lineage, one in 400 each trajectory (fewer
/// when that would take more than half of the genes).
fn roles(options: &SimulateOptions, names: &[String], types: &[(String, usize)], stream: &mut Stream) -> Vec<GeneRole> {
    let n = names.len();
    let n_lineages = types.iter().map(|kind| kind.1 + 1).max().unwrap_or(0);
    let mut roles = vec![GeneRole::Background; n];
    let mut free: Vec<usize> = Vec::new();
    for (gene, name) in names.iter().enumerate() {
        if MITOCHONDRIAL.contains(&name.as_str()) {
            roles[gene] = GeneRole::Mitochondrial;
        } else if known(options, name) {
            if let Some(kind) = pbmc::TYPES.iter().position(|kind| kind.3.contains(&name.as_str())) {
                roles[gene] = GeneRole::TypeMarker(kind);
            } else if let Some(lineage) = pbmc::LINEAGES.iter().position(|l| l.1.contains(&name.as_str())) {
                roles[gene] = GeneRole::LineageMarker(lineage);
            }
        } else if !genes::is_ribosomal(name) {
            free.push(gene);
        }
    }
    stream.shuffle(&mut free);
    let wanted = types.len() * (n / 200) + n_lineages * (n / 200) + options.n_trajectories * (n / 400);
    let fit = (free.len() as f64 * 0.5 / wanted.max(1) as f64).min(1.0);
    let size = |share: usize| ((n / share) as f64 * fit) as usize;
    let mut next = free.into_iter();
    let mut deal = |count: usize, role: GeneRole| next.by_ref().take(count).for_each(|gene| roles[gene] = role);
    (0..types.len()).for_each(|kind| deal(size(200), GeneRole::TypeMarker(kind)));
    (0..n_lineages).for_each(|lineage| deal(size(200), GeneRole::LineageMarker(lineage)));
    (0..options.n_trajectories).for_each(|path| deal(size(400), GeneRole::Trajectory(path)));
    roles
}

/// Mean counts of a cell that is of no type at median depth: log-normal over genes, as uneven as it takes for
/// `genes_per_cell` of them to be seen; ribosomal genes among the highest.
fn base_means(
    options: &SimulateOptions,
    names: &[String],
    roles: &[GeneRole],
    stream: &mut Stream,
) -> Result<Vec<f64>> {
    let levels: Vec<f64> = (0..names.len())
        .map(|gene| {
            let drawn = stream.normal();
            match roles[gene] {
                // Seen in the type that they mark, rare elsewhere.
                GeneRole::TypeMarker(_) if known(options, &names[gene]) => 0.5 + 0.2 * drawn,
                GeneRole::LineageMarker(_) if known(options, &names[gene]) => 0.7 + 0.2 * drawn,
                GeneRole::TypeMarker(_) | GeneRole::LineageMarker(_) | GeneRole::Trajectory(_) => 0.2 + 0.6 * drawn,
                _ if genes::is_ribosomal(&names[gene]) => 2.2 + 0.3 * drawn,
                _ => drawn,
            }
        })
        .collect();
    let shape = 1.0 / options.dispersion;
    let means = |spread: f64| -> Vec<f64> {
        let raw: Vec<f64> = levels
            .iter()
            .zip(roles)
            .map(|(level, role)| if *role == GeneRole::Mitochondrial { 0.0 } else { (spread * level).exp() })
            .collect();
        let scale = options.umi_per_cell * (1.0 - options.mito_fraction) / raw.iter().sum::<f64>();
        raw.into_iter().map(|mean| mean * scale).collect()
    };
    let seen = |spread: f64| -> f64 {
        let nuclear: f64 = means(spread).iter().map(|mean| 1.0 - (-shape * (mean / shape).ln_1p()).exp()).sum();
        nuclear + if options.mito_fraction > 0.0 { MITOCHONDRIAL.len() as f64 } else { 0.0 }
    };
    // More spread, fewer genes seen: halve the interval.
    let (mut low, mut high) = (0.0, 6.0);
    if !(seen(high)..=seen(low)).contains(&options.genes_per_cell) {
        let expected = format!(
            "{:.0} to {:.0} with {} genes and {} transcripts per cell",
            seen(high).ceil(),
            seen(low).floor(),
            options.n_vars,
            options.umi_per_cell
        );
        return Err(Error::parameter("genes_per_cell", expected, options.genes_per_cell));
    }
    for _ in 0..50 {
        let middle = 0.5 * (low + high);
        if seen(middle) > options.genes_per_cell { low = middle } else { high = middle }
    }
    Ok(means(0.5 * (low + high)))
}

impl RowBlocks for Simulation {
    fn n_rows(&self) -> usize {
        self.options.n_obs
    }
    fn n_cols(&self) -> usize {
        self.options.n_vars
    }
    /// An estimate: what is not drawn yet cannot be counted.
    fn n_entries(&self) -> usize {
        (self.options.genes_per_cell * 1.1) as usize * self.options.n_obs
    }
    fn n_blocks(&self) -> usize {
        self.options.n_obs.div_ceil(rows_per_block(self.options.n_obs, self.n_entries()))
    }
    fn block_rows(&self, block: usize) -> Range<usize> {
        let size = rows_per_block(self.options.n_obs, self.n_entries());
        block * size..((block + 1) * size).min(self.options.n_obs)
    }
    fn read<'a>(&'a self, block: usize, scratch: &'a mut Scratch) -> Result<RowBlock<'a>> {
        let rows = self.block_rows(block);
        let first = rows.start;
        let mut counts = vec![0u32; self.options.n_vars];
        let mut touched = Vec::new();
        scratch.begin();
        for cell in rows {
            touched.clear();
            self.count(cell, &mut counts, &mut touched);
            touched.sort_unstable();
            for &gene in &touched {
                scratch.indices.push(gene);
                scratch.values.push(std::mem::take(&mut counts[gene as usize]) as f32);
            }
            scratch.end_row();
        }
        Ok(scratch.as_block(first, self.options.n_vars))
    }
}
