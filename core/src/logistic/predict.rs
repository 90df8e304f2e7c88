//! Applying a fitted model.

use rayon::prelude::*;

use super::Model;
use super::loss::{probabilities, row_logits};
use crate::matrix::{RowBlocks, Scratch};
use crate::{Ctx, DataFault, Error, Result};

/// What a model says of each cell.
#[derive(Clone, Debug, PartialEq)]
pub struct Predicted {
    /// Number of classes K.
    pub n_classes: usize,
    /// cells x K, row-major: probability of each class; rows sum to 1.
    pub probabilities: Vec<f64>,
    /// The most probable class of each cell, the first of equals.
    pub labels: Vec<u32>,
}

impl Model {
    /// Probabilities of the classes of each row of `source`, whose columns are the features of the model.
    ///
    /// Threads change no bit. One read; memory 8 K bytes per cell.
    ///
    /// # Errors
    /// [`Error::Data`] when the number of columns is not that of the features, or a value is not finite; whatever the
    /// source returns; [`Error::Interrupted`].
    pub fn predict(&self, source: &dyn RowBlocks, ctx: &Ctx) -> Result<Predicted> {
        if source.n_cols() != self.n_features {
            let expected = format!("the {} features of the model", self.n_features);
            return Err(Error::data(DataFault::Shape, "X", expected, source.n_cols()));
        }
        let rows = self.intercepts.len();
        let width = rows.next_multiple_of(4);
        let mut weights = vec![0.0; self.n_features * width];
        for (row, coefficients) in self.coefficients.chunks_exact(self.n_features.max(1)).enumerate() {
            coefficients.iter().enumerate().for_each(|(feature, &weight)| weights[feature * width + row] = weight);
        }
        let stage = ctx.stage("predict", source.n_rows() as u64);
        let parts = (0..source.n_blocks())
            .into_par_iter()
            .with_max_len(1)
            .map(|block| {
                ctx.check()?;
                let mut scratch = Scratch::default();
                let read = source.read(block, &mut scratch)?;
                let mut out = Vec::with_capacity(read.n_rows() * self.n_classes);
                let mut logits = vec![0.0; width];
                for (cell, indices, values) in read.rows() {
                    logits.fill(0.0);
                    logits[..rows].copy_from_slice(&self.intercepts);
                    row_logits(indices, values, &weights, &mut logits);
                    if logits[..rows].iter().any(|logit| !logit.is_finite()) {
                        let found = format!("NaN, infinity or overflow in row {cell}");
                        return Err(Error::data(DataFault::NotFinite, "X", "finite values", found));
                    }
                    if rows == 1 {
                        let mut pair = [0.0, logits[0]];
                        probabilities(&mut pair);
                        out.extend(pair);
                    } else {
                        probabilities(&mut logits[..rows]);
                        out.extend_from_slice(&logits[..rows]);
                    }
                }
                stage.advance(read.n_rows() as u64)?;
                Ok(out)
            })
            .collect::<Vec<Result<Vec<f64>>>>();
        let mut all = Vec::with_capacity(source.n_rows() * self.n_classes);
        for part in parts {
            all.extend(part?);
        }
        let best = |row: &[f64]| (0..row.len()).fold(0, |best, at| if row[at] > row[best] { at } else { best }) as u32;
        let labels = all.chunks_exact(self.n_classes).map(best).collect();
        Ok(Predicted { n_classes: self.n_classes, probabilities: all, labels })
    }
}
