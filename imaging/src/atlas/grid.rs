//! Which structure each voxel belongs to.

use std::collections::BTreeMap;

use rayon::prelude::*;
use zensaibo_core::data::{Grid, Orientation, Side};
use zensaibo_core::{DataFault, Error, Result};

use super::StructureTree;
use crate::space::Spacing;

/// The halves of the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Half {
    /// The left half.
    Left,
    /// The right half.
    Right,
}

/// What an atlas is made of. `T` is the type of the ids in the annotation: u8 to u64.
#[derive(Clone, Debug)]
pub struct AtlasParts<T> {
    /// Name for messages and spaces.
    pub name: String,
    /// Ids of structures; 0 outside.
    pub annotation: Grid<T>,
    /// An image on the same grid, to register to.
    pub template: Option<Grid<f32>>,
    /// 1 left, 2 right, on the same grid; absent: the plane through the middle parts them.
    pub hemispheres: Option<Grid<u8>>,
    /// Micrometres per voxel.
    pub spacing: Spacing,
    /// Which way the axes point.
    pub orientation: Orientation,
    /// The structures.
    pub tree: StructureTree,
}

/// A checked atlas.
#[derive(Clone, Debug)]
pub struct Atlas {
    /// Name for messages and spaces.
    pub name: String,
    /// 0 outside, else index of the structure + 1.
    pub structure: Grid<u32>,
    /// An image on the same grid.
    pub template: Option<Grid<f32>>,
    /// Micrometres per voxel.
    pub spacing: Spacing,
    /// Which way the axes point.
    pub orientation: Orientation,
    /// The structures.
    pub tree: StructureTree,
    /// What there is to know of the parts, such as structures without a voxel.
    pub remarks: Vec<String>,
    hemispheres: Option<Grid<u8>>,
    /// The axis that runs from one side to the other, the first voxel of its second half, whether the first half is left.
    middle: (usize, usize, bool),
    /// Voxels of each structure itself, not of its parts: left, right.
    voxels: Vec<[u64; 2]>,
}

/// What one plane of an annotation holds.
#[derive(Default)]
struct Plane {
    /// Ids that the table does not list, with their voxels.
    unknown: BTreeMap<u64, usize>,
    /// Voxels of each structure.
    voxels: Vec<[u64; 2]>,
}

impl Atlas {
    /// Checks that the parts agree.
    ///
    /// # Errors
    /// [`Error::Data`] for parts of different shape, an id in the annotation that the tree does not list, a half that is
    /// neither 1 nor 2 within the tissue, an annotation without a voxel of any structure.
    pub fn new<T: Copy + Into<u64> + Sync>(parts: AtlasParts<T>) -> Result<Self> {
        let shape = parts.annotation.shape;
        let same = |what: &str, other: Option<[usize; 3]>| match other {
            Some(other) if other != shape => {
                let expected = format!("the shape of the annotation, {shape:?}");
                Err(Error::data(
                    DataFault::Shape,
                    format!("{what} of atlas {}", parts.name),
                    expected,
                    format!("{other:?}"),
                ))
            }
            _ => Ok(()),
        };
        same("template", parts.template.as_ref().map(|grid| grid.shape))?;
        same("hemispheres", parts.hemispheres.as_ref().map(|grid| grid.shape))?;
        let what = format!("annotation of atlas {}", parts.name);
        if parts.annotation.is_empty() {
            return Err(Error::data(DataFault::Empty, what, "voxels of structures", format!("shape {shape:?}")));
        }
        let across =
            parts.orientation.0.iter().position(|side| side.direction() == Side::Left.direction()).unwrap_or(2);
        let mut atlas = Self {
            name: parts.name,
            structure: Grid::filled(shape, 0),
            template: parts.template,
            spacing: parts.spacing,
            orientation: parts.orientation,
            tree: parts.tree,
            remarks: Vec::new(),
            hemispheres: parts.hemispheres,
            middle: (across, shape[across] / 2, parts.orientation.0[across] == Side::Left),
            voxels: Vec::new(),
        };
        let mut structure = std::mem::take(&mut atlas.structure.data);
        let planes: Vec<Plane> = structure
            .par_chunks_mut(shape[1] * shape[2])
            .zip(parts.annotation.data.par_chunks(shape[1] * shape[2]))
            .enumerate()
            .map(|(z, (out, ids))| atlas.place_plane(z, ids, out))
            .collect();
        atlas.structure.data = structure;
        let mut unknown: BTreeMap<u64, usize> = BTreeMap::new();
        let mut voxels = vec![[0u64; 2]; atlas.tree.structures().len()];
        for plane in planes {
            plane.unknown.into_iter().for_each(|(id, n)| *unknown.entry(id).or_default() += n);
            voxels.iter_mut().zip(plane.voxels).for_each(|(all, own)| {
                all[0] += own[0];
                all[1] += own[1];
            });
        }
        if !unknown.is_empty() {
            let first: Vec<String> = unknown.iter().take(5).map(|(id, n)| format!("{id} ({n} voxels)")).collect();
            let found = format!("{} that are not: {}", unknown.len(), first.join(", "));
            return Err(Error::data(DataFault::Invalid, what, "ids that the structure table lists", found));
        }
        let empty = |own: &[u64; 2]| own[0] + own[1] == 0;
        if voxels.iter().all(empty) {
            return Err(Error::data(DataFault::Empty, what, "voxels of structures", "none"));
        }
        if let Some(halves) = &atlas.hemispheres {
            let data = &atlas.structure.data;
            if let Some(at) = (0..data.len()).find(|&at| data[at] > 0 && !(1..=2).contains(&halves.data[at])) {
                let found = format!("{} at voxel {at}, which is tissue", halves.data[at]);
                let what = format!("hemispheres of atlas {}", atlas.name);
                return Err(Error::data(DataFault::Invalid, what, "1 (left) or 2 (right)", found));
            }
        } else {
            atlas.remarks.push("no hemispheres: the plane through the middle of the left-right axis parts them".into());
        }
        let structures = atlas.tree.structures();
        let bare = structures.iter().enumerate().filter(|(at, s)| s.end == at + 1 && empty(&voxels[*at])).count();
        if bare > 0 {
            atlas.remarks.push(format!("{bare} structures without parts have no voxel"));
        }
        let roots: Vec<&str> =
            structures.iter().filter(|s| s.parent.is_none()).map(|s| s.record.acronym.as_str()).collect();
        if roots.len() > 1 {
            atlas.remarks.push(format!("{} structures are part of no other: {}", roots.len(), roots.join(", ")));
        }
        atlas.voxels = voxels;
        Ok(atlas)
    }

    /// Writes the structures of one plane of ids.
    fn place_plane<T: Copy + Into<u64>>(&self, z: usize, ids: &[T], out: &mut [u32]) -> Plane {
        let width = self.structure.shape[2];
        let mut plane = Plane { unknown: BTreeMap::new(), voxels: vec![[0; 2]; self.tree.structures().len()] };
        let mut last = (0u64, 0u32);
        for (at, (&id, out)) in ids.iter().zip(out).enumerate() {
            let id: u64 = id.into();
            // Neighbours mostly share their structure.
            if id != last.0 {
                last = (id, self.tree.index_of(id).map_or(0, |index| index as u32 + 1));
            }
            *out = last.1;
            if last.1 > 0 {
                let right = self.half([z, at / width, at % width]) == Half::Right;
                plane.voxels[last.1 as usize - 1][usize::from(right)] += 1;
            } else if id != 0 {
                *plane.unknown.entry(id).or_default() += 1;
            }
        }
        plane
    }

    /// Voxels of each structure itself, not of its parts: left, right.
    pub fn voxels(&self) -> &[[u64; 2]] {
        &self.voxels
    }

    /// 1 left, 2 right at every voxel; 0 where hemispheres were given and say so.
    pub fn hemispheres(&self) -> Grid<u8> {
        if let Some(halves) = &self.hemispheres {
            return halves.clone();
        }
        let shape = self.structure.shape;
        let mut out = Grid::filled(shape, 0u8);
        out.data.par_chunks_mut(shape[2].max(1)).enumerate().for_each(|(row, out)| {
            for (x, out) in out.iter_mut().enumerate() {
                let half = self.half([row / shape[1], row % shape[1], x]);
                *out = if half == Half::Left { 1 } else { 2 };
            }
        });
        out
    }

    /// The half that a voxel lies in.
    #[inline]
    pub fn half(&self, voxel: [usize; 3]) -> Half {
        if let Some(halves) = &self.hemispheres {
            return if halves.at(voxel[0], voxel[1], voxel[2]) == 1 { Half::Left } else { Half::Right };
        }
        let (axis, middle, left) = self.middle;
        if (voxel[axis] < middle) == left { Half::Left } else { Half::Right }
    }
}
