//! Where nuclei and cracks lie.

use zensaibo_core::random::Stream;
use zensaibo_core::{Error, Result};

use super::PhantomOptions;

/// Streams of the seed: one for each purpose, so that an option changes nothing but what it names.
pub(super) const PLACES: u64 = 1;
pub(super) const TEARS: u64 = 2;
pub(super) const WAVES: u64 = 3;
pub(super) const TILES: u64 = 4;
pub(super) const STRIPES: u64 = 5;

/// One nucleus: an ellipsoid.
#[derive(Clone, Debug, PartialEq)]
pub struct Nucleus {
    /// Centre in micrometres, (z, y, x); voxel 0 has its centre at 0.
    pub centre: [f64; 3],
    /// Half axes in micrometres, longest first.
    pub radii: [f64; 3],
    /// Unit vectors (z, y, x) of the half axes.
    pub axes: [[f64; 3]; 3],
    /// Brightness above the background in counts, before attenuation.
    pub intensity: f64,
    /// Whether it is one of a touching pair.
    pub paired: bool,
}

impl Nucleus {
    /// Distance of a place (micrometres) from the centre, 1 on the surface.
    #[inline]
    pub fn depth(&self, at: [f64; 3]) -> f64 {
        let from: [f64; 3] = std::array::from_fn(|axis| at[axis] - self.centre[axis]);
        let square: f64 = (0..3).map(|k| (dot(self.axes[k], from) / self.radii[k]).powi(2)).sum();
        square.sqrt()
    }

    /// Distance from the centre to the surface along a unit vector, in micrometres.
    pub fn reach(&self, direction: [f64; 3]) -> f64 {
        let square: f64 = (0..3).map(|k| (dot(self.axes[k], direction) / self.radii[k]).powi(2)).sum();
        square.sqrt().recip()
    }

    /// Half the extent along z, y and x in micrometres.
    pub fn extent(&self) -> [f64; 3] {
        std::array::from_fn(|axis| (0..3).map(|k| (self.radii[k] * self.axes[k][axis]).powi(2)).sum::<f64>().sqrt())
    }
}

fn dot(a: [f64; 3], b: [f64; 3]) -> f64 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

/// A slab without tissue.
pub(super) struct Tear {
    normal: [f64; 3],
    through: [f64; 3],
    half_width: f64,
}

impl Tear {
    pub(super) fn holds(&self, at: [f64; 3]) -> bool {
        let from: [f64; 3] = std::array::from_fn(|axis| at[axis] - self.through[axis]);
        dot(self.normal, from).abs() <= self.half_width
    }
}

/// A direction, evenly from the sphere.
fn direction(random: &mut Stream) -> [f64; 3] {
    loop {
        let v = [random.normal(), random.normal(), random.normal()];
        let length = dot(v, v).sqrt();
        if length > 1e-6 {
            return v.map(|x| x / length);
        }
    }
}

/// Micrometres along each axis, from the first to the last voxel.
fn lengths(options: &PhantomOptions) -> [f64; 3] {
    std::array::from_fn(|axis| (options.shape[axis] as f64 - 1.0) * options.spacing[axis])
}

pub(super) fn tears(options: &PhantomOptions) -> Vec<Tear> {
    let (mut random, lengths) = (Stream::new(options.seed, TEARS), lengths(options));
    (0..options.tears)
        .map(|_| Tear {
            normal: direction(&mut random),
            through: lengths.map(|length| random.uniform() * length),
            half_width: options.tear_width / 2.0,
        })
        .collect()
}

pub(super) fn waves(options: &PhantomOptions) -> [([f64; 3], f64); 6] {
    let mut random = Stream::new(options.seed, WAVES);
    std::array::from_fn(|_| {
        let along = direction(&mut random);
        let wave = options.diameter * (8.0 + 12.0 * random.uniform());
        (along.map(|x| x * std::f64::consts::TAU / wave), random.uniform() * std::f64::consts::TAU)
    })
}

/// A nucleus at a place: size, axes and brightness are drawn.
fn draw(options: &PhantomOptions, centre: [f64; 3], paired: bool, random: &mut Stream) -> Nucleus {
    let radius = options.diameter / 2.0 * (1.0 + options.diameter_spread * random.normal().clamp(-2.0, 2.0));
    // Three axes in geometric order whose product is the sphere's.
    let stretch = options.elongation.powf(random.uniform());
    let middle = stretch.powf(random.uniform() - 0.5);
    let raw = [stretch.sqrt(), middle, 1.0 / stretch.sqrt()];
    let scale = raw.iter().product::<f64>().cbrt();
    let first = direction(random);
    let second = loop {
        let v = direction(random);
        let along = dot(v, first);
        let rest: [f64; 3] = std::array::from_fn(|axis| v[axis] - along * first[axis]);
        let length = dot(rest, rest).sqrt();
        if length > 1e-3 {
            break rest.map(|x| x / length);
        }
    };
    let third = [
        first[1] * second[2] - first[2] * second[1],
        first[2] * second[0] - first[0] * second[2],
        first[0] * second[1] - first[1] * second[0],
    ];
    let spread = options.intensity_spread;
    Nucleus {
        centre,
        radii: raw.map(|x| radius * x / scale),
        axes: [first, second, third],
        intensity: options.intensity * (spread * random.normal() - 0.5 * spread * spread).exp(),
        paired,
    }
}

/// Nuclei by boxes of space.
pub(super) struct Buckets {
    edge: f64,
    counts: [usize; 3],
    members: Vec<Vec<u32>>,
}

impl Buckets {
    fn empty(options: &PhantomOptions) -> Self {
        // No two nuclei further apart than this meet.
        let longest = options.diameter * (1.0 + 2.0 * options.diameter_spread) * options.elongation;
        let edge = longest + options.gap.max(options.pair_gap);
        let counts = lengths(options).map(|length| (length / edge) as usize + 1);
        Self { edge, counts, members: vec![Vec::new(); counts.iter().product()] }
    }

    pub(super) fn new(options: &PhantomOptions, nuclei: &[Nucleus]) -> Self {
        let mut buckets = Self::empty(options);
        for (index, nucleus) in nuclei.iter().enumerate() {
            buckets.add(nucleus.centre, index as u32);
        }
        buckets
    }

    fn place(&self, axis: usize, at: f64) -> usize {
        ((at / self.edge).max(0.0) as usize).min(self.counts[axis] - 1)
    }

    fn add(&mut self, centre: [f64; 3], index: u32) {
        let [z, y, x]: [usize; 3] = std::array::from_fn(|axis| self.place(axis, centre[axis]));
        self.members[(z * self.counts[1] + y) * self.counts[2] + x].push(index);
    }

    /// Nuclei whose centre may lie in a box (micrometres); in no particular order.
    pub(super) fn within(&self, low: [f64; 3], high: [f64; 3], mut each: impl FnMut(u32)) {
        let from: [usize; 3] = std::array::from_fn(|axis| self.place(axis, low[axis]));
        let to: [usize; 3] = std::array::from_fn(|axis| self.place(axis, high[axis]));
        for z in from[0]..=to[0] {
            for y in from[1]..=to[1] {
                for x in from[2]..=to[2] {
                    self.members[(z * self.counts[1] + y) * self.counts[2] + x].iter().for_each(|&index| each(index));
                }
            }
        }
    }

    /// Longest distance at which two nuclei may meet.
    pub(super) fn edge(&self) -> f64 {
        self.edge
    }
}

/// Places nuclei one after another wherever there is room (random sequential addition).
pub(super) fn nuclei(options: &PhantomOptions, tears: &[Tear]) -> Result<Vec<Nucleus>> {
    let (mut random, lengths) = (Stream::new(options.seed, PLACES), lengths(options));
    let mut buckets = Buckets::empty(options);
    let mut placed: Vec<Nucleus> = Vec::with_capacity(options.nuclei);
    let free = |new: &Nucleus, placed: &[Nucleus], buckets: &Buckets| {
        let (edge, mut free) = (buckets.edge(), true);
        buckets.within(new.centre.map(|c| c - edge), new.centre.map(|c| c + edge), |other| {
            let other = &placed[other as usize];
            let apart: [f64; 3] = std::array::from_fn(|axis| other.centre[axis] - new.centre[axis]);
            let distance = dot(apart, apart).sqrt();
            if distance < 1e-9 {
                free = false;
                return;
            }
            let along = apart.map(|x| x / distance);
            free &= distance >= new.reach(along) + other.reach(along) + options.gap;
        });
        free
    };
    let mut misses = 0;
    while placed.len() < options.nuclei {
        if misses > 2000 {
            let expected = format!("as many as find room ({} did, with these diameters and gaps)", placed.len());
            return Err(Error::parameter("nuclei", expected, options.nuclei));
        }
        misses += 1;
        let paired = options.nuclei - placed.len() > 1 && random.uniform() < options.pairs / (2.0 - options.pairs);
        let first = draw(options, lengths.map(|length| random.uniform() * length), paired, &mut random);
        let second = paired.then(|| {
            let along = direction(&mut random);
            let mut second = draw(options, first.centre, true, &mut random);
            let distance = first.reach(along) + second.reach(along) + options.pair_gap;
            second.centre = std::array::from_fn(|axis| first.centre[axis] + along[axis] * distance);
            second
        });
        let inside = |nucleus: &Nucleus| (0..3).all(|axis| (0.0..=lengths[axis]).contains(&nucleus.centre[axis]));
        if !free(&first, &placed, &buckets)
            || second.as_ref().is_some_and(|second| !inside(second) || !free(second, &placed, &buckets))
        {
            continue;
        }
        misses = 0;
        for nucleus in std::iter::once(first).chain(second) {
            buckets.add(nucleus.centre, placed.len() as u32);
            placed.push(nucleus);
        }
    }
    placed.retain(|nucleus| !tears.iter().any(|tear| tear.holds(nucleus.centre)));
    placed.sort_by(|a, b| {
        let by = |axis: usize| a.centre[axis].total_cmp(&b.centre[axis]);
        by(0).then(by(1)).then(by(2))
    });
    Ok(placed)
}
