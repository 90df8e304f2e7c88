//! The page of cells that got a type and a place: where each type lies, which regions it fills, and the reference it was learnt from.

use serde_json::{Value, json};

use super::MOST_POINTS;
use super::charts;
use super::embedding::{Quantised, deflated, members};
use super::page::{END, beginning, colour, heading, run_section, short_name};
use super::text::{escape, fixed, px, script_json};
use super::volume::Distribution;
use crate::measure::{StageRecord, counted, grouped};

/// Everything on the page of cells with a type and a place.
#[derive(Clone, Debug, Default)]
pub struct JointReport {
    /// The cells in space, as the user named the file.
    pub input: String,
    /// The reference, as the user named the file.
    pub reference: String,
    /// When the run was made, as text; left out when `None`.
    pub time: Option<String>,
    /// The numbers at the top, each with what it counts.
    pub numbers: Vec<(String, String)>,
    /// What the user should know.
    pub notes: Vec<String>,
    /// The types, in the order of their numbers.
    pub types: Vec<String>,
    /// Coordinates of each cell: x to the right, y down, z (0 where there are two dimensions).
    pub places: Vec<[f32; 3]>,
    /// 2 or 3.
    pub dimensions: usize,
    /// Unit of the coordinates; empty for none.
    pub unit: String,
    /// Type of each cell.
    pub labels: Vec<u32>,
    /// How sure that is, 0 to 1.
    pub confidence: Vec<f32>,
    /// Regions of an atlas or a tissue; none for an empty list.
    pub regions: Vec<String>,
    /// Region of each cell; any number beyond the list for a cell that lies in none.
    pub region: Vec<u32>,
    /// Two coordinates of each cell of the reference; empty where it has no embedding.
    pub embedding: Vec<[f32; 2]>,
    /// Type of each cell of the reference.
    pub embedded: Vec<u32>,
    /// What the embedding is.
    pub basis: String,
    /// Genes held out, each with its score.
    pub held_out: Vec<(String, f64)>,
    /// What that score is.
    pub score: String,
    /// The stages in order.
    pub stages: Vec<StageRecord>,
    /// Files and counts: names and values.
    pub entries: Vec<(String, String)>,
    /// Sections of the options, each with its options and their values.
    pub options: Vec<(String, Vec<(String, String)>)>,
}

/// Regions shown as bars, the largest.
const REGIONS: usize = 60;
/// Genes shown in the table of those held out, from both ends.
const GENES: usize = 12;

/// Styles beyond those that all reports share.
const STYLE: &str = "
.panels { display: grid; grid-template-columns: minmax(0, 1.35fr) minmax(0, 1fr) 260px; gap: 18px; }
.panels.one { grid-template-columns: minmax(0, 1fr) 260px; }
@media (max-width: 980px) { .panels, .panels.one { grid-template-columns: minmax(0, 1fr); } }
.panels canvas { aspect-ratio: auto; height: 560px; cursor: grab; }
.panels h3 { margin-bottom: 4px; }
.two { display: grid; grid-template-columns: repeat(auto-fit, minmax(340px, 1fr)); gap: 16px; }
";

/// The report as one HTML page.
pub fn joint_page(data: &JointReport) -> String {
    let mut html = beginning(&data.input, STYLE);
    let about = format!("Cells in place, with types from {}", short_name(&data.reference));
    html.push_str(&heading(short_name(&data.input), &about, data.time.as_deref(), &data.numbers, &data.notes));
    let packed = pack(data);
    html.push_str("</div></header>\n<nav><div><a href=\"#cells-in-place\">Cells in place</a>");
    if !data.regions.is_empty() {
        html.push_str("<a href=\"#regions\">Regions</a>");
    }
    html.push_str("<a href=\"#trust\">Trust</a><a href=\"#run\">Run</a></div></nav>\n<main>\n");
    html.push_str(&panels(data, &packed));
    if !data.regions.is_empty() {
        html.push_str(&regions(data));
    }
    html.push_str(&trust(data));
    let entries: Vec<(String, String)> =
        data.entries.iter().map(|(what, value)| (what.clone(), escape(value))).collect();
    html.push_str(&run_section(&data.stages, &entries, &data.options));
    html.push_str(END);
    let colours = |many: usize| json!((0..many).map(colour).collect::<Vec<_>>());
    html.push_str(&format!(
        "<script type=\"application/json\" id=cells>{}</script>\n<script>const COLOURS = {}, REGION_COLOURS = {};\n{}</script>\n</body>\n</html>\n",
        script_json(&packed),
        script_json(&colours(data.types.len())),
        script_json(&colours(data.regions.len())),
        include_str!("joint.js")
    ));
    html
}

fn panels(data: &JointReport, packed: &Value) -> String {
    let drawn = packed["places"]["n"].as_u64().unwrap_or(0);
    let total = data.places.len() as u64;
    let shown = if drawn < total {
        format!("{} of {} cells are drawn, evenly from each type. ", grouped(drawn), grouped(total))
    } else {
        String::new()
    };
    let turn = if data.dimensions == 3 { "Drag to turn, with the shift key to move" } else { "Drag to move" };
    let mut html = format!(
        "<section id=cells-in-place><h2>Cells in place</h2>\n<p>{shown}{turn}; turn the wheel to zoom, double-click to return. \
         A type in the list is picked out in both panels: the same colours stand for the same types.</p>\n<div class=\"card panels{}\">\
         <div><h3>Where they lie</h3><div class=stage><canvas id=organ role=img aria-label=\"Cells in place, coloured by type\"></canvas>\
         <div id=tip class=tip></div><noscript><p>The cells are drawn by the page's own script, which this browser does not run.</p></noscript>\
         <p id=map-note></p></div></div>\n",
        if data.embedding.is_empty() { " one" } else { "" }
    );
    if !data.embedding.is_empty() {
        html.push_str(&format!(
            "<div><h3>What they are: {} of the reference</h3><div class=stage><canvas id=umap role=img aria-label=\"Cells of the reference\"></canvas></div></div>\n",
            escape(&data.basis)
        ));
    }
    html.push_str(
        "<div class=side><div class=switch role=group aria-label=\"Colour by\"><button id=by-type aria-pressed=true>Type</button>\
         <button id=by-sure aria-pressed=false>Confidence</button>",
    );
    if !data.regions.is_empty() {
        html.push_str("<button id=by-region aria-pressed=false>Region</button>");
    }
    html.push_str(
        "</div><div id=ramp class=ramp><span>0</span><i id=ramp-bar></i><span>1</span></div>\
         <div id=legend class=legend></div></div></div></section>\n",
    );
    html
}

/// Types in each region: bars of shares, and the number of cells.
fn regions(data: &JointReport) -> String {
    const STEP: f64 = 22.0;
    const BEFORE: f64 = 170.0;
    const ALL: f64 = 1000.0;
    let k = data.types.len();
    let mut counts = vec![0u64; data.regions.len() * k];
    let mut outside = 0u64;
    for (&region, &label) in data.region.iter().zip(&data.labels) {
        match counts.get_mut(region as usize * k + label as usize) {
            Some(count) => *count += 1,
            None => outside += 1,
        }
    }
    let total = |region: usize| counts[region * k..(region + 1) * k].iter().sum::<u64>();
    let mut order: Vec<usize> = (0..data.regions.len()).filter(|&region| total(region) > 0).collect();
    order.sort_by_key(|&region| (std::cmp::Reverse(total(region)), region));
    let left_out = order.len().saturating_sub(REGIONS);
    order.truncate(REGIONS);
    let mut html =
        String::from("<section id=regions><h2>Regions</h2>\n<p>Share of each type among the cells of a region");
    if left_out > 0 {
        html.push_str(&format!("; the largest {REGIONS} regions, {left_out} smaller ones are left out"));
    }
    if outside > 0 {
        let verb = if outside == 1 { "lies" } else { "lie" };
        html.push_str(&format!("; {} {verb} in no region", counted(outside as usize, "cell")));
    }
    html.push_str(".</p>\n<div class=card>");
    html.push_str(&format!(
        "<svg viewBox=\"0 0 {ALL} {}\" role=img aria-label=\"Types in each region\">",
        px(order.len() as f64 * STEP + 6.0)
    ));
    for (row, &region) in order.iter().enumerate() {
        let (top, all) = (row as f64 * STEP + 3.0, total(region));
        html.push_str(&format!(
            "<text class=label x={} y={} text-anchor=end>{}</text>",
            px(BEFORE - 8.0),
            px(top + 12.5),
            escape(&charts::shortened(&data.regions[region], 24))
        ));
        let mut from = BEFORE;
        for kind in 0..k {
            let count = counts[region * k + kind];
            if count == 0 {
                continue;
            }
            let width = count as f64 / all as f64 * (ALL - BEFORE - 90.0);
            html.push_str(&format!(
                "<rect x={} y={} width={} height={} fill=\"{}\"><title>{}: {} of {} cells are {}</title></rect>",
                px(from),
                px(top),
                px(width),
                px(STEP - 6.0),
                colour(kind),
                escape(&data.regions[region]),
                grouped(count),
                grouped(all),
                escape(&data.types[kind])
            ));
            from += width;
        }
        html.push_str(&format!("<text class=tick x={} y={}>{}</text>", px(from + 8.0), px(top + 12.5), grouped(all)));
    }
    html.push_str("</svg></div></section>\n");
    html
}

/// How sure the types are, and genes that were held out.
fn trust(data: &JointReport) -> String {
    let mut html = String::from("<section id=trust><h2>Trust</h2>\n<div class=two>");
    html.push_str(&format!(
        "<div class=card><h3>How sure the types are</h3>{}<p>The share of the weight of a cell's neighbours in the reference \
         that speaks for its type.</p></div>",
        charts::distribution(&Distribution {
            label: "confidence".into(),
            of: "cells".into(),
            values: data.confidence.iter().map(|&value| f64::from(value)).collect(),
            limit: None,
        })
    ));
    if !data.held_out.is_empty() {
        let mut genes: Vec<&(String, f64)> = data.held_out.iter().filter(|gene| gene.1.is_finite()).collect();
        genes.sort_by(|a, b| b.1.total_cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        let mean = genes.iter().map(|gene| gene.1).sum::<f64>() / genes.len().max(1) as f64;
        let silent = match data.held_out.len() - genes.len() {
            0 => String::new(),
            some => format!(" {} that vary on one side alone have none.", counted(some, "gene")),
        };
        html.push_str(&format!(
            "<div class=card><h3>Genes held out, part by part</h3><p>Predicted by a mapping that did not see them, against what was measured: \
             mean {} {} of {}.{silent}</p><table><tr><th>gene</th><th>{}</th></tr>",
            escape(&data.score),
            fixed(mean, 3),
            counted(genes.len(), "gene"),
            escape(&data.score)
        ));
        let row = |gene: &(String, f64)| format!("<tr><td>{}</td><td>{}</td></tr>", escape(&gene.0), fixed(gene.1, 3));
        if genes.len() <= 2 * GENES {
            html.extend(genes.iter().copied().map(row));
        } else {
            html.extend(genes[..GENES].iter().copied().map(row));
            html.push_str("<tr><td>…</td><td></td></tr>");
            html.extend(genes[genes.len() - GENES..].iter().copied().map(row));
        }
        html.push_str("</table></div>");
    }
    html.push_str("</div></section>\n");
    html
}

/// The cells as the page's script reads them: in order of their types, coordinates in 16 bits over one common range.
fn pack(data: &JointReport) -> Value {
    let by_type = |labels: &[u32]| {
        let members = members(labels, data.types.len());
        let total: usize = members.iter().map(Vec::len).sum();
        let stride = total.div_ceil(MOST_POINTS).max(1);
        let shown: Vec<Vec<usize>> =
            members.iter().map(|cells| cells.iter().copied().step_by(stride).collect()).collect();
        (members, shown)
    };
    let (members, shown) = by_type(&data.labels);
    let order: Vec<usize> = shown.iter().flatten().copied().collect();
    let places = Quantised::new(&order, data.dimensions.clamp(2, 3), |cell, axis| data.places[cell][axis]);
    let confidence: Vec<u8> =
        order.iter().map(|&cell| (data.confidence[cell].clamp(0.0, 1.0) * 255.0).round() as u8).collect();
    let region: Vec<u8> = order
        .iter()
        .flat_map(|&cell| (data.region.get(cell).copied().unwrap_or(u32::MAX).min(0xffff) as u16).to_le_bytes())
        .collect();
    let mut sizes = vec![0usize; data.regions.len()];
    data.region.iter().for_each(|&at| {
        if let Some(size) = sizes.get_mut(at as usize) {
            *size += 1;
        }
    });
    let named = |names: &[String], sizes: &[usize]| -> Value {
        names.iter().zip(sizes).map(|(name, size)| json!({ "name": name, "size": size })).collect()
    };
    let type_sizes: Vec<usize> = members.iter().map(Vec::len).collect();
    let mut packed = json!({
        "types": named(&data.types, &type_sizes),
        "regions": named(&data.regions, &sizes),
        "places": {
            "n": order.len(), "dimensions": data.dimensions.clamp(2, 3), "points": places.packed, "extent": places.shares,
            "span": places.span, "unit": data.unit,
            "shown": shown.iter().map(Vec::len).collect::<Vec<_>>(), "confidence": deflated(&confidence), "regions": deflated(&region),
        },
    });
    if !data.embedding.is_empty() {
        let (_, shown) = by_type(&data.embedded);
        let order: Vec<usize> = shown.iter().flatten().copied().collect();
        let embedded = Quantised::new(&order, 2, |cell, axis| data.embedding[cell][axis]);
        packed["reference"] = json!({
            "n": order.len(), "points": embedded.packed, "extent": embedded.shares,
            "shown": shown.iter().map(Vec::len).collect::<Vec<_>>(),
        });
    }
    packed
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(evil: &str, dimensions: usize) -> JointReport {
        JointReport {
            input: format!("/data/{evil}.h5ad"),
            reference: format!("{evil}.h5ad"),
            time: Some(evil.into()),
            numbers: vec![(evil.into(), evil.into())],
            notes: vec![evil.into()],
            types: vec![evil.into(), "b".into(), "none".into()],
            places: vec![[0.0, 0.0, 0.0], [100.0, 50.0, 10.0], [50.0, 25.0, f32::NAN], [1.0, 2.0, 3.0]],
            dimensions,
            unit: "µm".into(),
            labels: vec![1, 0, 1, 0],
            confidence: vec![1.0, 0.5, f32::NAN, 0.0],
            regions: vec![evil.into(), "empty".into(), "r".into()],
            region: vec![0, 2, 2, u32::MAX],
            embedding: vec![[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]],
            embedded: vec![0, 1, 1],
            basis: evil.into(),
            held_out: (0..40).map(|at| (format!("{evil}{at}"), f64::from(at) / 40.0)).collect(),
            score: evil.into(),
            stages: Vec::new(),
            entries: vec![(evil.into(), evil.into())],
            options: vec![(evil.into(), vec![(evil.into(), evil.into())])],
        }
    }

    #[test]
    fn a_page_is_whole_and_escaped() {
        let evil = "<script>alert('x')</script>&\"";
        let html = joint_page(&report(evil, 3));
        assert!(!html.contains("<script>alert") && html.ends_with("</html>\n"));
        assert_eq!(html.matches("<svg").count(), html.matches("</svg>").count());
        assert!(html.contains("1 cell lies in no region") && html.contains("id=umap") && html.contains("id=by-region"));
        for address in ["http://", "https://", "src="] {
            assert!(!html.contains(address), "{address}");
        }
        assert_eq!(joint_page(&report(evil, 3)), html);
        // Without regions, embedding or held-out genes it is a page too, and of no cells at all.
        let bare = joint_page(&JointReport { dimensions: 2, ..Default::default() });
        assert!(bare.ends_with("</html>\n") && !bare.contains("id=by-region") && !bare.contains("<canvas id=umap"));
    }

    #[test]
    fn packs_by_hand() {
        let packed = pack(&report("a", 3));
        // Types in their order: cells 1, 3 of the first, 0, 2 of the second.
        assert_eq!(packed["places"]["shown"], json!([2, 2, 0]));
        assert_eq!(packed["types"][0], json!({ "name": "a", "size": 2 }));
        assert_eq!(
            packed["regions"],
            json!([{ "name": "a", "size": 1 }, { "name": "empty", "size": 0 }, { "name": "r", "size": 2 }])
        );
        assert_eq!(packed["places"]["extent"], json!([1.0, 0.5, 0.1]));
        assert_eq!(packed["places"]["span"], 100.0);
        let numbers: Vec<u16> = super::super::embedding::inflated(&packed["places"]["points"])
            .chunks(2)
            .map(|pair| u16::from_le_bytes([pair[0], pair[1]]))
            .collect();
        assert_eq!(numbers[..4], [65535, 655, 0, 32768]);
        assert_eq!(numbers[4..8], [32768, 1311, 0, 16384]);
        assert_eq!(super::super::embedding::inflated(&packed["places"]["confidence"]), [128, 0, 255, 0]);
        assert_eq!(super::super::embedding::inflated(&packed["places"]["regions"]), [2, 0, 255, 255, 0, 0, 2, 0]);
        assert_eq!(packed["reference"]["shown"], json!([1, 2, 0]));
        // In the plane the third coordinate is not written.
        assert_eq!(pack(&report("a", 2))["places"]["extent"], json!([1.0, 0.5]));
    }
}
