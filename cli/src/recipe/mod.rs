//! Recipes: files in, files out. The command line and Python run the same ones.

mod config;
mod sections;

use crate::measure::StageRecord;

pub use config::{ClusterConfig, FilterOptions, InputOptions, OutputOptions};
pub use sections::{FieldDoc, SectionDoc, nearest};

/// Is told when the stages of a recipe begin and end.
pub trait Hooks: Sync {
    /// A stage begins.
    fn started(&self, stage: &str);
    /// A stage has ended well.
    fn finished(&self, record: &StageRecord);
}

/// Listens to nothing.
impl Hooks for () {
    fn started(&self, _: &str) {}
    fn finished(&self, _: &StageRecord) {}
}
