//! HashSolo: which sample a cell is from, by its counts of sample barcodes; or from two (a doublet), or from none.
//!
//! Logarithms of counts are normal: of one kind where a barcode labels the cell (its highest count), of another where it
//! is noise (the lowest counts). Each barcode's two distributions start from those of all barcodes and are updated by
//! its own counts. The cell's two highest barcodes then decide between three hypotheses by Bayes' rule: both noise
//! (negative), the highest signal (singlet), both signal (doublet).
//!
//! Reference: Bernstein, Fong, Lam et al., Cell Systems 11, 95 (2020).

use crate::options::Options;
use crate::{Ctx, DataFault, Error, Result};

crate::options! {
    /// Options of [`hashsolo`].
    pub struct HashsoloOptions("hashsolo") {
        /// Prior probabilities of negative, singlet and doublet: at least 0, not all 0. Only their ratios matter.
        pub priors: [f64; 3] = [0.01, 0.8, 0.19],
        /// Number of barcodes, the lowest of each cell, that count as noise; 1 to one less than there are barcodes.
        /// Unset: two less than there are barcodes.
        pub number_of_noise_barcodes: Option<usize> = None,
    }
}

impl HashsoloOptions {
    fn check(&self) -> Result<()> {
        let usable = self.priors.iter().all(|&prior| prior >= 0.0 && prior.is_finite());
        if !usable || self.priors.iter().sum::<f64>() <= 0.0 {
            let expected = "three finite numbers of at least 0, not all 0";
            return Err(Error::parameter("priors", expected, format!("{:?}", self.priors)));
        }
        if self.number_of_noise_barcodes == Some(0) {
            return Err(Error::parameter("number_of_noise_barcodes", "at least 1, or unset", 0));
        }
        Ok(())
    }
}

/// What is most likely of each cell.
#[derive(Clone, Debug, PartialEq)]
pub struct Hashsolo {
    /// n long: 0 negative, 1 singlet, 2 doublet.
    pub hypothesis: Vec<u8>,
    /// n x 3, row-major: probability of each.
    pub probabilities: Vec<f64>,
    /// n long: barcode of the highest count (the first of equals).
    pub barcode: Vec<u32>,
}

/// Mean and standard deviation.
#[derive(Clone, Copy, Debug)]
struct Normal {
    mean: f64,
    deviation: f64,
}

impl Normal {
    /// Of all values; `None` where they do not vary.
    fn of(values: &[f64]) -> Option<Self> {
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        let deviation = (values.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n).sqrt();
        (deviation > 0.0).then_some(Self { mean, deviation })
    }

    /// This one as prior, updated by `values`. The precision of a single value, or of values that are all equal, is
    /// that of the prior.
    fn updated(self, values: &[f64]) -> Self {
        let n = values.len() as f64;
        let prior = 1.0 / self.deviation.powi(2);
        let own = match Self::of(values) {
            Some(own) if values.len() > 1 => 1.0 / own.deviation.powi(2),
            _ => prior,
        };
        let precision = prior + n * own;
        let sum: f64 = values.iter().sum();
        Self { mean: (sum * own + self.mean * prior) / precision, deviation: ((n + 1.0) / precision).sqrt() }
    }

    /// Logarithm of the density, which is kept above 1e-15.
    fn log_density(self, x: f64) -> f64 {
        let z = (x - self.mean) / self.deviation;
        let density = (-0.5 * z * z).exp() / (self.deviation * std::f64::consts::TAU.sqrt());
        (density + 1e-15).ln()
    }
}

/// Demultiplexes `n` cells by their counts of `b` barcodes (n x b, row-major, at least 0).
///
/// Free of chance, on one thread. Cost: O(n b log b).
///
/// # Errors
/// [`Error::Parameter`] for options out of range, or as many noise barcodes as barcodes; [`Error::Data`] for fewer than
/// two barcodes (three without `number_of_noise_barcodes`), counts below 0 or not finite, or counts that do not vary;
/// [`Error::Interrupted`].
pub fn hashsolo(counts: &[f64], b: usize, options: &HashsoloOptions, ctx: &Ctx) -> Result<Hashsolo> {
    options.validate()?;
    if b < 2 || !counts.len().is_multiple_of(b) {
        let found = format!("{} counts of {b} barcodes", counts.len());
        return Err(Error::data(
            DataFault::TooFew,
            "barcodes",
            "at least two, with a count of each for every cell",
            found,
        ));
    }
    if let Some(place) = counts.iter().position(|&x| !(x >= 0.0 && x.is_finite())) {
        let fault = if counts[place] < 0.0 { DataFault::Negative } else { DataFault::NotFinite };
        let found = format!("{} for cell {}, barcode {}", counts[place], place / b, place % b);
        return Err(Error::data(fault, "barcode counts", "finite numbers of at least 0", found));
    }
    let n_noise = options.number_of_noise_barcodes.unwrap_or(b - 2);
    if n_noise == 0 {
        let expected = "at least 3, or `number_of_noise_barcodes` beside 2";
        return Err(Error::data(DataFault::TooFew, "barcodes", expected, b));
    }
    if n_noise >= b {
        let expected = format!("less than the number of barcodes, {b}");
        return Err(Error::parameter("number_of_noise_barcodes", expected, n_noise));
    }
    let logs: Vec<f64> = counts.iter().map(|&count| (count + 1.0).ln()).collect();
    let mut ranks: Vec<u32> = Vec::with_capacity(logs.len());
    for row in logs.chunks_exact(b) {
        let mut order: Vec<u32> = (0..b as u32).collect();
        order.sort_by(|&i, &j| row[i as usize].total_cmp(&row[j as usize]));
        ranks.extend(order);
    }
    ctx.check()?;
    let rows = || logs.chunks_exact(b).zip(ranks.chunks_exact(b));
    let constant =
        || Error::data(DataFault::Invalid, "barcode counts", "counts that vary from cell to cell", "equal ones");
    let highest: Vec<f64> = rows().map(|(row, order)| row[order[b - 1] as usize]).collect();
    let lowest: Vec<f64> =
        rows().flat_map(|(row, order)| order[..n_noise].iter().map(|&barcode| row[barcode as usize])).collect();
    let all_signal = Normal::of(&highest).ok_or_else(constant)?;
    let all_noise = Normal::of(&lowest).ok_or_else(constant)?;
    let (mut signal_values, mut noise_values) = (vec![Vec::new(); b], vec![Vec::new(); b]);
    for (row, order) in rows() {
        let top = order[b - 1] as usize;
        signal_values[top].push(row[top]);
        order[..n_noise].iter().for_each(|&barcode| noise_values[barcode as usize].push(row[barcode as usize]));
    }
    let signal: Vec<Normal> = signal_values.iter().map(|values| all_signal.updated(values)).collect();
    let noise: Vec<Normal> = noise_values.iter().map(|values| all_noise.updated(values)).collect();
    ctx.check()?;
    let n = counts.len() / b;
    let mut found = Hashsolo {
        hypothesis: Vec::with_capacity(n),
        probabilities: Vec::with_capacity(3 * n),
        barcode: Vec::with_capacity(n),
    };
    for (row, order) in rows() {
        let (top, second) = (order[b - 1] as usize, order[b - 2] as usize);
        let top_signal = signal[top].log_density(row[top]);
        let second_noise = noise[second].log_density(row[second]);
        // Were the highest noise, it would be of the kind of the second highest.
        let top_noise = noise[second].log_density(row[top]);
        let second_signal = signal[second].log_density(row[second]);
        let logs = [second_noise + top_noise, second_noise + top_signal, second_signal + top_signal];
        let weights: [f64; 3] = std::array::from_fn(|h| logs[h].exp() * options.priors[h]);
        let total: f64 = weights.iter().sum();
        let probabilities = weights.map(|weight| weight / total);
        let mut best = 0;
        (1..3).for_each(|h| best = if probabilities[h] > probabilities[best] { h } else { best });
        found.hypothesis.push(best as u8);
        found.probabilities.extend(probabilities);
        let first = row.iter().position(|&x| x == row[top]).unwrap_or(top);
        found.barcode.push(first as u32);
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Stream;

    /// 300 cells of four barcodes: singlets, every tenth a doublet, every fifteenth without a label.
    fn cells() -> (Vec<f64>, Vec<u8>, Vec<u32>) {
        let (mut counts, mut truth, mut barcodes) = (Vec::new(), Vec::new(), Vec::new());
        for cell in 0..300u64 {
            let mut stream = Stream::new(1, cell);
            let first = stream.below(4) as usize;
            let second = (first + 1) % 4;
            let kind = if cell % 15 == 7 {
                0
            } else if cell % 10 == 3 {
                2
            } else {
                1
            };
            for barcode in 0..4 {
                let labelled = (barcode == first && kind > 0) || (barcode == second && kind == 2);
                let log = if labelled { 6.0 } else { 2.0 } + 0.4 * stream.normal();
                counts.push(log.exp().round());
            }
            truth.push(kind);
            barcodes.push(first as u32);
        }
        (counts, truth, barcodes)
    }

    #[test]
    fn samples_doublets_and_negatives_are_told_apart() {
        let (counts, truth, barcodes) = cells();
        let found = hashsolo(&counts, 4, &HashsoloOptions::default(), &Ctx::quiet()).unwrap();
        let right = found.hypothesis.iter().zip(&truth).filter(|(a, b)| a == b).count();
        assert!(right > 290, "{right} of 300");
        for cell in (0..300).filter(|&cell| truth[cell] == 1) {
            assert_eq!(found.barcode[cell], barcodes[cell]);
        }
        for (row, &best) in found.probabilities.chunks(3).zip(&found.hypothesis) {
            assert!((row.iter().sum::<f64>() - 1.0).abs() < 1e-12 && row.iter().all(|&p| p <= row[best as usize]));
        }
        let never = HashsoloOptions { priors: [0.0, 1.0, 0.0], ..HashsoloOptions::default() };
        assert!(hashsolo(&counts, 4, &never, &Ctx::quiet()).unwrap().hypothesis.iter().all(|&h| h == 1));
    }

    #[test]
    fn a_prior_updated_by_hand() {
        let prior = Normal { mean: 0.0, deviation: 2.0 };
        // Two values of mean 3 and variance 1: precision 1/4 + 2, mean 6 / 2.25, deviation sqrt(3 / 2.25).
        let found = prior.updated(&[2.0, 4.0]);
        assert!((found.mean - 6.0 / 2.25).abs() < 1e-15 && (found.deviation - (3.0f64 / 2.25).sqrt()).abs() < 1e-15);
        let none = prior.updated(&[]);
        assert_eq!((none.mean, none.deviation), (0.0, 2.0));
        let one = prior.updated(&[4.0]);
        assert_eq!((one.mean, one.deviation), (2.0, 2.0));
        assert!(prior.updated(&[5.0, 5.0]).mean.is_finite());
    }

    #[test]
    fn faults_are_named() {
        let (counts, ..) = cells();
        let usual = HashsoloOptions::default();
        let fault = |counts: &[f64], b, options: HashsoloOptions| {
            hashsolo(counts, b, &options, &Ctx::quiet()).unwrap_err().to_string()
        };
        assert!(fault(&counts, 1, usual.clone()).contains("at least two"));
        assert!(fault(&counts[1..], 4, usual.clone()).contains("at least two"));
        assert!(fault(&counts, 2, usual.clone()).contains("at least 3"));
        assert!(fault(&[1.0, 2.0, f64::NAN], 3, usual.clone()).contains("NaN for cell 0, barcode 2"));
        assert!(fault(&[1.0, -2.0, 0.0], 3, usual.clone()).contains("-2"));
        assert!(fault(&[1.0; 12], 3, usual.clone()).contains("vary"));
        let noise = |number| HashsoloOptions { number_of_noise_barcodes: Some(number), ..HashsoloOptions::default() };
        assert!(fault(&counts, 4, noise(4)).contains("number_of_noise_barcodes"));
        assert!(fault(&counts, 4, noise(0)).contains("number_of_noise_barcodes"));
        assert!(hashsolo(&counts, 4, &noise(3), &Ctx::quiet()).is_ok());
        let priors = HashsoloOptions { priors: [0.0; 3], ..usual };
        assert!(fault(&counts, 4, priors).contains("priors"));
        let empty = hashsolo(&[], 3, &HashsoloOptions::default(), &Ctx::quiet());
        assert!(empty.unwrap_err().to_string().contains("vary"));
    }
}
