//! By how much one image is shifted against another: phase correlation.

use zensaibo_core::data::Grid;
use zensaibo_core::{Ctx, DataFault, Error, Result};

use crate::stitch::fft::{Spectrum, good_length};

/// What [`phase_shift`] finds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shift {
    /// Voxels along z, y and x to add to places of the moving image for those of the fixed one; good to about half a voxel where the
    /// images are cut differently.
    pub voxels: [f64; 3],
    /// Height of the peak: 1 where the images are shifted copies, near 0 where nothing fits.
    pub peak: f64,
    /// The highest value more than two voxels from the peak, over the peak: near 1 where another shift fits as well.
    pub rival: f64,
}

/// The shift of two images of equal spacing, of any shapes, by phase correlation (Kuglin and Hines 1975): frequencies of both
/// count alike as far as they stand out of the rest. Shifts of any size within the images are told apart, since both are
/// padded.
///
/// Holds 16 bytes for each voxel of a box of both shapes together. Nothing is random; one thread.
///
/// # Errors
/// [`Error::Data`] for images that are constant or not finite; [`Error::Interrupted`].
pub fn phase_shift(fixed: &Grid<f32>, moving: &Grid<f32>, ctx: &Ctx) -> Result<Shift> {
    let shape: [usize; 3] = std::array::from_fn(|a| good_length((fixed.shape[a] + moving.shape[a]).max(2) - 1));
    let one = spectrum(fixed, shape, "fixed image")?;
    ctx.check()?;
    let mut product = spectrum(moving, shape, "moving image")?;
    ctx.check()?;
    let mut sum = 0f64;
    for at in 0..product.re.len() {
        let (a, b) = (one.re[at], one.im[at]);
        let (c, d) = (product.re[at], product.im[at]);
        (product.re[at], product.im[at]) = (a * c + b * d, b * c - a * d);
        sum += f64::from(product.re[at].hypot(product.im[at]));
    }
    drop(one);
    let floor = (sum / product.re.len() as f64) as f32;
    let mut weight = 0f64;
    for at in 0..product.re.len() {
        let size = product.re[at].hypot(product.im[at]);
        let scale = 1.0 / (size + floor);
        product.re[at] *= scale;
        product.im[at] *= scale;
        weight += f64::from(size * scale);
    }
    product.transform(true);
    ctx.check()?;
    let place = |at: usize| [at / (shape[1] * shape[2]), at / shape[2] % shape[1], at % shape[2]];
    let (mut best, mut top) = (0, f32::NEG_INFINITY);
    for (at, &value) in product.re.iter().enumerate() {
        if value > top {
            (best, top) = (at, value);
        }
    }
    let peak = place(best);
    let value = |at: [usize; 3]| f64::from(product.re[(at[0] * shape[1] + at[1]) * shape[2] + at[2]]);
    let voxels = std::array::from_fn(|axis| {
        let n = shape[axis];
        let beside = |step: usize| {
            let mut at = peak;
            at[axis] = (at[axis] + step) % n;
            value(at)
        };
        let (before, after) = (beside(n - 1), beside(1));
        let bend = before - 2.0 * f64::from(top) + after;
        let part = if n > 2 && bend < 0.0 { (0.5 * (before - after) / bend).clamp(-0.5, 0.5) } else { 0.0 };
        let whole = if peak[axis] >= fixed.shape[axis] { peak[axis] as f64 - n as f64 } else { peak[axis] as f64 };
        whole + part
    });
    let mut rival = 0f32;
    for (at, &value) in product.re.iter().enumerate() {
        let far = place(at).iter().zip(&peak).zip(&shape).any(|((&a, &p), &n)| {
            let apart = a.abs_diff(p);
            apart.min(n - apart) > 2
        });
        if far {
            rival = rival.max(value);
        }
    }
    Ok(Shift { voxels, peak: f64::from(top) / weight, rival: f64::from(rival / top) })
}

/// The transform of an image less its mean, in a larger box.
fn spectrum(image: &Grid<f32>, shape: [usize; 3], name: &str) -> Result<Spectrum> {
    let n = image.data.len().max(1) as f64;
    let mean = image.data.iter().map(|&v| f64::from(v)).sum::<f64>() / n;
    if !mean.is_finite() {
        return Err(Error::data(DataFault::NotFinite, name, "finite values", "others"));
    }
    if image.data.iter().all(|&v| v == image.data[0]) {
        return Err(Error::data(DataFault::Invalid, name, "an image with structure", "one value everywhere"));
    }
    let mut out = Spectrum::zeros(shape);
    for z in 0..image.shape[0] {
        for y in 0..image.shape[1] {
            let from = (z * shape[1] + y) * shape[2];
            let line = &mut out.re[from..from + image.shape[2]];
            line.iter_mut().zip(image.row(z, y)).for_each(|(to, &v)| *to = (f64::from(v) - mean) as f32);
        }
    }
    out.transform(false);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use zensaibo_core::random::Stream;

    use super::*;

    /// Bells at random places, shifted.
    fn bells(shape: [usize; 3], shift: [f64; 3], noise: f64) -> Grid<f32> {
        let mut places = Stream::new(5, 0);
        let centres: Vec<[f64; 3]> =
            (0..60).map(|_| [places.uniform() * 30.0, places.uniform() * 40.0, places.uniform() * 44.0]).collect();
        let mut random = Stream::new(6, (shift[0] * 10.0) as u64);
        let mut grid = Grid::filled(shape, 0f32);
        for z in 0..shape[0] {
            for y in 0..shape[1] {
                for x in 0..shape[2] {
                    let at = [z as f64, y as f64, x as f64];
                    let light: f64 = centres
                        .iter()
                        .map(|c| (-(0..3).map(|a| (at[a] - c[a] - shift[a]).powi(2)).sum::<f64>() / 8.0).exp())
                        .sum();
                    grid.row_mut(z, y)[x] = (100.0 * light + noise * random.normal() + 7.0) as f32;
                }
            }
        }
        grid
    }

    #[test]
    fn shifts_come_back_within_a_voxel() {
        for shift in [[0.0; 3], [3.0, -6.0, 9.0], [-2.3, 4.6, -7.25]] {
            let (fixed, moving) = (bells([30, 40, 44], shift, 3.0), bells([28, 42, 44], [0.0; 3], 3.0));
            let found = phase_shift(&fixed, &moving, &Ctx::quiet()).unwrap();
            for axis in 0..3 {
                assert!((found.voxels[axis] - shift[axis]).abs() < 0.8, "{found:?} {shift:?}");
            }
            assert!(found.rival < 0.6, "{found:?}");
        }
    }

    #[test]
    fn images_of_nothing_are_refused() {
        let flat = Grid::filled([4, 5, 6], 2f32);
        let image = bells([4, 5, 6], [0.0; 3], 1.0);
        assert!(phase_shift(&flat, &image, &Ctx::quiet()).unwrap_err().to_string().contains("fixed image"));
        let nan = Grid::filled([4, 5, 6], f32::NAN);
        assert!(phase_shift(&image, &nan, &Ctx::quiet()).unwrap_err().to_string().contains("finite"));
    }
}
