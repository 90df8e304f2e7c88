//! From nuclei to voxels.

use zensaibo_core::Result;
use zensaibo_core::data::{Dtype, Frame, Grid, Region, VolumeBlocks, VolumeInfo};
use zensaibo_core::random::{Stream, philox};

use super::place::{Nucleus, STRIPES, TILES};
use super::{Phantom, PhantomOptions};
use crate::filters::LocalFilter;

/// A box of voxels that may leave the volume: first voxel and voxels along each axis.
struct Window {
    start: [i64; 3],
    size: [usize; 3],
}

impl Phantom {
    /// Calls `each(nucleus, first voxel, one past the last)` for all nuclei that reach into a window, by number; the
    /// box is in voxels of the window and `margin` voxels larger than the nucleus.
    fn meeting(&self, window: &Window, margin: f64, mut each: impl FnMut(usize, &Nucleus, [usize; 3], [usize; 3])) {
        let spacing = self.options.spacing;
        let reach = self.buckets.edge() + spacing.iter().fold(0.0, |a: f64, &b| a.max(b)) * margin;
        let low = std::array::from_fn(|axis| window.start[axis] as f64 * spacing[axis] - reach);
        let high =
            std::array::from_fn(|axis| (window.start[axis] + window.size[axis] as i64) as f64 * spacing[axis] + reach);
        let mut found = Vec::new();
        self.buckets.within(low, high, |index| found.push(index));
        found.sort_unstable();
        for index in found {
            let nucleus = &self.nuclei[index as usize];
            let extent = nucleus.extent();
            let (mut from, mut to) = ([0; 3], [0; 3]);
            for axis in 0..3 {
                let centre = nucleus.centre[axis] / spacing[axis] - window.start[axis] as f64;
                let half = extent[axis] / spacing[axis] + margin;
                from[axis] = (centre - half).floor().max(0.0) as usize;
                to[axis] = ((centre + half).ceil() + 1.0).clamp(0.0, window.size[axis] as f64) as usize;
            }
            if (0..3).all(|axis| from[axis] < to[axis]) {
                each(index as usize, nucleus, from, to);
            }
        }
    }

    /// Place of a voxel of a window in micrometres.
    fn place(&self, window: &Window, at: [usize; 3]) -> [f64; 3] {
        std::array::from_fn(|axis| (window.start[axis] + at[axis] as i64) as f64 * self.options.spacing[axis])
    }

    /// Light that leaves the tissue, before the microscope.
    fn light(&self, window: &Window) -> Grid<f32> {
        let options = &self.options;
        let mut light = Grid::filled(window.size, 0f32);
        let step = options.spacing.iter().product::<f64>().cbrt();
        self.meeting(window, 1.0, |_, nucleus, from, to| {
            // Over how many voxels the surface is crossed.
            let sharpness = nucleus.radii[1] / step;
            for z in from[0]..to[0] {
                for y in from[1]..to[1] {
                    let line = light.row_mut(z, y);
                    for x in from[2]..to[2] {
                        let inside = (1.0 - nucleus.depth(self.place(window, [z, y, x]))) * sharpness + 0.5;
                        if inside > 0.0 {
                            line[x] = line[x].max((nucleus.intensity * inside.min(1.0)) as f32);
                        }
                    }
                }
            }
        });
        for z in 0..window.size[0] {
            for y in 0..window.size[1] {
                let from = self.place(window, [z, y, 0]);
                // Along a line each wave is a cosine that advances by a fixed angle: two multiplications a voxel would
                // drift with the start of the window, so the angle is taken anew.
                let phases: [f64; 6] = std::array::from_fn(|k| {
                    let (wave, phase) = &self.waves[k];
                    wave[0] * from[0] + wave[1] * from[1] + phase
                });
                let line = light.row_mut(z, y);
                for (x, light) in line.iter_mut().enumerate() {
                    let along = (window.start[2] + x as i64) as f64 * options.spacing[2];
                    let mut swing = 0.0;
                    if options.unevenness > 0.0 {
                        for k in 0..6 {
                            swing += (phases[k] + self.waves[k].0[2] * along).cos();
                        }
                    }
                    *light += (options.background * (1.0 + options.unevenness * swing / 6.0)) as f32;
                    if !self.tears.is_empty() && self.tears.iter().any(|tear| tear.holds([from[0], from[1], along])) {
                        *light = 0.0;
                    }
                }
            }
        }
        light
    }

    fn render(&self, region: &Region, out: &mut [u16]) {
        let options = &self.options;
        let halo = self.psf.halo();
        let window = Window {
            start: std::array::from_fn(|axis| region.start[axis] as i64 - halo[axis] as i64),
            size: std::array::from_fn(|axis| region.size[axis] + 2 * halo[axis]),
        };
        let blurred = self.psf.smoothed(self.light(&window));
        let tiles = Tiles::new(options);
        for (z, plane) in out.chunks_exact_mut(region.size[1] * region.size[2]).enumerate() {
            let at_z = region.start[0] + z;
            let depth = at_z as f64 * options.spacing[0];
            let fade = options.attenuation.map_or(1.0, |length| (-depth / length).exp());
            for (y, line) in plane.chunks_exact_mut(region.size[2]).enumerate() {
                let at_y = region.start[1] + y;
                let mut gain = fade;
                if options.stripes > 0.0 {
                    let item = (at_z * options.shape[1] + at_y) as u64;
                    let swing = Stream::new(options.seed ^ STRIPES << 56, item).normal();
                    gain *= (1.0 + options.stripes * swing).max(0.05);
                }
                for (x, out) in line.iter_mut().enumerate() {
                    let at = [at_z, at_y, region.start[2] + x];
                    let signal = f64::from(blurred.at(z, y, x)) * gain * tiles.gain(options, at);
                    *out = camera(options, signal, at);
                }
            }
        }
    }
}

/// Brightness of tiles and what bleaching left of it.
struct Tiles {
    edges: [usize; 2],
    counts: [usize; 2],
    gains: Vec<f64>,
}

impl Tiles {
    fn new(options: &PhantomOptions) -> Self {
        let edges: [usize; 2] = std::array::from_fn(|k| {
            options.tile.map_or(usize::MAX, |tile| ((tile / options.spacing[k + 1]) as usize).max(1))
        });
        let counts: [usize; 2] = std::array::from_fn(|k| options.shape[k + 1].div_ceil(edges[k]));
        let mut random = Stream::new(options.seed, TILES);
        let gains = (0..counts[0] * counts[1]).map(|_| (1.0 + options.tile_gain * random.normal()).max(0.1)).collect();
        Self { edges, counts, gains }
    }

    fn gain(&self, options: &PhantomOptions, at: [usize; 3]) -> f64 {
        let tile = at[1] / self.edges[0] * self.counts[1] + at[2] / self.edges[1];
        let exposures = (tile * options.shape[0] + at[0]) as f64;
        let all = (self.gains.len() * options.shape[0]) as f64;
        self.gains[tile] * (1.0 - options.bleaching).powf(exposures / all)
    }
}

/// Counts for the light that falls on a voxel. The four words of one counter are its noise.
fn camera(options: &PhantomOptions, signal: f64, at: [usize; 3]) -> u16 {
    let words = philox(
        [at[2] as u32, at[1] as u32, at[0] as u32, 0x7068_616e],
        [options.seed as u32, (options.seed >> 32) as u32],
    );
    let uniform = |word: u32| (f64::from(word) + 0.5) / 4_294_967_296.0;
    let radius = (-2.0 * uniform(words[0]).ln()).sqrt();
    let angle = std::f64::consts::TAU * uniform(words[1]);
    let mut counts = signal;
    if options.photons > 0.0 {
        let mean = signal * options.photons;
        let caught = if mean < 30.0 {
            poisson(mean, uniform(words[2]))
        } else {
            (mean + mean.sqrt() * radius * angle.cos()).round().max(0.0)
        };
        counts = caught / options.photons;
    }
    (counts + options.offset + options.read_noise * radius * angle.sin()).round() as u16
}

/// The Poisson number with that cumulative probability.
fn poisson(mean: f64, probability: f64) -> f64 {
    let (mut term, mut count) = ((-mean).exp(), 0.0);
    let mut sum = term;
    while sum < probability && count < 200.0 {
        count += 1.0;
        term *= mean / count;
        sum += term;
    }
    count
}

impl VolumeBlocks for Phantom {
    fn info(&self) -> &VolumeInfo {
        &self.info
    }

    fn read(&self, frame: Frame, region: &Region, out: &mut [u8]) -> Result<()> {
        self.info.check(frame, region)?;
        if !region.is_empty() {
            self.render(region, bytemuck::cast_slice_mut(out));
        }
        Ok(())
    }
}

/// The true labels of a [`Phantom`] as a volume of u32.
pub struct PhantomLabels<'a> {
    phantom: &'a Phantom,
    info: VolumeInfo,
}

impl<'a> PhantomLabels<'a> {
    pub(super) fn new(phantom: &'a Phantom) -> Self {
        let info = VolumeInfo { name: "labels of the phantom".into(), dtype: Dtype::U32, ..phantom.info.clone() };
        Self { phantom, info }
    }
}

impl VolumeBlocks for PhantomLabels<'_> {
    fn info(&self) -> &VolumeInfo {
        &self.info
    }

    fn read(&self, frame: Frame, region: &Region, out: &mut [u8]) -> Result<()> {
        self.info.check(frame, region)?;
        let labels: &mut [u32] = bytemuck::cast_slice_mut(out);
        labels.fill(0);
        let (phantom, [_, height, width]) = (self.phantom, region.size);
        let window = Window { start: region.start.map(|n| n as i64), size: region.size };
        let mut depths = vec![1f32; region.len()];
        phantom.meeting(&window, 0.0, |index, nucleus, from, to| {
            for z in from[0]..to[0] {
                for y in from[1]..to[1] {
                    for x in from[2]..to[2] {
                        let at = phantom.place(&window, [z, y, x]);
                        let depth = nucleus.depth(at) as f32;
                        let voxel = (z * height + y) * width + x;
                        if depth < depths[voxel] && !phantom.tears.iter().any(|tear| tear.holds(at)) {
                            depths[voxel] = depth;
                            labels[voxel] = index as u32 + 1;
                        }
                    }
                }
            }
        });
        Ok(())
    }
}
