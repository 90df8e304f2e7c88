use std::f64::consts::PI;

use zensaibo_core::Ctx;
use zensaibo_core::data::{Dtype, Frame, Grid, VolumeInfo};
use zensaibo_core::parallel::with_threads;

use super::*;
use crate::space::Spacing;

type Volume = (VolumeInfo, Grid<u32>);

/// Labels by place in micrometres, a cube of some `side` around the origin.
fn drawn(side: f64, spacing: [f64; 3], label: impl Fn([f64; 3]) -> u32) -> Volume {
    let shape = spacing.map(|um| (side / um) as usize);
    let mut grid = Grid::filled(shape, 0u32);
    for z in 0..shape[0] {
        for y in 0..shape[1] {
            for x in 0..shape[2] {
                grid.row_mut(z, y)[x] = label(place(shape, spacing, [z, y, x]));
            }
        }
    }
    let mut info = VolumeInfo::plain("drawn", shape, Dtype::U32);
    info.spacing = Some(spacing);
    (info, grid)
}

/// Off the grid, as real bodies are.
fn place(shape: [usize; 3], spacing: [f64; 3], at: [usize; 3]) -> [f64; 3] {
    std::array::from_fn(|a| (at[a] as f64 - (shape[a] / 2) as f64 + [0.3, 0.1, 0.4][a]) * spacing[a])
}

fn length(at: [f64; 3]) -> f64 {
    at.iter().map(|x| x * x).sum::<f64>().sqrt()
}

fn measured(labels: &Volume, options: &OrganoidOptions) -> Organoids {
    let spacing = Spacing::new(labels.0.spacing.unwrap()).unwrap();
    organoids(labels, Frame::default(), None, spacing, options, &Ctx::quiet()).unwrap()
}

#[test]
fn a_shell_has_the_volume_surface_lumen_and_depths_of_two_balls() {
    let (outer, inner) = (38.0, 15.0);
    for spacing in [[1.0, 1.0, 1.0], [2.0, 1.0, 1.0]] {
        let labels = drawn(88.0, spacing, |at| 7 * u32::from((inner..=outer).contains(&length(at))));
        let found = measured(&labels, &OrganoidOptions::default());
        let (bodies, lumens) = (&found.bodies, &found.lumens);
        assert_eq!((bodies.shape.label.as_slice(), bodies.lumens.as_slice()), (&[7u64][..], &[1u64][..]));
        let ball = |r: f64| 4.0 / 3.0 * PI * r * r * r;
        let near = |found: f64, expected: f64, slack: f64| {
            assert!((found / expected - 1.0).abs() < slack, "{found} instead of {expected}, spacing {spacing:?}");
        };
        near(bodies.shape.volume[0], ball(outer), 0.01);
        near(bodies.tissue_volume[0], ball(outer) - ball(inner), 0.01);
        near(bodies.lumen_volume[0], ball(inner), 0.02);
        near(bodies.shape.surface[0], 4.0 * PI * outer * outer, 0.03);
        near(bodies.shape.sphericity[0], 1.0, 0.03);
        near(lumens.shape.surface[0], 4.0 * PI * inner * inner, 0.04);
        near(lumens.radius[0], inner, 0.06);
        near(bodies.wall[0], outer - inner, 0.03);
        near(bodies.max_depth[0], outer - inner, 0.03);
        assert_eq!((lumens.organoid.as_slice(), lumens.open.as_slice()), (&[7u64][..], &[false][..]));
        let (shape, largest) = (labels.1.shape, spacing[0]);
        let (mut off, mut n) = ([0.0; 2], 0.0);
        for z in 0..shape[0] {
            for y in 0..shape[1] {
                for x in 0..shape[2] {
                    let at = found.depth.index(z, y, x);
                    let far = length(place(shape, spacing, [z, y, x]));
                    assert_eq!(found.body.data[at] == 7, far <= outer);
                    assert_eq!(found.lumen.data[at] == 1, far < inner);
                    if (inner..=outer).contains(&far) {
                        let errors = [
                            f64::from(found.depth.data[at]) - (outer - far),
                            f64::from(found.to_lumen.data[at]) - (far - inner),
                        ];
                        assert!(errors.iter().all(|e| e.abs() < largest), "{errors:?} at {far}");
                        off.iter_mut().zip(errors).for_each(|(off, e)| *off += e);
                        n += 1.0;
                    }
                }
            }
        }
        assert!(off.iter().all(|off| (off / n).abs() < 0.25 * largest), "{off:?} {n}");
    }
}

#[test]
fn ellipsoids_have_their_axes_and_several_are_told_apart() {
    let labels = drawn(120.0, [1.5, 1.0, 1.0], |at| {
        let inside = |c: [f64; 3], r: [f64; 3]| (0..3).map(|a| ((at[a] - c[a]) / r[a]).powi(2)).sum::<f64>() <= 1.0;
        if inside([-20.0, -25.0, -20.0], [14.0, 30.0, 20.0]) {
            3
        } else {
            9 * u32::from(inside([20.0, 25.0, 25.0], [30.0, 15.0, 15.0]))
        }
    });
    let found = measured(&labels, &OrganoidOptions::default());
    let shape = &found.bodies.shape;
    assert_eq!(shape.label, [3, 9]);
    for (row, (radii, along)) in
        [([30.0, 20.0, 14.0], [0.0, 1.0, 0.0]), ([30.0, 15.0, 15.0], [1.0, 0.0, 0.0])].iter().enumerate()
    {
        for k in 0..3 {
            assert!((shape.axes[row][k] / 2.0 / radii[k] - 1.0).abs() < 0.02, "{:?}", shape.axes[row]);
        }
        let turned: f64 = (0..3).map(|a| shape.orientation[row][a] * along[a]).sum();
        assert!(turned.abs() > 0.999);
        let volume = 4.0 / 3.0 * PI * radii.iter().product::<f64>();
        assert!((shape.volume[row] / volume - 1.0).abs() < 0.01);
        // Knud Thomsen's formula, good to 1.1 %.
        let p = 1.6075f64;
        let [a, b, c] = radii.map(|r: f64| r.powf(p));
        let surface = 4.0 * PI * ((a * b + a * c + b * c) / 3.0).powf(1.0 / p);
        assert!((shape.surface[row] / surface - 1.0).abs() < 0.03, "{} {surface}", shape.surface[row]);
        // Off the middle of the volume, as drawn.
        assert!(!shape.touches_border[row]);
    }
    let centre = |row: usize, axis: usize| {
        let n = [120.0 / 1.5, 120.0, 120.0][axis] as usize;
        shape.centroid[row][axis] - ((n / 2) as f64 - [0.3, 0.1, 0.4][axis]) * [1.5, 1.0, 1.0][axis]
    };
    for (row, expected) in [[-20.0, -25.0, -20.0], [20.0, 25.0, 25.0]].iter().enumerate() {
        (0..3).for_each(|a| assert!((centre(row, a) - expected[a]).abs() < 0.3));
    }
    assert!(found.to_lumen.data.iter().zip(&found.body.data).all(|(far, &body)| (body > 0) == far.is_infinite()));
    assert!(found.bodies.wall.iter().all(|wall| wall.is_nan()));
    let one = measured(&labels, &OrganoidOptions { min_volume: 30_000.0, ..OrganoidOptions::default() });
    assert_eq!(one.bodies.shape.label, [3]);
    assert!(!one.body.data.contains(&9));
}

/// A shell whose cavity opens upwards through a hole of some width, and a closed cavity beside it that is small.
fn pierced(width: f64) -> Volume {
    drawn(70.0, [1.0; 3], move |at| {
        let hole = at[0] > 0.0 && at[1].hypot(at[2]) <= 0.5 * width;
        let small = length([at[0] + 19.0, at[1], at[2]]) <= 3.5;
        u32::from(length(at) <= 28.0 && length(at) >= 12.0 && !hole && !small)
    })
}

#[test]
fn lumens_that_open_through_small_holes_are_found() {
    let options = OrganoidOptions { min_lumen_volume: 100.0, ..OrganoidOptions::default() };
    let shut = measured(&pierced(6.0), &options);
    assert_eq!(shut.bodies.lumens, [1]);
    let open = measured(&pierced(6.0), &OrganoidOptions { max_opening: 9.0, ..options.clone() });
    assert_eq!(open.lumens.open.iter().filter(|&&open| open).count(), 1);
    assert_eq!(open.bodies.lumens, [2]);
    let large = open.lumens.open.iter().position(|&open| open).unwrap();
    let ball = 4.0 / 3.0 * PI * 12f64.powi(3);
    let extra = open.lumens.shape.volume[large] / ball - 1.0;
    assert!((0.0..0.06).contains(&extra), "{extra}");
    let wide = measured(&pierced(14.0), &OrganoidOptions { max_opening: 9.0, ..options.clone() });
    assert_eq!(wide.lumens.open, [false]);
    // What is too small or too flat is tissue.
    let large_only = OrganoidOptions { max_opening: 9.0, min_lumen_volume: 500.0, ..options.clone() };
    assert_eq!(measured(&pierced(6.0), &large_only).lumens.open, [true]);
    let wide_only = OrganoidOptions { max_opening: 9.0, min_lumen_radius: 6.0, ..options };
    let found = measured(&pierced(6.0), &wide_only);
    assert_eq!((found.lumens.open.as_slice(), found.lumens.shape.label.as_slice()), (&[true][..], &[1u64][..]));
    assert!(found.lumen.data.iter().all(|&n| n <= 1));
}

#[test]
fn dark_places_of_a_picture_are_lumens() {
    let labels = drawn(80.0, [2.0, 1.0, 1.0], |at| u32::from(length(at) <= 32.0));
    let shape = labels.1.shape;
    let mut light = Grid::filled(shape, 100f32);
    for z in 0..shape[0] {
        for y in 0..shape[1] {
            for x in 0..shape[2] {
                let at = place(shape, [2.0, 1.0, 1.0], [z, y, x]);
                if length(at) <= 32.0 && length([at[0], at[1] - 8.0, at[2]]) > 12.0 {
                    light.row_mut(z, y)[x] = 700.0 + ((x * 7 + y * 13 + z * 29) % 100) as f32;
                }
            }
        }
    }
    let picture = (VolumeInfo::plain("light", shape, Dtype::F32), light);
    let spacing = Spacing::new([2.0, 1.0, 1.0]).unwrap();
    let run = |picture: &(VolumeInfo, Grid<f32>), options: &OrganoidOptions| {
        organoids(&labels, Frame::default(), Some((picture, Frame::default())), spacing, options, &Ctx::quiet())
    };
    let found = run(&picture, &OrganoidOptions { lumen_smoothing: 1.5, ..OrganoidOptions::default() }).unwrap();
    assert_eq!(found.bodies.lumens, [1]);
    let ball = 4.0 / 3.0 * PI * 12f64.powi(3);
    assert!((found.bodies.lumen_volume[0] / ball - 1.0).abs() < 0.1, "{}", found.bodies.lumen_volume[0] / ball);
    assert!((400.0..480.0).contains(&found.bodies.level[0]), "{}", found.bodies.level[0]);
    // Tissue alone has none.
    let even =
        (picture.0.clone(), Grid { shape, data: labels.1.data.iter().map(|&l| 100.0 + 600.0 * l as f32).collect() });
    assert_eq!(run(&even, &OrganoidOptions::default()).unwrap().bodies.lumens, [0]);
    let low = OrganoidOptions { lumen_level: Some(50.0), ..OrganoidOptions::default() };
    assert_eq!(run(&picture, &low).unwrap().bodies.lumens, [0]);
    let mut bad = picture.clone();
    bad.1.data[found.body.data.iter().position(|&b| b > 0).unwrap()] = f32::NAN;
    assert!(run(&bad, &OrganoidOptions::default()).unwrap_err().to_string().contains("finite brightness"));
}

#[test]
fn bodies_at_the_border_are_said_to_be_cut() {
    let labels = drawn(40.0, [1.0; 3], |at| u32::from(length([at[0] + 16.0, at[1], at[2]]) <= 12.0));
    let found = measured(&labels, &OrganoidOptions { max_opening: 4.0, ..OrganoidOptions::default() });
    assert_eq!(found.bodies.shape.touches_border, [true]);
    assert_eq!(found.bodies.shape.low[0][0], 0);
}

#[test]
fn the_same_bits_for_any_number_of_threads_and_type() {
    let labels = pierced(6.0);
    let options = OrganoidOptions { max_opening: 9.0, ..OrganoidOptions::default() };
    // As text and bits: NaN is equal to nothing.
    let bits = |found: &Organoids| {
        let tables = format!("{:?} {:?}", found.bodies, found.lumens);
        let bits =
            [&found.depth, &found.to_lumen].map(|grid| grid.data.iter().map(|v| v.to_bits()).collect::<Vec<u32>>());
        (tables, bits, found.body.data.clone(), found.lumen.data.clone())
    };
    let one = bits(&with_threads(Some(1), || Ok(measured(&labels, &options))).unwrap());
    for threads in [2, 8] {
        assert!(bits(&with_threads(Some(threads), || Ok(measured(&labels, &options))).unwrap()) == one);
    }
    let mut info = labels.0.clone();
    info.dtype = Dtype::U8;
    let bytes =
        (info, Grid { shape: labels.1.shape, data: labels.1.data.iter().map(|&l| l as u8).collect::<Vec<u8>>() });
    let spacing = Spacing::new([1.0; 3]).unwrap();
    assert!(bits(&organoids(&bytes, Frame::default(), None, spacing, &options, &Ctx::quiet()).unwrap()) == one);
}

#[test]
fn bad_input_is_refused() {
    let spacing = Spacing::new([1.0; 3]).unwrap();
    let refused = |labels: &Volume, options: OrganoidOptions| {
        organoids(labels, Frame::default(), None, spacing, &options, &Ctx::quiet()).unwrap_err().to_string()
    };
    let empty = drawn(10.0, [1.0; 3], |_| 0);
    assert!(refused(&empty, OrganoidOptions::default()).contains("at least one organoid"));
    let full = drawn(10.0, [1.0; 3], |_| 1);
    assert!(
        refused(&full, OrganoidOptions { max_opening: f64::NAN, ..OrganoidOptions::default() }).contains("max_opening")
    );
    assert!(refused(&full, OrganoidOptions { min_volume: 2000.0, ..OrganoidOptions::default() }).contains("2000"));
    let other = (VolumeInfo::plain("other", [2, 2, 2], Dtype::U8), Grid::filled([2, 2, 2], 1u8));
    let picture: Option<(&dyn zensaibo_core::data::VolumeBlocks, Frame)> = Some((&other, Frame::default()));
    let found = organoids(&full, Frame::default(), picture, spacing, &OrganoidOptions::default(), &Ctx::quiet());
    assert!(found.unwrap_err().to_string().contains("[2, 2, 2]"));
}
