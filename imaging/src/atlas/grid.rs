//! Which structure each voxel belongs to.

use std::collections::BTreeMap;

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

/// What an atlas is made of.
#[derive(Clone, Debug)]
pub struct AtlasParts {
    /// Name for messages and spaces.
    pub name: String,
    /// Ids of structures; 0 outside.
    pub annotation: Grid<u64>,
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
}

impl Atlas {
    /// Checks that the parts agree.
    ///
    /// # Errors
    /// [`Error::Data`] for parts of different shape, an id in the annotation that the tree does not list, a half that is
    /// neither 1 nor 2 within the tissue, an annotation without a voxel of any structure.
    pub fn new(parts: AtlasParts) -> Result<Self> {
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
        let mut unknown: BTreeMap<u64, usize> = BTreeMap::new();
        let mut seen = vec![false; parts.tree.structures().len()];
        let mut last = (0u64, 0u32);
        let mut data = Vec::with_capacity(parts.annotation.len());
        for &id in &parts.annotation.data {
            // Neighbours mostly share their structure.
            if id != last.0 {
                last = match parts.tree.index_of(id) {
                    Some(index) => {
                        seen[index] = true;
                        (id, index as u32 + 1)
                    }
                    None if id == 0 => (0, 0),
                    None => {
                        *unknown.entry(id).or_default() += 1;
                        (id, 0)
                    }
                };
            } else if last.1 == 0 && id != 0 {
                *unknown.entry(id).or_default() += 1;
            }
            data.push(last.1);
        }
        let what = format!("annotation of atlas {}", parts.name);
        if !unknown.is_empty() {
            let first: Vec<String> = unknown.iter().take(5).map(|(id, n)| format!("{id} ({n} voxels)")).collect();
            let found = format!("{} that are not: {}", unknown.len(), first.join(", "));
            return Err(Error::data(DataFault::Invalid, what, "ids that the structure table lists", found));
        }
        if data.iter().all(|&structure| structure == 0) {
            return Err(Error::data(DataFault::Empty, what, "voxels of structures", "none"));
        }
        if let Some(halves) = &parts.hemispheres
            && let Some(at) = (0..data.len()).find(|&at| data[at] > 0 && !(1..=2).contains(&halves.data[at]))
        {
            let found = format!("{} at voxel {at}, which is tissue", halves.data[at]);
            let what = format!("hemispheres of atlas {}", parts.name);
            return Err(Error::data(DataFault::Invalid, what, "1 (left) or 2 (right)", found));
        }
        let mut remarks = Vec::new();
        let bare = parts.tree.structures().iter().enumerate().filter(|(at, s)| s.end == at + 1 && !seen[*at]).count();
        if bare > 0 {
            remarks.push(format!("{bare} structures without parts have no voxel"));
        }
        if parts.hemispheres.is_none() {
            remarks.push("no hemispheres: the plane through the middle of the left-right axis parts them".into());
        }
        Ok(Self {
            name: parts.name,
            structure: Grid { shape, data },
            template: parts.template,
            spacing: parts.spacing,
            orientation: parts.orientation,
            tree: parts.tree,
            remarks,
            hemispheres: parts.hemispheres,
        })
    }

    /// The half that a voxel lies in.
    #[inline]
    pub fn half(&self, voxel: [usize; 3]) -> Half {
        if let Some(halves) = &self.hemispheres {
            return if halves.at(voxel[0], voxel[1], voxel[2]) == 1 { Half::Left } else { Half::Right };
        }
        let axis = self.orientation.0.iter().position(|side| side.direction() == Side::Left.direction()).unwrap_or(2);
        let first = voxel[axis] < self.structure.shape[axis] / 2;
        if first == (self.orientation.0[axis] == Side::Left) { Half::Left } else { Half::Right }
    }
}
