//! Cells per structure as columns, and as a chart of the structures that hold most of them.

use std::path::Path;
use std::sync::Arc;

use zensaibo_core::exchange::{Exchange, units};
use zensaibo_core::{Ctx, Result};
use zensaibo_imaging::atlas::{Atlas, Growth, Half, Place, RegionCounts, count_regions, locate};
use zensaibo_imaging::register::Registration;
use zensaibo_io::{Column, Columns, write_columns};

use super::cells::numbers;
use crate::measure::grouped;
use crate::report::{Bar, Bars};

/// Bars of a chart at most.
const BARS: usize = 24;

/// Cells that are mapped as one unit where processes share them.
const UNIT: usize = 1 << 14;

/// Places of cells of a sample in an atlas, shared out where there is an exchange; without a registration they are those of the atlas.
pub(super) fn map_cells(
    places: &[[f64; 3]],
    registration: Option<&Registration>,
    exchange: Option<&Arc<dyn Exchange>>,
    ctx: &Ctx,
) -> Result<Vec<[f64; 3]>> {
    let mut mapped = Vec::with_capacity(places.len());
    units(
        exchange,
        "place cells",
        // Without cells too every part has something to leave.
        places.len().div_ceil(UNIT).max(1),
        ctx,
        |own, hand| {
            let first = own.start * UNIT;
            let places = &places[first..(own.end * UNIT).min(places.len()).max(first)];
            let found = match registration {
                Some(registration) => registration.map_points(places, false, ctx)?,
                None => places.to_vec(),
            };
            let mut units = found.chunks(UNIT);
            own.into_iter().try_for_each(|unit| hand(unit, units.next().unwrap_or_default().to_vec()))
        },
        |_, found: Vec<[f64; 3]>| {
            mapped.extend(found);
            Ok(())
        },
    )?;
    Ok(mapped)
}

/// Where cells lie in an atlas.
pub(super) struct Placed {
    /// (z, y, x) in micrometres of the atlas.
    pub(super) places: Vec<[f64; 3]>,
    pub(super) found: Vec<Place>,
    pub(super) counts: RegionCounts,
}

impl Placed {
    /// Counts cells by their places in the atlas, as [`map_cells`] gives them.
    pub(super) fn new(
        places: Vec<[f64; 3]>,
        registration: Option<&Registration>,
        atlas: &Atlas,
        ctx: &Ctx,
    ) -> Result<Self> {
        let found = locate(&places, atlas, ctx)?;
        let jacobian = registration.map(|found| (found.jacobian(), found.field.spacing));
        let growth = jacobian.as_ref().map(|(grid, spacing)| Growth { grid, spacing: *spacing });
        let counts = count_regions(&found, atlas, growth.as_ref(), ctx)?;
        Ok(Self { places, found, counts })
    }

    /// "9,120 in structures, 61 background, 0 outside".
    pub(super) fn told(&self) -> String {
        let counts = &self.counts;
        let inside = counts.total() - counts.background - counts.outside - counts.lost;
        let mut text = format!(
            "{} in structures, {} in none, {} beyond the atlas",
            grouped(inside),
            grouped(counts.background),
            grouped(counts.outside)
        );
        if counts.lost > 0 {
            text.push_str(&format!(", {} without a place", grouped(counts.lost)));
        }
        text
    }

    /// Columns region, region_id, hemisphere, one value per cell.
    pub(super) fn columns(&self, atlas: &Atlas) -> Vec<(String, Column)> {
        let structures = atlas.tree.structures();
        let nowhere = ["background", "outside", "lost"];
        let mut names: Vec<String> = structures.iter().map(|structure| structure.record.acronym.clone()).collect();
        names.extend(nowhere.map(String::from));
        let code = |place: &Place| match *place {
            Place::Structure(index, _) => index,
            Place::Background => structures.len(),
            Place::Outside => structures.len() + 1,
            Place::Lost => structures.len() + 2,
        };
        let id = |place: &Place| match *place {
            Place::Structure(index, _) => structures[index].record.id,
            _ => 0,
        };
        let half = |place: &Place| match *place {
            Place::Structure(_, Half::Left) => 0,
            Place::Structure(_, Half::Right) => 1,
            _ => 2,
        };
        vec![
            ("region".into(), categories(self.found.iter().map(code), names, true)),
            numbers("region_id", self.found.iter().map(id).collect::<Vec<u64>>()),
            (
                "hemisphere".into(),
                categories(self.found.iter().map(half), ["left", "right", "none"].map(String::from).to_vec(), false),
            ),
        ]
    }

    /// One row per structure, each before its parts, as `zensaibo.im.count_regions` returns them.
    pub(super) fn table(&self, atlas: &Atlas) -> Columns {
        let structures = atlas.tree.structures();
        let regions = &self.counts.regions;
        let text = |read: &dyn Fn(usize) -> String| Column::Strings((0..structures.len()).map(read).collect());
        let whole = |read: &dyn Fn(usize) -> u64| (0..structures.len()).map(read).collect::<Vec<u64>>();
        let real = |read: &dyn Fn(usize) -> f64| (0..structures.len()).map(read).collect::<Vec<f64>>();
        let parent = |at: usize| structures[at].parent.map_or(0, |parent| structures[parent].record.id);
        let columns = vec![
            numbers("id", whole(&|at| structures[at].record.id)),
            ("acronym".into(), text(&|at| structures[at].record.acronym.clone())),
            ("structure_name".into(), text(&|at| structures[at].record.name.clone())),
            numbers("parent_id", whole(&parent)),
            numbers("depth", whole(&|at| structures[at].depth as u64)),
            numbers("own_cell_count", whole(&|at| regions[at].own[0] + regions[at].own[1])),
            numbers("left_cell_count", whole(&|at| regions[at].cells[0])),
            numbers("right_cell_count", whole(&|at| regions[at].cells[1])),
            numbers("total_cells", whole(&|at| regions[at].cells[0] + regions[at].cells[1])),
            numbers("left_volume_mm3", real(&|at| regions[at].volume[0])),
            numbers("right_volume_mm3", real(&|at| regions[at].volume[1])),
            numbers("total_volume_mm3", real(&|at| regions[at].volume[0] + regions[at].volume[1])),
            numbers("left_cells_per_mm3", real(&|at| regions[at].densities()[0])),
            numbers("right_cells_per_mm3", real(&|at| regions[at].densities()[1])),
            numbers("cells_per_mm3", real(&|at| regions[at].density())),
        ];
        let metadata = vec![
            ("cells".to_string(), self.counts.total().to_string()),
            ("background".to_string(), self.counts.background.to_string()),
            ("outside".to_string(), self.counts.outside.to_string()),
            ("lost".to_string(), self.counts.lost.to_string()),
        ];
        Columns { columns, metadata }
    }

    pub(super) fn write(&self, atlas: &Atlas, path: &Path) -> Result<()> {
        write_columns(path, &self.table(atlas))
    }

    /// The structures that hold most cells, none part of another: the whole is parted, largest first, as long as its parts
    /// hold most of it.
    pub(super) fn chart(&self, atlas: &Atlas) -> Bars {
        let structures = atlas.tree.structures();
        let regions = &self.counts.regions;
        let total = |at: usize| regions[at].cells[0] + regions[at].cells[1];
        let mut shown: Vec<usize> = (0..structures.len()).filter(|&at| structures[at].parent.is_none()).collect();
        shown.retain(|&at| total(at) > 0);
        let mut final_ones = Vec::new();
        while let Some(place) = (0..shown.len()).max_by_key(|&place| (total(shown[place]), std::cmp::Reverse(place))) {
            let at = shown.swap_remove(place);
            let parts: Vec<usize> = (at + 1..structures[at].end)
                .filter(|&part| structures[part].parent == Some(at) && total(part) > 0)
                .collect();
            let held: u64 = parts.iter().map(|&part| total(part)).sum();
            if parts.is_empty() || 10 * held < 9 * total(at) || shown.len() + parts.len() + final_ones.len() > BARS {
                final_ones.push(at);
            } else {
                shown.extend(parts);
            }
        }
        final_ones.sort_by_key(|&at| (std::cmp::Reverse(total(at)), at));
        final_ones.truncate(BARS);
        let bar = |&at: &usize| {
            let (record, region) = (&structures[at].record, &regions[at]);
            let [red, green, blue] = record.rgb;
            Bar {
                name: record.acronym.clone(),
                title: format!(
                    "{}: {} left, {} right, {:.1} per mm³",
                    record.name,
                    grouped(region.cells[0]),
                    grouped(region.cells[1]),
                    region.density()
                ),
                values: region.cells.map(|cells| cells as f64),
                colour: format!("#{red:02x}{green:02x}{blue:02x}"),
            }
        };
        Bars {
            title: "Cells per structure".into(),
            caption: "The structures that hold most cells, none of them part of another: the left half full, the right half pale. \
                      All structures at every level are in the table."
                .into(),
            rows: final_ones.iter().map(bar).collect(),
        }
    }
}

/// Categories of which only those that occur are listed, in their order, where `only_used`.
fn categories(codes: impl Iterator<Item = usize>, names: Vec<String>, only_used: bool) -> Column {
    let codes: Vec<usize> = codes.collect();
    let mut used = vec![!only_used; names.len()];
    codes.iter().for_each(|&code| used[code] = true);
    // As pandas does: in the order of the letters.
    let mut order: Vec<usize> = (0..names.len()).filter(|&code| used[code]).collect();
    if only_used {
        order.sort_by(|&a, &b| names[a].cmp(&names[b]));
        order.dedup_by(|a, b| names[*a] == names[*b]);
    }
    let place: std::collections::HashMap<&str, i32> =
        order.iter().zip(0i32..).map(|(&code, place)| (names[code].as_str(), place)).collect();
    let codes = codes.iter().map(|&code| place[names[code].as_str()]).collect();
    let categories = Column::Strings(order.iter().map(|&code| names[code].clone()).collect());
    Column::Categories { codes, categories: Box::new(categories), ordered: false }
}
