use zensaibo_core::random::Stream;

use super::*;

fn near(a: [f64; 3], b: [f64; 3], by: f64) -> bool {
    a.iter().zip(b).all(|(a, b)| (a - b).abs() <= by)
}

#[test]
fn affine_maps_compose_and_turn_back() {
    let a = Affine { matrix: [[1.1, 0.2, 0.0], [-0.1, 0.9, 0.3], [0.05, 0.0, 1.2]], shift: [5.0, -3.0, 40.0] };
    let b = Affine::about([[0.0, 1.0, 0.0], [-1.0, 0.0, 0.0], [0.0, 0.0, 1.0]], [1.0, 2.0, 3.0], [7.0, 8.0, 9.0]);
    let place = [3.0, -20.0, 11.5];
    assert!(near(b.apply([1.0, 2.0, 3.0]), [7.0, 8.0, 9.0], 1e-12));
    assert!(near(a.after(&b).apply(place), a.apply(b.apply(place)), 1e-12));
    assert!(near(a.inverse().unwrap().apply(a.apply(place)), place, 1e-10));
    assert!((b.determinant() - 1.0).abs() < 1e-12);
    assert!(Affine::scale([1.0, 0.0, 2.0]).inverse().is_err());
    assert!(near(Affine::scale([2.0, 0.5, 1.0]).after(&b).stretches(), [2.0, 1.0, 0.5], 1e-9));
    let voxels = a.between_voxels([2.0, 1.0, 0.5], [4.0, 4.0, 1.0]);
    let to = a.apply([6.0, 5.0, 2.0]);
    assert!(near(voxels.apply([3.0, 5.0, 4.0]), [to[0] / 4.0, to[1] / 4.0, to[2]], 1e-12));
}

/// Smooth displacements of up to `size` micrometres.
fn waves(shape: [usize; 3], spacing: [f64; 3], size: f64) -> Field {
    let mut random = Stream::new(3, 0);
    let phases: [f64; 3] = std::array::from_fn(|_| 6.0 * random.uniform());
    let vectors = (0..shape.iter().product::<usize>())
        .map(|at| {
            let voxel = [at / shape[2] / shape[1], at / shape[2] % shape[1], at % shape[2]];
            let sum: f64 = (0..3).map(|axis| voxel[axis] as f64 / shape[axis] as f64).sum();
            phases.map(|phase| (size * (2.0 * sum + phase).sin()) as f32)
        })
        .collect();
    Field::new(shape, spacing, vectors).unwrap()
}

#[test]
fn fields_turn_back() {
    let field = waves([12, 20, 17], [10.0, 5.0, 4.0], 9.0);
    let mut random = Stream::new(1, 0);
    for _ in 0..200 {
        // Beyond the grid, too.
        let place = [140.0, 120.0, 90.0].map(|length| length * random.uniform() - 10.0);
        let goal = field.apply(place);
        let (found, missed) = field.solve(goal, goal);
        assert!(missed < 1e-6 && near(found, place, 1e-5), "{place:?} {found:?} {missed}");
    }
    let (inverse, missed) = field.inverse();
    assert!(missed < 1e-5);
    // Voxels that come from within the grid: interpolation of the inverse is all that is lost.
    let both = field.after(&inverse);
    assert!(both.vectors.iter().flatten().all(|value| value.abs() < 1e-3));
    assert!(field.jacobian().data.iter().all(|&value| value > 0.2));
}

#[test]
fn jacobians_of_stretches_are_their_volumes() {
    let shape = [6, 7, 8];
    let vectors = (0..336).map(|at| [0.5 * 3.0 * (at / 56) as f32, -0.25 * 2.0 * (at / 8 % 7) as f32, 0.0]).collect();
    let field = Field::new(shape, [3.0, 2.0, 1.0], vectors).unwrap();
    assert!(field.jacobian().data.iter().all(|value| (value - 1.5 * 0.75).abs() < 1e-5));
}

#[test]
fn bad_fields_are_refused() {
    assert!(Field::new([2, 2, 2], [1.0; 3], vec![[0.0; 3]; 7]).is_err());
    assert!(Field::new([1, 1, 1], [1.0; 3], vec![[0.0, f32::NAN, 0.0]]).unwrap_err().to_string().contains("voxel 0"));
    assert!(Field::new([1, 1, 1], [1.0, 0.0, 1.0], vec![[0.0; 3]]).is_err());
    let single = Field::new([1, 1, 1], [1.0; 3], vec![[1.0, 2.0, 3.0]]).unwrap();
    assert!(near(single.apply([5.0, 5.0, 5.0]), [6.0, 7.0, 8.0], 1e-12));
}
