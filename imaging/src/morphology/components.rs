//! Connected components over blocks of lines.

use zensaibo_core::data::{Dtype, Frame, Region, VolumeBlocks, VolumeSink};
use zensaibo_core::options::Options;
use zensaibo_core::{Ctx, DataFault, Error, Result};

use super::options::LabelOptions;
use super::runs::{Index, Runs, Sets, earlier, touching};
use crate::blocks::{DEFAULT_MEMORY, Plan, map_blocks};

/// The components of one frame: found, counted, ready to be written.
pub struct Components<'a> {
    source: &'a dyn VolumeBlocks,
    frame: Frame,
    options: LabelOptions,
    plan: Plan,
    /// Runs that are kept for writing, by block; the rest is found again.
    kept: Vec<Option<Block>>,
    /// Where the components of each block begin in `numbers`.
    starts: Vec<usize>,
    /// Final number of each component of each block; 0 for those that are too small.
    numbers: Vec<u64>,
    voxels: Vec<u64>,
}

/// What is found in one block.
#[derive(Clone, Default)]
struct Block {
    runs: Runs,
    /// Component of each run, from 0, in raster order of first voxels.
    components: Vec<u32>,
    /// The first run of each component.
    first: Vec<u32>,
}

impl Block {
    fn bytes(&self) -> u64 {
        (self.runs.runs.len() * 12 + self.runs.values.len() * 8 + self.runs.lines.len() * 8 + self.first.len() * 4)
            as u64
    }

    fn read(source: &dyn VolumeBlocks, frame: Frame, region: &Region, options: &LabelOptions) -> Result<Self> {
        let info = source.info();
        let mut runs = Runs::new();
        let mut words: Vec<u64> = Vec::new();
        for part in pieces(region, info.chunk, info.dtype.size()) {
            let bytes = part.len() * info.dtype.size();
            // Words, so that voxels of any type are aligned.
            words.resize(bytes.div_ceil(8), 0);
            let voxels = &mut bytemuck::cast_slice_mut(&mut words)[..bytes];
            source.read(frame, &part, voxels)?;
            runs.add(voxels, info.dtype, region.size[2], options.by_value);
        }
        Self::find(runs, region.size, options)
    }

    /// Voxels of each component.
    fn sizes(&self) -> Vec<u64> {
        let mut sizes = vec![0u64; self.first.len()];
        for (run, &component) in self.runs.runs.iter().zip(&self.components) {
            sizes[component as usize] += u64::from(run.end - run.start);
        }
        sizes
    }

    /// Place of the first voxel of each component in a volume of `shape`.
    fn firsts(&self, region: &Region, shape: [usize; 3]) -> Vec<u64> {
        let mut line = 0;
        let place = |&run: &u32| {
            while self.runs.lines[line + 1] <= run as usize {
                line += 1;
            }
            let (z, y) = (region.start[0] + line / region.size[1], region.start[1] + line % region.size[1]);
            (z * shape[1] + y) as u64 * shape[2] as u64 + u64::from(self.runs.runs[run as usize].start)
        };
        self.first.iter().map(place).collect()
    }

    /// Labels one block on its own.
    fn find(runs: Runs, size: [usize; 3], options: &LabelOptions) -> Result<Self> {
        if runs.runs.len() > u32::MAX as usize {
            return Err(Error::Internal("more than 2^32 runs in one block".into()));
        }
        let mut sets = Sets((0..runs.runs.len() as u32).collect());
        let lines = earlier(options.connectivity);
        for z in 0..size[0] {
            for y in 0..size[1] {
                let here = runs.line(z * size[1] + y);
                if here.is_empty() {
                    continue;
                }
                for &(dz, dy, slack) in lines {
                    let (Some(z), Some(y)) = (z.checked_add_signed(dz), y.checked_add_signed(dy)) else { continue };
                    if y < size[1] {
                        let there = runs.line(z * size[1] + y);
                        touching(&runs.runs[here.clone()], &runs.runs[there.clone()], slack, |i, j| {
                            let (i, j) = (here.start + i, there.start + j);
                            if !options.by_value || runs.values[i] == runs.values[j] {
                                sets.join(i as u32, j as u32);
                            }
                        });
                    }
                }
            }
        }
        // The smallest run of a set stands for it, and comes before all others: one pass numbers them in raster order.
        let mut components = sets.0;
        let mut first = Vec::new();
        for run in 0..components.len() {
            let up = components[run] as usize;
            components[run] = if up == run {
                first.push(run as u32);
                first.len() as u32 - 1
            } else {
                components[up]
            };
        }
        Ok(Self { runs, components, first })
    }

    /// Keeps only what its neighbours may touch: the outermost lines. `components` stay those of the whole.
    fn shell(&self, size: [usize; 3]) -> Self {
        let mut shell = Self { runs: Runs::new(), ..Self::default() };
        for z in 0..size[0] {
            for y in 0..size[1] {
                if z == 0 || z + 1 == size[0] || y == 0 || y + 1 == size[1] {
                    let line = self.runs.line(z * size[1] + y);
                    shell.runs.runs.extend_from_slice(&self.runs.runs[line.clone()]);
                    shell.components.extend_from_slice(&self.components[line.clone()]);
                    if !self.runs.values.is_empty() {
                        shell.runs.values.extend_from_slice(&self.runs.values[line]);
                    }
                }
                shell.runs.lines.push(shell.runs.runs.len());
            }
        }
        shell
    }
}

impl<'a> Components<'a> {
    /// Finds the components of one frame of `source`: masks or labels of any type.
    ///
    /// Numbers run from `options.first_label` in raster order of the first voxel of each component. Nothing is
    /// random; same numbers for any memory and any number of threads. Reads every voxel once, and once more to write where
    /// the runs of the whole volume (12 bytes each, some 3 % of a typical mask) do not fit half of `memory` (bytes).
    ///
    /// # Errors
    /// What the source returns; [`Error::Parameter`] for bad options; [`Error::Limit`] when no block fits into
    /// `memory`; [`Error::Data`] for lines beyond 2^31 voxels.
    pub fn find(
        source: &'a dyn VolumeBlocks,
        frame: Frame,
        options: &LabelOptions,
        memory: Option<u64>,
        ctx: &Ctx,
    ) -> Result<Self> {
        let info = source.info();
        let plan = blocks_of_lines(info.space(), info.chunk, info.dtype.size() + 8, memory)?;
        Self::find_in(source, frame, options, plan, memory.unwrap_or(DEFAULT_MEMORY) / 2, ctx)
    }

    /// As [`Components::find`], in given blocks of whole lines and keeping at most `keep` bytes of runs.
    pub(super) fn find_in(
        source: &'a dyn VolumeBlocks,
        frame: Frame,
        options: &LabelOptions,
        plan: Plan,
        keep: u64,
        ctx: &Ctx,
    ) -> Result<Self> {
        options.validate()?;
        let shape = plan.shape();
        if shape[2] > 1 << 31 {
            return Err(Error::data(DataFault::Shape, "volume", "lines of at most 2^31 voxels along x", shape[2]));
        }
        let (mut kept, mut kept_bytes, mut shells) = (Vec::new(), 0, Vec::new());
        let (mut sizes, mut firsts, mut starts) = (Vec::<u64>::new(), Vec::<u64>::new(), vec![0]);
        map_blocks(
            &plan,
            "connected components",
            ctx,
            |region| {
                let block = Block::read(source, frame, region, options)?;
                let (sizes, firsts) = (block.sizes(), block.firsts(region, shape));
                let shell = block.shell(region.size);
                Ok((block, shell, sizes, firsts))
            },
            |_, (block, shell, block_sizes, block_firsts)| {
                sizes.extend_from_slice(&block_sizes);
                firsts.extend_from_slice(&block_firsts);
                starts.push(sizes.len());
                shells.push(shell);
                kept_bytes += block.bytes();
                kept.push((kept_bytes <= keep).then_some(block));
                Ok(())
            },
        )?;
        ctx.check()?;
        let (numbers, voxels) = if sizes.len() <= u32::MAX as usize {
            let sets = Sets((0..sizes.len() as u32).collect());
            number(sets, &plan, &shells, &starts, &sizes, &firsts, options, |i| i as u32)
        } else {
            let sets = Sets((0..sizes.len() as u64).collect());
            number(sets, &plan, &shells, &starts, &sizes, &firsts, options, |i| i as u64)
        };
        if options.first_label.checked_add(voxels.len() as u64).is_none() {
            let needed = format!("{} labels from {}", voxels.len(), options.first_label);
            return Err(Error::Limit { what: "labels".into(), needed, limit: "2^64".into() });
        }
        Ok(Self { source, frame, options: options.clone(), plan, kept, starts, numbers, voxels })
    }

    /// Components found.
    pub fn count(&self) -> u64 {
        self.voxels.len() as u64
    }

    /// Voxels of each component, in the order of their numbers.
    pub fn voxels(&self) -> &[u64] {
        &self.voxels
    }

    /// The smallest type that holds all numbers: u32, or u64 where they pass 2^32 - 1.
    pub fn dtype(&self) -> Dtype {
        let last = self.options.first_label + self.count().saturating_sub(1);
        if last <= u64::from(u32::MAX) { Dtype::U32 } else { Dtype::U64 }
    }

    /// Writes the labels into one frame of `sink`, a volume of the same extent of u32 or u64 whose chunks must not be longer
    /// along z and y than blocks fit the memory.
    ///
    /// # Errors
    /// What source and sink return; [`Error::Limit`] when the numbers do not fit the type of the sink;
    /// [`Error::Parameter`] for a sink of another extent or type.
    pub fn write(&self, frame: Frame, sink: &dyn VolumeSink, ctx: &Ctx) -> Result<()> {
        let (shape, out) = (self.plan.shape(), sink.info());
        if out.space() != shape {
            return Err(Error::parameter("sink", format!("{shape:?} voxels"), format!("{:?}", out.space())));
        }
        match (out.dtype, self.dtype()) {
            (Dtype::U32, Dtype::U32) => self.write_as(frame, sink, ctx, |number| number as u32),
            (Dtype::U64, _) => self.write_as(frame, sink, ctx, |number| number),
            (Dtype::U32, _) => Err(Error::Limit {
                what: "labels".into(),
                needed: format!("numbers up to {}", self.options.first_label + self.count() - 1),
                limit: "2^32 - 1 of uint32; write uint64".into(),
            }),
            (other, _) => Err(Error::parameter("sink", "uint32 or uint64", other.name())),
        }
    }

    fn write_as<T: bytemuck::Pod + Send + Sync>(
        &self,
        frame: Frame,
        sink: &dyn VolumeSink,
        ctx: &Ctx,
        narrow: impl Fn(u64) -> T + Sync,
    ) -> Result<()> {
        let counts = self.plan.counts();
        map_blocks(
            &self.plan,
            "writing labels",
            ctx,
            |region| {
                let index = region.start[0] / self.plan.block()[0] * counts[1] + region.start[1] / self.plan.block()[1];
                let again;
                let block = match &self.kept[index] {
                    Some(block) => block,
                    None => {
                        again = Block::read(self.source, self.frame, region, &self.options)?;
                        &again
                    }
                };
                let numbers = &self.numbers[self.starts[index]..self.starts[index + 1]];
                let (mut labels, mut line) = (Vec::new(), 0);
                for part in pieces(region, sink.info().chunk, size_of::<T>()) {
                    labels.clear();
                    labels.resize(part.len(), T::zeroed());
                    for labels in labels.chunks_exact_mut(region.size[2]) {
                        for run in block.runs.line(line) {
                            let place = block.runs.runs[run];
                            labels[place.start as usize..place.end as usize]
                                .fill(narrow(numbers[block.components[run] as usize]));
                        }
                        line += 1;
                    }
                    sink.write(frame, &part, bytemuck::cast_slice(&labels))?;
                }
                Ok(())
            },
            |_, ()| Ok(()),
        )
    }
}

/// A block of whole lines in raster order: all at once where it is stored in pieces (`chunk`), else few enough lines of a plane that
/// they stay in the second cache from one pass over them to the next.
fn pieces(region: &Region, chunk: [usize; 3], bytes_per_voxel: usize) -> Vec<Region> {
    const BYTES: usize = 128 << 10;
    if region.is_empty() {
        return Vec::new();
    }
    if chunk != [1; 3] {
        return vec![*region];
    }
    let lines = (BYTES / (region.size[2] * bytes_per_voxel)).clamp(1, region.size[1]);
    let mut all = Vec::new();
    for z in region.range(0) {
        for y in region.range(1).step_by(lines) {
            let size = [1, lines.min(region.end()[1] - y), region.size[2]];
            all.push(Region { start: [z, y, region.start[2]], size });
        }
    }
    all
}

/// Blocks of whole lines, as thick as the memory allows and as thin as gives every thread a few.
fn blocks_of_lines(shape: [usize; 3], chunk: [usize; 3], bytes_per_voxel: usize, memory: Option<u64>) -> Result<Plan> {
    let memory = memory.unwrap_or(DEFAULT_MEMORY);
    let threads = rayon::current_num_threads() as u64;
    let bytes = |z: usize, y: usize| {
        (z as u64).saturating_mul(y as u64).saturating_mul(shape[2] as u64).saturating_mul(bytes_per_voxel as u64)
    };
    // Blocks in work, and as many that wait their turn, on half of the memory; runs take the other half.
    let fits = |z: usize, y: usize| bytes(z, y).saturating_mul(4 * threads) <= memory / 2;
    let least: [usize; 2] = std::array::from_fn(|axis| chunk[axis].clamp(1, shape[axis].max(1)));
    let (mut z, mut y) = (least[0], shape[1].max(1));
    while !fits(z, y) && y > least[1] {
        y = (y / 2).next_multiple_of(least[1]).max(least[1]).min(y - 1);
        y = (y / least[1] * least[1]).max(least[1]);
    }
    if !fits(z, y) {
        return Err(Error::Limit {
            what: "memory".into(),
            needed: format!("{} MiB for one block of lines per thread", bytes(z, y).saturating_mul(8 * threads) >> 20),
            limit: format!("{} MiB", memory >> 20),
        });
    }
    // Thicker blocks have fewer faces: up to 4 MiB, as long as each thread has a few.
    while z * 2 <= shape[0].div_ceil(4 * threads as usize) && fits(z * 2, y) && bytes(z * 2, y) <= 32 << 20 {
        z *= 2;
    }
    Ok(Plan::with_block(shape, [z, y, shape[2].max(1)], [0; 3]))
}

/// Joins what touches across blocks and numbers it by first voxels. Returns the number of each component of each block (0
/// for those too small) and the voxels of each number.
fn number<I: Index>(
    mut sets: Sets<I>,
    plan: &Plan,
    shells: &[Block],
    starts: &[usize],
    sizes: &[u64],
    firsts: &[u64],
    options: &LabelOptions,
    index: impl Fn(usize) -> I,
) -> (Vec<u64>, Vec<u64>) {
    let (shape, block, counts) = (plan.shape(), plan.block(), plan.counts());
    for (here, shell) in shells.iter().enumerate() {
        let region = plan.region(here);
        for (line, _) in shell.runs.lines.windows(2).enumerate().filter(|(_, ends)| ends[0] < ends[1]) {
            let (z, y) = (region.start[0] + line / region.size[1], region.start[1] + line % region.size[1]);
            for &(dz, dy, slack) in earlier(options.connectivity) {
                let (Some(z), Some(y)) = (z.checked_add_signed(dz), y.checked_add_signed(dy)) else { continue };
                if y >= shape[1] {
                    continue;
                }
                let there = z / block[0] * counts[1] + y / block[1];
                if there == here {
                    continue;
                }
                let (other, size) = (&shells[there], plan.region(there).size);
                let (a, b) = (shell.runs.line(line), other.runs.line(z % block[0] * size[1] + y % block[1]));
                touching(&shell.runs.runs[a.clone()], &other.runs.runs[b.clone()], slack, |i, j| {
                    let (i, j) = (a.start + i, b.start + j);
                    if !options.by_value || shell.runs.values[i] == other.runs.values[j] {
                        sets.join(
                            index(starts[here] + shell.components[i] as usize),
                            index(starts[there] + other.components[j] as usize),
                        );
                    }
                });
            }
        }
    }
    // One entry for each set: its first voxel and its size.
    let mut roots: Vec<(u64, usize)> = Vec::new();
    let (mut voxels, mut first) = (sizes.to_vec(), firsts.to_vec());
    for i in 0..sizes.len() {
        let root = sets.find(index(i)).at();
        if root != i {
            voxels[root] += sizes[i];
            first[root] = first[root].min(firsts[i]);
        }
    }
    for i in 0..sizes.len() {
        if sets.find(index(i)).at() == i && voxels[i] >= options.min_voxels {
            roots.push((first[i], i));
        }
    }
    roots.sort_unstable();
    let mut numbers = vec![0u64; sizes.len()];
    for (place, &(_, root)) in roots.iter().enumerate() {
        numbers[root] = options.first_label.wrapping_add(place as u64);
    }
    let counted = roots.iter().map(|&(_, root)| voxels[root]).collect();
    for i in 0..sizes.len() {
        numbers[i] = numbers[sets.find(index(i)).at()];
    }
    (numbers, counted)
}
