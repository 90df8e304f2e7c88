//! The whole way on clouds with known truth.

mod ladder;

use ladder::{Case, RUNGS, nearest};
use zensaibo_core::Ctx;

use crate::{AlignOptions, Alignment, Start, align};

fn run(case: &Case, dimensions: usize, start: &Start, options: &AlignOptions) -> zensaibo_core::Result<Alignment> {
    let (moving, fixed) = case.clouds(dimensions);
    align(&moving, &fixed, start, None, options, &Ctx::quiet())
}

fn from_marks(case: &Case, dimensions: usize) -> Start {
    let (from, to) = case.marks(dimensions);
    Start::Landmarks(from, to, None)
}

fn pairs(found: &Alignment) -> Vec<(u32, u32)> {
    found.matches.pairs.iter().map(|pair| (pair.moving, pair.fixed)).collect()
}

#[test]
#[ignore]
fn show() {
    let options = AlignOptions { scale: true, tries: 60, ..AlignOptions::default() };
    for (level, rung) in RUNGS.into_iter().enumerate() {
        for seed in 0..2 {
            let case = Case::new(3000, 3, rung, seed);
            for (name, start) in [("marks", from_marks(&case, 3)), ("free", Start::Geometry)] {
                let t = std::time::Instant::now();
                match run(&case, 3, &start, &options) {
                    Ok(found) => {
                        let rough: Vec<_> = case.moving.iter().map(|p| found.map.start.apply(p)).collect();
                        let (p, r) = case.score(&pairs(&found));
                        println!("rung {} seed {seed} {name}: rough {:.3} P {p:.3} R {r:.3} decoy {:.4} exp {:.4} true {:.4} scatter {:.2} share {:.2} seeds {:?} spacing {:.2} controls {} {:.1}s",
                            level + 1, nearest(&case, &rough), found.matches.false_match_rate, found.matches.expected_false, 1.0 - p, found.matches.scatter, found.matches.share, found.seeds, found.spacing, found.map.controls.len(), t.elapsed().as_secs_f64());
                    }
                    Err(error) => println!("rung {} seed {seed} {name}: {error} {:.1}s", level + 1, t.elapsed().as_secs_f64()),
                }
            }
        }
    }
}
