//! Tests of the pseudobulk test.

use super::bayes::{trigamma, trigamma_inverse};
use super::*;
use crate::parallel::with_threads;
use crate::random::Stream;

/// Samples x genes of overdispersed counts around `level * fold` (for the second half of the samples).
fn counts(n: usize, n_genes: usize, fold: impl Fn(usize) -> f64, seed: u64) -> Vec<f64> {
    let mut out = vec![0.0; n * n_genes];
    for gene in 0..n_genes {
        let mut stream = Stream::new(seed, gene as u64);
        let level = (2.5 + 1.3 * stream.normal()).exp();
        // A spread of its own for each gene, as the prior assumes.
        let spread = 0.25 * (0.35 * stream.normal()).exp();
        for sample in 0..n {
            let depth = 1.0 + 0.2 * (sample % 3) as f64;
            let mean = level * depth * if 2 * sample >= n { fold(gene) } else { 1.0 };
            let rate = mean * (spread * stream.normal()).exp();
            out[sample * n_genes + gene] = (rate + rate.sqrt() * stream.normal()).round().max(0.0);
        }
    }
    out
}

/// Intercept and the second half of the samples, and a covariate when asked for.
fn halves(n: usize, covariate: bool) -> Design {
    let mut values = Vec::new();
    for sample in 0..n {
        values.extend([1.0, f64::from(u8::from(2 * sample >= n))]);
        if covariate {
            values.push((sample % 4) as f64 + 0.1 * sample as f64);
        }
    }
    let mut names = vec!["Intercept".to_string(), "half".into()];
    if covariate {
        names.push("age".into());
    }
    Design::new(&values, names, (0..n).map(|sample| format!("s{sample}")).collect()).unwrap()
}

fn test(counts: &[f64], design: &Design, contrast: &[f64]) -> PseudobulkTest {
    pseudobulk_test(counts, design, contrast, &PseudobulkOptions::default(), &Ctx::quiet()).unwrap()
}

#[test]
fn trigamma_by_known_values() {
    let pi2 = std::f64::consts::PI.powi(2);
    for (x, expected) in [(1.0, pi2 / 6.0), (0.5, pi2 / 2.0), (2.0, pi2 / 6.0 - 1.0), (1.5, pi2 / 2.0 - 4.0)] {
        assert!((trigamma(x) - expected).abs() < 1e-14 * expected.max(1.0), "{x}: {} {expected}", trigamma(x));
    }
    for x in [1e-3, 0.02, 0.5, 1.0, 7.3, 19.9, 20.1, 400.0, 1e5] {
        assert!((trigamma_inverse(trigamma(x)) / x - 1.0).abs() < 1e-9, "{x}");
    }
}

#[test]
fn variances_are_drawn_to_the_prior_that_they_came_from() {
    // s^2 = s0^2 (chi2_d / d) / (chi2_d0 / d0) with d = 4, d0 = 6, s0^2 = 2.
    let mut stream = Stream::new(3, 0);
    let mut chi2 = |df: usize| -> f64 { (0..df).map(|_| stream.normal().powi(2)).sum() };
    let variances: Vec<f64> = (0..40_000).map(|_| 2.0 * (chi2(4) / 4.0) / (chi2(6) / 6.0)).collect();
    let (prior, posterior) = squeeze(&variances, 4.0);
    assert!((prior.df - 6.0).abs() < 0.4 && (prior.variance - 2.0).abs() < 0.06, "{prior:?}");
    for (raw, drawn) in variances.iter().zip(posterior) {
        assert!((drawn - (4.0 * raw + prior.df * prior.variance) / (4.0 + prior.df)).abs() < 1e-12 * drawn);
    }
    // No spread beyond chance: one variance for all.
    let equal: Vec<f64> = vec![1.5; 50];
    assert_eq!(squeeze(&equal, 4.0), (Prior { df: f64::INFINITY, variance: 1.5 }, equal));
}

/// df, prior df, prior variance, variances, posterior variances; from make.py (inmoose 0.9.1, a port of limma).
const SQUEEZE: &str = include_str!("../../tests/golden/pseudobulk/squeeze.tsv");

#[test]
fn squeezed_as_limma_does() {
    for line in SQUEEZE.lines() {
        let fields: Vec<&str> = line.split('\t').collect();
        let numbers = |text: &str| -> Vec<f64> { text.split(';').map(|value| value.parse().unwrap()).collect() };
        let (prior, posterior) = squeeze(&numbers(fields[3]), numbers(fields[0])[0]);
        for (found, expected) in [(prior.df, numbers(fields[1])[0]), (prior.variance, numbers(fields[2])[0])] {
            assert!(found == expected || (found - expected).abs() < 1e-7 * expected, "{found} {expected}");
        }
        for (found, expected) in posterior.iter().zip(numbers(fields[4])) {
            assert!((found - expected).abs() < 1e-7 * expected, "{found} {expected}");
        }
    }
}

#[test]
fn lowess_follows_a_line_and_ignores_an_outlier() {
    let x: Vec<f64> = (0..200).map(|i| i as f64 / 10.0).collect();
    let mut y: Vec<f64> = x.iter().map(|x| 3.0 - 0.5 * x).collect();
    for delta in [0.0, 0.3] {
        let fitted = lowess(&x, &y, 0.3, delta);
        assert!(fitted.iter().zip(&y).all(|(fit, y)| (fit - y).abs() < 1e-12));
    }
    // A ripple, so that residuals have a scale, and one point far off.
    y.iter_mut().zip(&x).for_each(|(y, x)| *y += 0.01 * (37.0 * x).sin());
    y[100] += 50.0;
    let fitted = lowess(&x, &y, 0.3, 0.0);
    assert!((fitted[100] - (3.0 - 5.0)).abs() < 0.02, "{}", fitted[100]);
    assert_eq!(lowess(&[1.0], &[2.0], 0.5, 0.0), [2.0]);
    assert!(lowess(&[], &[], 0.5, 0.0).is_empty());
}

#[test]
fn trimmed_means_undo_what_a_few_strong_genes_do() {
    // The second sample is the first at twice the depth, but for five genes that take half of its counts.
    let n_genes = 400;
    let first: Vec<f64> = (0..n_genes).map(|gene| 50.0 + (gene % 37) as f64 * 10.0).collect();
    let mut second: Vec<f64> = first.iter().map(|count| 2.0 * count).collect();
    second[..5].iter_mut().for_each(|count| *count = 20_000.0);
    let sizes = [first.iter().sum::<f64>(), second.iter().sum()];
    let table: Vec<f64> = first.into_iter().chain(second).collect();
    let factors = library::tmm(&table, &sizes);
    let ratio = sizes[1] * factors[1] / (sizes[0] * factors[0]);
    assert!((ratio - 2.0).abs() < 1e-9, "{ratio}");
    assert!((factors[0] * factors[1] - 1.0).abs() < 1e-12);
    // Samples that differ in depth alone need no factors.
    let same = library::tmm(&[1.0, 2.0, 3.0, 2.0, 4.0, 6.0], &[6.0, 12.0]);
    assert!(same.iter().all(|factor| (factor - 1.0).abs() < 1e-12));
}

/// Weighted least squares by the normal equations, and everything after it, gene by gene.
#[test]
fn as_the_slow_way() {
    let (n, n_genes) = (8, 300);
    let design = halves(n, true);
    let table = counts(n, n_genes, |gene| if gene % 10 == 0 { 3.0 } else { 1.0 }, 1);
    let contrast = [0.0, 1.0, -0.5];
    let found = test(&table, &design, &contrast);
    let kept: Vec<usize> = (0..n_genes).filter(|&gene| found.kept[gene]).collect();
    assert!(kept.len() > 150 && kept.len() < n_genes);
    let sizes: Vec<f64> = (0..n).map(|s| found.library_sizes[s] * found.norm_factors[s]).collect();
    let log = |s: usize, gene: usize| ((table[s * n_genes + gene] + 0.5) / (sizes[s] + 1.0) * 1e6).log2();
    // coefficients, residual sum of squares, variance of the contrast over sigma^2
    let solve = |gene: usize, weights: &[f64]| {
        let (mut a, mut b) = (ndarray::Array2::<f64>::zeros((3, 3)), ndarray::Array2::<f64>::zeros((3, 1)));
        for s in 0..n {
            let row = design.matrix().row(s);
            for i in 0..3 {
                b[(i, 0)] += weights[s] * row[i] * log(s, gene);
                for j in 0..3 {
                    a[(i, j)] += weights[s] * row[i] * row[j];
                }
            }
        }
        let c = ndarray::Array2::from_shape_vec((3, 1), contrast.to_vec()).unwrap();
        let coefficients = zensaibo_linalg::solve(a.view(), b.view()).unwrap();
        let variance = c.t().dot(&zensaibo_linalg::solve(a.view(), c.view()).unwrap())[(0, 0)];
        let fitted = |s: usize| design.matrix().row(s).dot(&coefficients.column(0));
        let rss: f64 = (0..n).map(|s| weights[s] * (log(s, gene) - fitted(s)).powi(2)).sum();
        let estimate = c.t().dot(&coefficients)[(0, 0)];
        ((0..n).map(fitted).collect::<Vec<f64>>(), rss, variance, estimate)
    };
    let mean_log_size = sizes.iter().map(|s| (s + 1.0).log2()).sum::<f64>() / n as f64;
    let mut points: Vec<(f64, f64)> = kept
        .iter()
        .map(|&gene| {
            let mean = (0..n).map(|s| log(s, gene)).sum::<f64>() / n as f64;
            (mean + mean_log_size - 1e6f64.log2(), (solve(gene, &[1.0; 8]).1 / 5.0).sqrt().sqrt())
        })
        .collect();
    points.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (x, y): (Vec<f64>, Vec<f64>) = points.into_iter().unzip();
    let trend = lowess(&x, &y, 0.5, 0.01 * (x[x.len() - 1] - x[0]));
    let at = |value: f64| {
        let above = x.iter().position(|&x| x >= value);
        match above {
            Some(0) => trend[0],
            None => trend[x.len() - 1],
            Some(i) => trend[i - 1] + (trend[i] - trend[i - 1]) * (value - x[i - 1]) / (x[i] - x[i - 1]),
        }
    };
    let fits: Vec<(f64, f64, f64)> = kept
        .iter()
        .map(|&gene| {
            let fitted = solve(gene, &[1.0; 8]).0;
            let weights: Vec<f64> =
                (0..n).map(|s| at(fitted[s] + (sizes[s] + 1.0).log2() - 1e6f64.log2()).powi(-4)).collect();
            let (_, rss, variance, estimate) = solve(gene, &weights);
            (rss / 5.0, variance, estimate)
        })
        .collect();
    let (prior, posterior) = squeeze(&fits.iter().map(|fit| fit.0).collect::<Vec<_>>(), 5.0);
    assert!((found.prior.df - prior.df).abs() < 1e-6 * prior.df);
    for ((&gene, fit), variance) in kept.iter().zip(&fits).zip(posterior) {
        let t = fit.2 / (fit.1 * variance).sqrt();
        assert!((found.scores[gene] - t).abs() < 1e-7 * (1.0 + t.abs()), "{} {t}", found.scores[gene]);
        assert!((found.logfoldchanges[gene] - fit.2).abs() < 1e-8);
        let p = ln_t_two_sided(t, (5.0 + prior.df).min(5.0 * kept.len() as f64)).exp();
        assert!((found.pvals[gene] - p).abs() < 1e-6 * p, "{} {p}", found.pvals[gene]);
    }
}

#[test]
fn planted_truth_is_found_and_null_data_are_not() {
    let (n, n_genes) = (10, 2000);
    let design = halves(n, false);
    let planted = |gene: usize| if gene.is_multiple_of(20) { 4.0 } else { 1.0 };
    let found = test(&counts(n, n_genes, planted, 7), &design, &[0.0, 1.0]);
    let kept = |gene: &usize| found.kept[*gene];
    let (mut hits, mut truth, mut wrong) = (0.0, 0.0, 0.0);
    for gene in (0..n_genes).filter(kept) {
        let called = found.pvals_adj[gene] < 0.05;
        let real = gene % 20 == 0;
        truth += f64::from(u8::from(real));
        hits += f64::from(u8::from(real && called));
        wrong += f64::from(u8::from(!real && called));
        if real {
            assert!((found.logfoldchanges[gene] - 2.0).abs() < 1.7, "gene {gene}: {}", found.logfoldchanges[gene]);
        }
    }
    assert!(hits / truth > 0.95 && wrong / (wrong + hits) < 0.12, "{hits} of {truth}, {wrong} wrong");
    // Null data: p-values uniform, hardly a discovery. 8000 genes: a standard error of 0.0025 at 0.05.
    let (mut below, mut tested, mut discoveries) = (0.0, 0.0, 0);
    for seed in 20..24 {
        let null = test(&counts(n, n_genes, |_| 1.0, seed), &design, &[0.0, 1.0]);
        for gene in (0..n_genes).filter(|&gene| null.kept[gene]) {
            tested += 1.0;
            below += f64::from(u8::from(null.pvals[gene] < 0.05));
            discoveries += usize::from(null.pvals_adj[gene] < 0.05);
        }
    }
    assert!((below / tested - 0.05f64).abs() < 0.012, "{}", below / tested);
    assert!(discoveries <= 6, "{discoveries}");
}

#[test]
fn the_same_bits_for_any_number_of_threads() {
    let design = halves(8, true);
    let table = counts(8, 1500, |_| 1.0, 2);
    let run = |threads| with_threads(Some(threads), || Ok(test(&table, &design, &[0.0, 1.0, 0.0]))).unwrap();
    let bits = |found: &PseudobulkTest| {
        let columns = [&found.scores, &found.pvals, &found.pvals_adj, &found.logfoldchanges, &found.mean_expression];
        columns.into_iter().flatten().map(|value| value.to_bits()).collect::<Vec<u64>>()
    };
    let one = run(1);
    assert_eq!(bits(&run(2)), bits(&one));
    assert_eq!(bits(&run(8)), bits(&one));
}

#[test]
fn models_that_cannot_be_estimated_are_refused() {
    let names = |n: usize| (0..n).map(|i| format!("s{i}")).collect::<Vec<_>>();
    let design = |values: &[f64], columns: &[&str]| {
        Design::new(values, columns.iter().map(ToString::to_string).collect(), names(values.len() / columns.len()))
    };
    // Donor and treatment are the same.
    let collinear = design(&[1., 0., 0., 1., 0., 0., 1., 1., 1., 1., 1., 1.], &["Intercept", "stim", "donor2"]);
    let message = collinear.unwrap_err().to_string();
    assert!(message.contains("`donor2`") && message.contains("collinear"), "{message}");
    let zero = design(&[1., 0., 1., 0., 1., 0.], &["Intercept", "empty"]).unwrap_err().to_string();
    assert!(zero.contains("`empty`") && zero.contains("zero in every sample"), "{zero}");
    assert!(design(&[1.0, f64::NAN], &["a"]).unwrap_err().to_string().contains("NaN"));
    // More coefficients than samples.
    assert!(design(&[1., 0., 1., 1., 1., 0.], &["a", "b", "c"]).unwrap_err().to_string().contains("`c`"));

    let run = |design: &Design, n: usize| {
        let table = counts(n, 50, |_| 1.0, 1);
        pseudobulk_test(&table, design, &[0.0, 1.0], &PseudobulkOptions::default(), &Ctx::quiet())
            .unwrap_err()
            .to_string()
    };
    let single = design(&[1., 0., 1., 0., 1., 0., 1., 1.], &["Intercept", "stim"]).unwrap();
    let message = run(&single, 4);
    assert!(message.contains("sample s3") && message.contains("replicates"), "{message}");
    let message = run(&design(&[1., 0., 1., 1.], &["Intercept", "stim"]).unwrap(), 2);
    assert!(message.contains("more samples than the 2 coefficients"), "{message}");
}

#[test]
fn bad_input_is_named() {
    let design = halves(6, false);
    let fault = |table: &[f64], contrast: &[f64], options: PseudobulkOptions| {
        pseudobulk_test(table, &design, contrast, &options, &Ctx::quiet()).unwrap_err().to_string()
    };
    let good = counts(6, 40, |_| 1.0, 1);
    let options = PseudobulkOptions::default;
    let with = |value: f64| {
        let mut table = good.clone();
        table[47] = value;
        fault(&table, &[0.0, 1.0], options())
    };
    assert!(with(-1.0).contains("-1 in sample 1, gene 7"));
    assert!(with(0.5).contains("whole numbers"));
    assert!(with(f64::NAN).contains("finite counts"));
    let mut empty = good.clone();
    empty[80..120].fill(0.0);
    assert!(fault(&empty, &[0.0, 1.0], options()).contains("none in sample 2"));
    assert!(fault(&good[..7], &[0.0, 1.0], options()).contains("6 samples x genes"));
    assert!(fault(&good, &[1.0], options()).contains("Intercept, half"));
    assert!(fault(&good, &[0.0, 0.0], options()).contains("other than 0"));
    let strict = PseudobulkOptions { min_count: 1e9, ..options() };
    assert!(fault(&good, &[0.0, 1.0], strict).contains("min_count"));
    for (name, options) in [
        ("min_count", PseudobulkOptions { min_count: -1.0, ..options() }),
        ("min_total_count", PseudobulkOptions { min_total_count: f64::NAN, ..options() }),
        ("span", PseudobulkOptions { span: 0.0, ..options() }),
    ] {
        assert!(fault(&good, &[0.0, 1.0], options).contains(name));
    }
}
