//! Flat-field, dark-field and brightness of a stack of images, robustly.
//!
//! With images Y_i reduced to a few thousand places, minimised is
//!
//! sum_ip w_ip |Y_ip - b_i S_p - D_p| + l sum_k |cos_k(S)| + l b sum_k |cos_k(D)|
//!
//! without the constant cosine of either, by alternating directions with a split off the residuals; in the cosines the
//! pair (S, D) has a closed form, place by place. Weights `1 / (|residual| + 0.1 brightness)` make the residuals sparser from
//! round to round (Candes, Wakin and Boyd, J. Fourier Anal. Appl. 14, 877-905, 2008), as the paper does. The
//! weight of smoothness is that at which the signs of n independent residuals are smoothed away in all cosines.

use rayon::prelude::*;
use zensaibo_core::{Ctx, Result};

use super::FlatFieldOptions;
use super::cosine::{Basis, Cosines};

/// Rounds of weights at most.
const ROUNDS: usize = 8;
/// Steps of alternating directions for each round at most.
const STEPS: usize = 25;
/// Places that are worked on together; their number does not depend on the number of threads.
const PLACES: usize = 256;

/// The images and what is known of them so far.
pub(super) struct Stack {
    size: [usize; 2],
    basis: Basis,
    /// Images as they are, over their mean: one after another; NaN where unknown.
    raw: Vec<f64>,
    /// Images as they are compared (in order of brightness where asked), 0 where unknown.
    images: Vec<f64>,
    /// 0 where unknown.
    weights: Vec<f64>,
    count: usize,
    /// What images were divided by.
    unit: f64,
    smoothness: f64,
    darkfield: bool,
    brightness: Vec<f64>,
    flat: Cosines,
    dark: Cosines,
}

/// Median of values that are not NaN; NaN when there is none.
fn median(mut values: Vec<f64>) -> f64 {
    values.retain(|value| !value.is_nan());
    let n = values.len();
    if n == 0 {
        return f64::NAN;
    }
    *values.select_nth_unstable_by(n / 2, f64::total_cmp).1
}

impl Stack {
    /// Images of one size, NaN where unknown; none when they have no light.
    pub(super) fn new(images: Vec<Vec<f64>>, size: [usize; 2], options: &FlatFieldOptions) -> Option<Self> {
        let count = images.len();
        let places = size[0] * size[1];
        let medians: Vec<f64> = images.iter().map(|image| median(image.clone())).collect();
        let unit = medians.iter().sum::<f64>() / count as f64;
        if !(unit > 0.0) {
            return None;
        }
        let raw: Vec<f64> = images.iter().flatten().map(|value| value / unit).collect();
        let mut compared = raw.clone();
        if options.sort {
            // At each place from dim to bright; what is unknown goes to the end.
            for place in 0..places {
                let mut values: Vec<f64> = (0..count).map(|i| raw[i * places + place]).collect();
                values.sort_by(f64::total_cmp);
                values.into_iter().enumerate().for_each(|(i, value)| compared[i * places + place] = value);
            }
        }
        let brightness = compared.chunks_exact(places).map(|image| median(image.to_vec()).max(0.0));
        let brightness = brightness.map(|value| if value.is_nan() { 0.0 } else { value }).collect();
        let weights = compared.iter().map(|value| if value.is_nan() { 0.0 } else { 1.0 }).collect();
        compared.iter_mut().filter(|value| value.is_nan()).for_each(|value| *value = 0.0);
        let mut flat = Cosines::zero(size);
        flat.coefficients[0] = (places as f64).sqrt();
        Some(Self {
            size,
            basis: Basis::new(size),
            raw,
            images: compared,
            weights,
            count,
            unit,
            smoothness: options.smoothness,
            darkfield: options.darkfield,
            brightness,
            flat,
            dark: Cosines::zero(size),
        })
    }

    /// Standard deviation of the brightness of the images over its mean.
    pub(super) fn spread(&self) -> f64 {
        let n = self.count as f64;
        let mean = self.brightness.iter().sum::<f64>() / n;
        let variance = self.brightness.iter().map(|b| (b - mean).powi(2)).sum::<f64>() / n;
        if mean > 0.0 { variance.sqrt() / mean } else { 0.0 }
    }

    /// The flat-field, of mean 1.
    pub(super) fn flat(&self) -> &Cosines {
        &self.flat
    }

    /// The dark-field above the offset, in the unit of the images.
    pub(super) fn dark(&self) -> Cosines {
        self.dark.scaled(self.unit)
    }

    /// Brightness of each image: the median of what flat- and dark-field leave.
    pub(super) fn baseline(&self) -> Vec<f64> {
        let (flat, dark) = (self.flat.at(self.size), self.dark.at(self.size));
        let of = |image: &[f64]| {
            let light = image.iter().zip(&flat).zip(&dark).map(|((y, s), d)| (y - d.max(0.0)) / s.max(super::LEAST));
            median(light.collect()) * self.unit
        };
        self.raw.chunks_exact(self.size[0] * self.size[1]).map(of).collect()
    }

    /// Finds flat- and dark-field.
    pub(super) fn fit(&mut self, ctx: &Ctx) -> Result<()> {
        let places = self.size[0] * self.size[1];
        let known = self.weights.clone();
        let mut split = self.images.clone();
        let mut dual = vec![0f64; split.len()];
        self.guess(&known);
        let (mut before, dark) = (self.flat.at(self.size), self.dark.at(self.size));
        // The noise of the images tells how far the split may go at a time.
        let far = self.residuals(&before, &dark, &known).into_iter().map(f64::abs).collect();
        let penalty = 2.0 / (1.4826 * median(far)).max(1e-5);
        self.shrink(&before, &dark, penalty, &mut split, &mut dual);
        for round in 0..ROUNDS {
            for step in 0..STEPS {
                ctx.check()?;
                let last = self.flat.clone();
                self.fields(&split, penalty);
                self.levels(&split);
                self.gauge();
                let (flat, dark) = (self.flat.at(self.size), self.dark.at(self.size));
                self.shrink(&flat, &dark, penalty, &mut split, &mut dual);
                let moved: f64 =
                    self.flat.coefficients.iter().zip(&last.coefficients).map(|(a, b)| (a - b).powi(2)).sum();
                if step > 4 && moved < 1e-12 * places as f64 {
                    break;
                }
            }
            let (flat, dark) = (self.flat.at(self.size), self.dark.at(self.size));
            let moved = flat.iter().zip(&before).map(|(a, b)| (a - b).abs()).sum::<f64>() / places as f64;
            if round > 0 && moved < 5e-4 {
                break;
            }
            before.clone_from(&flat);
            self.reweigh(&flat, &dark, &known);
        }
        Ok(())
    }

    /// A first guess without dark-field: at each place the median of the images over their brightness.
    fn guess(&mut self, known: &[f64]) {
        let places = self.size[0] * self.size[1];
        let (images, count) = (&self.images, self.count);
        for _ in 0..3 {
            let least = 1e-3 * self.brightness.iter().copied().fold(0.0, f64::max);
            let brightness = &self.brightness;
            let share = |i: usize, p: usize| {
                let bright = known[i * places + p] != 0.0 && brightness[i] > least;
                if bright { images[i * places + p] / brightness[i] } else { f64::NAN }
            };
            let mut flat: Vec<f64> =
                (0..places).into_par_iter().map(|p| median((0..count).map(|i| share(i, p)).collect())).collect();
            flat.iter_mut().filter(|value| !(**value > super::LEAST)).for_each(|value| *value = super::LEAST);
            let mean = flat.iter().sum::<f64>() / places as f64;
            flat.iter_mut().for_each(|value| *value /= mean);
            let level = |i: usize| {
                let of =
                    |p: usize| if known[i * places + p] == 0.0 { f64::NAN } else { images[i * places + p] / flat[p] };
                let level = median((0..places).map(of).collect());
                if level > 0.0 { level } else { 0.0 }
            };
            let levels = (0..count).into_par_iter().map(level).collect();
            self.flat = self.basis.forward(&flat);
            self.brightness = levels;
        }
    }

    /// What the fit leaves, NaN where unknown.
    fn residuals(&self, flat: &[f64], dark: &[f64], known: &[f64]) -> Vec<f64> {
        let places = flat.len();
        let mut out = Vec::with_capacity(self.images.len());
        for (i, image) in self.images.chunks_exact(places).enumerate() {
            let known = &known[i * places..(i + 1) * places];
            let of = |p: usize| image[p] - self.brightness[i] * flat[p] - dark[p];
            out.extend((0..places).map(|p| if known[p] == 0.0 { f64::NAN } else { of(p) }));
        }
        out
    }

    /// Weights for the next round: mean 1 over what is known.
    fn reweigh(&mut self, flat: &[f64], dark: &[f64], known: &[f64]) {
        let mean = self.brightness.iter().sum::<f64>() / self.count as f64;
        let residuals = self.residuals(flat, dark, known);
        let (mut sum, mut number) = (0.0, 0.0);
        for (weight, residual) in self.weights.iter_mut().zip(&residuals) {
            *weight = if residual.is_nan() { 0.0 } else { 1.0 / (residual.abs() + 0.1 * mean) };
            sum += *weight;
            number += f64::from(u8::from(!residual.is_nan()));
        }
        let scale = number / f64::max(sum, f64::MIN_POSITIVE);
        self.weights.iter_mut().for_each(|weight| *weight *= scale);
    }

    /// Flat- and dark-field that come closest to the images without their split: two numbers for each cosine.
    fn fields(&mut self, split: &[f64], penalty: f64) {
        let places = self.size[0] * self.size[1];
        let brightness = &self.brightness;
        // Sums over the images, in their order, for each place: b T and T.
        let parts: Vec<[Vec<f64>; 2]> = (0..places.div_ceil(PLACES))
            .into_par_iter()
            .map(|part| {
                let range = part * PLACES..((part + 1) * PLACES).min(places);
                let (mut weighted, mut plain) = (vec![0f64; range.len()], vec![0f64; range.len()]);
                for (i, &b) in brightness.iter().enumerate() {
                    let line = &split[i * places + range.start..i * places + range.end];
                    weighted.iter_mut().zip(line).for_each(|(sum, value)| *sum += b * value);
                    plain.iter_mut().zip(line).for_each(|(sum, value)| *sum += value);
                }
                [weighted, plain]
            })
            .collect();
        let gathered = |which: usize| parts.iter().flat_map(|part| part[which].iter().copied()).collect::<Vec<f64>>();
        let (weighted, sums) = (self.basis.forward(&gathered(0)), self.basis.forward(&gathered(1)));
        let n = self.count as f64;
        let (b1, b2) = (brightness.iter().sum::<f64>(), brightness.iter().map(|b| b * b).sum::<f64>());
        let mean = b1 / n;
        let universal = (2.0 * (places as f64).ln()).sqrt();
        let smooth = self.smoothness * universal * n.sqrt() * mean / penalty;
        let soft = |value: f64, by: f64| (value - by).max(0.0) + (value + by).min(0.0);
        for k in 0..places {
            let by = if k == 0 { 0.0 } else { smooth };
            let (s, d) = (&mut self.flat.coefficients[k], &mut self.dark.coefficients[k]);
            if !self.darkfield {
                *s = soft(weighted.coefficients[k], by) / b2.max(f64::MIN_POSITIVE);
                continue;
            }
            // The pair, each in turn until neither moves: two parabolas with a kink.
            for _ in 0..100 {
                let old = (*s, *d);
                *s = soft(weighted.coefficients[k] - b1 * *d, by) / b2.max(f64::MIN_POSITIVE);
                *d = soft(sums.coefficients[k] - b1 * *s, by) / n;
                if (*s - old.0).abs() + (*d - old.1).abs() < 1e-12 {
                    break;
                }
            }
        }
    }

    /// Brightness of each image that comes closest to it without its split.
    fn levels(&mut self, split: &[f64]) {
        let places = self.size[0] * self.size[1];
        let (flat, dark) = (self.flat.at(self.size), self.dark.at(self.size));
        let square = flat.iter().map(|s| s * s).sum::<f64>().max(f64::MIN_POSITIVE);
        self.brightness = split
            .par_chunks_exact(places)
            .map(|image| {
                let product: f64 = image.iter().zip(&dark).zip(&flat).map(|((t, d), s)| (t - d) * s).sum();
                (product / square).max(0.0)
            })
            .collect();
    }

    /// Of all splits into flat- and dark-field that fit as well (`dark + a flat`, `brightness - a`), that with the simplest
    /// dark-field, at least 0 everywhere; and the flat-field of mean 1.
    fn gauge(&mut self) {
        let mean = self.flat.mean();
        if mean > 0.0 {
            self.flat = self.flat.scaled(1.0 / mean);
            self.brightness.iter_mut().for_each(|b| *b *= mean);
        }
        if !self.darkfield {
            return;
        }
        // The least of sum_k |d_k + a s_k| is the weighted median of -d_k / s_k.
        let mut steps: Vec<(f64, f64)> = (self.flat.coefficients.iter().zip(&self.dark.coefficients).skip(1))
            .filter(|(s, _)| s.abs() > 1e-9)
            .map(|(s, d)| (-d / s, s.abs()))
            .collect();
        steps.sort_by(|p, q| p.0.total_cmp(&q.0));
        let half = 0.5 * steps.iter().map(|step| step.1).sum::<f64>();
        let mut sum = 0.0;
        let best = steps.iter().find(|step| {
            sum += step.1;
            sum >= half
        });
        // A flat-field without any shape leaves it open: then the dark-field has no constant part.
        let wanted = best.map_or(-self.dark.mean(), |step| step.0);
        let (flat, dark) = (self.flat.at(self.size), self.dark.at(self.size));
        // Dark-field and brightness stay at or above 0.
        let least = flat.iter().zip(&dark).map(|(s, d)| -d / s.max(super::LEAST)).fold(f64::NEG_INFINITY, f64::max);
        let most = self.brightness.iter().copied().fold(f64::INFINITY, f64::min);
        let shift = wanted.min(most).max(least);
        for (d, s) in self.dark.coefficients.iter_mut().zip(&self.flat.coefficients) {
            *d += shift * s;
        }
        self.brightness.iter_mut().for_each(|b| *b = (*b - shift).max(0.0));
    }

    /// Splits off the residuals that are large for their weight. Afterwards `split` is what flat- and dark-field are
    /// fitted to.
    fn shrink(&self, flat: &[f64], dark: &[f64], penalty: f64, split: &mut [f64], dual: &mut [f64]) {
        let places = flat.len();
        let images = self.images.par_chunks_exact(places).zip(self.weights.par_chunks_exact(places));
        split.par_chunks_exact_mut(places).zip(dual.par_chunks_exact_mut(places)).zip(images).enumerate().for_each(
            |(i, ((split, dual), (image, weights)))| {
                let b = self.brightness[i];
                for p in 0..places {
                    let value = image[p] - b * flat[p] - dark[p] + dual[p];
                    let by = weights[p] / penalty;
                    let left = (value - by).max(0.0) + (value + by).min(0.0);
                    dual[p] = value - left;
                    split[p] = image[p] - left + dual[p];
                }
            },
        );
    }
}
