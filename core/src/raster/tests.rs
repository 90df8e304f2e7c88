use super::*;
use crate::options::Options;
use crate::parallel::with_threads;
use crate::random::Stream;
use crate::{Ctx, Error};

const RED: Rgba = [255, 0, 0, 255];
const BLUE: Rgba = [0, 0, 255, 255];

/// A picture whose pixels are units, with a black, transparent background.
fn frame(width: usize, height: usize) -> RasterOptions {
    RasterOptions {
        width,
        height,
        extent: Some([0.0, width as f64, 0.0, height as f64]),
        background: [0, 0, 0, 0],
        order: DrawOrder::Given,
        ..Default::default()
    }
}

fn paint(x: &[f32], y: &[f32], colors: Colors<'_>, options: &RasterOptions) -> Picture {
    draw(x, y, colors, options, &Ctx::quiet()).unwrap()
}

fn pixel(picture: &Picture, column: usize, row: usize) -> Rgba {
    let start = (row * picture.width + column) * 4;
    picture.pixels[start..start + 4].try_into().unwrap()
}

fn ink(picture: &Picture) -> f64 {
    picture.pixels.chunks_exact(4).map(|p| f64::from(p[3]) / 255.0).sum()
}

/// Draws every point over the whole image by the definition, in f64, without tiles or stamps.
fn slow(x: &[f32], y: &[f32], colors: &[Rgba], options: &RasterOptions) -> Vec<u8> {
    let [left, right, bottom, top] = options.extent.unwrap();
    let (width, height) = (options.width, options.height);
    let r2 = options.radius * options.radius;
    let (drawn, faint) = if r2 >= 1.0 / 3.0 { ((r2 - 1.0 / 12.0).sqrt(), 1.0) } else { (0.5, 3.0 * r2) };
    let snap = |p: f64| (p * 8.0).floor() / 8.0 + 1.0 / 16.0;
    let mut canvas = vec![[0f64; 4]; width * height];
    for i in 0..x.len() {
        let px = snap((f64::from(x[i]) - left) / (right - left) * width as f64);
        let py = snap((top - f64::from(y[i])) / (top - bottom) * height as f64);
        for row in 0..height {
            for column in 0..width {
                let d = (column as f64 + 0.5 - px).hypot(row as f64 + 0.5 - py);
                let alpha =
                    (drawn + 0.5 - d).clamp(0.0, 1.0) * faint * options.opacity * f64::from(colors[i][3]) / 255.0;
                for c in 0..4 {
                    let source = if c == 3 { 1.0 } else { f64::from(colors[i][c]) / 255.0 };
                    let old = &mut canvas[row * width + column][c];
                    *old = source * alpha + *old * (1.0 - alpha);
                }
            }
        }
    }
    let byte = |v: f64| (v * 255.0 + 0.5) as u8;
    let unmix = |v: f64, alpha: f64| if alpha > 0.0 { byte(v / alpha) } else { 0 };
    canvas.iter().flat_map(|p| [unmix(p[0], p[3]), unmix(p[1], p[3]), unmix(p[2], p[3]), byte(p[3])]).collect()
}

#[test]
fn a_single_point_by_hand() {
    // In the middle of pixel (2, 1), near enough: the position is kept to an eighth of a pixel.
    let picture = paint(&[2.5], &[3.5], Colors::One(RED), &RasterOptions { radius: 0.3, ..frame(5, 5) });
    // Fainter by 3 * 0.09; within 1/2 of the centre nothing falls off but the sixteenth that the centre is off.
    let expected = (0.27 * (1.0 - 2f64.sqrt() / 16.0) * 255.0 + 0.5) as u8;
    assert_eq!(pixel(&picture, 2, 1), [255, 0, 0, expected]);
    assert_eq!(pixel(&picture, 2, 3), [0, 0, 0, 0], "y runs upwards");
    let large = paint(&[2.5], &[2.5], Colors::One(RED), &RasterOptions { radius: 2.0, ..frame(5, 5) });
    assert_eq!(pixel(&large, 2, 2), RED);
    assert_eq!(pixel(&large, 1, 2), RED);
    assert_eq!(pixel(&large, 0, 0)[3], 0);
}

#[test]
fn later_points_cover_earlier_ones_by_their_alpha() {
    let colors = [RED, [0, 0, 255, 128]];
    let picture = paint(&[2.5, 2.5], &[2.5, 2.5], Colors::Each(&colors), &RasterOptions { radius: 2.0, ..frame(5, 5) });
    assert_eq!(pixel(&picture, 2, 2), [127, 0, 128, 255]);
    let covered = paint(&[2.5, 2.5], &[2.5, 2.5], Colors::Each(&[BLUE, RED]), &frame(5, 5));
    assert_eq!(pixel(&covered, 2, 2), RED);
}

#[test]
fn agrees_with_the_slow_version() {
    let mut stream = Stream::new(1, 0);
    for radius in [0.2, 0.6, 1.0, 2.5, 7.0, 70.0] {
        for opacity in [1.0, 0.4] {
            let n = 60;
            let x: Vec<f32> = (0..n).map(|_| (stream.uniform() * 160.0 - 10.0) as f32).collect();
            let y: Vec<f32> = (0..n).map(|_| (stream.uniform() * 100.0 - 10.0) as f32).collect();
            let colors: Vec<Rgba> = (0..n).map(|_| stream.next_u32().to_le_bytes()).collect();
            let options = RasterOptions { radius, opacity, ..frame(140, 80) };
            let fast = paint(&x, &y, Colors::Each(&colors), &options).pixels;
            for (a, b) in fast.chunks_exact(4).zip(slow(&x, &y, &colors, &options).chunks_exact(4)) {
                // Where almost nothing was drawn, hue is rounding; elsewhere one step of 255.
                assert!(a[3].abs_diff(b[3]) <= 1, "{radius} {a:?} {b:?}");
                if a[3] > 2 {
                    assert!((0..3).all(|c| a[c].abs_diff(b[c]) <= 1), "{radius} {opacity} {a:?} {b:?}");
                }
            }
        }
    }
}

#[test]
fn ink_equals_the_area_of_the_discs() {
    let mut stream = Stream::new(2, 0);
    for radius in [0.3, 0.58, 1.0, 1.5, 4.0] {
        // Apart from each other, at random positions within pixels.
        let (mut x, mut y) = (Vec::new(), Vec::new());
        for row in 0..20 {
            for column in 0..20 {
                x.push(column as f32 * 12.0 + 6.0 + stream.uniform() as f32);
                y.push(row as f32 * 12.0 + 6.0 + stream.uniform() as f32);
            }
        }
        let picture = paint(&x, &y, Colors::One(RED), &RasterOptions { radius, ..frame(253, 253) });
        let area = 400.0 * std::f64::consts::PI * radius * radius;
        assert!((ink(&picture) / area - 1.0).abs() < 0.02, "{radius}: {} of {area}", ink(&picture));
    }
}

#[test]
fn discs_are_cut_at_the_rim_and_outside_is_not_drawn() {
    let options = RasterOptions { radius: 3.0, ..frame(70, 70) };
    let whole = ink(&paint(&[35.0], &[35.0], Colors::One(RED), &options));
    for (x, y, share) in [(0.0, 35.0, 0.5), (70.0, 35.0, 0.5), (35.0, 0.0, 0.5), (0.0, 70.0, 0.25), (64.0, 64.0, 1.0)] {
        let cut = ink(&paint(&[x], &[y], Colors::One(RED), &options));
        assert!((cut / whole - share).abs() < 0.06, "{x} {y}: {}", cut / whole);
    }
    let outside = paint(&[-10.0, 100.0, 1e30, -1e30], &[5.0; 4], Colors::One(RED), &options);
    assert_eq!((ink(&outside), outside.not_finite), (0.0, 0));
}

#[test]
fn points_without_coordinates_are_counted() {
    let x = [f32::NAN, 1.5, f32::INFINITY, 2.5];
    let y = [1.0, f32::NEG_INFINITY, 1.0, 2.5];
    let picture = paint(&x, &y, Colors::One(RED), &frame(5, 5));
    assert_eq!(picture.not_finite, 3);
    assert_eq!(pixel(&picture, 2, 2), RED);
    let nothing = paint(&[f32::NAN], &[0.0], Colors::One(RED), &RasterOptions { extent: None, ..frame(5, 5) });
    assert_eq!((nothing.extent, ink(&nothing)), ([0.0, 1.0, 0.0, 1.0], 0.0));
}

#[test]
fn values_and_categories_find_their_colours() {
    let table = [RED, [0, 255, 0, 255], BLUE];
    let at = |picture: &Picture, i: usize| pixel(picture, 10 * i + 5, 5);
    let x: Vec<f32> = (0..6).map(|i| 10.0 * i as f32 + 5.5).collect();
    let y = [4.5; 6];
    let values = [-9.0, 0.0, 1.5, 3.0, 9.0, f32::NAN];
    let colors = Colors::Values { values: &values, low: 0.0, high: 3.0, table: &table, missing: MISSING };
    let picture = paint(&x, &y, colors, &frame(60, 10));
    let expected = [RED, RED, table[1], BLUE, BLUE, MISSING];
    assert!((0..6).all(|i| at(&picture, i) == expected[i]));
    let codes = [0, 1, 2, 3, u32::MAX, 0];
    let colors = Colors::Categories { codes: &codes, table: &table, missing: MISSING };
    let picture = paint(&x, &y, colors, &frame(60, 10));
    let expected = [RED, table[1], BLUE, MISSING, MISSING, RED];
    assert!((0..6).all(|i| at(&picture, i) == expected[i]));
    // No range: the middle of the table.
    let colors = Colors::Values { values: &[2.0; 6], low: 2.0, high: 2.0, table: &table, missing: MISSING };
    assert_eq!(at(&paint(&x, &y, colors, &frame(60, 10)), 0), table[1]);
}

#[test]
fn order_decides_who_lies_on_top() {
    let top = |colors, order| {
        let options = RasterOptions { order, ..frame(5, 5) };
        pixel(&paint(&[2.5; 3], &[2.5; 3], colors, &options), 2, 2)
    };
    let table = [RED, [0, 255, 0, 255], BLUE];
    let values = |values| Colors::Values { values, low: 0.0, high: 2.0, table: &table, missing: MISSING };
    assert_eq!(top(values(&[2.0, 0.0, 1.0]), DrawOrder::Given), table[1]);
    assert_eq!(top(values(&[2.0, 0.0, 1.0]), DrawOrder::Ascending), BLUE);
    assert_eq!(top(values(&[0.0, 1.0, f32::NAN]), DrawOrder::Given), table[1], "missing values lie at the bottom");
    assert_eq!(top(values(&[0.0, 1.0, f32::NAN]), DrawOrder::Ascending), table[1]);
    let seen: std::collections::BTreeSet<Rgba> = (0..30)
        .map(|seed| {
            let options = RasterOptions { order: DrawOrder::Shuffled, seed, ..frame(5, 5) };
            pixel(&paint(&[2.5; 3], &[2.5; 3], Colors::Each(&table), &options), 2, 2)
        })
        .collect();
    assert_eq!(seen.len(), 3, "the seed must reach the order");
}

#[test]
fn extent_holds_every_disc() {
    let picture = paint(
        &[-5.0, 10.0],
        &[1.0, 3.0],
        Colors::One(RED),
        &RasterOptions { extent: None, radius: 6.0, ..frame(100, 50) },
    );
    let [left, right, bottom, top] = picture.extent;
    assert!(left < -5.0 && right > 10.0 && bottom < 1.0 && top > 3.0);
    let border = (0..100).flat_map(|c| [(c, 0), (c, 49)]).chain((0..50).flat_map(|r| [(0, r), (99, r)]));
    assert!(border.into_iter().all(|(column, row)| pixel(&picture, column, row)[3] == 0));
    let one = paint(&[1e6], &[0.0], Colors::One(RED), &RasterOptions { extent: None, ..frame(9, 9) });
    assert!(pixel(&one, 4, 4)[3] > 200);
}

#[test]
fn threads_change_no_bit() {
    let mut stream = Stream::new(3, 0);
    let n = 20_000;
    let x: Vec<f32> = (0..n).map(|_| stream.normal() as f32).collect();
    let y: Vec<f32> = (0..n).map(|_| stream.normal() as f32).collect();
    let values: Vec<f32> = (0..n).map(|_| stream.uniform() as f32).collect();
    let table = viridis(256);
    for order in [DrawOrder::Given, DrawOrder::Shuffled, DrawOrder::Ascending] {
        let options = RasterOptions { order, opacity: 0.7, width: 333, height: 201, ..Default::default() };
        let colors = Colors::Values { values: &values, low: 0.0, high: 1.0, table: &table, missing: MISSING };
        let with = |threads| with_threads(Some(threads), || draw(&x, &y, colors, &options, &Ctx::quiet())).unwrap();
        let one = with(1);
        assert!(one == with(1) && one == with(2) && one == with(8));
    }
}

#[test]
fn palettes_are_distinct_and_grow_at_the_end() {
    for n in [0, 1, 10, 20, 21, 60, 150] {
        let colors = palette(n);
        assert_eq!(colors.len(), n);
        let distinct: std::collections::BTreeSet<_> = colors.iter().collect();
        assert_eq!(distinct.len(), n);
        assert_eq!(colors, palette(200)[..n]);
    }
    assert_eq!(palette(8)[0], [230, 159, 0, 255]);
    assert_eq!(palette(8)[7], [0, 0, 0, 255]);
    assert_eq!(viridis(256)[0], [68, 1, 84, 255]);
    assert_eq!(viridis(256)[255], [253, 231, 37, 255]);
    assert_eq!(viridis(1).len(), 1);
    assert!(viridis(0).is_empty());
}

#[test]
fn empty_input_gives_an_empty_picture() {
    let picture = paint(&[], &[], Colors::One(RED), &RasterOptions::default());
    assert_eq!(picture.pixels.len(), 800 * 800 * 4);
    assert!(picture.pixels.chunks_exact(4).all(|p| p[3] == 0));
    let white = RasterOptions { background: [255; 4], ..Default::default() };
    assert!(paint(&[], &[], Colors::One(RED), &white).pixels.iter().all(|&byte| byte == 255));
}

#[test]
fn each_bad_input_is_refused() {
    for (text, name) in [
        (r#"{"width": 0}"#, "width"),
        (r#"{"height": 20000}"#, "height"),
        (r#"{"radius": 0}"#, "radius"),
        (r#"{"opacity": 1.5}"#, "opacity"),
        (r#"{"extent": [1, 0, 0, 1]}"#, "extent"),
        (r#"{"order": "random"}"#, "random"),
    ] {
        assert!(RasterOptions::from_json(text).unwrap_err().to_string().contains(name), "{name}");
    }
    let refused =
        |x: &[f32], y: &[f32], colors| draw(x, y, colors, &RasterOptions::default(), &Ctx::quiet()).unwrap_err();
    assert!(refused(&[0.0], &[], Colors::One(RED)).to_string().contains('y'));
    assert!(refused(&[0.0], &[0.0], Colors::Each(&[])).to_string().contains("colors"));
    let values = Colors::Values { values: &[0.0], low: 1.0, high: 0.0, table: &[RED], missing: RED };
    assert!(refused(&[0.0], &[0.0], values).to_string().contains("low"));
    let values = Colors::Values { values: &[0.0], low: 0.0, high: 1.0, table: &[], missing: RED };
    assert!(refused(&[0.0], &[0.0], values).to_string().contains("table"));
    let options = RasterOptions { order: DrawOrder::Ascending, ..Default::default() };
    assert!(draw(&[0.0], &[0.0], Colors::One(RED), &options, &Ctx::quiet()).is_err());
    let ctx = Ctx::quiet();
    ctx.token().cancel();
    let stopped = draw(&[0.0], &[0.0], Colors::One(RED), &RasterOptions::default(), &ctx);
    assert!(matches!(stopped, Err(Error::Interrupted)));
}
