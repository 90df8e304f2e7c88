//! Bins of the mean, with the edges that pandas gives.

use crate::stats::quantile_sorted;
use crate::{DataFault, Error, Result};

/// Bin of each value among `n_bins` bins of equal width over their range. Bins are open on the left and closed
/// on the right; the lowest edge is moved down by 0.1 % of the range. `values` are finite.
pub(super) fn equal_width(values: &[f64], n_bins: usize) -> Vec<usize> {
    let low = values.iter().copied().fold(f64::INFINITY, f64::min);
    let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let widen = |value: f64| if value == 0.0 { 0.001 } else { 0.001 * value.abs() };
    let (start, stop) = if low == high { (low - widen(low), high + widen(high)) } else { (low, high) };
    let step = (stop - start) / n_bins as f64;
    let mut edges: Vec<f64> = (0..=n_bins).map(|i| i as f64 * step + start).collect();
    edges[n_bins] = stop;
    if low != high {
        edges[0] -= (stop - start) * 0.001;
    }
    values.iter().map(|&value| bin_of(&edges, value)).collect()
}

/// Bin of each value between the percentiles 10, 15, ..., 100, with an open bin at either end.
///
/// # Errors
/// [`Error::Data`] when two percentiles are equal, since a bin would be empty of any width.
pub(super) fn by_percentile(values: &[f64]) -> Result<Vec<usize>> {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let mut edges = vec![f64::NEG_INFINITY];
    edges.extend((10..105).step_by(5).map(|percent| quantile_sorted(&sorted, f64::from(percent) / 100.0)));
    edges.push(f64::INFINITY);
    if let Some(at) = edges.windows(2).position(|pair| pair[0] == pair[1]) {
        return Err(Error::data(
            DataFault::Invalid,
            "gene means",
            "percentiles 10, 15, ..., 100 that differ (remove genes that hardly any cell expresses, or set \
             filter_unexpressed_genes)",
            format!("percentiles {} and {} both {}", 5 + 5 * at, 10 + 5 * at, edges[at]),
        ));
    }
    Ok(values.iter().map(|&value| bin_of(&edges, value)).collect())
}

/// Index of the bin (edge i, edge i + 1] that holds `value`.
fn bin_of(edges: &[f64], value: f64) -> usize {
    edges.partition_point(|&edge| edge < value).saturating_sub(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_width_by_hand() {
        // Edges -0.002, 1, 2: closed on the right, the lowest value is inside.
        assert_eq!(equal_width(&[0.0, 1.0, 1.5, 2.0], 2), [0, 0, 1, 1]);
        assert_eq!(equal_width(&[3.0, 3.0], 2), [0, 0]);
        assert_eq!(equal_width(&[0.0], 3), [1]);
    }

    #[test]
    fn percentiles_by_hand() {
        let values: Vec<f64> = (0..=100).map(f64::from).collect();
        let bins = by_percentile(&values).unwrap();
        assert_eq!((bins[0], bins[10], bins[11], bins[15], bins[16], bins[100]), (0, 0, 1, 1, 2, 18));
        let text = by_percentile(&[0.0; 30]).unwrap_err().to_string();
        assert!(text.contains("percentiles 10 and 15 both 0"), "{text}");
    }
}
