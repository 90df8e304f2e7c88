use super::gaussian_density;
use crate::Ctx;
use crate::parallel::with_threads;
use crate::random::Stream;

fn cloud(n: usize) -> Vec<f64> {
    let mut stream = Stream::new(3, 0);
    (0..n)
        .flat_map(|_| {
            let x = stream.normal();
            [x, 0.5 * x + 2.0 * stream.normal() + 10.0]
        })
        .collect()
}

/// The slow, obvious way, with the inverse of the covariance.
fn slowly(points: &[f64]) -> Vec<f64> {
    let n = points.len() / 2;
    let mean = |axis: usize| points.iter().skip(axis).step_by(2).sum::<f64>() / n as f64;
    let (mx, my) = (mean(0), mean(1));
    let moment =
        |f: &dyn Fn(f64, f64) -> f64| points.chunks(2).map(|p| f(p[0] - mx, p[1] - my)).sum::<f64>() / (n as f64 - 1.0);
    let h = (n as f64).powf(-1.0 / 3.0);
    let (a, b, c) = (h * moment(&|x, _| x * x), h * moment(&|x, y| x * y), h * moment(&|_, y| y * y));
    let det = a * c - b * b;
    let one = |p: &[f64]| {
        points
            .chunks(2)
            .map(|q| {
                let (x, y) = (p[0] - q[0], p[1] - q[1]);
                (-0.5 * (c * x * x - 2.0 * b * x * y + a * y * y) / det).exp()
            })
            .sum::<f64>()
            / (n as f64 * std::f64::consts::TAU * det.sqrt())
    };
    points.chunks(2).map(one).collect()
}

#[test]
fn as_the_slow_way_over_a_grid() {
    for n in [3, 4, 7, 8, 9, 100, 700] {
        let points = cloud(n);
        let found = gaussian_density(&points, &Ctx::quiet()).unwrap();
        for (a, b) in found.iter().zip(slowly(&points)) {
            assert!((a - b).abs() < 1e-11 * b, "{n}: {a} {b}");
        }
    }
}

#[test]
fn the_middle_is_denser_and_units_cancel() {
    let points = cloud(500);
    let found = gaussian_density(&points, &Ctx::quiet()).unwrap();
    let stretched: Vec<f64> = points.iter().map(|x| 1000.0 * x).collect();
    let other = gaussian_density(&stretched, &Ctx::quiet()).unwrap();
    assert!(found.iter().zip(&other).all(|(a, b)| (a - b * 1e6).abs() < 1e-9 * a));
    let far = (0..500).max_by(|&i, &j| points[2 * i].abs().total_cmp(&points[2 * j].abs())).unwrap();
    let near = (0..500)
        .min_by(|&i, &j| {
            let from = |k: usize| points[2 * k].powi(2) + (points[2 * k + 1] - 10.0).powi(2);
            from(i).total_cmp(&from(j))
        })
        .unwrap();
    assert!(found[near] > 5.0 * found[far]);
}

#[test]
fn threads_change_nothing() {
    let points = cloud(3000);
    let run = |threads| with_threads(Some(threads), || gaussian_density(&points, &Ctx::quiet())).unwrap();
    let one = run(1);
    assert_eq!(run(2), one);
    assert_eq!(run(8), one);
}

#[test]
fn faults_are_named() {
    let fault = |points: &[f64]| gaussian_density(points, &Ctx::quiet()).unwrap_err().to_string();
    assert!(fault(&[]).contains("at least 3"));
    assert!(fault(&[1.0, 2.0]).contains("at least 3"));
    assert!(fault(&[1.0; 7]).contains("two coordinates"));
    assert!(fault(&[0.0, 0.0, 1.0, 1.0, f64::NAN, 1.0]).contains("NaN at point 2"));
    assert!(fault(&[0.0, 0.0, 1.0, 1.0, 2.0, 2.0]).contains("one line"));
    assert!(fault(&[3.0; 20]).contains("one line"));
    assert!(fault(&[0.0, 1.0, 0.0, 2.0, 0.0, 5.0]).contains("one line"));
}
