//! Which of the objects are hills: darker all around, and above what is normal near them.

use rayon::prelude::*;
use zensaibo_core::data::Grid;
use zensaibo_core::places::{Point, Tree};
use zensaibo_core::{Ctx, Result};

use super::NucleiOptions;
use crate::space::Spacing;

/// How far above the contour, on the way to the summit, what lies beyond the surface may reach and still be darker.
const RISE: f64 = 0.25;

/// How far around an object the background of others is looked at, in diameters: beyond a crack and the tissue beside it.
const AROUND: f64 = 6.0;

/// Fewer objects around tell nothing.
const FEWEST: usize = 4;

/// The brightest place of an object.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Top {
    /// Brightness above the background.
    pub(super) contrast: f32,
    pub(super) voxel: [usize; 3],
    /// The background there.
    pub(super) background: f32,
}

impl Top {
    /// Below which light it is dark beyond the surface of the object, with the background here.
    pub(super) fn dark_below(&self, options: &NucleiOptions) -> f32 {
        let level = (options.contour_level + RISE * (1.0 - options.contour_level)) as f32;
        self.background + level * self.contrast
    }
}

/// Faces of the surface of an object.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub(super) struct Faces {
    /// Those with nothing beyond.
    pub(super) free: u64,
    /// Those beyond which it is dark.
    pub(super) dark: u64,
    /// Those that the border of the volume hides, along axes of more than one voxel.
    pub(super) hidden: u64,
}

impl Faces {
    pub(super) fn add(&mut self, other: &Self) {
        self.free += other.free;
        self.dark += other.dark;
        self.hidden += other.hidden;
    }
}

/// From the faces and tops of objects 0, 1, ... (0 is none) the numbers of those that are hills, from 1; else 0.
pub(super) fn risen(faces: &[Faces], tops: &[Top], spacing: Spacing, options: &NucleiOptions) -> Vec<u32> {
    let around = Surroundings::new(tops, spacing, options.diameter);
    let kept: Vec<bool> = (0..faces.len())
        .into_par_iter()
        .map(|at| {
            let own = &faces[at];
            let rim = at > 0 && own.dark as f64 >= options.min_rim * own.free as f64;
            rim && (own.hidden == 0 || around.rise(at, tops) >= options.min_rise)
        })
        .collect();
    let mut next = 0;
    let numbers = kept.into_iter().map(|kept| {
        next += u32::from(kept);
        if kept { next } else { 0 }
    });
    numbers.collect()
}

/// The objects by place.
struct Surroundings {
    places: Vec<Point>,
    tree: Option<Tree>,
    reach: f64,
}

impl Surroundings {
    fn new(tops: &[Top], spacing: Spacing, diameter: f64) -> Self {
        let places: Vec<Point> =
            tops.iter().skip(1).map(|top| spacing.point_um(top.voxel.map(|voxel| voxel as f64))).collect();
        let tree = (!places.is_empty()).then(|| Tree::new(&places, 16));
        Self { places, tree, reach: AROUND * diameter }
    }

    /// The share of an object's contrast by which it is brighter than the background of those around it (their upper quartile), 0 to
    /// 1; 1 where too few are near.
    fn rise(&self, at: usize, tops: &[Top]) -> f64 {
        let Some(tree) = &self.tree else { return 1.0 };
        let mut found: Vec<f32> = Vec::new();
        tree.within(&self.places[at - 1], self.reach * self.reach, |_, other| {
            if other as usize + 1 != at {
                found.push(tops[other as usize + 1].background);
            }
        });
        if found.len() < FEWEST {
            return 1.0;
        }
        let quartile = found.len() * 3 / 4;
        let (_, &mut background, _) = found.select_nth_unstable_by(quartile, f32::total_cmp);
        let top = &tops[at];
        let contrast = f64::from(top.contrast).max(f64::MIN_POSITIVE);
        (1.0 - (f64::from(background) - f64::from(top.background)) / contrast).clamp(0.0, 1.0)
    }
}

/// Keeps the nuclei that are hills; numbered anew in the same order.
pub(super) fn hills(
    labels: &mut Grid<u32>,
    contrast: &[f32],
    light: &[f32],
    spacing: Spacing,
    options: &NucleiOptions,
    ctx: &Ctx,
) -> Result<()> {
    let count = labels.data.par_iter().max().map_or(0, |&most| most as usize);
    // The first of equal places.
    let nothing = Top { contrast: f32::NEG_INFINITY, voxel: [0; 3], background: 0.0 };
    let (mut tops, mut at) = (vec![nothing; count + 1], 0);
    for z in 0..labels.shape[0] {
        for y in 0..labels.shape[1] {
            for x in 0..labels.shape[2] {
                let top = &mut tops[labels.data[at] as usize];
                if contrast[at] > top.contrast {
                    *top = Top { contrast: contrast[at], voxel: [z, y, x], background: light[at] - contrast[at] };
                }
                at += 1;
            }
        }
    }
    let dark: Vec<f32> = tops.iter().map(|top| top.dark_below(options)).collect();
    let mut faces = vec![Faces::default(); count + 1];
    let [depth, height, width] = labels.shape;
    let plane = height * width;
    let mut at = 0;
    for z in 0..depth {
        ctx.check()?;
        for y in 0..height {
            for x in 0..width {
                let label = labels.data[at] as usize;
                if label != 0 {
                    let beyond = [
                        (z > 0).then(|| at - plane),
                        (z + 1 < depth).then_some(at + plane),
                        (y > 0).then(|| at - width),
                        (y + 1 < height).then_some(at + width),
                        (x > 0).then(|| at - 1),
                        (x + 1 < width).then_some(at + 1),
                    ];
                    for (side, next) in beyond.into_iter().enumerate() {
                        match next {
                            Some(next) if labels.data[next] == 0 => {
                                faces[label].free += 1;
                                faces[label].dark += u64::from(light[next] < dark[label]);
                            }
                            Some(_) => {}
                            None => faces[label].hidden += u64::from(labels.shape[side / 2] > 1),
                        }
                    }
                }
                at += 1;
            }
        }
    }
    let numbers = risen(&faces, &tops, spacing, options);
    labels.data.par_iter_mut().for_each(|label| *label = numbers[*label as usize]);
    Ok(())
}
