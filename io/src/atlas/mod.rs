//! Reference atlases in files: a folder in the layout of BrainGlobe, or an annotation, a template and a table of structures.
//!
//! Nothing but headers and tables is read here; whether the parts agree is judged where they are put together.

mod brainglobe;
mod folder;
mod structures;

pub use folder::{AtlasFiles, AtlasParts, AtlasVolume, atlas_parts, open_atlas};
pub use structures::{StructureRow, StructureTable, read_structures, structures_of_csv};
