//! Ways to deal the samples into the two groups.

use zensaibo_core::random::Stream;

/// One way to deal the samples.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Deal {
    /// The samples of the smaller group.
    pub(super) few: Vec<usize>,
    /// Whether the smaller group is the second.
    pub(super) second: bool,
}

fn deal(first: &[usize], n: usize) -> Deal {
    if 2 * first.len() <= n {
        return Deal { few: first.to_vec(), second: false };
    }
    Deal { few: (0..n).filter(|sample| !first.contains(sample)).collect(), second: true }
}

/// Ways to choose `k` of `n`; `u128::MAX` where there are more.
fn ways(n: usize, k: usize) -> u128 {
    (0..k.min(n - k)).fold(1u128, |ways, at| match ways.checked_mul((n - at) as u128) {
        Some(product) => product / (at as u128 + 1),
        None => u128::MAX,
    })
}

/// Ways to deal `n` samples, `first` of them into the first group; the given one (the first `first`) comes first. All of
/// them, each once, where there are at most `wanted` (then true); else that one and `wanted` - 1 at random.
pub(super) fn deals(n: usize, first: usize, wanted: usize, seed: u64) -> (Vec<Deal>, bool) {
    if ways(n, first) <= wanted as u128 {
        let mut chosen: Vec<usize> = (0..first).collect();
        let mut all = Vec::new();
        loop {
            all.push(deal(&chosen, n));
            // The next in lexicographic order: the last place that can rise.
            let Some(place) = (0..first).rev().find(|&place| chosen[place] < n - first + place) else { break };
            chosen[place] += 1;
            (place + 1..first).for_each(|after| chosen[after] = chosen[after - 1] + 1);
        }
        return (all, true);
    }
    let drawn = (1..wanted).map(|number| {
        let mut stream = Stream::new(seed, number as u64);
        let mut order: Vec<usize> = (0..n).collect();
        for at in 0..first {
            let other = at + stream.below((n - at) as u64) as usize;
            order.swap(at, other);
        }
        order.truncate(first);
        order.sort_unstable();
        deal(&order, n)
    });
    (std::iter::once(deal(&(0..first).collect::<Vec<_>>(), n)).chain(drawn).collect(), false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_once() {
        let (all, exact) = deals(5, 3, 10, 0);
        assert!(exact && all.len() == 10);
        assert_eq!(all[0], Deal { few: vec![3, 4], second: true });
        let mut seen: Vec<&Vec<usize>> = all.iter().map(|deal| &deal.few).collect();
        seen.sort();
        seen.dedup();
        assert_eq!(seen.len(), 10);
        assert_eq!((ways(24, 12), ways(400, 200)), (2_704_156, u128::MAX));
    }

    #[test]
    fn at_random_every_sample_is_as_likely() {
        let (all, exact) = deals(24, 8, 4000, 7);
        assert!(!exact && all.len() == 4000);
        for sample in 0..24 {
            let n = all[1..].iter().filter(|deal| deal.few.contains(&sample)).count();
            assert!((1333 - 130..1333 + 130).contains(&n), "{sample}: {n}");
        }
        assert_eq!(all, deals(24, 8, 4000, 7).0);
        assert_ne!(all, deals(24, 8, 4000, 8).0);
    }
}
