//! Gradient-boosted trees on histograms, for two classes.
//!
//! Logistic loss, Newton steps, trees grown leaf by leaf where the gain is largest. Friedman: Greedy function
//! approximation, Ann. Stat. 2001; histograms as in Ke et al., NeurIPS 2017. Every sum is taken in the order of the rows,
//! so that the number of threads changes nothing.

use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use zensaibo_core::random::Stream;
use zensaibo_core::{Ctx, DataFault, Error, Result, options};

/// Bins of a feature.
const BINS: usize = 64;

options! {
    /// Boosted trees for two classes.
    pub struct TreesOptions("boosted_trees") {
        /// Trees, 1 to 10000.
        pub trees: usize = 80,
        /// Share of each tree's step that is taken, above 0, at most 1. Smaller needs more trees.
        pub learning_rate: f64 = 0.08,
        /// Leaves of a tree, 2 to 64.
        pub leaves: usize = 6,
        /// Rows that a leaf must hold, at least 1.
        pub min_rows: usize = 60,
        /// Pull of the leaves towards 0, at least 0, in summed weights.
        pub shrinkage: f64 = 20.0,
        /// Share of the features that each tree may use, above 0, at most 1.
        pub features: f64 = 0.5,
        /// Seed of the choice of features.
        pub seed: u64 = 0,
    }
}

impl TreesOptions {
    fn check(&self) -> Result<()> {
        let share = |name: &str, value: f64| {
            if value > 0.0 && value <= 1.0 {
                Ok(())
            } else {
                Err(Error::parameter(name, "a share above 0, at most 1", value))
            }
        };
        if !(1..=10_000).contains(&self.trees) {
            return Err(Error::parameter("trees", "1 to 10000", self.trees));
        }
        share("learning_rate", self.learning_rate)?;
        if !(2..=64).contains(&self.leaves) {
            return Err(Error::parameter("leaves", "2 to 64", self.leaves));
        }
        if self.min_rows == 0 {
            return Err(Error::parameter("min_rows", "at least 1", 0));
        }
        if !(self.shrinkage >= 0.0 && self.shrinkage.is_finite()) {
            return Err(Error::parameter("shrinkage", "a finite number of at least 0", self.shrinkage));
        }
        share("features", self.features)
    }
}

/// A node: a question, or an answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Node {
    /// Feature, limit, the node for values up to the limit, the node for others.
    #[serde(rename = "q")]
    Question(u16, f32, u16, u16),
    /// What the tree adds to the log odds.
    #[serde(rename = "a")]
    Answer(f32),
}

/// Trees whose answers add up to the log odds of a class.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Trees {
    start: f32,
    trees: Vec<Vec<Node>>,
}

impl Trees {
    /// Probability of the class for one row of features, which must be as many as in training.
    pub fn probability(&self, row: &[f32]) -> f32 {
        let mut sum = f64::from(self.start);
        for tree in &self.trees {
            let mut at = 0usize;
            loop {
                match tree[at] {
                    Node::Question(feature, limit, low, high) => {
                        at = usize::from(if row[usize::from(feature)] <= limit { low } else { high });
                    }
                    Node::Answer(value) => {
                        sum += f64::from(value);
                        break;
                    }
                }
            }
        }
        (1.0 / (1.0 + (-sum).exp())) as f32
    }

    /// Refuses trees that ask for features beyond `features` or for nodes that are not there or not ahead.
    pub(crate) fn check(&self, features: usize) -> bool {
        self.start.is_finite()
            && self.trees.iter().all(|tree| {
                !tree.is_empty()
                    && tree.iter().enumerate().all(|(i, node)| match *node {
                        Node::Question(feature, _, low, high) => {
                            usize::from(feature) < features
                                && [low, high].iter().all(|&n| usize::from(n) > i && usize::from(n) < tree.len())
                        }
                        Node::Answer(value) => value.is_finite(),
                    })
            })
    }

    /// Learns from `rows` of `features` numbers each, whether each is of the class and how much it weighs.
    ///
    /// # Errors
    /// [`Error::Data`] when lengths disagree, a class is absent or a number is not finite.
    pub fn train(
        rows: &[f32],
        features: usize,
        classes: &[bool],
        weights: &[f32],
        options: &TreesOptions,
        ctx: &Ctx,
    ) -> Result<Self> {
        use zensaibo_core::options::Options;
        options.validate()?;
        let n = classes.len();
        if features == 0 || rows.len() != n * features || weights.len() != n || features > usize::from(u16::MAX) {
            let found = format!("{} numbers and {} weights", rows.len(), weights.len());
            return Err(Error::data(DataFault::Shape, "training rows", format!("{n} rows of {features}"), found));
        }
        if let Some(at) = rows.iter().chain(weights).position(|value| !value.is_finite()) {
            let found = format!("NaN or infinity at place {at}");
            return Err(Error::data(DataFault::NotFinite, "training rows", "finite numbers", found));
        }
        let total: f64 = weights.iter().map(|&w| f64::from(w)).sum();
        let positive: f64 = weights.iter().zip(classes).filter(|pair| *pair.1).map(|pair| f64::from(*pair.0)).sum();
        if !(positive > 0.0 && positive < total) {
            let found = format!("weight {positive} of {total} in one class");
            return Err(Error::data(DataFault::TooFew, "training rows", "rows of both classes", found));
        }
        let edges: Vec<Vec<f32>> = (0..features).into_par_iter().map(|f| edges(rows, features, f)).collect();
        let binned: Vec<Vec<u8>> = (0..features)
            .into_par_iter()
            .map(|f| {
                let below = |value: f32| edges[f].partition_point(|&edge| edge < value) as u8;
                (0..n).map(|i| below(rows[i * features + f])).collect()
            })
            .collect();
        let start = (positive / (total - positive)).ln();
        let mut odds = vec![start; n];
        let mut trees = Vec::with_capacity(options.trees);
        let stage = ctx.stage("boosted trees", options.trees as u64);
        for index in 0..options.trees {
            let slopes: Vec<[f64; 2]> = (0..n)
                .map(|i| {
                    let p = 1.0 / (1.0 + (-odds[i]).exp());
                    let w = f64::from(weights[i]);
                    [w * (p - f64::from(u8::from(classes[i]))), w * p * (1.0 - p)]
                })
                .collect();
            let mut stream = Stream::new(options.seed, index as u64);
            let mut order: Vec<(u32, usize)> = (0..features).map(|f| (stream.next_u32(), f)).collect();
            order.sort_unstable();
            let take = ((features as f64 * options.features).ceil() as usize).clamp(1, features);
            let mut chosen: Vec<usize> = order[..take].iter().map(|pair| pair.1).collect();
            chosen.sort_unstable();
            let (tree, leaf_of) = grow(&binned, &edges, &slopes, &chosen, options);
            for (odds, &leaf) in odds.iter_mut().zip(&leaf_of) {
                if let Node::Answer(value) = tree[usize::from(leaf)] {
                    *odds += f64::from(value);
                }
            }
            trees.push(tree);
            stage.advance(1)?;
        }
        Ok(Self { start: start as f32, trees })
    }
}

/// Limits between the bins of a feature: values that occur, at even ranks.
fn edges(rows: &[f32], features: usize, feature: usize) -> Vec<f32> {
    let mut values: Vec<f32> = rows.iter().skip(feature).step_by(features).copied().collect();
    values.sort_unstable_by(f32::total_cmp);
    let mut edges: Vec<f32> = (1..BINS).map(|i| values[(values.len() - 1) * i / BINS]).collect();
    edges.dedup();
    edges
}

/// A leaf that may still be split.
struct Leaf {
    node: usize,
    rows: Vec<u32>,
    best: Option<(f64, usize, usize)>,
}

/// The best split of a leaf: gain, feature and last bin of the lower side.
fn best_split(
    binned: &[Vec<u8>],
    slopes: &[[f64; 2]],
    chosen: &[usize],
    rows: &[u32],
    sums: [f64; 2],
    options: &TreesOptions,
) -> Option<(f64, usize, usize)> {
    let worth = |s: [f64; 2]| s[0] * s[0] / (s[1] + options.shrinkage + 1e-9);
    let each: Vec<Option<(f64, usize, usize)>> = chosen
        .par_iter()
        .map(|&feature| {
            let mut bins = [([0f64; 2], 0usize); BINS];
            let column = &binned[feature];
            for &row in rows {
                let (sum, count) = &mut bins[usize::from(column[row as usize])];
                let slope = slopes[row as usize];
                sum[0] += slope[0];
                sum[1] += slope[1];
                *count += 1;
            }
            let mut best: Option<(f64, usize, usize)> = None;
            let (mut low, mut count) = ([0f64; 2], 0usize);
            for (bin, (sum, number)) in bins.iter().enumerate().take(BINS - 1) {
                low = [low[0] + sum[0], low[1] + sum[1]];
                count += number;
                if count < options.min_rows || rows.len() - count < options.min_rows {
                    continue;
                }
                let high = [sums[0] - low[0], sums[1] - low[1]];
                let gain = worth(low) + worth(high) - worth(sums);
                if gain > 1e-9 && best.is_none_or(|(most, ..)| gain > most) {
                    best = Some((gain, feature, bin));
                }
            }
            best
        })
        .collect();
    // The first of equals, whatever the threads.
    each.into_iter().flatten().fold(None, |best: Option<(f64, usize, usize)>, split| match best {
        Some(best) if best.0 >= split.0 => Some(best),
        _ => Some(split),
    })
}

/// One tree, and the leaf in which each row ends.
fn grow(
    binned: &[Vec<u8>],
    edges: &[Vec<f32>],
    slopes: &[[f64; 2]],
    chosen: &[usize],
    options: &TreesOptions,
) -> (Vec<Node>, Vec<u16>) {
    let total = |rows: &[u32]| {
        rows.iter().fold([0f64; 2], |s, &row| [s[0] + slopes[row as usize][0], s[1] + slopes[row as usize][1]])
    };
    let answer =
        |sums: [f64; 2]| Node::Answer((-options.learning_rate * sums[0] / (sums[1] + options.shrinkage + 1e-9)) as f32);
    let rows: Vec<u32> = (0..slopes.len() as u32).collect();
    let sums = total(&rows);
    let best = best_split(binned, slopes, chosen, &rows, sums, options);
    let mut nodes = vec![answer(sums)];
    let mut leaves = vec![Leaf { node: 0, rows, best }];
    while leaves.len() < options.leaves {
        let mut next: Option<(f64, usize)> = None;
        for (i, leaf) in leaves.iter().enumerate() {
            if let Some((gain, ..)) = leaf.best
                && next.is_none_or(|(most, _)| gain > most)
            {
                next = Some((gain, i));
            }
        }
        let Some((_, at)) = next else { break };
        let leaf = leaves.swap_remove(at);
        let Some((_, feature, bin)) = leaf.best else { break };
        let (low, high): (Vec<u32>, Vec<u32>) =
            leaf.rows.iter().partition(|&&row| usize::from(binned[feature][row as usize]) <= bin);
        // Bins beyond the last limit are empty: `bin` has a limit.
        let Some(&limit) = edges[feature].get(bin) else { break };
        let first = nodes.len();
        nodes[leaf.node] = Node::Question(feature as u16, limit, first as u16, first as u16 + 1);
        for (k, rows) in [low, high].into_iter().enumerate() {
            let sums = total(&rows);
            nodes.push(answer(sums));
            let best = best_split(binned, slopes, chosen, &rows, sums, options);
            leaves.push(Leaf { node: first + k, rows, best });
        }
    }
    let mut leaf_of = vec![0u16; slopes.len()];
    for leaf in &leaves {
        leaf.rows.iter().for_each(|&row| leaf_of[row as usize] = leaf.node as u16);
    }
    (nodes, leaf_of)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ring(n: usize) -> (Vec<f32>, Vec<bool>) {
        let mut random = Stream::new(3, 0);
        let mut rows = Vec::new();
        let mut classes = Vec::new();
        for _ in 0..n {
            let [x, y, noise] = [0; 3].map(|_| random.uniform() as f32 * 2.0 - 1.0);
            rows.extend([x, y, noise]);
            classes.push((0.2..0.7).contains(&(x * x + y * y)));
        }
        (rows, classes)
    }

    #[test]
    fn learns_a_ring_the_same_for_any_threads() {
        let (rows, classes) = ring(4000);
        let weights = vec![1.0; classes.len()];
        // scikit-learn's histogram trees with these settings have 1,932 of 2,000 right.
        let options =
            TreesOptions { trees: 200, min_rows: 10, shrinkage: 1.0, features: 1.0, leaves: 8, ..Default::default() };
        let train = |threads| {
            zensaibo_core::parallel::with_threads(Some(threads), || {
                Trees::train(&rows, 3, &classes, &weights, &options, &Ctx::quiet())
            })
            .unwrap()
        };
        let trees = train(1);
        assert_eq!(trees, train(8));
        assert!(trees.check(3) && !trees.check(1));
        let (fresh, truth) = ring(6000);
        let right = fresh[12000..]
            .chunks(3)
            .zip(&truth[4000..])
            .filter(|(row, truth)| (trees.probability(row) > 0.5) == **truth);
        let right = right.count();
        assert!(right > 1880, "{right}");
        let text = serde_json::to_string(&trees).unwrap();
        assert_eq!(serde_json::from_str::<Trees>(&text).unwrap(), trees);
    }

    #[test]
    fn refuses_what_it_cannot_learn_from() {
        let train = |rows: &[f32], classes: &[bool]| {
            let weights = vec![1.0; classes.len()];
            Trees::train(rows, 1, classes, &weights, &TreesOptions::default(), &Ctx::quiet()).unwrap_err().to_string()
        };
        assert!(train(&[1.0, 2.0], &[true, true]).contains("both classes"));
        assert!(train(&[1.0, f32::NAN], &[true, false]).contains("NaN"));
        assert!(train(&[1.0], &[true, false]).contains("2 rows"));
    }
}
