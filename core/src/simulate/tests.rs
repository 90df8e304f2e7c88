//! Depth, dispersion, truth, streams and refusals.

use super::*;
use crate::Ctx;
use crate::matrix::{RowBlocks, collect};
use crate::options::Options;
use crate::parallel::with_threads;

fn small(n_obs: usize) -> SimulateOptions {
    SimulateOptions { n_obs, n_vars: 3000, umi_per_cell: 1500.0, genes_per_cell: 600.0, ..SimulateOptions::default() }
}

fn made(options: &SimulateOptions) -> (Simulation, crate::data::Csr) {
    let simulation = Simulation::new(options).unwrap();
    let counts = collect(&simulation, &Ctx::quiet()).unwrap();
    (simulation, counts)
}

#[test]
fn depth_and_genes_are_as_asked() {
    let (_, counts) = made(&small(2000));
    let mut genes: Vec<usize> = (0..2000).map(|cell| counts.row(cell).0.len()).collect();
    let mut depth: Vec<f32> = (0..2000).map(|cell| counts.row(cell).1.iter().sum()).collect();
    genes.sort_unstable();
    depth.sort_by(f32::total_cmp);
    assert!((540..690).contains(&genes[1000]), "{}", genes[1000]);
    assert!((1400.0..1650.0).contains(&depth[1000]), "{}", depth[1000]);
}

#[test]
fn markers_rise_in_their_type() {
    let (simulation, counts) = made(&SimulateOptions { doublet_rate: 0.0, ..small(3000) });
    let cells: Vec<Cell> = (0..3000).map(|cell| simulation.cell(cell)).collect();
    let size = |kind: usize| cells.iter().filter(|cell| cell.cell_type == kind).count() as f64;
    let mut own = [0.0; 20];
    let mut other = [0.0; 20];
    for (cell, truth) in cells.iter().enumerate() {
        let (genes, values) = counts.row(cell);
        for (&gene, &value) in genes.iter().zip(values) {
            if let GeneRole::TypeMarker(kind) = simulation.roles()[gene as usize] {
                let sum = if kind == truth.cell_type { &mut own[kind] } else { &mut other[kind] };
                *sum += f64::from(value);
            }
        }
    }
    for kind in 0..20 {
        let fold = (own[kind] / size(kind)) / (other[kind] / (3000.0 - size(kind)));
        assert!(fold > 3.0, "type {kind}: {fold}");
    }
    // Shares fall from about a fifth to a fiftieth of that.
    assert!((0.15..0.24).contains(&(size(0) / 3000.0)) && (0.0005..0.01).contains(&(size(19) / 3000.0)));
}

#[test]
fn truth_is_complete() {
    let simulation = Simulation::new(&small(4000)).unwrap();
    let cells: Vec<Cell> = (0..4000).map(|cell| simulation.cell(cell)).collect();
    let doublets = cells.iter().filter(|cell| cell.doublet_of.is_some()).count();
    assert!((100..230).contains(&doublets), "{doublets}");
    for cell in &cells {
        assert_eq!(cell.pseudotime.is_some(), simulation.trajectory_of(cell.cell_type).is_some());
    }
    for batch in 0..4 {
        assert!(cells.iter().filter(|cell| cell.batch == batch).count() > 900);
    }
    let names = simulation.gene_names();
    assert_eq!(names.iter().collect::<std::collections::BTreeSet<_>>().len(), 3000);
    assert_eq!(names.iter().filter(|name| name.starts_with("MT-")).count(), 13);
    assert_eq!(simulation.roles().iter().filter(|role| **role == GeneRole::Mitochondrial).count(), 13);
}

#[test]
fn threads_change_nothing_and_more_cells_go_on_from_fewer() {
    let run =
        |threads| with_threads(Some(threads), || collect(&Simulation::new(&small(6000))?, &Ctx::quiet())).unwrap();
    let one = run(1);
    assert!(Simulation::new(&small(6000)).unwrap().n_blocks() > 2);
    assert_eq!(run(2), one);
    assert_eq!(run(8), one);
    let (_, fewer) = made(&small(500));
    for cell in 0..500 {
        assert_eq!(fewer.row(cell), one.row(cell));
    }
    let (_, other) = made(&SimulateOptions { seed: 1, ..small(500) });
    assert_ne!(other, fewer);
}

#[test]
fn blood_cells_carry_their_markers() {
    let options = SimulateOptions { template: Template::Pbmc, n_trajectories: 1, doublet_rate: 0.0, ..small(2000) };
    let (simulation, counts) = made(&options);
    let column = |name: &str| simulation.gene_names().iter().position(|gene| gene == name).unwrap() as u32;
    let kinds: Vec<&str> = simulation.type_names().collect();
    for (gene, kind) in
        [("CD14", "CD14+ monocyte"), ("MS4A1", "B"), ("GNLY", "NK"), ("IL7R", "CD4 T"), ("CD8A", "CD8 T")]
    {
        let column = column(gene);
        let (mut inside, mut outside) = ((0.0, 0.0), (0.0, 0.0));
        for cell in 0..2000 {
            let (genes, values) = counts.row(cell);
            let value = genes.binary_search(&column).map_or(0.0, |at| f64::from(values[at]));
            let side = if kinds[simulation.cell(cell).cell_type] == kind { &mut inside } else { &mut outside };
            *side = (side.0 + value, side.1 + 1.0);
        }
        let (own, other) = (inside.0 / inside.1, outside.0 / outside.1);
        assert!(own > 1.0 && own > 8.0 * other, "{gene}: {own} {other}");
    }
}

#[test]
fn options_are_checked() {
    let refused = |json: &str| match SimulateOptions::from_json(json).and_then(|o| Simulation::new(&o)) {
        Err(error) => error.to_string(),
        Ok(_) => panic!("{json} accepted"),
    };
    for (json, name) in [
        (r#"{"n_vars": 10}"#, "n_vars"),
        (r#"{"n_types": 0}"#, "n_types"),
        (r#"{"n_lineages": 21}"#, "n_lineages"),
        (r#"{"n_batches": 0}"#, "n_batches"),
        (r#"{"n_trajectories": 21}"#, "n_trajectories"),
        (r#"{"umi_per_cell": 0}"#, "umi_per_cell"),
        (r#"{"genes_per_cell": 4600}"#, "genes_per_cell"),
        (r#"{"depth_sd": -1}"#, "depth_sd"),
        (r#"{"dispersion": 0}"#, "dispersion"),
        (r#"{"marker_fold": 11}"#, "marker_fold"),
        (r#"{"batch_effect": -0.1}"#, "batch_effect"),
        (r#"{"doublet_rate": 1.5}"#, "doublet_rate"),
        (r#"{"mito_fraction": 1}"#, "mito_fraction"),
        (r#"{"template": "liver"}"#, "liver"),
        (r#"{"template": "pbmc", "n_types": 3, "n_lineages": 1}"#, "n_types"),
    ] {
        assert!(refused(json).contains(name), "{json}: {}", refused(json));
    }
    let (_, none) = made(&small(0));
    assert_eq!((none.n_rows, none.n_cols), (0, 3000));
    let (_, one) = made(&SimulateOptions {
        n_types: 1,
        n_lineages: 1,
        n_batches: 1,
        n_trajectories: 0,
        mito_fraction: 0.0,
        ..small(1)
    });
    assert!(one.nnz() > 100);
}
