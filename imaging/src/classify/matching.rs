//! One-to-one pairs of found and true points.

use std::collections::{HashMap, VecDeque};

use zensaibo_core::{DataFault, Error, Result};

/// Pairs of two sets of points.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Matching {
    /// Index among the found, index among the true, distance; by the true index.
    pub pairs: Vec<(usize, usize, f64)>,
}

/// As many pairs as there can be of points at most `radius` apart, no point in two pairs (Hopcroft and Karp, SIAM J.
/// Comput. 2, 1973). Nearer partners are tried first, so that few pairs are farther apart than need be.
///
/// # Errors
/// [`Error::Parameter`] for a radius that is not positive; [`Error::Data`] for points that are not finite.
pub fn match_points(found: &[[f64; 3]], truth: &[[f64; 3]], radius: f64) -> Result<Matching> {
    if !(radius > 0.0 && radius.is_finite()) {
        return Err(Error::parameter("radius", "a finite length above 0", radius));
    }
    for (name, points) in [("found points", found), ("true points", truth)] {
        if let Some(at) = points.iter().position(|p| p.iter().any(|v| !v.is_finite())) {
            let place = format!("NaN or infinity in point {at}");
            return Err(Error::data(DataFault::NotFinite, name, "finite coordinates", place));
        }
    }
    let bin = |p: &[f64; 3]| p.map(|v| (v / radius).floor() as i64);
    let mut bins: HashMap<[i64; 3], Vec<usize>> = HashMap::new();
    for (i, point) in found.iter().enumerate() {
        bins.entry(bin(point)).or_default().push(i);
    }
    let partners: Vec<Vec<(f64, usize)>> = truth
        .iter()
        .map(|point| {
            let [z, y, x] = bin(point);
            let mut near = Vec::new();
            for cell in 0..27 {
                let key = [z + cell / 9 - 1, y + cell / 3 % 3 - 1, x + cell % 3 - 1];
                for &i in bins.get(&key).into_iter().flatten() {
                    let distance = (0..3).map(|a| (found[i][a] - point[a]).powi(2)).sum::<f64>().sqrt();
                    if distance <= radius {
                        near.push((distance, i));
                    }
                }
            }
            near.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
            near
        })
        .collect();
    let mut of_truth: Vec<Option<usize>> = vec![None; truth.len()];
    let mut of_found: Vec<Option<usize>> = vec![None; found.len()];
    // A greedy start by distance, then augmenting paths.
    let mut close: Vec<(f64, usize, usize)> =
        partners.iter().enumerate().flat_map(|(t, near)| near.iter().map(move |&(d, f)| (d, t, f))).collect();
    close.sort_by(|a, b| a.0.total_cmp(&b.0).then((a.1, a.2).cmp(&(b.1, b.2))));
    for (_, t, f) in close {
        if of_truth[t].is_none() && of_found[f].is_none() {
            (of_truth[t], of_found[f]) = (Some(f), Some(t));
        }
    }
    for start in 0..truth.len() {
        if of_truth[start].is_some() || partners[start].is_empty() {
            continue;
        }
        // Breadth first from one free point: the shortest path that ends at a free partner.
        let mut from: HashMap<usize, usize> = HashMap::new();
        let mut queue = VecDeque::from([start]);
        let mut end = None;
        'search: while let Some(t) = queue.pop_front() {
            for &(_, f) in &partners[t] {
                if from.contains_key(&f) {
                    continue;
                }
                from.insert(f, t);
                match of_found[f] {
                    None => {
                        end = Some(f);
                        break 'search;
                    }
                    Some(next) => queue.push_back(next),
                }
            }
        }
        while let Some(f) = end {
            let t = from[&f];
            end = of_truth[t];
            (of_truth[t], of_found[f]) = (Some(f), Some(t));
        }
    }
    let distance = |f: usize, t: usize| (0..3).map(|a| (found[f][a] - truth[t][a]).powi(2)).sum::<f64>().sqrt();
    let pairs = of_truth.iter().enumerate().filter_map(|(t, f)| f.map(|f| (f, t, distance(f, t)))).collect();
    Ok(Matching { pairs })
}
