//! Recipes of zensaibo (files in, files out) and the command `zensaibo` around them.
//!
//! [`recipe`] runs whole pipelines; [`command`] is the command line as a function of its arguments, which the
//! binary and the console script of the Python package both call; [`report`] makes the HTML page of a run.

pub mod command;
pub mod measure;
pub mod recipe;
pub mod report;
pub mod terminal;
