//! Many tests along a tree.

/// P-values corrected; NaN where nothing was tested.
#[derive(Clone, Debug, PartialEq)]
pub struct Corrected {
    /// Benjamini and Hochberg's false discovery rate over all structures, whatever their level.
    pub flat: Vec<f64>,
    /// Yekutieli's: parts are tested where the whole was found, the parts of one whole among themselves. The least level
    /// at which a structure is found. At level q the rate over the parts that are found of any one whole is q, and over the
    /// whole tree of independent tests at most about 2.88 q.
    pub levels: Vec<f64>,
    /// Meinshausen's: the chance of a single false finding in the whole tree, for any dependence.
    pub whole: Vec<f64>,
}

/// Benjamini and Hochberg's adjustment of the tests `at` some places.
fn adjust(p: &[f64], at: &[usize], out: &mut [f64]) {
    let mut order = at.to_vec();
    order.sort_by(|&a, &b| p[b].total_cmp(&p[a]));
    let n = order.len() as f64;
    let mut least = 1f64;
    for (from_top, &place) in order.iter().enumerate() {
        least = least.min(p[place] * n / (n - from_top as f64));
        out[place] = least;
    }
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
    let mut flat = vec![f64::NAN; n];
    adjust(p, &tested, &mut flat);

    let mut families: Vec<Vec<usize>> = vec![Vec::new(); n + 1];
    tested.iter().for_each(|&at| families[above[at].map_or(n, |parent| parent)].push(at));
    let mut levels = vec![f64::NAN; n];
    families.iter().for_each(|family| adjust(p, family, &mut levels));
    // Finest tested structures of each.
    let mut finest = vec![0f64; n];
    for &at in tested.iter().rev() {
        if families[at].is_empty() {
            finest[at] = 1.0;
        }
        if let Some(parent) = above[at] {
            finest[parent] += finest[at];
        }
    }
    let all: f64 = families[n].iter().map(|&root| finest[root]).sum();
    let mut whole = vec![f64::NAN; n];
    for &at in &tested {
        whole[at] = (p[at] * all / finest[at]).min(1.0);
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
        // Families: {0}, {1, 5, 6} below 0 (4 is passed over), {2, 3} below 1.
        let levels = [0.01, 0.045, 0.045, 0.9, f64::NAN, 0.045, 0.5];
        // Finest: 2, 3, 5, 6, four of them.
        let whole = [0.01, 0.04, 0.04, 1.0, f64::NAN, 0.12, 1.0];
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
