//! The page of invented data: complete, well-formed, escaped, without network.

use super::*;
use crate::measure::StageRecord;
use zensaibo_core::random::Stream;

/// Three clusters of `n` cells each with names that try to break out of the page.
fn invented(n: usize) -> ReportData {
    let mut random = Stream::new(5, 0);
    let clusters = 3;
    let cells = n * clusters;
    let evil = "<script>alert('x')</script>&\"";
    let mut points = Vec::new();
    let mut labels = Vec::new();
    for cell in 0..cells {
        let cluster = cell % clusters;
        let (x, y) = ([0.0, 8.0, 3.0][cluster], [0.0, 1.0, 7.0][cluster]);
        points.push([x + random.normal() as f32, y + random.normal() as f32]);
        labels.push(cluster as u32);
    }
    let genes: Vec<String> =
        (0..clusters * 3).map(|gene| if gene == 0 { evil.into() } else { format!("GENE{gene}") }).collect();
    let level = |gene: usize, cell: usize| if gene / 3 == cell % clusters { 2.0 } else { 0.1 };
    let counts: Vec<f64> = (0..cells + 50).map(|_| (random.normal() * 0.5 + 7.5).exp()).collect();
    let detected: Vec<f64> = counts.iter().map(|count| count.powf(0.85)).collect();
    let mito: Vec<f64> = (0..cells + 50).map(|_| (random.normal() * 0.5 + 1.0).exp()).collect();
    let kept: Vec<bool> = (0..cells + 50).map(|cell| cell < cells).collect();
    let x: Vec<f64> = (0..2000).map(|_| (random.normal() - 1.0).exp()).collect();
    let y: Vec<f64> = (0..2000).map(|_| random.normal()).collect();
    ReportData {
        input: format!("/data/{evil}.h5ad"),
        input_format: "h5ad".into(),
        input_bytes: 123_456_789,
        input_sha256: "ab".repeat(32),
        output: "out.h5ad".into(),
        time: Some("2026-11-21".into()),
        versions: vec![("zensaibo".into(), "0.1.0".into())],
        cells_read: cells + 50,
        genes_read: 32_738,
        cells,
        genes: 2000,
        n_variable: 400,
        modularity: 0.81,
        qc: vec![
            QcMetric { label: "genes detected per cell".into(), values: detected, lower: Some(200.0), upper: None },
            QcMetric { label: "counts per cell".into(), values: counts, lower: None, upper: None },
            QcMetric { label: "% mitochondrial counts".into(), values: mito, lower: None, upper: Some(5.0) },
        ],
        kept,
        features: Some(FeaturePlot {
            x_label: "mean expression".into(),
            y_label: "normalised dispersion".into(),
            x_log: true,
            y_log: false,
            chosen: y.iter().map(|y| *y > 0.8).collect(),
            names: (0..2000).map(|gene| format!("G{gene}{evil}")).collect(),
            x,
            y,
        }),
        variance_ratio: (0..50).map(|pc| 0.08 * 0.85f64.powi(pc) + 0.001).collect(),
        embedding: Embedding {
            points,
            labels,
            genes: genes
                .iter()
                .enumerate()
                .map(|(gene, name)| GeneValues {
                    name: name.clone(),
                    values: (0..cells).map(|cell| level(gene, cell) as f32).collect(),
                })
                .collect(),
        },
        clusters: (0..clusters)
            .map(|cluster| Cluster {
                name: cluster.to_string(),
                size: n,
                markers: (0..10)
                    .map(|rank| MarkerRow {
                        gene: genes.get(cluster * 3 + rank).filter(|_| rank < 3).cloned().unwrap_or(format!("X{rank}")),
                        score: 30.0 - rank as f64,
                        log_fold_change: 3.2,
                        p_adjusted: if rank == 0 { 0.0 } else { 1e-40 },
                        fraction_in: 0.97,
                        fraction_out: 0.12,
                    })
                    .collect(),
            })
            .collect(),
        marker_method: "t-test".into(),
        dots: DotData {
            of_cluster: (0..genes.len()).map(|gene| gene / 3).collect(),
            means: (0..clusters).map(|c| (0..genes.len()).map(|gene| level(gene, c)).collect()).collect(),
            fractions: (0..clusters).map(|c| (0..genes.len()).map(|gene| level(gene, c) / 2.2).collect()).collect(),
            genes,
        },
        stages: ["read", "umap"]
            .map(|name| StageRecord {
                name: name.into(),
                note: evil.into(),
                wall_seconds: 1.0,
                cpu_seconds: 1.9,
                peak_bytes: 400_000_000,
            })
            .to_vec(),
        options: vec![("leiden".into(), vec![("resolution".into(), "1.0".into()), ("name".into(), evil.into())])],
        notes: vec![evil.into()],
    }
}

/// The opening and closing tags of a page match; void elements and the insides of script and style are skipped.
fn unbalanced(html: &str) -> Option<String> {
    const VOID: [&str; 7] = ["meta", "input", "br", "link", "img", "hr", "!doctype"];
    let mut open: Vec<String> = Vec::new();
    let mut rest = html;
    while let Some(at) = rest.find('<') {
        rest = &rest[at + 1..];
        let Some(end) = rest.find('>') else { return Some("a tag that does not end".into()) };
        let tag = &rest[..end];
        let name: String =
            tag.trim_start_matches('/').chars().take_while(|c| !c.is_whitespace() && *c != '/').collect();
        rest = &rest[end + 1..];
        if tag.starts_with('/') {
            match open.pop() {
                Some(opened) if opened == name => {}
                opened => return Some(format!("</{name}> closes {opened:?}")),
            }
        } else if !VOID.contains(&name.as_str()) && !tag.ends_with('/') {
            if name == "script" || name == "style" {
                match rest.find(&format!("</{name}>")) {
                    Some(at) => rest = &rest[at + name.len() + 3..],
                    None => return Some(format!("<{name}> does not end")),
                }
            } else {
                open.push(name);
            }
        }
    }
    open.pop()
}

#[test]
fn the_page_is_whole_escaped_and_offline() {
    let html = page(&invented(300));
    if let Some(path) = std::env::var_os("ZENSAIBO_KEEP_REPORT") {
        std::fs::write(path, &html).unwrap();
    }
    assert_eq!(unbalanced(&html), None);
    assert!(!html.contains("<script>alert"), "a name broke out");
    assert!(html.contains("&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;&amp;&quot;"));
    for external in ["http://", "https://", "src=", "@import", "url(", "<link"] {
        assert!(!html.contains(external), "the page refers to {external}");
    }
    for shown in ["GENE4", "Cluster 2", "resolution", &"ab".repeat(32), "&lt; 1e-300", "modularity 0.810"] {
        assert!(html.contains(shown), "{shown} is not shown");
    }
    assert_eq!(html.matches("<script").count(), 2);
    assert_eq!(html, page(&invented(300)), "the same data must give the same page");
}

#[test]
fn the_balance_check_can_fail() {
    assert!(unbalanced("<p><b></p>").is_some());
    assert!(unbalanced("<p>").is_some());
    assert_eq!(unbalanced("<p><line /><b>x</b></p>"), None);
}

#[test]
fn a_large_page_stays_small() {
    let data = invented(40_000);
    let html = page(&data);
    assert!(html.len() < 3_000_000, "{} bytes", html.len());
    assert!(
        html.contains("100,000 of 120,000 cells are drawn") || html.contains("60,000 of 120,000 cells are drawn"),
        "it says how many it draws"
    );
}

#[test]
fn an_empty_page_is_still_a_page() {
    assert_eq!(unbalanced(&page(&ReportData::default())), None);
}
