//! Where two sequences cease to run together: Kendall's rank correlation of every prefix and suffix at once.

use rayon::join;

use crate::{Ctx, Result};

/// Items left out at either end of a split, so that no correlation rests on fewer.
const AT_EITHER_END: usize = 5;

/// Items a sequence needs to have a split at all.
pub(super) const SHORTEST: usize = 2 * AT_EITHER_END + 2;

/// Items below which all pairs are compared.
const FEW: usize = 32;

/// Items from which halves are worth a thread each.
const MANY: usize = 4096;

/// Index `i` at which tau of items `0..=i` less tau of items `i + 1..` is largest, the first of equals; `5 <= i < n - 6`.
/// None for sequences with fewer than [`SHORTEST`] items, or of unequal length.
///
/// Tau is (concordant - discordant) / pairs; a tie in either sequence counts as neither. Pairs are counted exactly, by
/// divide and conquer: O(n log^2 n) time, 60 bytes per item.
pub(super) fn split(a: &[f64], b: &[f64], ctx: &Ctx) -> Result<Option<usize>> {
    let n = a.len();
    if n < SHORTEST || b.len() != n {
        return Ok(None);
    }
    let (before, after) = concordance(a, b, ctx)?;
    let pairs = |items: usize| (items * (items - 1) / 2) as f64;
    let mut inside: i64 = before[..AT_EITHER_END].iter().sum();
    let mut outside: i64 = after[AT_EITHER_END..].iter().sum();
    let (mut best, mut highest) = (AT_EITHER_END, f64::NEG_INFINITY);
    for i in AT_EITHER_END..n - AT_EITHER_END - 1 {
        inside += before[i];
        outside -= after[i];
        let difference = inside as f64 / pairs(i + 1) - outside as f64 / pairs(n - i - 1);
        if difference > highest {
            (best, highest) = (i, difference);
        }
    }
    Ok(Some(best))
}

/// Concordant less discordant pairs of each item with those before it, and with those after it.
fn concordance(a: &[f64], b: &[f64], ctx: &Ctx) -> Result<(Vec<i64>, Vec<i64>)> {
    let items: Vec<Item> = ranks(a).into_iter().zip(ranks(b)).map(|(a, b)| Item { a, b }).collect();
    let (mut before, mut after) = (vec![0i64; items.len()], vec![0i64; items.len()]);
    count(&items, &mut before, &mut after, ctx)?;
    Ok((before, after))
}

#[derive(Clone, Copy)]
struct Item {
    a: u32,
    b: u32,
}

/// Items of one stretch by rank, as offsets into it.
struct Sorted {
    by_a: Vec<u32>,
    by_b: Vec<u32>,
}

/// Ranks from 0, the same for equal values.
fn ranks(values: &[f64]) -> Vec<u32> {
    let mut order: Vec<u32> = (0..values.len() as u32).collect();
    order.sort_by(|&i, &j| values[i as usize].total_cmp(&values[j as usize]));
    let mut ranks = vec![0; values.len()];
    let mut rank = 0;
    for (at, &item) in order.iter().enumerate() {
        if at > 0 && values[item as usize] != values[order[at - 1] as usize] {
            rank += 1;
        }
        ranks[item as usize] = rank;
    }
    ranks
}

/// Counts the pairs within a stretch: those within either half, then those across.
fn count(items: &[Item], before: &mut [i64], after: &mut [i64], ctx: &Ctx) -> Result<Sorted> {
    let n = items.len();
    if n <= FEW {
        for j in 1..n {
            for i in 0..j {
                let sign = |x: u32, y: u32| i64::from(x > y) - i64::from(x < y);
                let pair = sign(items[i].a, items[j].a) * sign(items[i].b, items[j].b);
                before[j] += pair;
                after[i] += pair;
            }
        }
        let sorted = |key: fn(&Item) -> u32| {
            let mut order: Vec<u32> = (0..n as u32).collect();
            order.sort_by_key(|&item| key(&items[item as usize]));
            order
        };
        return Ok(Sorted { by_a: sorted(|item| item.a), by_b: sorted(|item| item.b) });
    }
    let half = n / 2;
    let (left_before, right_before) = before.split_at_mut(half);
    let (left_after, right_after) = after.split_at_mut(half);
    let mut run_left = || count(&items[..half], left_before, left_after, ctx);
    let mut run_right = || count(&items[half..], right_before, right_after, ctx);
    let (left, right) = if n >= MANY {
        ctx.check()?;
        join(run_left, run_right)
    } else {
        (run_left(), run_right())
    };
    let (left, mut right) = (left?, right?);
    right.by_a.iter_mut().chain(&mut right.by_b).for_each(|item| *item += half as u32);

    let by_b = merge(&left.by_b, &right.by_b, |item| items[item as usize].b);
    // Ranks of b within the stretch keep the counting tree as small as the stretch.
    let mut rank = vec![0u32; n];
    let mut last = 0;
    for (at, &item) in by_b.iter().enumerate() {
        if at > 0 && items[item as usize].b != items[by_b[at - 1] as usize].b {
            last += 1;
        }
        rank[item as usize] = last;
    }
    let mut tree = Tree::new(last as usize + 1);
    across(items, &rank, &left.by_a, &right.by_a, &mut tree, before);
    tree.clear();
    across(items, &rank, &right.by_a, &left.by_a, &mut tree, after);
    Ok(Sorted { by_a: merge(&left.by_a, &right.by_a, |item| items[item as usize].a), by_b })
}

/// Adds to `sums` of each target its concordant less discordant pairs with the sources. Both come sorted by `a`.
///
/// Let g(S) be the sources of S above a target in `b`, less those below. The sources above it in `a` give g, those below
/// give -g: in all, g(all) - g(a below or equal) - g(a below).
fn across(items: &[Item], rank: &[u32], sources: &[u32], targets: &[u32], tree: &mut Tree, sums: &mut [i64]) {
    let mut up_to = vec![0u32; tree.counts.len() + 1];
    for &source in sources {
        up_to[rank[source as usize] as usize + 1] += 1;
    }
    for at in 1..up_to.len() {
        up_to[at] += up_to[at - 1];
    }
    let a = |item: u32| items[item as usize].a;
    let mut added = 0;
    let mut first = 0;
    while first < targets.len() {
        let level = a(targets[first]);
        let end = first + targets[first..].iter().take_while(|&&target| a(target) == level).count();
        while added < sources.len() && a(sources[added]) < level {
            tree.add(rank[sources[added] as usize]);
            added += 1;
        }
        for &target in &targets[first..end] {
            let at = rank[target as usize];
            let all = sources.len() as i64 - i64::from(up_to[at as usize + 1]) - i64::from(up_to[at as usize]);
            sums[target as usize] += all - tree.above_less_below(at, added);
        }
        while added < sources.len() && a(sources[added]) == level {
            tree.add(rank[sources[added] as usize]);
            added += 1;
        }
        for &target in &targets[first..end] {
            sums[target as usize] -= tree.above_less_below(rank[target as usize], added);
        }
        first = end;
    }
}

/// Counts by rank whose sums up to a rank cost the logarithm of the number of ranks (Fenwick 1994).
struct Tree {
    counts: Vec<u32>,
}

impl Tree {
    fn new(ranks: usize) -> Self {
        Self { counts: vec![0; ranks] }
    }

    fn clear(&mut self) {
        self.counts.fill(0);
    }

    fn add(&mut self, rank: u32) {
        let mut at = rank as usize;
        while at < self.counts.len() {
            self.counts[at] += 1;
            at |= at + 1;
        }
    }

    /// Number of ranks below `end`.
    fn below(&self, end: u32) -> i64 {
        let (mut at, mut sum) = (end as usize, 0);
        while at > 0 {
            sum += i64::from(self.counts[at - 1]);
            at &= at - 1;
        }
        sum
    }

    /// Of the `added` ranks, those above `rank` less those below.
    fn above_less_below(&self, rank: u32, added: usize) -> i64 {
        added as i64 - self.below(rank + 1) - self.below(rank)
    }
}

fn merge(left: &[u32], right: &[u32], key: impl Fn(u32) -> u32) -> Vec<u32> {
    let mut all = Vec::with_capacity(left.len() + right.len());
    let (mut i, mut j) = (0, 0);
    while i < left.len() && j < right.len() {
        if key(left[i]) <= key(right[j]) {
            all.push(left[i]);
            i += 1;
        } else {
            all.push(right[j]);
            j += 1;
        }
    }
    all.extend_from_slice(&left[i..]);
    all.extend_from_slice(&right[j..]);
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parallel::with_threads;
    use crate::random::Stream;

    /// The definition, pair by pair.
    fn slow(a: &[f64], b: &[f64]) -> (Vec<i64>, Vec<i64>) {
        let n = a.len();
        let sign = |x: f64, y: f64| i64::from(x > y) - i64::from(x < y);
        let pair = |i: usize, j: usize| sign(a[i], a[j]) * sign(b[i], b[j]);
        (
            (0..n).map(|j| (0..j).map(|i| pair(i, j)).sum()).collect(),
            (0..n).map(|j| (j + 1..n).map(|i| pair(i, j)).sum()).collect(),
        )
    }

    #[test]
    fn pairs_are_counted_as_by_definition() {
        let mut stream = Stream::new(1, 0);
        for n in [0usize, 1, 2, 31, 32, 33, 64, 65, 100, 257, 700] {
            for ties in [0u64, 2, 10, 100] {
                let mut draw = || -> Vec<f64> {
                    (0..n).map(|_| if ties == 0 { stream.normal() } else { stream.below(ties) as f64 }).collect()
                };
                let (a, b) = (draw(), draw());
                assert_eq!(concordance(&a, &b, &Ctx::quiet()).unwrap(), slow(&a, &b), "{n} {ties}");
            }
        }
    }

    #[test]
    fn a_planted_change_is_found() {
        // Together up to item 59, opposite from it on: as the last of the former or the first of the latter.
        let a: Vec<f64> = (0..100).map(f64::from).collect();
        let b: Vec<f64> = (0..100).map(|i| if i < 60 { f64::from(i) } else { f64::from(-i) }).collect();
        assert_eq!(split(&a, &b, &Ctx::quiet()).unwrap(), Some(58));
        // As the slow way has it, over random sequences.
        let mut stream = Stream::new(2, 0);
        for n in [SHORTEST, 13, 40, 90] {
            let a: Vec<f64> = (0..n).map(|_| stream.normal()).collect();
            let b: Vec<f64> = (0..n).map(|_| stream.normal()).collect();
            let tau =
                |a: &[f64], b: &[f64]| slow(a, b).0.iter().sum::<i64>() as f64 / (a.len() * (a.len() - 1) / 2) as f64;
            let scores: Vec<f64> =
                (5..n - 6).map(|i| tau(&a[..=i], &b[..=i]) - tau(&a[i + 1..], &b[i + 1..])).collect();
            let best = (0..scores.len()).fold(0, |best, i| if scores[i] > scores[best] { i } else { best });
            assert_eq!(split(&a, &b, &Ctx::quiet()).unwrap(), Some(best + 5));
        }
    }

    #[test]
    fn short_sequences_have_no_split() {
        for n in 0..SHORTEST {
            let a: Vec<f64> = (0..n).map(|i| i as f64).collect();
            assert_eq!(split(&a, &a, &Ctx::quiet()).unwrap(), None);
        }
        let a: Vec<f64> = (0..SHORTEST).map(|i| i as f64).collect();
        assert_eq!(split(&a, &a, &Ctx::quiet()).unwrap(), Some(5));
        assert_eq!(split(&a, &a[1..], &Ctx::quiet()).unwrap(), None);
    }

    #[test]
    fn threads_change_nothing_and_a_cancelled_context_stops() {
        let mut stream = Stream::new(3, 0);
        let n = 3 * MANY;
        let a: Vec<f64> = (0..n).map(|_| stream.normal()).collect();
        let b: Vec<f64> = (0..n).map(|_| stream.normal()).collect();
        let run = |threads| with_threads(Some(threads), || concordance(&a, &b, &Ctx::quiet())).unwrap();
        let one = run(1);
        assert!(run(2) == one && run(8) == one);
        let ctx = Ctx::quiet();
        ctx.token().cancel();
        assert!(split(&a, &b, &ctx).is_err());
    }
}
