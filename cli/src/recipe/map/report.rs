//! What the page of `map` shows.

use super::config::MapMethod;
use super::{Found, MapConfig, MapFiles};
use crate::measure::{StageRecord, bytes_text, grouped};
use crate::report::{JointReport, joint_page};

pub(super) fn page(
    found: &Found,
    files: MapFiles<'_>,
    notes: &[String],
    stages: &[StageRecord],
    config: &MapConfig,
) -> String {
    let places = &found.places;
    let d = places.dimensions;
    let seconds: f64 = stages.iter().map(|stage| stage.wall_seconds).sum();
    let peak = stages.iter().map(|stage| stage.peak_bytes).max().unwrap_or(0);
    let n_types = found.types.sizes.iter().filter(|size| **size > 0).count();
    let mut numbers = vec![
        (grouped(places.names.len() as u64), format!("cells in {d} dimensions")),
        (grouped(found.reference.labels.codes.len() as u64), "cells of the reference".into()),
        (n_types.to_string(), "types in place".into()),
        (grouped(found.shared.names.len() as u64), "shared genes".into()),
        (format!("{:.2}", found.types.mean_confidence()), "mean confidence".into()),
    ];
    if let Some(held) = &found.held_out {
        numbers.push((format!("{:.2}", held.mean()), "correlation of genes held out".into()));
    }
    numbers.push((format!("{seconds:.1} s"), "from file to result".into()));
    numbers.push((bytes_text(peak), "peak memory".into()));
    // Cells without a type are not drawn in one.
    let drawn: Vec<usize> = (0..places.names.len()).filter(|&cell| found.types.codes[cell] >= 0).collect();
    let coordinate =
        |cell: usize, axis: usize, d: usize| if axis < d { places.points[cell * d + axis] as f32 } else { 0.0 };
    let (regions, region) = match &places.regions {
        None => (Vec::new(), Vec::new()),
        Some((codes, names)) => {
            (names.clone(), drawn.iter().map(|&cell| u32::try_from(codes[cell]).unwrap_or(u32::MAX)).collect())
        }
    };
    joint_page(&JointReport {
        input: files.input.display().to_string(),
        reference: files.reference.display().to_string(),
        time: files.time.map(String::from),
        numbers,
        notes: notes.to_vec(),
        types: found.reference.labels.names.clone(),
        places: drawn.iter().map(|&cell| std::array::from_fn(|axis| coordinate(cell, axis, d))).collect(),
        dimensions: d,
        unit: places.unit.into(),
        labels: drawn.iter().map(|&cell| found.types.codes[cell] as u32).collect(),
        confidence: drawn.iter().map(|&cell| found.types.confidence[cell]).collect(),
        regions,
        region,
        embedding: found.reference.embedding.clone().unwrap_or_default(),
        embedded: found.reference.labels.codes.clone(),
        basis: "UMAP".into(),
        held_out: found
            .held_out
            .as_ref()
            .map_or_else(Vec::new, |held| held.genes.iter().cloned().zip(held.scores.iter().copied()).collect()),
        score: "correlation".into(),
        stages: stages.to_vec(),
        entries: vec![
            ("cells in place".into(), files.input.display().to_string()),
            ("their SHA-256".into(), found.sha256[0].clone()),
            ("reference".into(), files.reference.display().to_string()),
            ("its SHA-256".into(), found.sha256[1].clone()),
            ("output".into(), files.output.display().to_string()),
            (
                "method".into(),
                match config.method.name {
                    MapMethod::PrincipalVectors => "nearest cells along principal vectors".into(),
                    MapMethod::Tangram => "Tangram's objective over candidates".into(),
                },
            ),
        ],
        options: config.values(),
    })
}
