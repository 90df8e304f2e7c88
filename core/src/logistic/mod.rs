//! Multinomial logistic regression on sparse rows: which class a cell belongs to, and how surely.
//!
//! With x a cell's values and K classes, P(class k) is proportional to exp(w_k x + b_k) (for two classes one row of
//! weights, the log odds of the second). [`fit`] minimises the mean negative log likelihood plus |W|^2 / (2 C cells),
//! intercepts unpenalised, by L-BFGS with a line search of strong Wolfe conditions; [`Model::predict`] applies it.
//!
//! References: Liu and Nocedal, Math. Programming 45 (1989); Nocedal and Wright, Numerical Optimization (2006),
//! algorithms 3.5, 3.6, 7.4; objective and names as documented by scikit-learn's `LogisticRegression`.

mod lbfgs;
mod loss;
mod options;
mod predict;
#[cfg(test)]
mod tests;

pub use options::LogisticOptions;
pub use predict::Predicted;

use crate::matrix::{RowBlocks, collect};
use crate::options::Options;
use crate::{Ctx, DataFault, Error, Result};

/// A fitted model.
#[derive(Clone, Debug, PartialEq)]
pub struct Model {
    /// Number of classes K, at least 2.
    pub n_classes: usize,
    /// Number of features (genes) g.
    pub n_features: usize,
    /// K x g weights, row-major; 1 x g for two classes: the log odds of the second.
    pub coefficients: Vec<f64>,
    /// K (or 1) intercepts; 0 without `fit_intercept`. Those of three or more classes sum to 0.
    pub intercepts: Vec<f64>,
    /// Iterations done.
    pub iterations: usize,
    /// Largest entry of the gradient at the end.
    pub gradient: f64,
    /// Whether `gradient` reached `tol`, or no further progress was possible in double precision.
    pub converged: bool,
    /// The objective at the end: mean negative log likelihood and penalty.
    pub loss: f64,
}

/// Fits the classes `labels` (0..n_classes; below 0: the cell is left out) to `source`, cells x features.
///
/// Nothing is random; sums run over fixed pieces of the cells in order, so threads change no bit. About one read of
/// the data per iteration, 4 K flops per non-zero each. The data are gathered once when the source is costly to read
/// (8 bytes per non-zero); working memory 8 (2 history + 20) K g bytes.
///
/// # Errors
/// [`Error::Parameter`]; [`Error::Data`] for labels that do not fit, fewer than two classes, a class without cells,
/// or values that are not finite; [`Error::Interrupted`]. Running out of iterations is no error: see `converged`.
pub fn fit(
    source: &dyn RowBlocks,
    labels: &[i32],
    n_classes: usize,
    options: &LogisticOptions,
    ctx: &Ctx,
) -> Result<Model> {
    options.validate()?;
    check_labels(source, labels, n_classes)?;
    let gathered;
    let source: &dyn RowBlocks = if source.is_cheap_to_read() {
        source
    } else {
        gathered = collect(source, ctx)?;
        &gathered
    };
    let moments = crate::stats::gene_moments(source, crate::stats::ValueMap::Identity, ctx)?;
    moments.check_finite("X", "finite values")?;

    let problem = loss::Problem::new(source, labels, n_classes, options)?;
    let stage = ctx.stage("logistic regression", options.max_iter as u64);
    let found = lbfgs::minimise(
        vec![0.0; problem.n_parameters()],
        options.max_iter,
        options.tol,
        |parameters| problem.evaluate(parameters, ctx),
        || stage.advance(1),
    )?;
    let (coefficients, intercepts) = problem.unpack(&found.at);
    Ok(Model {
        n_classes,
        n_features: source.n_cols(),
        coefficients,
        intercepts,
        iterations: found.iterations,
        gradient: found.gradient,
        converged: found.converged,
        loss: found.value,
    })
}

fn check_labels(source: &dyn RowBlocks, labels: &[i32], n_classes: usize) -> Result<()> {
    if labels.len() != source.n_rows() {
        let expected = format!("one label per cell, {}", source.n_rows());
        return Err(Error::data(DataFault::Shape, "labels", expected, labels.len()));
    }
    if n_classes < 2 {
        return Err(Error::data(DataFault::TooFew, "labels", "at least two classes to tell apart", n_classes));
    }
    if source.n_cols() == 0 {
        return Err(Error::data(DataFault::Empty, "X", "at least one feature", "none"));
    }
    let mut sizes = vec![0usize; n_classes];
    for (cell, &label) in labels.iter().enumerate().filter(|(_, label)| **label >= 0) {
        let Some(size) = sizes.get_mut(label as usize) else {
            let found = format!("{label} at cell {cell}");
            return Err(Error::data(DataFault::Invalid, "labels", format!("labels below {n_classes}"), found));
        };
        *size += 1;
    }
    match sizes.iter().position(|&size| size == 0) {
        None => Ok(()),
        Some(class) => Err(Error::data(
            DataFault::TooFew,
            "labels",
            "at least one cell in every class",
            format!("none in class {class}"),
        )),
    }
}
