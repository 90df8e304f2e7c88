//! How an atlas is named on the command line.

use super::options::assigned;

// No doc comment: clap would show it as that of the command.
#[derive(Clone, Debug, Default, clap::Args)]
pub(super) struct Named {
    /// The atlas: a folder in the layout of BrainGlobe. In its place: --annotation and --structures.
    #[arg(long, value_name = "DIR")]
    atlas: Option<String>,
    /// Volume of structure ids, in place of a folder.
    #[arg(long, value_name = "VOLUME")]
    annotation: Option<String>,
    /// Image on the grid of the annotation.
    #[arg(long, value_name = "VOLUME")]
    template: Option<String>,
    /// Table of structures: CSV (Allen's columns) or BrainGlobe's structures.json.
    #[arg(long, value_name = "TABLE")]
    structures: Option<String>,
    /// The anatomical side where index 0 of each axis of the atlas lies, where its files do not say.
    #[arg(long, value_name = "SIDES")]
    atlas_orientation: Option<String>,
}

impl Named {
    /// The flags as assignments.
    pub(super) fn assignments(&self) -> Vec<Option<String>> {
        vec![
            assigned("atlas.path", self.atlas.clone()),
            assigned("atlas.annotation", self.annotation.clone()),
            assigned("atlas.template", self.template.clone()),
            assigned("atlas.structures", self.structures.clone()),
            assigned("atlas.orientation", self.atlas_orientation.clone()),
        ]
    }
}
