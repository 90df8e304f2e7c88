use super::*;
use crate::data::Csr;
use crate::matrix::{DenseView, ValueSlice};
use crate::parallel::with_threads;
use crate::random::Stream;

const FLAVORS: [Flavor; 4] = [Flavor::Seurat, Flavor::CellRanger, Flavor::SeuratV3, Flavor::SeuratV3Paper];

/// Counts of `n_genes` genes with means from about 0.5 to 20, a third of them over-dispersed.
fn counts(n_cells: usize, n_genes: usize) -> Csr {
    let mut flat = vec![0f32; n_cells * n_genes];
    for gene in 0..n_genes {
        let mut stream = Stream::new(3, gene as u64);
        let mean = 0.7 * 30f64.powf(stream.uniform());
        for cell in 0..n_cells {
            let boost = if gene % 3 == 0 && cell % 5 == 0 { 4.0 } else { 1.0 };
            flat[cell * n_genes + gene] = (-mean * boost * (1.0 - stream.uniform()).ln()).floor() as f32;
        }
    }
    sparse(&flat, n_cells, n_genes)
}

fn sparse(flat: &[f32], n_rows: usize, n_cols: usize) -> Csr {
    let (mut indptr, mut indices, mut values) = (vec![0], Vec::new(), Vec::new());
    for row in 0..n_rows {
        for column in 0..n_cols {
            let value = flat[row * n_cols + column];
            if value != 0.0 {
                indices.push(column as u32);
                values.push(value);
            }
        }
        indptr.push(values.len() as u64);
    }
    Csr::new(n_rows, n_cols, indptr, indices, values).unwrap()
}

fn logged(mut matrix: Csr) -> Csr {
    crate::normalize::log1p_values(&mut matrix.values, None);
    matrix
}

fn input(matrix: &Csr) -> HvgInput<'_> {
    HvgInput::new(matrix)
}

fn select(input: HvgInput<'_>, options: &HvgOptions) -> crate::Result<Hvg> {
    highly_variable_genes(input, options, &Ctx::quiet())
}

fn with(flavor: Flavor, n_top_genes: Option<usize>) -> HvgOptions {
    HvgOptions { flavor, n_top_genes, ..Default::default() }
}

#[test]
fn seurat_by_hand() {
    // Three genes in one bin each when n_bins is large; e^x - 1 of the data is [[1, 2, 5], [3, 2, 0]].
    let matrix = logged(sparse(&[1.0, 2.0, 5.0, 3.0, 2.0, 0.0], 2, 3));
    let options = HvgOptions { n_bins: 1, ..with(Flavor::Seurat, None) };
    let got = select(input(&matrix), &options).unwrap();
    let HvgStatistics::Dispersion { dispersions, dispersions_norm } = got.statistics else { panic!() };
    let expected = [(2.0f64 / 2.0).ln(), (12.5f64 / 2.5).ln()];
    assert!((dispersions[0] - expected[0]).abs() < 1e-6 && (dispersions[2] - expected[1]).abs() < 1e-6);
    assert!((got.means[0] - 2.0f64.ln_1p()).abs() < 1e-6);
    let (centre, spread) = ((expected[0] + expected[1]) / 2.0, (expected[1] - expected[0]) / 2f64.sqrt());
    assert!((dispersions_norm[2] - (expected[1] - centre) / spread).abs() < 1e-5);
    assert_eq!(got.highly_variable, [false, false, true]);
}

#[test]
fn a_gene_alone_in_its_bin_has_one() {
    let matrix = logged(sparse(&[1.0, 90.0, 3.0, 10.0], 2, 2));
    let got = select(input(&matrix), &with(Flavor::Seurat, None)).unwrap();
    let HvgStatistics::Dispersion { dispersions_norm, .. } = got.statistics else { panic!() };
    assert_eq!(dispersions_norm, [1.0, 1.0]);
}

#[test]
fn seurat_v3_is_the_variance_of_clipped_standardised_counts() {
    let matrix = counts(150, 60);
    let got = select(input(&matrix), &with(Flavor::SeuratV3, Some(10))).unwrap();
    let HvgStatistics::Variance { variances, variances_norm, rank } = got.statistics else { panic!() };
    let n = matrix.n_rows as f64;
    let column = |gene: u32| -> Vec<f64> {
        (0..matrix.n_rows)
            .map(|row| {
                let (columns, values) = matrix.row(row);
                columns.iter().position(|&c| c == gene).map_or(0.0, |at| f64::from(values[at]))
            })
            .collect()
    };
    let fit = {
        let x: Vec<f64> = got.means.iter().map(|m| m.log10()).collect();
        let y: Vec<f64> = variances.iter().map(|v| v.log10()).collect();
        (Loess::fit(&x, &y, 0.3).unwrap(), x)
    };
    for gene in 0..60 {
        let values = column(gene as u32);
        let mean = values.iter().sum::<f64>() / n;
        let deviation = 10f64.powf(fit.0.at(fit.1[gene])).sqrt();
        let limit = mean + deviation * n.sqrt();
        // Squares about the unclipped mean, as the definition has it.
        let slow: f64 = values.iter().map(|v| ((v.min(limit) - mean) / deviation).powi(2)).sum::<f64>() / (n - 1.0);
        assert!((variances_norm[gene] - slow).abs() < 1e-10 * slow.max(1.0), "{gene}");
    }
    let best = (0..60).max_by(|&a, &b| variances_norm[a].total_cmp(&variances_norm[b])).unwrap();
    assert_eq!(rank[best], 0.0);
    assert_eq!(got.highly_variable.iter().filter(|&&flag| flag).count(), 10);
    assert!(got.highly_variable.iter().zip(&rank).all(|(&flag, rank)| flag != rank.is_nan()));
}

/// Expected results of scanpy 1.11.5; see golden/hvg/make.py.
#[test]
fn golden_results_of_scanpy() {
    let golden: serde_json::Value = serde_json::from_str(include_str!("../../tests/golden/hvg/expected.json")).unwrap();
    let numbers = |value: &serde_json::Value| -> Vec<f64> {
        value.as_array().unwrap().iter().map(|v| v.as_f64().unwrap_or(f64::NAN)).collect()
    };
    let curve = &golden["loess"];
    let (x, y) = (numbers(&curve["x"]), numbers(&curve["y"]));
    for (span, expected) in curve["fitted"].as_object().unwrap() {
        let fit = Loess::fit(&x, &y, span.parse().unwrap()).unwrap();
        for (&x, expected) in x.iter().zip(numbers(expected)) {
            assert!((fit.at(x) - expected).abs() < 1e-10, "span {span} at {x}: {} {expected}", fit.at(x));
        }
    }
    let (n_cells, n_genes) =
        (golden["n_cells"].as_u64().unwrap() as usize, golden["n_genes"].as_u64().unwrap() as usize);
    let flat: Vec<f32> = numbers(&golden["counts"]).iter().map(|&v| v as f32).collect();
    let raw = sparse(&flat, n_cells, n_genes);
    let log = logged(raw.clone());
    let batches: Vec<u32> = numbers(&golden["batches"]).iter().map(|&v| v as u32).collect();
    let tie_order: Vec<u32> = numbers(&golden["name_order"]).iter().map(|&v| v as u32).collect();
    for case in golden["cases"].as_array().unwrap() {
        let flavor: Flavor = serde_json::from_value(case["flavor"].clone()).unwrap();
        let options = with(flavor, case["n_top_genes"].as_u64().map(|n| n as usize));
        let mut given = input(if flavor.takes_counts() { &raw } else { &log });
        if case["batched"].as_bool().unwrap() {
            given.batches = Some(&batches);
            given.tie_order = Some(&tie_order);
        }
        let got = select(given, &options).unwrap();
        let name = format!("{flavor:?} top {:?} batched {}", options.n_top_genes, case["batched"]);
        let close = |what: &str, got: &[f64]| {
            for (gene, (a, b)) in got.iter().zip(numbers(&case[what])).enumerate() {
                let same = (a.is_nan() && b.is_nan()) || (a - b).abs() <= 2e-6 * b.abs().max(1.0);
                assert!(same, "{name}: {what} of gene {gene}: {a} {b}");
            }
        };
        close("means", &got.means);
        match &got.statistics {
            HvgStatistics::Dispersion { dispersions, dispersions_norm } => {
                close("dispersions", dispersions);
                close("dispersions_norm", dispersions_norm);
            }
            HvgStatistics::Variance { variances, variances_norm, rank } => {
                close("variances", variances);
                close("variances_norm", variances_norm);
                close("highly_variable_rank", rank);
            }
            HvgStatistics::Residuals { .. } => unreachable!("no golden of that flavor"),
        }
        let chosen: Vec<usize> = (0..n_genes).filter(|&gene| got.highly_variable[gene]).collect();
        let expected: Vec<usize> = numbers(&case["highly_variable"]).iter().map(|&gene| gene as usize).collect();
        assert_eq!(chosen, expected, "{name}");
    }
}

#[test]
fn layouts_and_threads_give_the_same_bits() {
    let raw = counts(120, 50);
    let log = logged(raw.clone());
    let batches: Vec<u32> = (0..120).map(|cell| cell % 3).collect();
    for flavor in FLAVORS {
        let matrix = if flavor.takes_counts() { &raw } else { &log };
        let mut flat = vec![0f32; 120 * 50];
        for row in 0..120 {
            let (columns, values) = matrix.row(row);
            columns.iter().zip(values).for_each(|(&column, &value)| flat[row * 50 + column as usize] = value);
        }
        let dense = DenseView::new(120, 50, ValueSlice::F32(&flat)).unwrap();
        for groups in [None, Some(batches.as_slice())] {
            let get = |source: &dyn RowBlocks, threads| {
                let given = HvgInput { batches: groups, ..HvgInput::new(source) };
                let got = with_threads(Some(threads), || select(given, &with(flavor, Some(12)))).unwrap();
                format!("{got:?}")
            };
            let one = get(matrix, 1);
            for threads in [2, 8] {
                assert_eq!(get(matrix, threads), one);
                assert_eq!(get(&dense, threads), one);
            }
        }
    }
}

#[test]
fn identical_batches_choose_what_one_does() {
    let raw = counts(100, 60);
    let twice = {
        let mut indptr = raw.indptr.clone();
        let end = *indptr.last().unwrap();
        indptr.extend(raw.indptr[1..].iter().map(|&at| at + end));
        Csr::new(200, 60, indptr, raw.indices.repeat(2), raw.values.repeat(2)).unwrap()
    };
    let batches: Vec<u32> = (0..200).map(|cell| cell / 100).collect();
    for flavor in FLAVORS {
        let (one, two) = if flavor.takes_counts() {
            (raw.clone(), twice.clone())
        } else {
            (logged(raw.clone()), logged(twice.clone()))
        };
        let options = with(flavor, Some(15));
        let alone = select(input(&one), &options).unwrap();
        let both = select(HvgInput { batches: Some(&batches), ..input(&two) }, &options).unwrap();
        // One batch takes all genes tied at the cut; several take exactly as many as asked.
        let both_in_alone = both.highly_variable.iter().zip(&alone.highly_variable).all(|(both, alone)| !both | alone);
        assert!(both_in_alone, "{flavor:?}");
        assert_eq!(both.highly_variable.iter().filter(|&&flag| flag).count(), 15);
        assert!(both.n_batches.unwrap().iter().all(|&count| count == 0 || count == 2));
    }
}

#[test]
fn the_base_of_the_logarithm_matters_not_once_told() {
    let raw = counts(80, 40);
    let mut base2 = raw.clone();
    crate::normalize::log1p_values(&mut base2.values, Some(2.0));
    let natural = logged(raw);
    let a = select(input(&natural), &with(Flavor::Seurat, Some(8))).unwrap();
    let b = select(HvgInput { log_base: Some(2.0), ..input(&base2) }, &with(Flavor::Seurat, Some(8))).unwrap();
    assert_eq!(a.highly_variable, b.highly_variable);
    assert!(a.means.iter().zip(&b.means).all(|(a, b)| (a - b).abs() < 1e-6));
}

#[test]
fn unexpressed_genes_can_be_left_out() {
    let mut raw = counts(60, 40);
    raw.n_cols = 60; // twenty more genes without a count
    let log = logged(raw);
    let error = select(input(&log), &with(Flavor::CellRanger, Some(5))).unwrap_err().to_string();
    assert!(error.contains("filter_unexpressed_genes"), "{error}");
    let options = HvgOptions { filter_unexpressed_genes: Some(true), ..with(Flavor::CellRanger, Some(5)) };
    let got = select(input(&log), &options).unwrap();
    assert!(got.highly_variable[40..].iter().all(|&flag| !flag));
    assert_eq!(got.means[40..], [0.0; 20]);
    assert_eq!(got.highly_variable.iter().filter(|&&flag| flag).count(), 5);
}

#[test]
fn degenerate_data() {
    let message = |matrix: &Csr, flavor| select(input(matrix), &with(flavor, None)).unwrap_err().to_string();
    for flavor in FLAVORS {
        for (rows, columns) in [(0, 3), (3, 0)] {
            let error = select(input(&Csr::empty(rows, columns)), &with(flavor, None)).unwrap_err();
            assert!(matches!(error, Error::Data { fault: DataFault::Empty, .. }));
        }
        let mut broken = counts(30, 20);
        broken.values[7] = f32::NAN;
        let error = select(input(&broken), &with(flavor, None)).unwrap_err();
        assert!(matches!(error, Error::Data { fault: DataFault::NotFinite, .. }), "{error}");
    }
    assert!(message(&Csr::empty(1, 3), Flavor::SeuratV3).contains("at least 2 cells"));
    assert!(message(&Csr::empty(5, 3), Flavor::SeuratV3).contains("varies"));
    let zeros = select(input(&Csr::empty(5, 3)), &with(Flavor::Seurat, None)).unwrap();
    assert_eq!(zeros.highly_variable, [false; 3]);
    let mut negative = counts(30, 20);
    negative.values[3] = -1.0;
    let error = select(input(&negative), &with(Flavor::SeuratV3, None)).unwrap_err();
    assert!(matches!(error, Error::Data { fault: DataFault::Negative, .. }), "{error}");
    let fractions = logged(counts(60, 40));
    let got = select(input(&fractions), &with(Flavor::SeuratV3, Some(5))).unwrap();
    assert_eq!(got.not_counts.unwrap().fault, DataFault::NotCounts);
    let more = select(input(&counts(60, 40)), &with(Flavor::SeuratV3, Some(100))).unwrap();
    assert!(more.highly_variable.iter().all(|&flag| flag) && more.notes.len() == 1);
    let more = select(input(&fractions), &with(Flavor::Seurat, Some(100))).unwrap();
    assert!(more.highly_variable.iter().all(|&flag| flag));
}

#[test]
fn bad_batches_and_options_are_named() {
    let matrix = counts(30, 20);
    let batched = |batches: &[u32]| {
        select(HvgInput { batches: Some(batches), ..input(&matrix) }, &with(Flavor::SeuratV3, None)).unwrap_err()
    };
    let mut alone = vec![0; 30];
    alone[4] = 1;
    assert!(matches!(batched(&alone), Error::Data { fault: DataFault::TooFew, .. }));
    assert!(matches!(batched(&[0; 3]), Error::Data { fault: DataFault::Shape, .. }));
    assert!(matches!(batched(&[9_999; 30]), Error::Data { fault: DataFault::Invalid, .. }));
    let order = [0u32; 20];
    let error = select(HvgInput { tie_order: Some(&order), ..input(&matrix) }, &HvgOptions::default()).unwrap_err();
    assert!(error.to_string().contains("tie order"));
    let text = |options: HvgOptions| select(input(&matrix), &options).unwrap_err().to_string();
    let default = HvgOptions::default();
    assert!(text(HvgOptions { n_top_genes: Some(0), ..default.clone() }).contains("n_top_genes"));
    assert!(text(HvgOptions { n_bins: 0, ..default.clone() }).contains("n_bins"));
    assert!(text(HvgOptions { span: 0.0, ..default.clone() }).contains("span"));
    assert!(text(HvgOptions { span: 1.1, ..default.clone() }).contains("span"));
    assert!(text(HvgOptions { min_disp: Bound(f64::NAN), ..default.clone() }).contains("min_disp"));
    let unused = HvgOptions { filter_unexpressed_genes: Some(true), ..with(Flavor::SeuratV3, None) };
    assert!(text(unused).contains("filter_unexpressed_genes"));
    assert!(text(HvgOptions { span: 0.05, ..with(Flavor::SeuratV3, None) }).contains("at least 3"));
    let contradiction = HvgOptions { filter_unexpressed_genes: Some(false), ..default };
    let halves: Vec<u32> = (0..30).map(|cell| cell % 2).collect();
    let error = select(HvgInput { batches: Some(&halves), ..input(&matrix) }, &contradiction).unwrap_err();
    assert!(error.to_string().contains("filter_unexpressed_genes"));
}

#[test]
fn infinite_bounds_survive_json() {
    use crate::options::Options as _;
    let options = HvgOptions { min_disp: Bound(f64::NEG_INFINITY), ..Default::default() };
    assert_eq!(HvgOptions::from_json(&options.to_json()).unwrap(), options);
    assert!(HvgOptions::from_json(r#"{"max_disp": "wide"}"#).is_err());
}
