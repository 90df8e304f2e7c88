//! The atlas of a recipe: which files, and what they hold.

use std::path::{Path, PathBuf};

use zensaibo_core::data::{Frame, Grid};
use zensaibo_core::{Ctx, Error, Result, options};
use zensaibo_imaging::atlas::{Atlas, AtlasParts as Parts, StructureRecord, StructureTree, read_ids};
use zensaibo_imaging::blocks::whole;
use zensaibo_imaging::register::Image;
use zensaibo_imaging::space::Spacing;
use zensaibo_io::atlas::{AtlasParts, atlas_parts, open_atlas};

use super::source::orientation;
use crate::measure::grouped;

options! {
    /// The atlas: a folder, or its parts.
    pub struct AtlasOptions("atlas") {
        /// An atlas as BrainGlobe's program stores it: a folder with metadata.json, or a store of its version 3.
        pub path: Option<String> = None,
        /// Volume of structure ids; 0 outside. In place of a folder, with `structures`.
        pub annotation: Option<String> = None,
        /// Image on the grid of the annotation, to which samples are registered.
        pub template: Option<String> = None,
        /// Table of structures: CSV (Allen's columns) or BrainGlobe's structures.json.
        pub structures: Option<String> = None,
        /// Volume on the grid of the annotation: 1 left, 2 right. Unset: the plane through the middle parts them.
        pub hemispheres: Option<String> = None,
        /// Its name, for reports and tables; which one, in a store of several. Unset: that of the folder or of the annotation.
        pub name: Option<String> = None,
        /// Micrometres per voxel along z, y and x. Unset: what the files say.
        pub spacing: Option<[f64; 3]> = None,
        /// The anatomical side where index 0 of each axis lies, such as asr. Unset: what the files say.
        pub orientation: Option<String> = None,
    }
}

impl AtlasOptions {
    fn check(&self) -> Result<()> {
        self.spacing.map_or(Ok(()), |spacing| zensaibo_core::data::check_spacing(spacing).map(|_| ()))?;
        orientation(self.orientation.as_deref()).map(|_| ())
    }

    /// Whether an atlas is named at all.
    pub(super) fn given(&self) -> bool {
        self.path.is_some() || self.annotation.is_some()
    }

    /// The files that are named.
    pub(super) fn files(&self) -> Vec<PathBuf> {
        [&self.path, &self.annotation, &self.template, &self.structures, &self.hemispheres]
            .into_iter()
            .flatten()
            .map(PathBuf::from)
            .collect()
    }

    fn parts(&self) -> Result<AtlasParts> {
        let own = [
            ("annotation", &self.annotation),
            ("template", &self.template),
            ("structures", &self.structures),
            ("hemispheres", &self.hemispheres),
        ];
        let mut parts = match &self.path {
            Some(folder) => {
                if let Some((name, part)) = own.iter().find_map(|(name, part)| Some((name, part.as_ref()?))) {
                    let expected = "none beside a folder, which has its own";
                    return Err(Error::parameter(format!("atlas.{name}"), expected, part));
                }
                atlas_parts(Path::new(folder), self.name.as_deref())?
            }
            None => {
                let volume = |name: &Option<String>| name.as_ref().map(|name| PathBuf::from(name).into());
                AtlasParts {
                    annotation: volume(&self.annotation),
                    template: volume(&self.template),
                    hemispheres: volume(&self.hemispheres),
                    structures: self.structures.as_ref().map(PathBuf::from),
                    ..Default::default()
                }
            }
        };
        parts.name = self.name.clone().or(parts.name);
        parts.spacing = self.spacing.or(parts.spacing);
        parts.orientation = orientation(self.orientation.as_deref())?.or(parts.orientation);
        Ok(parts)
    }
}

/// Reads an atlas whole, with its template where `with_template`; and a few words on it.
///
/// # Errors
/// As [`open_atlas`] and [`Atlas::new`]; [`Error::Parameter`] where a template is needed and there is none.
pub(super) fn load(options: &AtlasOptions, with_template: bool, ctx: &Ctx) -> Result<(Atlas, String)> {
    let files = open_atlas(&options.parts()?)?;
    ctx.check()?;
    let records = files.structures.rows.into_iter().map(|row| StructureRecord {
        id: row.id,
        acronym: row.acronym,
        name: row.name,
        parent: row.parent,
        rgb: row.rgb,
    });
    let tree = StructureTree::new(records.collect())?;
    let annotation = read_ids(&files.annotation, files.structures.values.as_ref())?;
    ctx.check()?;
    let template = match &files.template {
        Some(volume) if with_template => Some(whole(volume, Frame::default())?),
        None if with_template => {
            let expected = format!("an image to register to: atlas {} has none", files.name);
            return Err(Error::parameter("atlas.template", expected, "none"));
        }
        _ => None,
    };
    let hemispheres = match &files.hemispheres {
        Some(volume) => {
            let grid = read_ids(volume, None)?;
            Some(Grid { shape: grid.shape, data: grid.data.iter().map(|&half| half.min(255) as u8).collect() })
        }
        None => None,
    };
    let atlas = Atlas::new(Parts {
        name: files.name,
        annotation,
        template,
        hemispheres,
        spacing: Spacing::new(files.spacing)?,
        orientation: files.orientation,
        tree,
    })?;
    let [z, y, x] = atlas.structure.shape;
    let um = files.spacing;
    let note = format!(
        "{}: {z} x {y} x {x} voxels of {} x {} x {} um, {}, {} structures",
        atlas.name,
        um[0],
        um[1],
        um[2],
        atlas.orientation,
        grouped(atlas.tree.structures().len() as u64)
    );
    Ok((atlas, note))
}

/// The template of an atlas, taken out of it, as an image to register to.
pub(super) fn template(atlas: &mut Atlas) -> Option<Image> {
    let (spacing, orientation) = (atlas.spacing, Some(atlas.orientation));
    atlas.template.take().map(|voxels| Image { voxels, more: Vec::new(), spacing, orientation, mask: None })
}
