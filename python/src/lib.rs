//! The Python extension `zensaibo._core`: a thin layer. Algorithms live in `zensaibo-core`, files in `zensaibo-io`.
//!
//! One file per subject, each with a `register`. What all share: [`run`] (GIL, Ctrl-C, progress, errors),
//! [`matrix`] (scipy and numpy matrices as sources), [`file_matrix`] (those in files), [`errors`] (one Python class per fault).

mod aggregate;
mod align;
mod atlas_files;
mod chromatin;
mod columns;
mod combat;
mod compare;
mod counts;
mod detect;
mod downsample;
mod errors;
mod fate;
mod file_matrix;
mod filters;
mod hvg;
mod index;
mod integrate;
mod io;
mod layouts;
mod leiden;
mod ligrec;
mod logistic;
mod map_cells;
mod mapping;
mod markers;
mod matrix;
mod neighbors;
mod options;
mod organoid;
mod pca;
mod pearson;
mod phantom;
mod pooled;
mod protein;
mod pseudobulk;
mod raster;
mod recipe;
mod register;
mod regress;
mod remote;
mod run;
mod scale;
mod shapes;
mod shared;
mod simulate;
mod sketch;
mod spatial;
mod stack;
mod state;
mod stitch;
mod structure;
mod surroundings;
mod track;
mod umap;
mod velocity;
mod volume;
mod wnn;

use pyo3::prelude::*;

#[pymodule]
fn _core(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    let registers = [
        errors::register,
        options::register,
        matrix::register,
        file_matrix::register,
        integrate::register,
        io::register,
        combat::register,
        compare::register,
        counts::register,
        downsample::register,
        hvg::register,
        pca::register,
        pearson::register,
        neighbors::register,
        index::register,
        leiden::register,
        ligrec::register,
        umap::register,
        mapping::register,
        markers::register,
        pooled::register,
        raster::register,
        remote::register,
        register::register,
        regress::register,
        scale::register,
        simulate::register,
        sketch::register,
        spatial::register,
        surroundings::register,
        align::register,
        map_cells::register,
        recipe::register,
        stack::register,
        stitch::register,
        structure::register,
        aggregate::register,
        atlas_files::register,
        pseudobulk::register,
        logistic::register,
        velocity::register,
        protein::register,
        chromatin::register,
        wnn::register,
        layouts::register,
        fate::register,
        volume::register,
        filters::register,
        shapes::register,
        detect::register,
        organoid::register,
        phantom::register,
        columns::register,
        track::register,
    ];
    registers.iter().try_for_each(|register| register(module))
}
