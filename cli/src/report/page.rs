//! The page itself: sections around the plots.

use super::charts;
use super::data::{Cluster, MarkerRow, ReportData};
use super::embedding;
use super::text::{escape, fixed, p_value, script_json};
use crate::measure::{bytes_text, counted, grouped};

/// Colours of the first clusters: told apart in light and in dark, neighbours in the list unlike one another.
const COLOURS: [&str; 24] = [
    "#3b7ddd", "#ef7d31", "#2fa866", "#d8434e", "#9065cf", "#a0653e", "#e377b8", "#8a8f98", "#b8b62b", "#29b6c8",
    "#7aa6f0", "#f7b267", "#7fd19b", "#f2949b", "#c3a8ea", "#cfa17f", "#b5487f", "#5f6f3a", "#dfd873", "#8edbe4",
    "#1e4f9c", "#a8480f", "#13703f", "#8f1f35",
];

/// The colour of cluster `index`.
pub(super) fn colour(index: usize) -> String {
    match COLOURS.get(index) {
        Some(colour) => (*colour).to_string(),
        // Beyond the list: turn the hue by the golden angle, in rising and falling lightness.
        None => {
            let hue = (index as f64 * 137.508) % 360.0;
            let light = [58, 44, 70][index % 3];
            hsl(hue, 0.6, f64::from(light) / 100.0)
        }
    }
}

/// HSL as #rrggbb.
fn hsl(hue: f64, saturation: f64, lightness: f64) -> String {
    let amplitude = saturation * lightness.min(1.0 - lightness);
    let channel = |n: f64| {
        let k = (n + hue / 30.0) % 12.0;
        let value = lightness - amplitude * (k - 3.0).min(9.0 - k).clamp(-1.0, 1.0);
        (value * 255.0).round() as u8
    };
    format!("#{:02x}{:02x}{:02x}", channel(0.0), channel(8.0), channel(4.0))
}

/// The last part of a path.
pub(super) fn short_name(path: &str) -> &str {
    path.trim_end_matches(['/', '\\']).rsplit(['/', '\\']).next().unwrap_or(path)
}

/// A page up to its header. Pictures may stand in the page itself; nothing is fetched.
pub(super) fn beginning(input: &str, style: &str) -> String {
    let mut html = String::with_capacity(1 << 20);
    html.push_str(&format!(
        "<!doctype html>\n<html lang=en>\n<head>\n<meta charset=utf-8>\n\
         <meta name=viewport content=\"width=device-width, initial-scale=1\">\n\
         <meta http-equiv=Content-Security-Policy content=\"default-src 'none'; style-src 'unsafe-inline'; \
         script-src 'unsafe-inline'; img-src data:\">\n\
         <title>{} · zensaibo report</title>\n<style>\n{}{style}</style>\n</head>\n<body>\n",
        escape(short_name(input)),
        include_str!("style.css")
    ));
    html
}

/// The header of a page, up to its last note: title, what the page is about, numbers with what they count, notes.
pub(super) fn heading(
    title: &str,
    about: &str,
    time: Option<&str>,
    numbers: &[(String, String)],
    notes: &[String],
) -> String {
    let mut html = format!("<header><div><h1>{}</h1><div class=soft>{}", escape(title), escape(about));
    if let Some(time) = time {
        html.push_str(&format!(" · {}", escape(time)));
    }
    html.push_str("</div><div class=numbers>");
    for (value, what) in numbers {
        html.push_str(&format!("<div class=number><b>{}</b><span>{}</span></div>", escape(value), escape(what)));
    }
    html.push_str("</div>");
    for note in notes {
        html.push_str(&format!("<p class=note>{}</p>", escape(note)));
    }
    html
}

/// What ends the main part of every page.
pub(super) const END: &str =
    "</main>\n<footer>Made by zensaibo. The page is complete in itself and asks nothing of the network.</footer>\n";

/// The report as one HTML page.
pub fn page(data: &ReportData) -> String {
    let colours: Vec<String> = (0..data.clusters.len()).map(colour).collect();
    let cells = embedding::pack(&data.embedding, &data.clusters);
    let name = short_name(&data.input);
    let mut html = beginning(&data.input, "");
    html.push_str(&header(data, name));
    html.push_str(
        "<nav><div><a href=\"#embedding\">Embedding</a><a href=\"#markers\">Markers</a><a href=\"#quality\">Quality</a>\
         <a href=\"#genes-components\">Genes and components</a><a href=\"#run\">Run</a></div></nav>\n<main>\n",
    );
    html.push_str(&embedding_section(&cells, data));
    html.push_str(&marker_section(data, &colours));
    html.push_str(&quality_section(data));
    html.push_str(&feature_section(data));
    html.push_str(&run_section(&data.stages, &entries(data), &data.options));
    html.push_str(END);
    html.push_str(&format!(
        "<script type=\"application/json\" id=cells>{}</script>\n<script>const COLOURS = {};\n{}</script>\n</body>\n</html>\n",
        script_json(&cells),
        script_json(&serde_json::json!(colours)),
        include_str!("script.js")
    ));
    html
}

fn header(data: &ReportData, name: &str) -> String {
    let seconds: f64 = data.stages.iter().map(|stage| stage.wall_seconds).sum();
    let peak = data.stages.iter().map(|stage| stage.peak_bytes).max().unwrap_or(0);
    let number = |value: String, what: String| format!("<div class=number><b>{value}</b><span>{what}</span></div>");
    let mut html =
        format!("<header><div><h1>{}</h1><div class=soft>From raw counts to annotated clusters", escape(name));
    if let Some(time) = &data.time {
        html.push_str(&format!(" · {}", escape(time)));
    }
    html.push_str("</div><div class=numbers>");
    html.push_str(&number(grouped(data.cells as u64), format!("cells of {}", grouped(data.cells_read as u64))));
    html.push_str(&number(grouped(data.genes as u64), format!("genes of {}", grouped(data.genes_read as u64))));
    html.push_str(&number(grouped(data.n_variable as u64), "highly variable genes".into()));
    html.push_str(&number(data.clusters.len().to_string(), "clusters".into()));
    html.push_str(&number(format!("{} s", fixed(seconds, 1)), "from file to result".into()));
    html.push_str(&number(bytes_text(peak), "peak memory".into()));
    html.push_str("</div>");
    for note in &data.notes {
        html.push_str(&format!("<p class=note>{}</p>", escape(note)));
    }
    html.push_str("</div></header>\n");
    html
}

fn embedding_section(cells: &serde_json::Value, data: &ReportData) -> String {
    let (n, total) = (cells["n"].as_u64().unwrap_or(0), cells["total"].as_u64().unwrap_or(0));
    let shown = if n < total {
        format!("{} of {} cells are drawn, evenly from each cluster.", grouped(n), grouped(total))
    } else {
        format!("All {} are drawn.", counted(data.cells, "cell"))
    };
    let modularity = fixed(data.modularity, 3);
    format!(
        "<section id=embedding><h2>Embedding</h2>\n\
         <p>UMAP of the neighbour graph, clusters by Leiden (modularity {modularity}). {shown} Drag to move, turn the wheel to zoom, double-click to return; \
         point at a cluster in the list to see it alone.</p>\n\
         <div class=\"card map\"><div class=stage><canvas id=map role=img aria-label=\"UMAP of the cells\"></canvas>\
         <div id=tip class=tip></div><div id=ramp class=ramp><span id=ramp-name></span><i id=ramp-bar></i><span id=ramp-top></span></div>\
         <noscript><p>The embedding is drawn by the page's own script, which this browser does not run.</p></noscript><p id=map-note></p></div>\n\
         <div class=side><div class=switch role=group aria-label=\"Colour by\"><button id=by-cluster aria-pressed=true>Clusters</button>\
         <button id=by-gene aria-pressed=false>Gene</button></div>\
         <input id=gene list=genes placeholder=\"Gene (markers are offered)\" aria-label=Gene autocomplete=off spellcheck=false><datalist id=genes></datalist>\
         <div id=legend class=legend></div></div></div></section>\n"
    )
}

fn marker_section(data: &ReportData, colours: &[String]) -> String {
    let offered: std::collections::BTreeSet<&str> =
        data.embedding.genes.iter().map(|gene| gene.name.as_str()).collect();
    let mut html = format!(
        "<section id=markers><h2>Markers</h2>\n<p>Each cluster against all other cells ({}). Colour in the dot plot: mean expression, \
         each gene from its lowest to its highest cluster; size: share of cells that express it. A gene with a dotted line \
         below it can be clicked and is shown in the embedding.</p>\n",
        escape(&data.marker_method)
    );
    if !data.dots.genes.is_empty() {
        html.push_str(&format!(
            "<div class=\"card scroll\">{}</div>\n<p></p>",
            charts::dots(&data.dots, &data.clusters)
        ));
    }
    html.push_str("<div class=markers>");
    for (cluster, colour) in data.clusters.iter().zip(colours) {
        html.push_str(&marker_table(cluster, colour, &offered));
    }
    html.push_str("</div></section>\n");
    html
}

fn marker_table(cluster: &Cluster, colour: &str, offered: &std::collections::BTreeSet<&str>) -> String {
    let row = |marker: &MarkerRow| {
        let name = escape(&marker.gene);
        let name =
            if offered.contains(marker.gene.as_str()) { format!("<button class=gene>{name}</button>") } else { name };
        format!(
            "<tr><td>{name}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
            fixed(marker.score, 1),
            fixed(marker.log_fold_change, 2),
            p_value(marker.p_adjusted),
            fixed(marker.fraction_in * 100.0, 0),
            fixed(marker.fraction_out * 100.0, 0)
        )
    };
    let body = if cluster.markers.is_empty() {
        "<p>No test: the cluster, or what is outside of it, has too few cells.</p>".to_string()
    } else {
        format!(
            "<table><thead><tr><th>gene</th><th>score</th><th>log₂ FC</th><th>adj. p</th><th>% in</th><th>% out</th></tr></thead><tbody>{}</tbody></table>",
            cluster.markers.iter().map(row).collect::<String>()
        )
    };
    format!(
        "<div class=card><h3><i style=\"background:{colour}\"></i>Cluster {}<span class=soft>{}</span></h3>{body}</div>",
        escape(&cluster.name),
        counted(cluster.size, "cell")
    )
}

fn quality_section(data: &ReportData) -> String {
    let removed = data.cells_read - data.cells.min(data.cells_read);
    let mut html = format!(
        "<section id=quality><h2>Quality of the cells</h2>\n<p>All {} of the input; dashed lines are the limits of the filter. \
         {} removed.</p>\n<p><span class=key><i style=\"background:var(--accent)\"></i>kept</span>\
         <span class=key><i style=\"background:var(--removed)\"></i>removed</span></p>\n<div class=plots>",
        counted(data.cells_read, "cell"),
        if removed == 0 {
            "None was".to_string()
        } else {
            format!("{} {}", counted(removed, "cell"), if removed == 1 { "was" } else { "were" })
        },
    );
    for metric in &data.qc {
        html.push_str(&card(&charts::histogram(metric, &data.kept)));
    }
    if let [genes, counts, rest @ ..] = data.qc.as_slice() {
        html.push_str(&card(&charts::scatter(counts, genes, &data.kept)));
        if let Some(share) = rest.first() {
            html.push_str(&card(&charts::scatter(counts, share, &data.kept)));
        }
        html.push_str(&card(&charts::knee(counts, &data.kept)));
    }
    html.push_str("</div></section>\n");
    html
}

fn feature_section(data: &ReportData) -> String {
    let mut html = String::from("<section id=genes-components><h2>Genes and components</h2>\n<div class=plots>");
    if let Some(plot) = &data.features {
        html.push_str(&format!(
            "<div class=card><h3>{} highly variable genes</h3>{}</div>",
            grouped(data.n_variable as u64),
            charts::features(plot)
        ));
    }
    if !data.variance_ratio.is_empty() {
        html.push_str(&format!(
            "<div class=card><h3>{} principal components, {} % of the variance of those genes</h3>{}</div>",
            data.variance_ratio.len(),
            fixed(data.variance_ratio.iter().sum::<f64>() * 100.0, 1),
            charts::elbow(&data.variance_ratio)
        ));
    }
    html.push_str("</div></section>\n");
    html
}

/// The input, the output and what made it, as HTML.
fn entries(data: &ReportData) -> Vec<(String, String)> {
    let mut entries = vec![("input".to_string(), escape(&data.input))];
    let mut entry = |what: &str, value: String| entries.push((what.to_string(), value));
    if !data.input_format.is_empty() {
        entry("format", escape(&data.input_format));
    }
    if !data.input_sha256.is_empty() {
        entry("size", bytes_text(data.input_bytes));
        entry("SHA-256", format!("<span class=mono>{}</span>", escape(&data.input_sha256)));
    }
    if !data.output.is_empty() {
        entry("output", escape(&data.output));
    }
    for (what, version) in &data.versions {
        entry(what, escape(version));
    }
    entries
}

/// Costs, files and options. The values of `entries` are HTML.
pub(super) fn run_section(
    stages: &[crate::measure::StageRecord],
    entries: &[(String, String)],
    options: &[(String, Vec<(String, String)>)],
) -> String {
    let mut html = String::from("<section id=run><h2>Run</h2>\n<div class=plots>");
    let longest = stages.iter().map(|stage| stage.wall_seconds).fold(0.0, f64::max).max(1e-9);
    html.push_str("<div class=card><h3>Stages</h3><table><thead><tr><th>stage</th><th>seconds</th><th class=text></th><th>CPU s</th><th>peak so far</th></tr></thead><tbody>");
    for stage in stages {
        html.push_str(&format!(
            "<tr title=\"{}\"><td>{}</td><td>{}</td><td class=text><span class=bar style=\"width:{:.1}px\"></span></td><td>{}</td><td>{}</td></tr>",
            escape(&stage.note),
            escape(&stage.name),
            fixed(stage.wall_seconds, 2),
            stage.wall_seconds / longest * 90.0,
            fixed(stage.cpu_seconds, 2),
            bytes_text(stage.peak_bytes)
        ));
    }
    let sum = |read: fn(&crate::measure::StageRecord) -> f64| stages.iter().map(read).sum::<f64>();
    html.push_str(&format!(
        "<tr><td><b>all</b></td><td><b>{}</b></td><td></td><td><b>{}</b></td><td></td></tr></tbody></table></div>",
        fixed(sum(|stage| stage.wall_seconds), 2),
        fixed(sum(|stage| stage.cpu_seconds), 2)
    ));
    html.push_str("<div class=card><h3>Input and output</h3><dl>");
    for (what, value) in entries {
        html.push_str(&format!("<dt>{}</dt><dd>{value}</dd>", escape(what)));
    }
    html.push_str("</dl></div></div>\n<p></p><div class=card><h3>Options</h3><div class=options>");
    for (section, options) in options {
        html.push_str(&format!("<section><h3 class=mono>[{}]</h3><dl class=mono>", escape(section)));
        for (name, value) in options {
            html.push_str(&format!("<dt>{}</dt><dd>{}</dd>", escape(name), escape(value)));
        }
        html.push_str("</dl></section>");
    }
    html.push_str("</div></div></section>\n");
    html
}

fn card(svg: &str) -> String {
    format!("<div class=card>{svg}</div>")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_do_not_repeat() {
        let all: std::collections::BTreeSet<String> = (0..80).map(colour).collect();
        assert_eq!(all.len(), 80);
        assert!(all.iter().all(|colour| colour.len() == 7));
        assert_eq!(hsl(0.0, 1.0, 0.5), "#ff0000");
        assert_eq!(hsl(120.0, 1.0, 0.5), "#00ff00");
    }
}
