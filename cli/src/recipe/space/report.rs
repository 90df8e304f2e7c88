//! What the report of `space` shows.

use super::{Found, SpaceConfig, SpaceFiles, statistics};
use crate::measure::{StageRecord, bytes_text, grouped};
use crate::report::{GeneTable, Heatmap, Lines, Map, SpaceReport, space_page};

/// Libraries shown as maps at most.
const MAPS: usize = 12;
/// Labels shown by distance at most, those of the most cells.
const LABELS: usize = 8;
/// Genes shown of each test.
const GENES: usize = 25;

pub(super) fn page(
    found: &Found,
    files: SpaceFiles<'_>,
    notes: &[String],
    tested: usize,
    stages: &[StageRecord],
    config: &SpaceConfig,
) -> String {
    let cells = &found.cells;
    let labels = cells.labels.as_ref();
    let seconds: f64 = stages.iter().map(|stage| stage.wall_seconds).sum();
    let peak = stages.iter().map(|stage| stage.peak_bytes).max().unwrap_or(0);
    let mut notes = notes.to_vec();
    if cells.members.len() > MAPS {
        notes.push(format!("The first {MAPS} of {} libraries are shown as maps.", cells.members.len()));
    }
    let maps = cells.members.iter().enumerate().take(MAPS).map(|(library, members)| Map {
        title: cells.libraries.names[library].clone(),
        points: members
            .iter()
            .map(|&cell| [cells.places[cell * cells.dimensions], cells.places[cell * cells.dimensions + 1]])
            .collect(),
        labels: members.iter().map(|&cell| labels.map_or(0, |labels| labels.codes[cell])).collect(),
        unit: cells.unit.into(),
    });
    let names = labels.map_or_else(Vec::new, |labels| labels.names.clone());
    let heatmap = found.enrichment.as_ref().map(|enrichment| Heatmap {
        names: names.clone(),
        values: statistics::scores(enrichment),
        counts: enrichment.counts.clone(),
    });
    let lines = found.co_occurrence.as_ref().zip(labels).map(|(co, labels)| {
        let mut sizes = vec![0usize; names.len()];
        labels.codes.iter().for_each(|&label| sizes[label as usize] += 1);
        let mut order: Vec<usize> = (0..names.len()).collect();
        order.sort_by_key(|&label| (std::cmp::Reverse(sizes[label]), label));
        order.truncate(LABELS);
        let layers = co.distances.len() - 1;
        Lines {
            x: co.distances[1..].to_vec(),
            x_label: if cells.unit.is_empty() { "distance".into() } else { format!("distance ({})", cells.unit) },
            names: order.iter().map(|&label| names[label].clone()).collect(),
            colours: order.clone(),
            // Each label with itself.
            values: order.iter().map(|&at| co.ratios[(at * names.len() + at) * layers..][..layers].to_vec()).collect(),
        }
    });
    let mut tables = Vec::new();
    if let Some(scored) = &found.autocorr {
        let falls = config.autocorr.mode == zensaibo_spatial::autocorr::Mode::Geary;
        tables.push(GeneTable {
            title: "Genes alike among neighbours".into(),
            columns: [if falls { "Geary's C" } else { "Moran's I" }.into(), "adjusted p".into(), String::new()],
            rows: rows(&scored.genes, &scored.scores, &scored.corrected, None),
        });
    }
    if let Some(genes) = &found.in_space {
        tables.push(GeneTable {
            title: "Genes that are a function of place".into(),
            columns: ["share of variance".into(), "adjusted p".into(), "best set of functions".into()],
            rows: rows(&genes.genes, &genes.share, &genes.corrected, Some(&genes.pattern)),
        });
    }
    space_page(&SpaceReport {
        input: files.input.display().to_string(),
        time: files.time.map(String::from),
        numbers: vec![
            (grouped(cells.len() as u64), format!("cells in {} dimensions", cells.dimensions)),
            (cells.members.len().to_string(), "libraries".into()),
            (names.len().to_string(), "labels".into()),
            (grouped(found.graph.indices.len() as u64), "edges".into()),
            (grouped(tested as u64), "genes tested".into()),
            (format!("{seconds:.1} s"), "from file to result".into()),
            (bytes_text(peak), "peak memory".into()),
        ],
        notes,
        names,
        maps: maps.collect(),
        heatmap,
        lines,
        tables,
        stages: stages.to_vec(),
        entries: vec![
            ("input".into(), files.input.display().to_string()),
            ("SHA-256 of the input".into(), found.sha256.clone()),
            ("output".into(), files.output.display().to_string()),
        ],
        options: config.values(),
    })
}

fn rows(genes: &[String], scores: &[f64], pvals: &[f64], words: Option<&[String]>) -> Vec<(String, f64, f64, String)> {
    (0..genes.len().min(GENES))
        .filter(|&at| !scores[at].is_nan())
        .map(|at| (genes[at].clone(), scores[at], pvals[at], words.map_or(String::new(), |words| words[at].clone())))
        .collect()
}
