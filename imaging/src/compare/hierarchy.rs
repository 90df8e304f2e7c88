//! Many tests along a tree.

use zensaibo_core::stats::benjamini_hochberg;

/// P-values corrected; NaN where nothing was tested.
///
/// Along the tree a structure with parts stands for all of them: it is judged by whether it or any of its parts differs, by
/// its own p-value and those of the finest structures in it together (twice the smaller one), so that an effect in a
/// small part is not lost in the sum of all.
#[derive(Clone, Debug, PartialEq)]
pub struct Corrected {
    /// Benjamini and Hochberg's false discovery rate over all structures, whatever their level.
    pub flat: Vec<f64>,
    /// Yekutieli's: parts are tested where the whole was found, the parts of one whole among themselves; the finest structures of
    /// a whole count by Simes' test. The least level at which a structure is found. At level q the rate among the parts
    /// of any one whole is q, and over the whole tree of independent tests at most about 2.88 q.
    pub levels: Vec<f64>,
    /// Meinshausen's: the chance of a single false finding in the whole tree, for any dependence; the finest structures of a
    /// whole count by Bonferroni's test.
    pub whole: Vec<f64>,
}

/// Corrects p-values (NaN: not tested) of structures, each listed after the one that it is part of.
pub fn correct(p: &[f64], parents: &[Option<usize>]) -> Corrected {
    let n = p.len();
    let tested: Vec<usize> = (0..n).filter(|&at| !p[at].is_nan()).collect();
    // The nearest tested structure above.
    let mut above: Vec<Option<usize>> = vec![None; n];
    for at in 0..n {
        above[at] = parents[at].and_then(|parent| if p[parent].is_nan() { above[parent] } else { Some(parent) });
    }
    let flat = benjamini_hochberg(p);

    let mut families: Vec<Vec<usize>> = vec![Vec::new(); n + 1];
    tested.iter().for_each(|&at| families[above[at].map_or(n, |parent| parent)].push(at));
    // P-values of the finest tested structures of each, rising.
    let mut finest: Vec<Vec<f64>> = vec![Vec::new(); n];
    for &at in tested.iter().rev() {
        if families[at].is_empty() {
            finest[at].push(p[at]);
        }
        finest[at].sort_unstable_by(f64::total_cmp);
        if let Some(parent) = above[at] {
            let own = finest[at].clone();
            finest[parent].extend(own);
        }
    }
    // Whether a structure or any part of it differs: its own test, and those of the finest in it.
    let both = |at: usize, parts: f64| if families[at].is_empty() { p[at] } else { (2.0 * p[at].min(parts)).min(1.0) };
    let (mut by_simes, mut by_least) = (p.to_vec(), p.to_vec());
    for &at in &tested {
        let (parts, m) = (&finest[at], finest[at].len() as f64);
        let simes = parts.iter().enumerate().map(|(below, p)| p * m / (below as f64 + 1.0)).fold(1.0, f64::min);
        by_simes[at] = both(at, simes);
        by_least[at] = both(at, parts.first().map_or(1.0, |least| least * m));
    }
    let mut levels = vec![f64::NAN; n];
    for family in &families {
        let own: Vec<f64> = family.iter().map(|&at| by_simes[at]).collect();
        family.iter().zip(benjamini_hochberg(&own)).for_each(|(&at, level)| levels[at] = level);
    }
    let all: f64 = families[n].iter().map(|&root| finest[root].len() as f64).sum();
    let mut whole = vec![f64::NAN; n];
    for &at in &tested {
        whole[at] = (by_least[at] * all / finest[at].len() as f64).min(1.0);
        if let Some(parent) = above[at] {
            whole[at] = whole[at].max(whole[parent]);
            levels[at] = levels[at].max(levels[parent]);
        }
    }
    Corrected { flat, levels, whole }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_hand() {
        // 0 > (1 > (2, 3), 4 (not tested) > (5, 6)).
        let parents = [None, Some(0), Some(1), Some(1), Some(0), Some(4), Some(4)];
        let p = [0.01, 0.02, 0.001, 0.9, f64::NAN, 0.03, 0.5];
        let found = correct(&p, &parents);
        // Flat over six: 0.001 * 6, 0.01 * 6 / 2, 0.02 * 6 / 3, 0.03 * 6 / 4, 0.5 * 6 / 5, 0.9.
        let flat = [0.03, 0.04, 0.006, 0.9, f64::NAN, 0.045, 0.6];
        // Below 1 lie 0.001 and 0.9: 0.002 by Simes and Bonferroni, so 1 counts with 0.004; below 0 lie 0.001, 0.03, 0.5
        // and 0.9: 0.004, so 0 counts with 0.008.
        // Families: {0: 0.008}, {1: 0.004, 5: 0.03, 6: 0.5} below 0 (4 is passed over), {2: 0.001, 3: 0.9} below 1.
        let levels = [0.008, 0.012, 0.012, 0.9, f64::NAN, 0.045, 0.5];
        // Finest: 2, 3, 5, 6, four of them.
        let whole = [0.008, 0.008, 0.008, 1.0, f64::NAN, 0.12, 1.0];
        for (found, expected) in [(&found.flat, flat), (&found.levels, levels), (&found.whole, whole)] {
            for (at, (found, expected)) in found.iter().zip(expected).enumerate() {
                assert!(
                    (found - expected).abs() < 1e-12 || found.is_nan() && expected.is_nan(),
                    "{at}: {found} {expected}"
                );
            }
        }
        assert!(correct(&[], &[]).flat.is_empty());
    }
}
