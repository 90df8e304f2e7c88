//! One place for every tile from what pairs say, and which pairs contradict the others.

/// What a pair says: `to` lies `by` from `from`, in as many directions as there are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Link<const D: usize> {
    pub(super) from: usize,
    pub(super) to: usize,
    pub(super) by: [f64; D],
    pub(super) weight: f64,
}

/// Which group each of `n` belongs to, where links connect; groups are numbered by their first member.
pub(super) fn groups<const D: usize>(n: usize, links: &[Link<D>]) -> Vec<usize> {
    let mut parent: Vec<usize> = (0..n).collect();
    fn root(parent: &mut [usize], mut at: usize) -> usize {
        while parent[at] != at {
            parent[at] = parent[parent[at]];
            at = parent[at];
        }
        at
    }
    for link in links {
        let (a, b) = (root(&mut parent, link.from), root(&mut parent, link.to));
        parent[a.max(b)] = a.min(b);
    }
    let roots: Vec<usize> = (0..n).map(|at| root(&mut parent, at)).collect();
    let mut number = vec![usize::MAX; n];
    let mut count = 0;
    roots
        .iter()
        .map(|&root| {
            if number[root] == usize::MAX {
                number[root] = count;
                count += 1;
            }
            number[root]
        })
        .collect()
}

/// The places that fit the links best by weighted squares, the mean of each group 0.
pub(super) fn least_squares<const D: usize>(n: usize, links: &[Link<D>]) -> Vec<[f64; D]> {
    let group = groups(n, links);
    let count = group.iter().max().map_or(0, |&most| most + 1);
    let mut diagonal = vec![0f64; n];
    for link in links {
        diagonal[link.from] += link.weight;
        diagonal[link.to] += link.weight;
    }
    let apply = |x: &[f64], out: &mut [f64]| {
        out.fill(0.0);
        for link in links {
            let pull = link.weight * (x[link.to] - x[link.from]);
            out[link.to] += pull;
            out[link.from] -= pull;
        }
    };
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let mut places = vec![[0f64; D]; n];
    for axis in 0..D {
        // Conjugate gradients, scaled by the diagonal.
        let (mut x, mut residual) = (vec![0f64; n], vec![0f64; n]);
        for link in links {
            residual[link.to] += link.weight * link.by[axis];
            residual[link.from] -= link.weight * link.by[axis];
        }
        let scaled = |r: &[f64]| -> Vec<f64> {
            r.iter().zip(&diagonal).map(|(r, &d)| if d > 0.0 { r / d } else { 0.0 }).collect()
        };
        let mut z = scaled(&residual);
        let mut direction = z.clone();
        let mut product = vec![0f64; n];
        let mut rho = dot(&residual, &z);
        let goal = 1e-26 * rho;
        for _ in 0..(4 * n + 50) {
            if rho <= goal || rho <= 0.0 {
                break;
            }
            apply(&direction, &mut product);
            let curve = dot(&direction, &product);
            if curve <= 0.0 {
                break;
            }
            let step = rho / curve;
            x.iter_mut().zip(&direction).for_each(|(x, d)| *x += step * d);
            residual.iter_mut().zip(&product).for_each(|(r, p)| *r -= step * p);
            z = scaled(&residual);
            let next = dot(&residual, &z);
            let ratio = next / rho;
            direction.iter_mut().zip(&z).for_each(|(d, z)| *d = z + ratio * *d);
            rho = next;
        }
        let (mut sums, mut sizes) = (vec![0f64; count], vec![0f64; count]);
        for (at, &group) in group.iter().enumerate() {
            sums[group] += x[at];
            sizes[group] += 1.0;
        }
        for (at, &group) in group.iter().enumerate() {
            places[at][axis] = x[at] - sums[group] / sizes[group];
        }
    }
    places
}

/// How far each link is from what the places say, along each axis.
pub(super) fn residuals<const D: usize>(places: &[[f64; D]], links: &[Link<D>]) -> Vec<[f64; D]> {
    links
        .iter()
        .map(|link| std::array::from_fn(|axis| link.by[axis] - (places[link.to][axis] - places[link.from][axis])))
        .collect()
}

/// The places that fit by the sum of distances rather than of squares, so that single wrong links pull little. `scale` is
/// the distance along each axis that counts as one.
fn least_distances<const D: usize>(n: usize, links: &[Link<D>], scale: [f64; D]) -> Vec<[f64; D]> {
    const ROUNDS: usize = 30;
    let mut places = least_squares(n, links);
    let mut weighed = links.to_vec();
    for _ in 0..ROUNDS {
        for ((weighed, link), residual) in weighed.iter_mut().zip(links).zip(residuals(&places, links)) {
            weighed.weight = link.weight / length(residual, scale).max(0.02);
        }
        places = least_squares(n, &weighed);
    }
    places
}

fn length<const D: usize>(residual: [f64; D], scale: [f64; D]) -> f64 {
    (0..D).map(|axis| (residual[axis] / scale[axis]).powi(2)).sum::<f64>().sqrt()
}

/// Which links do not contradict the others: of those that do by more than `scale` (and by three times what is usual),
/// the worst are dropped until none is left. The places fit those that remain.
pub(super) fn agreeing<const D: usize>(n: usize, links: &[Link<D>], scale: [f64; D]) -> (Vec<bool>, Vec<[f64; D]>) {
    let mut kept = vec![true; links.len()];
    // What seems a very good link may be wrong as well: none may outweigh a way round it.
    let mut sorted: Vec<f64> = links.iter().map(|link| link.weight).collect();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.get(links.len() / 2).copied().unwrap_or(1.0);
    let even: Vec<Link<D>> =
        links.iter().map(|link| Link { weight: link.weight / (link.weight + middle), ..*link }).collect();
    loop {
        let chosen: Vec<Link<D>> = links.iter().zip(&kept).filter(|(_, kept)| **kept).map(|(link, _)| *link).collect();
        let evened: Vec<Link<D>> = even.iter().zip(&kept).filter(|(_, kept)| **kept).map(|(link, _)| *link).collect();
        let places = least_distances(n, &evened, scale);
        let lengths: Vec<f64> = residuals(&places, links).into_iter().map(|r| length(r, scale)).collect();
        let mut sorted: Vec<f64> = (0..links.len()).filter(|&at| kept[at]).map(|at| lengths[at]).collect();
        sorted.sort_by(f64::total_cmp);
        let limit = (3.0 * sorted.get(sorted.len() / 2).copied().unwrap_or(0.0)).max(1.0);
        // The worst link of each tile: dropping those together spares solving anew for each.
        let mut worst = vec![0f64; n];
        for (at, link) in links.iter().enumerate().filter(|(at, _)| kept[*at]) {
            worst[link.from] = worst[link.from].max(lengths[at]);
            worst[link.to] = worst[link.to].max(lengths[at]);
        }
        let mut dropped = false;
        for (at, link) in links.iter().enumerate() {
            let worst = lengths[at] >= worst[link.from] && lengths[at] >= worst[link.to];
            if kept[at] && lengths[at] > limit && worst {
                kept[at] = false;
                dropped = true;
            }
        }
        if !dropped {
            return (kept, least_squares(n, &chosen));
        }
    }
}

/// For each link, how far one is from where one began after going along it and back along the fewest others.
pub(super) fn loops(n: usize, links: &[Link<3>]) -> Vec<Option<[f64; 3]>> {
    let mut beside: Vec<Vec<(usize, usize)>> = vec![Vec::new(); n];
    for (at, link) in links.iter().enumerate() {
        beside[link.from].push((link.to, at));
        beside[link.to].push((link.from, at));
    }
    links
        .iter()
        .enumerate()
        .map(|(own, link)| {
            let mut way: Vec<Option<[f64; 3]>> = vec![None; n];
            way[link.from] = Some([0.0; 3]);
            let mut queue = std::collections::VecDeque::from([link.from]);
            while let Some(here) = queue.pop_front() {
                let Some(so_far) = way[here] else { break };
                if here == link.to {
                    return Some(std::array::from_fn(|axis| link.by[axis] - so_far[axis]));
                }
                for &(next, at) in beside[here].iter().filter(|(_, at)| *at != own) {
                    if way[next].is_none() {
                        let sign = if links[at].from == here { 1.0 } else { -1.0 };
                        way[next] = Some(std::array::from_fn(|axis| so_far[axis] + sign * links[at].by[axis]));
                        queue.push_back(next);
                    }
                }
            }
            None
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use zensaibo_core::random::Stream;

    use super::*;

    /// Links of a grid of tiles whose places are random.
    fn grid(rows: usize, columns: usize, noise: f64) -> (Vec<[f64; 3]>, Vec<Link<3>>) {
        let mut random = Stream::new(9, 0);
        let n = rows * columns;
        let places: Vec<[f64; 3]> = (0..n).map(|_| std::array::from_fn(|_| 50.0 * random.uniform())).collect();
        let mut links = Vec::new();
        for at in 0..n {
            for other in [at + 1, at + columns] {
                let beside = other == at + columns || (at + 1) % columns != 0;
                if other < n && beside {
                    let by = std::array::from_fn(|a| places[other][a] - places[at][a] + noise * random.normal());
                    links.push(Link { from: at, to: other, by, weight: 1.0 + random.uniform() });
                }
            }
        }
        (places, links)
    }

    fn apart(found: &[[f64; 3]], truth: &[[f64; 3]]) -> f64 {
        let mean = |all: &[[f64; 3]], axis: usize| all.iter().map(|p| p[axis]).sum::<f64>() / all.len() as f64;
        let mut far = 0f64;
        for axis in 0..3 {
            let (f, t) = (mean(found, axis), mean(truth, axis));
            far = found.iter().zip(truth).map(|(a, b)| (a[axis] - f - b[axis] + t).abs()).fold(far, f64::max);
        }
        far
    }

    #[test]
    fn exact_links_give_exact_places_and_closed_loops() {
        let (places, links) = grid(12, 15, 0.0);
        assert!(apart(&least_squares(180, &links), &places) < 1e-8);
        assert!(loops(180, &links).iter().all(|error| error.unwrap().iter().all(|x| x.abs() < 1e-9)));
    }

    #[test]
    fn wrong_links_are_dropped_and_only_those() {
        let (places, mut links) = grid(5, 6, 0.1);
        for at in [3, 17, 40] {
            links[at].by[2] += 15.0;
            links[at].by[0] -= 4.0;
            // They seem better than the others.
            links[at].weight = 3.0;
        }
        let (kept, found) = agreeing(30, &links, [2.0; 3]);
        let dropped: Vec<usize> = (0..links.len()).filter(|&at| !kept[at]).collect();
        assert_eq!(dropped, [3, 17, 40]);
        assert!(apart(&found, &places) < 0.4, "{}", apart(&found, &places));
        let worst = loops(30, &links)[17].unwrap();
        assert!((worst[2] - 15.0).abs() < 1.0 && (worst[0] + 4.0).abs() < 1.0, "{worst:?}");
    }

    #[test]
    fn groups_that_nothing_connects_are_told_apart() {
        let link = |from, to| Link { from, to, by: [1.0], weight: 1.0 };
        let links = [link(3, 1), link(4, 5)];
        assert_eq!(groups(6, &links), [0, 1, 2, 1, 3, 3]);
        let places = least_squares(6, &links);
        assert_eq!(places[0], [0.0]);
        assert!((places[1][0] - 0.5).abs() < 1e-12 && (places[3][0] + 0.5).abs() < 1e-12);
    }
}
