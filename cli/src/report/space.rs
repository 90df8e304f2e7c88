//! The page of a run on cells in tissue: maps, labels among neighbours and by distance, genes.

use super::charts;
use super::page::{END, beginning, colour, heading, run_section, short_name};
use super::scale::Scale;
use super::text::{escape, fixed, p_value, px, tick};
use super::volume::{Pixels, png, round_length};
use crate::measure::{StageRecord, grouped};

/// Everything on the page of cells in tissue.
#[derive(Clone, Debug, Default)]
pub struct SpaceReport {
    /// The file as the user named it.
    pub input: String,
    /// When the run was made, as text; left out when `None`.
    pub time: Option<String>,
    /// The numbers at the top, each with what it counts.
    pub numbers: Vec<(String, String)>,
    /// What the user should know.
    pub notes: Vec<String>,
    /// The labels, in the order of their numbers.
    pub names: Vec<String>,
    /// One map for each library.
    pub maps: Vec<Map>,
    /// Labels among neighbours.
    pub heatmap: Option<Heatmap>,
    /// Labels by distance.
    pub lines: Option<Lines>,
    /// Genes of each test.
    pub tables: Vec<GeneTable>,
    /// The stages in order.
    pub stages: Vec<StageRecord>,
    /// Files and counts: names and values.
    pub entries: Vec<(String, String)>,
    /// Sections of the options, each with its options and their values.
    pub options: Vec<(String, Vec<(String, String)>)>,
}

/// The cells of a library, from above.
#[derive(Clone, Debug)]
pub struct Map {
    /// The library.
    pub title: String,
    /// x to the right and y downwards, as in images.
    pub points: Vec<[f64; 2]>,
    /// Label of each.
    pub labels: Vec<u32>,
    /// Unit of the coordinates; empty for none.
    pub unit: String,
}

/// Standard scores of pairs of labels.
#[derive(Clone, Debug)]
pub struct Heatmap {
    /// Labels, of rows and columns.
    pub names: Vec<String>,
    /// Row by row; NaN for none.
    pub values: Vec<f64>,
    /// Edges behind them.
    pub counts: Vec<u64>,
}

/// Curves over distance.
#[derive(Clone, Debug)]
pub struct Lines {
    /// Distances.
    pub x: Vec<f64>,
    /// What they are.
    pub x_label: String,
    /// Names of the curves.
    pub names: Vec<String>,
    /// Number of the colour of each.
    pub colours: Vec<usize>,
    /// Their values; NaN for none.
    pub values: Vec<Vec<f64>>,
}

/// Genes with two numbers and a word.
#[derive(Clone, Debug)]
pub struct GeneTable {
    /// Heading.
    pub title: String,
    /// Headings of the columns after the gene; an empty one is left out.
    pub columns: [String; 3],
    /// Gene, score, p value, word.
    pub rows: Vec<(String, f64, f64, String)>,
}

/// Styles beyond those that all reports share.
const STYLE: &str = "
.two { display: grid; grid-template-columns: repeat(auto-fit, minmax(360px, 1fr)); gap: 16px; }
.tissue { border-radius: 8px; background: #12161c; }
.tissue .bar-text { font-size: 30px; fill: #fff; }
.keys { margin: 0 0 14px; }
";

/// The report as one HTML page.
pub fn space_page(data: &SpaceReport) -> String {
    let mut html = beginning(&data.input, STYLE);
    html.push_str(&heading(
        short_name(&data.input),
        "Cells in tissue",
        data.time.as_deref(),
        &data.numbers,
        &data.notes,
    ));
    html.push_str(
        "</div></header>\n<nav><div><a href=\"#maps\">Maps</a><a href=\"#labels\">Labels</a><a href=\"#genes\">Genes</a>\
         <a href=\"#run\">Run</a></div></nav>\n<main>\n<section id=maps><h2>Maps</h2>\n<div class=keys>",
    );
    for (at, name) in data.names.iter().enumerate() {
        html.push_str(&format!("<span class=key><i style=\"background:{}\"></i>{}</span>", colour(at), escape(name)));
    }
    html.push_str("</div>\n<div class=two>");
    for map in &data.maps {
        html.push_str(&format!("<div class=card><h3>{}</h3>{}</div>\n", escape(&map.title), tissue(map)));
    }
    html.push_str("</div></section>\n<section id=labels><h2>Labels</h2>\n");
    if data.heatmap.is_none() && data.lines.is_none() {
        html.push_str("<p>No column of labels was named.</p>");
    }
    if let Some(heatmap) = &data.heatmap {
        html.push_str(&format!(
            "<p>How often a cell (row) has a neighbour of a label (column), in standard deviations from what the same labels \
             dealt out at random within each library give. Blue: seldom; red: often.</p>\n<div class=\"card scroll\">{}</div><p></p>\n",
            scores(heatmap)
        ));
    }
    if let Some(lines) = &data.lines {
        html.push_str(&format!(
            "<p>How many times as often a cell of a label lies near one of the same label as near any cell, within each distance.</p>\n\
             <div class=plots><div class=card>{}</div></div>\n<div class=keys>",
            charts::lines(lines)
        ));
        for (name, &at) in lines.names.iter().zip(&lines.colours) {
            html.push_str(&format!(
                "<span class=key><i style=\"background:{}\"></i>{}</span>",
                colour(at),
                escape(name)
            ));
        }
        html.push_str("</div>\n");
    }
    html.push_str("</section>\n<section id=genes><h2>Genes</h2>\n<div class=two>");
    if data.tables.is_empty() {
        html.push_str("<p>No genes were tested.</p>");
    }
    for table in &data.tables {
        html.push_str(&genes(table));
    }
    html.push_str("</div></section>\n");
    let entries: Vec<(String, String)> =
        data.entries.iter().map(|(what, value)| (what.clone(), escape(value))).collect();
    html.push_str(&run_section(&data.stages, &entries, &data.options));
    html.push_str(END);
    html.push_str("</body>\n</html>\n");
    html
}

/// Cells as dots of about their distance to one another, with a bar of a round length.
fn tissue(map: &Map) -> String {
    const SIDE: f64 = 900.0;
    let (mut low, mut high) = ([f64::INFINITY; 2], [f64::NEG_INFINITY; 2]);
    for point in &map.points {
        for axis in 0..2 {
            low[axis] = low[axis].min(point[axis]);
            high[axis] = high[axis].max(point[axis]);
        }
    }
    let (wide, tall) = (high[0] - low[0], high[1] - low[1]);
    let span = wide.max(tall);
    if !(span > 0.0) {
        return "<p>All cells lie at one place.</p>".into();
    }
    // Half of the side of the square that a cell has to itself.
    let area = (wide.max(span / 50.0)) * (tall.max(span / 50.0));
    let radius = (0.42 * (area / map.points.len() as f64).sqrt() / span * SIDE).clamp(0.6, 14.0);
    let edge = radius + 8.0;
    let scale = SIDE / span;
    let (width, height) = ((wide * scale + 2.0 * edge).ceil() as usize, (tall * scale + 2.0 * edge).ceil() as usize);
    let mut pixels = vec![0u8; width * height * 3];
    pixels.chunks_exact_mut(3).for_each(|pixel| pixel.copy_from_slice(&[0x12, 0x16, 0x1c]));
    let mut colours: Vec<[u8; 3]> = Vec::new();
    for (point, &label) in map.points.iter().zip(&map.labels) {
        while colours.len() <= label as usize {
            colours.push(bytes_of(&colour(colours.len())));
        }
        let (x, y) = ((point[0] - low[0]) * scale + edge, (point[1] - low[1]) * scale + edge);
        let reach = radius.ceil() as i64;
        for down in -reach..=reach {
            for across in -reach..=reach {
                let (column, row) = (x.floor() as i64 + across, y.floor() as i64 + down);
                let far = ((column as f64 + 0.5 - x).powi(2) + (row as f64 + 0.5 - y).powi(2)).sqrt();
                if far <= radius.max(0.71) && column >= 0 && row >= 0 && column < width as i64 && row < height as i64 {
                    let at = (row as usize * width + column as usize) * 3;
                    pixels[at..at + 3].copy_from_slice(&colours[label as usize]);
                }
            }
        }
    }
    let mut html = format!(
        "<svg class=tissue viewBox=\"0 0 {width} {}\" role=img aria-label=\"Map of {}\">\
         <image width={width} height={height} href=\"data:image/png;base64,{}\" />",
        height + 60,
        escape(&map.title),
        base64_of(&png([height, width], &Pixels::Rgb(pixels)))
    );
    let length = round_length(wide.max(span / 5.0) / 4.0);
    let text = if map.unit == "µm" && length >= 1000.0 {
        format!("{} mm", tick(length / 1000.0))
    } else {
        format!("{} {}", tick(length), map.unit)
    };
    html.push_str(&format!(
        "<rect x={} y={} width={} height=8 fill=#fff /><text class=bar-text x={} y={}>{}</text></svg>",
        px(edge),
        height + 30,
        px(length * scale),
        px(edge + length * scale + 14.0),
        height + 44,
        escape(text.trim_end())
    ));
    html
}

fn base64_of(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

fn bytes_of(colour: &str) -> [u8; 3] {
    std::array::from_fn(|at| u8::from_str_radix(colour.get(1 + 2 * at..3 + 2 * at).unwrap_or("80"), 16).unwrap_or(128))
}

/// Labels by labels, in colours from blue to red.
fn scores(data: &Heatmap) -> String {
    const STEP: f64 = 24.0;
    let k = data.names.len();
    let longest = data.names.iter().map(|name| name.chars().count()).max().unwrap_or(0).min(28) as f64;
    let (left, top) = (longest * 7.2 + 16.0, longest * 6.4 + 14.0);
    let (width, height) = (left + k as f64 * STEP + 20.0, top + k as f64 * STEP + 8.0);
    let most = data.values.iter().filter(|z| z.is_finite()).fold(1.0f64, |most, z| most.max(z.abs()));
    let mut svg = format!(
        "<svg style=\"width:{}px\" viewBox=\"0 0 {} {}\" role=img aria-label=\"Labels among neighbours\">",
        px(width),
        px(width),
        px(height)
    );
    for (at, name) in data.names.iter().enumerate() {
        let name = escape(&charts::shortened(name, 28));
        let middle = at as f64 * STEP + STEP / 2.0;
        svg.push_str(&format!(
            "<text class=label x={} y={} text-anchor=end>{name}</text>\
             <text class=label transform=\"translate({} {}) rotate(-60)\">{name}</text>",
            px(left - 6.0),
            px(top + middle + 4.0),
            px(left + middle + 3.0),
            px(top - 6.0)
        ));
    }
    for row in 0..k {
        for column in 0..k {
            let z = data.values[row * k + column];
            let (fill, said) = if z.is_finite() {
                (diverging(z / most), format!("z = {}", fixed(z, 2)))
            } else {
                ("none".into(), "no score".into())
            };
            svg.push_str(&format!(
                "<rect x={} y={} width={} height={} fill=\"{fill}\" stroke=\"#0002\"><title>{} → {}: {said}, {} edges</title></rect>",
                px(left + column as f64 * STEP),
                px(top + row as f64 * STEP),
                px(STEP - 1.0),
                px(STEP - 1.0),
                escape(&data.names[row]),
                escape(&data.names[column]),
                grouped(data.counts[row * k + column])
            ));
        }
    }
    svg.push_str("</svg>");
    format!("{svg}<p>The strongest colours stand for ±{}.</p>", fixed(most, 1))
}

/// -1 blue, 0 pale, 1 red; steeper near 0, so that weak scores still show.
fn diverging(share: f64) -> String {
    let t = share.clamp(-1.0, 1.0);
    let strength = t.abs().powf(0.6);
    let end = if t < 0.0 { [33.0, 102.0, 172.0] } else { [178.0, 24.0, 43.0] };
    let channel = |at: usize| (247.0 + (end[at] - 247.0) * strength).round() as u8;
    format!("#{:02x}{:02x}{:02x}", channel(0), channel(1), channel(2))
}

fn genes(table: &GeneTable) -> String {
    let mut html = format!("<div class=card><h3>{}</h3><table><tr><th>gene</th>", escape(&table.title));
    for column in table.columns.iter().filter(|column| !column.is_empty()) {
        html.push_str(&format!("<th>{}</th>", escape(column)));
    }
    html.push_str("</tr>");
    for (gene, score, p, word) in &table.rows {
        html.push_str(&format!("<tr><td>{}</td><td>{}</td><td>{}</td>", escape(gene), fixed(*score, 4), p_value(*p)));
        if !table.columns[2].is_empty() {
            html.push_str(&format!("<td>{}</td>", escape(word)));
        }
        html.push_str("</tr>");
    }
    html.push_str("</table></div>\n");
    html
}

impl Lines {
    /// Scales over all that is drawn.
    pub(super) fn scales(&self, across: (f64, f64), upward: (f64, f64)) -> (Scale, Scale) {
        let most = self.x.last().copied().unwrap_or(1.0);
        let top = self.values.iter().flatten().copied().filter(|value| value.is_finite()).fold(1.0, f64::max);
        (Scale::exact(0.0, most, across.0, across.1), Scale::exact(0.0, top * 1.05, upward.0, upward.1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_whole_and_escaped() {
        let evil = "<script>alert('x')</script>&\"";
        let map = |points: Vec<[f64; 2]>| Map {
            title: evil.into(),
            labels: (0..points.len() as u32).map(|at| at % 2).collect(),
            points,
            unit: "µm".into(),
        };
        let data = SpaceReport {
            input: format!("/data/{evil}.h5ad"),
            time: Some(evil.into()),
            numbers: vec![(evil.into(), evil.into())],
            notes: vec![evil.into()],
            names: vec![evil.into(), "b".into()],
            maps: vec![map(vec![[0.0, 0.0], [4000.0, 100.0], [3.0, 900.0]]), map(vec![[1.0, 1.0]; 3])],
            heatmap: Some(Heatmap {
                names: vec![evil.into(), "b".into()],
                values: vec![3.0, -3.0, f64::NAN, 0.0],
                counts: vec![4, 1, 0, 2],
            }),
            lines: Some(Lines {
                x: vec![1.0, 2.0],
                x_label: evil.into(),
                names: vec![evil.into()],
                colours: vec![1],
                values: vec![vec![2.0, f64::NAN]],
            }),
            tables: vec![GeneTable {
                title: evil.into(),
                columns: [evil.into(), "p".into(), String::new()],
                rows: vec![(evil.into(), 0.5, 1e-300, evil.into())],
            }],
            entries: vec![(evil.into(), evil.into())],
            ..Default::default()
        };
        let html = space_page(&data);
        assert!(!html.contains("<script") && html.ends_with("</html>\n"));
        assert_eq!(html.matches("<svg").count(), html.matches("</svg>").count());
        assert!(html.contains("data:image/png;base64,iVBORw0KGgo") && html.contains("1 mm"));
        assert!(html.contains("All cells lie at one place") && html.contains("no score"));
        for address in ["http://", "https://", "src="] {
            assert!(!html.contains(address), "{address}");
        }
        assert_eq!(space_page(&data), html);
        // An empty run is a page too.
        assert!(space_page(&SpaceReport::default()).ends_with("</html>\n"));
    }

    #[test]
    fn colours() {
        assert_eq!(diverging(0.0), "#f7f7f7");
        assert_eq!(diverging(5.0), "#b2182b");
        assert_eq!(diverging(-1.0), "#2166ac");
        assert_eq!(bytes_of("#3b7ddd"), [0x3b, 0x7d, 0xdd]);
    }
}
