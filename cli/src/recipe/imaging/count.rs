//! From cells and a registration to cells per structure.

use std::path::Path;
use std::sync::Arc;

use serde::Serialize;
use serde_json::json;
use zensaibo_core::data::check_spacing;
use zensaibo_core::exchange::Exchange;
use zensaibo_core::{Ctx, Error, Result, options};
use zensaibo_imaging::register::Registration;
use zensaibo_io::{Columns, write_columns};

use super::atlas::load;
use super::cells::{Target, numbers, target};
use super::places::{Places, read_places};
use super::regions::{Placed, map_cells};
use super::{CountConfig, ending, stored};
use crate::measure::{StageRecord, counted, grouped};
use crate::recipe::Hooks;
use crate::recipe::output::check_targets;
use crate::recipe::shared::{Blocks, Folder, Role, count_steps};
use crate::recipe::stages::Stages;

options! {
    /// How cells are read.
    pub struct PlacesOptions("places") {
        /// Micrometres per voxel along z, y and x, of tables whose places are voxels. Unset: places are micrometres.
        pub spacing: Option<[f64; 3]> = None,
    }
}

impl PlacesOptions {
    fn check(&self) -> Result<()> {
        self.spacing.map_or(Ok(()), |spacing| check_spacing(spacing).map(|_| ()))
    }
}

/// Files that `count` reads and writes.
#[derive(Clone, Copy, Debug)]
pub struct CountFiles<'a> {
    /// The cells: a table.
    pub cells: &'a Path,
    /// A folder of `register`; without it the cells lie in the atlas already.
    pub registration: Option<&'a Path>,
    /// The table of structures: .csv or .parquet.
    pub output: &'a Path,
    /// The cells with the structure of each: .csv or .parquet.
    pub table: Option<&'a Path>,
}

/// What `count` tells of a finished run.
#[derive(Clone, Debug, Default, Serialize)]
pub struct CountSummary {
    /// Cells read.
    pub cells: u64,
    /// Cells in voxels of no structure.
    pub background: u64,
    /// Cells beyond the atlas.
    pub outside: u64,
    /// Cells without a place.
    pub lost: u64,
    /// Where they lie, in words.
    pub told: String,
    /// The stages in order, with their costs.
    pub stages: Vec<StageRecord>,
    /// The table of structures as it was named.
    pub output: String,
    /// The table of cells as it was named.
    pub table: Option<String>,
}

impl CountSummary {
    /// The summary as lines of text.
    pub fn text(&self) -> String {
        let mut text = format!("{}: {}\n", counted(self.cells as usize, "cell"), self.told);
        let mut files = vec![("structures", self.output.as_str())];
        files.extend(self.table.as_deref().map(|table| ("cells", table)));
        text.push_str(&ending(&self.stages, None, &[], &files));
        text
    }
}

/// Counts cells per structure of an atlas, at every level; the same as `zensaibo.im.count_regions`. No cell is dropped.
///
/// # Errors
/// As [`load`] and [`read_places`]; an error for a registration to another grid than that of the atlas;
/// what reading and writing return.
pub fn count(files: CountFiles<'_>, config: &CountConfig, hooks: &dyn Hooks, ctx: &Ctx) -> Result<CountSummary> {
    count_with(files, config, None, hooks, ctx)
}

/// Maps one part of the cells of [`count`] into the atlas and leaves their places in the folder `work`, for [`count_merge`].
///
/// All processes see `work`, the cells and the registration under the same names, and take the same options. The atlas is not read.
/// A part that is there is not computed again.
///
/// # Errors
/// As [`count`]; [`Error::Parameter`] for a step that is none, or a folder of another run.
#[expect(clippy::too_many_arguments, reason = "those of `count`, and the part")]
pub fn count_part(
    cells: &Path,
    registration: Option<&Path>,
    work: &Path,
    step: &str,
    blocks: Blocks,
    config: &CountConfig,
    hooks: &dyn Hooks,
    ctx: &Ctx,
) -> Result<()> {
    config.validate()?;
    let folder = folder_of(work, cells, registration, config, Role::Part(step.into(), blocks))?;
    let mut stages = Stages::new(hooks, ctx);
    let (cells, registration) = read(cells, registration, config, &mut stages)?;
    let exchange: Arc<dyn Exchange> = folder;
    let placed = stages.run("place", |ctx| {
        map_cells(&cells.points, registration.as_ref(), Some(&exchange), ctx).map(|_| ((), String::new()))
    });
    match placed {
        Err(Error::PartDone) => Ok(()),
        outcome => outcome,
    }
}

/// As [`count`], from the places that processes left in the folder `work`: with the same bits.
///
/// # Errors
/// As [`count`] and [`count_part`]; [`Error::Format`] that names what is missing.
pub fn count_merge(
    files: CountFiles<'_>,
    work: &Path,
    config: &CountConfig,
    hooks: &dyn Hooks,
    ctx: &Ctx,
) -> Result<CountSummary> {
    config.validate()?;
    let folder = folder_of(work, files.cells, files.registration, config, Role::Merge(None))?;
    count_with(files, config, Some(folder), hooks, ctx)
}

fn folder_of(
    work: &Path,
    cells: &Path,
    registration: Option<&Path>,
    config: &CountConfig,
    role: Role,
) -> Result<Arc<Folder>> {
    let inputs: Vec<&Path> = std::iter::once(cells).chain(registration).collect();
    Folder::open(work, &inputs, &count_steps(), config, role).map(Arc::new)
}

fn read(
    cells: &Path,
    registration: Option<&Path>,
    config: &CountConfig,
    stages: &mut Stages<'_>,
) -> Result<(Places, Option<Registration>)> {
    let cells = stages.run("read", |ctx| {
        let cells = read_places(cells, config.cells.spacing, ctx)?;
        let note = counted(cells.points.len(), "cell");
        Ok((cells, note))
    })?;
    Ok((cells, registration.map(stored::load_registration).transpose()?))
}

fn count_with(
    files: CountFiles<'_>,
    config: &CountConfig,
    folder: Option<Arc<Folder>>,
    hooks: &dyn Hooks,
    ctx: &Ctx,
) -> Result<CountSummary> {
    config.validate()?;
    for (name, path) in [("output", Some(files.output)), ("cells", files.table)] {
        if let Some(path) = path {
            let kind = target(name, path, &["csv", "parquet"])?;
            debug_assert_eq!(kind, Target::Table);
            check_targets(path, None, Some(files.cells))?;
        }
    }
    let mut stages = Stages::new(hooks, ctx);
    let (cells, registration) = read(files.cells, files.registration, config, &mut stages)?;
    let atlas = stages.run("atlas", |ctx| load(&config.atlas, false, ctx))?;
    if let Some(found) = &registration {
        stored::check_atlas(found, &atlas)?;
    }
    let placed = stages.run("count", |ctx| {
        let exchange = folder.map(|folder| folder as Arc<dyn Exchange>);
        let places = map_cells(&cells.points, registration.as_ref(), exchange.as_ref(), ctx)?;
        let placed = Placed::new(places, registration.as_ref(), &atlas, ctx)?;
        let note = placed.told();
        Ok((placed, note))
    })?;
    stages.run("write", |_| {
        placed.write(&atlas, files.output)?;
        if let Some(path) = files.table {
            let columns = with_places(cells.columns, &cells.points, &placed, &atlas);
            write_columns(path, &columns)?;
        }
        Ok(((), format!("{} structures", grouped(atlas.tree.structures().len() as u64))))
    })?;
    Ok(CountSummary {
        cells: placed.counts.total(),
        background: placed.counts.background,
        outside: placed.counts.outside,
        lost: placed.counts.lost,
        told: placed.told(),
        stages: stages.records,
        output: files.output.display().to_string(),
        table: files.table.map(|path| path.display().to_string()),
    })
}

/// A table of cells with their structures, and their places in the sample and in the atlas.
fn with_places(
    table: Columns,
    points: &[[f64; 3]],
    placed: &Placed,
    atlas: &zensaibo_imaging::atlas::Atlas,
) -> Columns {
    let mut columns = table.columns;
    let mut metadata = table.metadata;
    let mut set = |(name, column)| {
        columns.retain(|(present, _)| *present != name);
        columns.push((name, column));
    };
    placed.columns(atlas).into_iter().for_each(&mut set);
    for (axis, name) in ["z", "y", "x"].into_iter().enumerate() {
        let of = |places: &[[f64; 3]]| places.iter().map(|place| place[axis]).collect::<Vec<f64>>();
        set(numbers(name, of(points)));
        set(numbers(&format!("atlas_{name}"), of(&placed.places)));
    }
    metadata.retain(|(name, _)| name != "unit" && name != "atlas");
    metadata.push(("unit".into(), "micrometer".into()));
    metadata.push(("atlas".into(), json!(atlas.name).to_string()));
    Columns { columns, metadata }
}
