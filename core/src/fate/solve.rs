//! Where the walk is absorbed.

use super::Fates;
use crate::data::Csr;
use crate::{Ctx, Error, Result};

/// Largest change of a probability in the last sweep.
const TOLERANCE: f64 = 1e-9;
/// Sweeps after which to give up.
const SWEEPS: usize = 20_000;

/// Probabilities of absorption, by sweeps over the cells from the latest to the earliest (Gauss and Seidel's method): a
/// walk that goes forward settles in few.
pub(super) fn absorbed(walk: &Csr, pseudotime: &[f64], terminal: &[i32], fates: usize, ctx: &Ctx) -> Result<Fates> {
    let n = pseudotime.len();
    let mut order: Vec<u32> = (0..n as u32).filter(|&cell| terminal[cell as usize] < 0).collect();
    order.sort_by(|&a, &b| pseudotime[b as usize].total_cmp(&pseudotime[a as usize]).then(a.cmp(&b)));
    let mut probabilities = vec![0f64; n * fates];
    for (cell, &fate) in terminal.iter().enumerate().filter(|entry| *entry.1 >= 0) {
        probabilities[cell * fates + fate as usize] = 1.0;
    }
    let mut row = vec![0f64; fates];
    let mut sweeps = 0;
    let stage = ctx.stage("fate probabilities", 0);
    loop {
        stage.advance(1)?;
        let mut change = 0f64;
        for (step, &cell) in order.iter().enumerate() {
            if step & 0xfff == 0 {
                ctx.check()?;
            }
            let cell = cell as usize;
            row.fill(0.0);
            let (targets, shares) = walk.row(cell);
            for (&target, &share) in targets.iter().zip(shares) {
                let at = target as usize * fates;
                row.iter_mut().zip(&probabilities[at..at + fates]).for_each(|(sum, p)| *sum += f64::from(share) * p);
            }
            for (old, &new) in probabilities[cell * fates..(cell + 1) * fates].iter_mut().zip(&row) {
                change = change.max((*old - new).abs());
                *old = new;
            }
        }
        sweeps += 1;
        if change <= TOLERANCE {
            break;
        }
        if sweeps >= SWEEPS {
            return Err(Error::NotConverged {
                what: "fate probabilities".into(),
                iterations: sweeps,
                reached: change,
                asked: TOLERANCE,
            });
        }
    }
    let (mut unreached, mut entropy) = (0, vec![0f64; n]);
    for (row, entropy) in probabilities.chunks_exact_mut(fates).zip(&mut entropy) {
        let total: f64 = row.iter().sum();
        // Less than rounding leaves of a path is no path.
        if total <= 1e-6 {
            row.fill(0.0);
            unreached += 1;
            continue;
        }
        row.iter_mut().for_each(|p| *p /= total);
        *entropy = row.iter().filter(|p| **p > 0.0).map(|p| -p * p.ln()).sum::<f64>().max(0.0);
    }
    Ok(Fates { probabilities, entropy, unreached, sweeps })
}
