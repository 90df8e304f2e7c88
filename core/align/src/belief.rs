//! Probabilities of pairs when every cell has at most one partner.
//!
//! Each possible pair has odds against both cells being without each other. What follows for all pairs together when none may
//! share a cell is found by messages between the two sides (loopy belief propagation for data association: Williams and Lau
//! 2014, where it is shown to converge). Sums run in the order of the pairs.

/// Possible pairs, moving cell by moving cell.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Links {
    /// Where the pairs of each moving cell begin, and their number at the end.
    pub(crate) starts: Vec<usize>,
    /// Fixed cell of each pair.
    pub(crate) fixed: Vec<u32>,
    /// Squared distance of each pair.
    pub(crate) squared: Vec<f64>,
}

impl Links {
    pub(crate) fn of(rows: Vec<Vec<(f64, u32)>>) -> Self {
        let mut links = Self { starts: vec![0], ..Self::default() };
        for row in rows {
            for (squared, at) in row {
                links.fixed.push(at);
                links.squared.push(squared);
            }
            links.starts.push(links.fixed.len());
        }
        links
    }

    pub(crate) fn rows(&self) -> usize {
        self.starts.len() - 1
    }

    pub(crate) fn row(&self, moving: usize) -> std::ops::Range<usize> {
        self.starts[moving]..self.starts[moving + 1]
    }
}

/// Odds beyond which nothing changes; they keep sums exact enough to take one part out again.
const MOST: f64 = 1e9;

/// The probability of each pair.
pub(crate) fn marginals(links: &Links, odds: &[f64], n_fixed: usize, rounds: usize) -> Vec<f64> {
    let odds: Vec<f64> = odds.iter().map(|&value| value.min(MOST)).collect();
    // What a pair hears from its fixed cell, and what the fixed cells hear.
    let mut answers = vec![1.0; odds.len()];
    let mut wanted = vec![0.0; n_fixed];
    let mut asked = vec![0.0; odds.len()];
    for _ in 0..rounds {
        wanted.fill(0.0);
        for moving in 0..links.rows() {
            let row = links.row(moving);
            let sum: f64 = row.clone().map(|at| odds[at] * answers[at]).sum();
            for at in row {
                asked[at] = odds[at] / (1.0 + (sum - odds[at] * answers[at]).max(0.0));
                wanted[links.fixed[at] as usize] += asked[at];
            }
        }
        for at in 0..odds.len() {
            answers[at] = 1.0 / (1.0 + (wanted[links.fixed[at] as usize] - asked[at]).max(0.0));
        }
    }
    let mut out = vec![0.0; odds.len()];
    for moving in 0..links.rows() {
        let row = links.row(moving);
        let sum: f64 = row.clone().map(|at| odds[at] * answers[at]).sum();
        row.for_each(|at| out[at] = odds[at] * answers[at] / (1.0 + sum));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Marginals by listing every set of pairs that shares no cell.
    fn listed(links: &Links, odds: &[f64], n_fixed: usize) -> Vec<f64> {
        fn go(
            links: &Links,
            odds: &[f64],
            row: usize,
            used: &mut Vec<bool>,
            chosen: &mut Vec<usize>,
            weight: f64,
            out: &mut Vec<f64>,
        ) -> f64 {
            if row == links.rows() {
                chosen.iter().for_each(|&at| out[at] += weight);
                return weight;
            }
            let mut total = go(links, odds, row + 1, used, chosen, weight, out);
            for at in links.row(row) {
                let fixed = links.fixed[at] as usize;
                if !used[fixed] {
                    used[fixed] = true;
                    chosen.push(at);
                    total += go(links, odds, row + 1, used, chosen, weight * odds[at], out);
                    chosen.pop();
                    used[fixed] = false;
                }
            }
            total
        }
        let mut out = vec![0.0; odds.len()];
        let total = go(links, odds, 0, &mut vec![false; n_fixed], &mut Vec::new(), 1.0, &mut out);
        out.iter().map(|value| value / total).collect()
    }

    #[test]
    fn exact_where_pairs_form_a_tree() {
        // Cells 0 and 1 both want 1; 1 also wants 2.
        let links = Links::of(vec![vec![(0.0, 0), (0.0, 1)], vec![(0.0, 1), (0.0, 2)], vec![]]);
        let odds = [3.0, 5.0, 20.0, 0.5];
        let found = marginals(&links, &odds, 3, 30);
        for (a, b) in found.iter().zip(listed(&links, &odds, 3)) {
            assert!((a - b).abs() < 1e-9, "{found:?}");
        }
    }

    #[test]
    fn near_where_they_form_a_ring() {
        let links = Links::of(vec![vec![(0.0, 0), (0.0, 1)], vec![(0.0, 0), (0.0, 1)]]);
        let odds = [8.0, 1.0, 1.0, 8.0];
        let found = marginals(&links, &odds, 2, 50);
        for (a, b) in found.iter().zip(listed(&links, &odds, 2)) {
            assert!((a - b).abs() < 0.03, "{found:?}");
        }
        // Nobody has more than one partner.
        assert!(found[0] + found[1] <= 1.0 && found[0] + found[2] <= 1.0 + 1e-9);
    }
}
