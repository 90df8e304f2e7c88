use super::*;
use crate::random::Stream;

fn cloud(n: usize) -> Vec<f32> {
    let mut stream = Stream::new(2, 0);
    (0..2 * n).map(|_| stream.normal() as f32).collect()
}

/// Sum of mass / (1 + d^2) at each point, through the tree.
fn summed(positions: &[f32], mass: Option<&[f32]>, theta: f32) -> Vec<f64> {
    let tree = Quadtree::new(positions, mass);
    let mut out = vec![f64::NAN; positions.len() / 2];
    let mut sources = Sources::default();
    for number in 0..tree.blocks() {
        let block = tree.block(number);
        tree.sources(&block, theta, &mut sources);
        for lane in 0..block.count {
            let parts = sources.x.iter().zip(&sources.y).zip(&sources.mass).map(|((&x, &y), &m)| {
                let (dx, dy) = (f64::from(x - block.x[lane]), f64::from(y - block.y[lane]));
                f64::from(m) / (1.0 + dx * dx + dy * dy)
            });
            out[block.point[lane] as usize] = parts.sum();
        }
    }
    out
}

fn slowly(positions: &[f32], mass: &[f32]) -> Vec<f64> {
    let pair = |a: &[f32], b: &[f32]| 1.0 + f64::from(a[0] - b[0]).powi(2) + f64::from(a[1] - b[1]).powi(2);
    positions.chunks(2).map(|a| positions.chunks(2).zip(mass).map(|(b, &m)| f64::from(m) / pair(a, b)).sum()).collect()
}

#[test]
fn nothing_is_lost_or_counted_twice() {
    for n in [0, 1, 2, 8, 9, 15, 16, 17, 100, 1000] {
        let positions = cloud(n);
        let mass: Vec<f32> = (0..n).map(|i| 1.0 + (i % 5) as f32).collect();
        let expected = slowly(&positions, &mass);
        for (theta, tolerance) in [(0.0, 1e-5), (0.5, 0.02), (1.0, 0.08)] {
            for (a, b) in summed(&positions, Some(mass.as_slice()), theta).iter().zip(&expected) {
                assert!((a - b).abs() <= tolerance * b, "{n} {theta}: {a} {b}");
            }
        }
    }
}

#[test]
fn points_at_one_place_and_on_a_line() {
    let same = [3.0f32; 200];
    assert!(summed(&same, None, 0.5).iter().all(|&sum| (sum - 100.0).abs() < 1e-4));
    let line: Vec<f32> = (0..500).flat_map(|i| [i as f32, 7.0]).collect();
    let expected = slowly(&line, &[1.0; 500]);
    assert!(summed(&line, None, 0.3).iter().zip(&expected).all(|(a, b)| (a - b).abs() < 0.02 * b));
}

#[test]
fn far_away_points_are_taken_together() {
    let positions = cloud(20_000);
    let tree = Quadtree::new(&positions, None);
    let mut sources = Sources::default();
    let mut total = 0;
    for number in 0..tree.blocks() {
        tree.sources(&tree.block(number), 0.5, &mut sources);
        assert!((sources.mass.iter().sum::<f32>() - 20_000.0).abs() < 1.0);
        total += sources.mass.len();
    }
    assert!(total / tree.blocks() < 2000, "{}", total / tree.blocks());
}
