use zensaibo_core::data::{Dtype, Frame, Grid, Region, VolumeInfo};
use zensaibo_core::parallel::with_threads;
use zensaibo_core::random::Stream;

use super::*;
use crate::blocks::{filled, read_padded};
use crate::space::Spacing;

type Volume = (VolumeInfo, Grid<f32>);

/// Whole numbers of 0..most, or numbers between.
fn noise(shape: [usize; 3], most: f64, whole: bool) -> Volume {
    let mut random = Stream::new(7, 0);
    let mut value = || random.uniform() * most;
    let data = (0..shape.iter().product()).map(|_| if whole { value().floor() } else { value() } as f32).collect();
    (VolumeInfo::plain("noise", shape, Dtype::F32), Grid { shape, data })
}

/// A filter on blocks of a given size.
fn in_blocks(filter: &dyn LocalFilter, volume: &Volume, block: [usize; 3]) -> Grid<f32> {
    let shape = volume.1.shape;
    let plan = Plan::with_block(shape, block, filter.halo());
    let mut out = Grid::filled(shape, f32::NAN);
    for i in 0..plan.len() {
        let region = plan.region(i);
        let padded = read_padded(volume, Frame::default(), &region, filter.halo(), filter.border()).unwrap();
        out.paste(&filter.apply(padded, &Ctx::quiet()).unwrap(), region.start);
    }
    out
}

/// A filter on the whole volume, after showing that cuts and threads change no bit.
fn whole_and_cut(filter: &dyn LocalFilter, volume: &Volume) -> Grid<f32> {
    let shape = volume.1.shape;
    let whole = in_blocks(filter, volume, shape);
    let bits = |grid: &Grid<f32>| grid.data.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
    for block in [[1, 3, 2], [4, 5, 6], [shape[0], 3, shape[2]], [3, shape[1], 7]] {
        assert!(bits(&in_blocks(filter, volume, block)) == bits(&whole), "{} in blocks of {block:?}", filter.name());
    }
    for threads in [1, 2, 8] {
        let info = VolumeInfo::plain("out", shape, Dtype::F32);
        let run = || filled(info, |sink| filter_volume(volume, filter, sink, None, &Ctx::quiet()));
        let (data, ()) = with_threads(Some(threads), run).unwrap();
        assert!(bits(&Grid { shape, data }) == bits(&whole), "{} on {threads} threads", filter.name());
    }
    whole
}

/// What `voxel` makes of each voxel's neighbourhood, by the definition.
fn slow(volume: &Volume, steps: &[[isize; 3]], voxel: impl Fn(&[f32]) -> f32) -> Grid<f32> {
    let shape = volume.1.shape;
    let mut out = Grid::filled(shape, 0f32);
    let mut seen = Vec::new();
    for z in 0..shape[0] {
        for y in 0..shape[1] {
            for x in 0..shape[2] {
                seen.clear();
                for step in steps {
                    let [z, y, x] = [0, 1, 2].map(|axis| {
                        let at = [z, y, x][axis] as isize + step[axis];
                        Border::Reflect.place(at, shape[axis]).unwrap()
                    });
                    seen.push(volume.1.at(z, y, x));
                }
                let at = out.index(z, y, x);
                out.data[at] = voxel(&seen);
            }
        }
    }
    out
}

/// All steps of a neighbourhood, by its definition in micrometres.
fn steps(radius: [f64; 3], um: [f64; 3], form: Form) -> Vec<[isize; 3]> {
    let mut all = Vec::new();
    for z in -9..=9isize {
        for y in -9..=9isize {
            for x in -9..=9isize {
                let far: [f64; 3] = std::array::from_fn(|axis| ([z, y, x][axis] as f64 * um[axis]).abs());
                let inside = match form {
                    Form::Box => (0..3).all(|axis| far[axis] <= radius[axis] + 1e-9),
                    Form::Ball => {
                        let part = |axis: usize| {
                            if far[axis] == 0.0 { 0.0 } else { (far[axis] / radius[axis]).powi(2) }
                        };
                        (0..3).all(|axis| far[axis] <= radius[axis] + 1e-9) && part(0) + part(1) + part(2) <= 1.0 + 1e-9
                    }
                };
                if inside {
                    all.push([z, y, x]);
                }
            }
        }
    }
    all
}

const NEIGHBOURHOODS: [([f64; 3], [f64; 3]); 5] = [
    ([1.0, 1.0, 1.0], [1.0, 1.0, 1.0]),
    ([5.0, 4.0, 4.0], [5.0, 2.0, 2.0]),
    ([0.0, 2.0, 3.0], [1.0, 1.0, 1.0]),
    ([6.0, 6.0, 5.0], [5.0, 2.0, 2.5]),
    ([3.0, 0.0, 0.0], [1.0, 1.0, 1.0]),
];

fn middle(seen: &[f32]) -> f32 {
    let mut seen = seen.to_vec();
    seen.sort_by(f32::total_cmp);
    seen[seen.len() / 2]
}

fn least(seen: &[f32]) -> f32 {
    seen.iter().copied().fold(f32::INFINITY, f32::min)
}

fn most(seen: &[f32]) -> f32 {
    seen.iter().copied().fold(f32::NEG_INFINITY, f32::max)
}

#[test]
fn medians_are_those_of_sorted_neighbours() {
    for (most, whole) in [(4.0, true), (60_000.0, true), (1.0, false)] {
        let volume = noise([5, 9, 150], most, whole);
        for (radius, um) in NEIGHBOURHOODS {
            for form in [Form::Box, Form::Ball] {
                let filter = Median::new(&MedianOptions { radius, form }, Spacing::new(um).unwrap()).unwrap();
                let all = steps(radius, um, form);
                assert_eq!(filter.footprint().len(), all.len());
                assert!(all.iter().all(|&step| filter.footprint().contains(step)));
                let result = if most == 4.0 {
                    whole_and_cut(&filter, &volume)
                } else {
                    in_blocks(&filter, &volume, volume.1.shape)
                };
                assert!(result == slow(&volume, &all, middle), "{radius:?} {um:?} {form:?}");
            }
        }
    }
}

#[test]
fn negative_and_fractional_voxels_have_medians_too() {
    let mut volume = noise([4, 7, 20], 2.0, false);
    volume.1.data.iter_mut().for_each(|v| *v -= 1.0);
    volume.1.data[5] = 0.0;
    volume.1.data[6] = -0.0;
    let (radius, um) = ([1.0, 2.0, 1.0], [1.0; 3]);
    let filter = Median::new(&MedianOptions { radius, form: Form::Box }, Spacing::new(um).unwrap()).unwrap();
    assert!(whole_and_cut(&filter, &volume) == slow(&volume, &steps(radius, um, Form::Box), middle));
}

#[test]
fn morphology_is_that_of_the_definition() {
    let volume = noise([6, 40, 21], 1000.0, false);
    let run = |operation, radius, form, um| {
        let options = MorphologyOptions { operation, radius, form };
        whole_and_cut(&Morphology::new(&options, Spacing::new(um).unwrap()).unwrap(), &volume)
    };
    for (radius, um) in NEIGHBOURHOODS {
        for form in [Form::Box, Form::Ball] {
            let all = steps(radius, um, form);
            let as_volume = |grid: &Grid<f32>| (volume.0.clone(), grid.clone());
            let eroded = slow(&volume, &all, least);
            let dilated = slow(&volume, &all, most);
            assert!(run(Operation::Erosion, radius, form, um) == eroded);
            assert!(run(Operation::Dilation, radius, form, um) == dilated);
            let opened = slow(&as_volume(&eroded), &all, most);
            assert!(run(Operation::Opening, radius, form, um) == opened);
            assert!(run(Operation::Closing, radius, form, um) == slow(&as_volume(&dilated), &all, least));
            let hat = run(Operation::WhiteTopHat, radius, form, um);
            assert!(hat.data.iter().zip(&volume.1.data).zip(&opened.data).all(|((hat, v), o)| *hat == v - o));
        }
    }
}

#[test]
fn the_ball_rolls_as_defined() {
    let volume = noise([6, 37, 21], 10.0, false);
    for (radius, um) in NEIGHBOURHOODS {
        let options = RollingBallOptions { radius, height: Some(8.0), subtract: false };
        let spacing = Spacing::new(um).unwrap();
        let ball = whole_and_cut(&RollingBall::new(&options, spacing).unwrap(), &volume);
        let shape = volume.1.shape;
        let all = steps(radius, um, Form::Ball);
        for (at, &found) in ball.data.iter().enumerate() {
            let place = [at / (shape[1] * shape[2]), at / shape[2] % shape[1], at % shape[2]];
            let mut low = f64::INFINITY;
            for step in &all {
                let there: [isize; 3] = std::array::from_fn(|axis| place[axis] as isize + step[axis]);
                if (0..3).any(|axis| there[axis] < 0 || there[axis] >= shape[axis] as isize) {
                    continue;
                }
                let distance: f64 =
                    (0..3).map(|a| if step[a] == 0 { 0.0 } else { (step[a] as f64 * um[a] / radius[a]).powi(2) }).sum();
                let value = volume.1.at(there[0] as usize, there[1] as usize, there[2] as usize);
                low = low.min(f64::from(value) + 8.0 * (1.0 - (1.0 - distance).max(0.0).sqrt()));
            }
            assert!((low - f64::from(found)).abs() < 1e-5, "{place:?}: {found} for {low}");
        }
        let rest = whole_and_cut(
            &RollingBall::new(&RollingBallOptions { subtract: true, ..options }, spacing).unwrap(),
            &volume,
        );
        assert!(rest.data.iter().zip(&volume.1.data).zip(&ball.data).all(|((rest, v), b)| *rest == v - b));
    }
}

/// The sum over all steps of a kernel that is a product of weights per axis, in f64.
fn correlate(volume: &Volume, weights: [&dyn Fn(isize) -> f64; 3], radius: [isize; 3], at: [usize; 3]) -> f64 {
    let mut sum = 0.0;
    for z in -radius[0]..=radius[0] {
        for y in -radius[1]..=radius[1] {
            for x in -radius[2]..=radius[2] {
                let [p, q, r]: [usize; 3] = std::array::from_fn(|axis| {
                    Border::Reflect.place(at[axis] as isize + [z, y, x][axis], volume.1.shape[axis]).unwrap()
                });
                sum += weights[0](z) * weights[1](y) * weights[2](x) * f64::from(volume.1.at(p, q, r));
            }
        }
    }
    sum
}

#[test]
fn the_laplacian_is_the_sum_of_second_derivatives() {
    let volume = noise([7, 11, 80], 100.0, false);
    let um = [2.0, 1.0, 0.5];
    for (sigma, normalized) in [([2.4, 1.2, 1.0], false), ([2.4, 1.2, 1.0], true), ([0.0, 1.5, 0.8], false)] {
        let options = LaplacianOptions { sigma, normalized, truncate: 3.0, ..Default::default() };
        let result = whole_and_cut(&Laplacian::new(&options, Spacing::new(um).unwrap()).unwrap(), &volume);
        let voxels: [f64; 3] = std::array::from_fn(|axis| sigma[axis] / um[axis]);
        let radius = voxels.map(|s| (3.0 * s + 0.5) as isize);
        let total: [f64; 3] = std::array::from_fn(|axis| {
            (-radius[axis]..=radius[axis])
                .map(|k| if k == 0 { 1.0 } else { (-0.5 * (k as f64 / voxels[axis]).powi(2)).exp() })
                .sum()
        });
        let smooth = |axis: usize| {
            move |k: isize| if k == 0 { 1.0 } else { (-0.5 * (k as f64 / voxels[axis]).powi(2)).exp() } / total[axis]
        };
        for at in [[0, 0, 0], [3, 5, 40], [6, 10, 79], [2, 9, 1]] {
            let mut expected = 0.0;
            for axis in (0..3).filter(|&axis| sigma[axis] > 0.0) {
                let s = voxels[axis];
                let scale = if normalized { s * s } else { um[axis].powi(-2) };
                let bent = move |k: isize| smooth(axis)(k) * ((k * k) as f64 / s.powi(4) - 1.0 / (s * s)) * scale;
                let plain = [smooth(0), smooth(1), smooth(2)];
                let mut weights: [&dyn Fn(isize) -> f64; 3] = [&plain[0], &plain[1], &plain[2]];
                weights[axis] = &bent;
                expected += correlate(&volume, weights, radius, at);
            }
            let found = f64::from(result.at(at[0], at[1], at[2]));
            assert!((found - expected).abs() < 2e-4 * expected.abs().max(1.0), "{at:?}: {found} for {expected}");
        }
    }
}

#[test]
fn a_blob_answers_most_at_its_own_size() {
    // A Gaussian blob of standard deviation s: -sigma^2 LoG at its centre is 3 sigma^2 s^3 / (s^2 + sigma^2)^(5/2), greatest at sigma = s * sqrt(3/2).
    let (shape, s) = ([41, 41, 41], 3.0f64);
    let blob = |i: usize| {
        let far: usize = [i / 1681, i / 41 % 41, i % 41].iter().map(|&at| at.abs_diff(20).pow(2)).sum();
        (-0.5 * far as f64 / (s * s)).exp() as f32
    };
    let volume =
        (VolumeInfo::plain("blob", shape, Dtype::F32), Grid { shape, data: (0..41 * 41 * 41).map(blob).collect() });
    for sigma in [1.5f64, 2.5, 3.7] {
        let options = LaplacianOptions { sigma: [sigma; 3], normalized: true, ..Default::default() };
        let filter = Laplacian::new(&options, Spacing::voxels()).unwrap();
        let found = -f64::from(in_blocks(&filter, &volume, shape).at(20, 20, 20));
        let expected = 3.0 * sigma.powi(2) * s.powi(3) / (s * s + sigma * sigma).powf(2.5);
        assert!((found - expected).abs() < 0.02 * expected, "{sigma}: {found} for {expected}");
    }
}

#[test]
fn the_difference_is_that_of_two_gaussians() {
    let volume = noise([7, 11, 30], 100.0, false);
    let spacing = Spacing::new([2.0, 1.0, 1.0]).unwrap();
    let options =
        DifferenceOfGaussiansOptions { low_sigma: [0.0, 1.0, 1.0], high_sigma: [2.0, 1.0, 2.2], ..Default::default() };
    let result = whole_and_cut(&DifferenceOfGaussians::new(&options, spacing).unwrap(), &volume);
    let one = |sigma| {
        let filter = Gaussian::new(&GaussianOptions { sigma, ..Default::default() }, spacing).unwrap();
        in_blocks(&filter, &volume, volume.1.shape)
    };
    let (low, high) = (one(options.low_sigma), one(options.high_sigma));
    assert!(result.data.iter().zip(&low.data).zip(&high.data).all(|((r, l), h)| *r == l - h));
}

#[test]
fn contrast_is_taken_by_local_mean_and_deviation() {
    let mut volume = noise([6, 14, 40], 50.0, false);
    // A high background loses no digits.
    volume.1.data.iter_mut().for_each(|v| *v += 20_000.0);
    let spacing = Spacing::new([2.0, 1.0, 1.0]).unwrap();
    let options =
        LocalContrastOptions { sigma: [2.0, 1.5, 1.5], sigma_deviation: Some([2.0, 2.0, 2.5]), ..Default::default() };
    let result = whole_and_cut(&LocalContrast::new(&options, spacing).unwrap(), &volume);
    let smooth = |volume: &Volume, sigma| {
        let filter = Gaussian::new(&GaussianOptions { sigma, ..Default::default() }, spacing).unwrap();
        in_blocks(&filter, volume, volume.1.shape)
    };
    let mean = smooth(&volume, options.sigma);
    let difference: Vec<f32> = volume.1.data.iter().zip(&mean.data).map(|(v, m)| v - m).collect();
    let square = Grid { shape: mean.shape, data: difference.iter().map(|d| d * d).collect() };
    let variance = smooth(&(volume.0.clone(), square), [2.0, 2.0, 2.5]);
    for ((found, d), v) in result.data.iter().zip(&difference).zip(&variance.data) {
        assert!((found - d / v.sqrt()).abs() < 1e-5);
    }
    // Where nothing varies, nothing stands out.
    let flat = (volume.0.clone(), Grid::filled(volume.1.shape, 777.7f32));
    assert!(whole_and_cut(&LocalContrast::new(&options, spacing).unwrap(), &flat).data.iter().all(|&v| v == 0.0));
    let floored = LocalContrastOptions { floor: 1e6, ..options };
    let floored = in_blocks(&LocalContrast::new(&floored, spacing).unwrap(), &volume, volume.1.shape);
    assert!(floored.data.iter().zip(&difference).all(|(f, d)| (f - d / 1e6).abs() < 1e-9));
}

#[test]
fn nan_spreads_or_is_refused_and_whole_numbers_are_rounded() {
    let mut volume = noise([4, 6, 8], 10.0, false);
    volume.1.data[100] = f32::NAN;
    let spacing = Spacing::voxels();
    let run = |filter: &dyn LocalFilter, dtype| {
        let info = VolumeInfo::plain("out", [4, 6, 8], dtype);
        let run = filled::<u16, _>(info, |sink| filter_volume(&volume, filter, sink, None, &Ctx::quiet()));
        run.unwrap_err().to_string()
    };
    let median = Median::new(&MedianOptions::default(), spacing).unwrap();
    let opening = Morphology::new(&MorphologyOptions::default(), spacing).unwrap();
    let ball = RollingBall::new(&RollingBallOptions { radius: [2.0; 3], ..Default::default() }, spacing).unwrap();
    let gauss = Gaussian::new(&GaussianOptions::default(), spacing).unwrap();
    for filter in [&median as &dyn LocalFilter, &opening, &ball, &gauss] {
        assert!(run(filter, Dtype::U16).contains("NaN"));
    }
    let spread = in_blocks(&gauss, &volume, [4, 6, 8]);
    assert!(spread.data.iter().any(|v| v.is_nan()));
    let halves = (
        VolumeInfo::plain("halves", [1, 1, 4], Dtype::F32),
        Grid { shape: [1, 1, 4], data: vec![-4.0f32, 0.5, 1.5, 7e4] },
    );
    let info = VolumeInfo::plain("out", [1, 1, 4], Dtype::U16);
    let same = Gaussian::new(&GaussianOptions { sigma: [0.0; 3], ..Default::default() }, spacing).unwrap();
    let (whole, ()) = filled::<u16, _>(info, |sink| filter_volume(&halves, &same, sink, None, &Ctx::quiet())).unwrap();
    assert_eq!(whole, [0, 0, 2, 65535]);
}

#[test]
fn one_voxel_and_none() {
    for shape in [[1, 1, 1], [0, 3, 4], [1, 5, 1]] {
        let n = shape.iter().product();
        let volume = (VolumeInfo::plain("small", shape, Dtype::F32), Grid { shape, data: vec![3.0f32; n] });
        let spacing = Spacing::voxels();
        let filters: [Box<dyn LocalFilter>; 5] = [
            Box::new(Gaussian::new(&GaussianOptions::default(), spacing).unwrap()),
            Box::new(Median::new(&MedianOptions::default(), spacing).unwrap()),
            Box::new(Median::new(&MedianOptions { radius: [2.0; 3], form: Form::Ball }, spacing).unwrap()),
            Box::new(Morphology::new(&MorphologyOptions { form: Form::Ball, ..Default::default() }, spacing).unwrap()),
            Box::new(RollingBall::new(&RollingBallOptions::default(), spacing).unwrap()),
        ];
        for filter in &filters {
            let info = VolumeInfo::plain("out", shape, Dtype::F32);
            let run = filled::<f32, _>(info, |sink| filter_volume(&volume, filter.as_ref(), sink, None, &Ctx::quiet()));
            let (data, ()) = run.unwrap();
            assert!(data.len() == n && data.iter().all(|v| (v - 3.0).abs() < 1e-6), "{} {shape:?}", filter.name());
        }
    }
}

#[test]
fn bad_options_are_refused() {
    let spacing = Spacing::new([5.0, 2.0, 2.0]).unwrap();
    let message = |result: Result<()>| result.unwrap_err().to_string();
    let median = |radius| message(Median::new(&MedianOptions { radius, form: Form::Ball }, spacing).map(|_| ()));
    assert!(median([1.0; 3]).contains("reach"));
    assert!(median([-1.0, 5.0, 5.0]).contains("axis z"));
    assert!(median([5e3; 3]).contains("500"));
    let ball = |height| {
        message(
            RollingBall::new(&RollingBallOptions { height: Some(height), ..Default::default() }, spacing).map(|_| ()),
        )
    };
    assert!(ball(0.0).contains("height") && ball(f64::NAN).contains("height"));
    let laplace =
        |sigma| message(Laplacian::new(&LaplacianOptions { sigma, ..Default::default() }, spacing).map(|_| ()));
    assert!(laplace([0.0; 3]).contains("sigma"));
    assert!(laplace([0.1, 4.0, 4.0]).contains("axis z"));
    let dog = |low_sigma, high_sigma| {
        let options = DifferenceOfGaussiansOptions { low_sigma, high_sigma, ..Default::default() };
        message(DifferenceOfGaussians::new(&options, spacing).map(|_| ()))
    };
    assert!(dog([2.0; 3], [2.0; 3]).contains("high_sigma"));
    assert!(dog([2.0; 3], [3.0, 1.0, 3.0]).contains("high_sigma"));
    let contrast = |sigma, floor| {
        message(LocalContrast::new(&LocalContrastOptions { sigma, floor, ..Default::default() }, spacing).map(|_| ()))
    };
    assert!(contrast([0.0; 3], 0.0).contains("sigma"));
    assert!(contrast([9.0; 3], -1.0).contains("floor"));
}

#[test]
fn a_cancelled_filter_stops() {
    let volume = noise([8, 40, 40], 10.0, false);
    let ball =
        RollingBall::new(&RollingBallOptions { radius: [3.0; 3], ..Default::default() }, Spacing::voxels()).unwrap();
    let ctx = Ctx::quiet();
    ctx.token().cancel();
    let whole = Region::whole([8, 40, 40]);
    let padded = read_padded(&volume, Frame::default(), &whole, ball.halo(), ball.border()).unwrap();
    assert!(matches!(ball.apply(padded, &ctx), Err(Error::Interrupted)));
}
