//! The page of a run on a volume: pictures with what was found, distributions, costs, options.

use std::io::Write as _;

use base64::Engine as _;

use super::charts;
use super::page::{beginning, heading, run_section, short_name};
use super::text::{escape, px};
use crate::measure::StageRecord;

/// Everything on the page of a volume.
#[derive(Clone, Debug, Default)]
pub struct VolumeReport {
    /// The volume as the user named it.
    pub input: String,
    /// What the page is about.
    pub subtitle: String,
    /// When the run was made, as text; left out when `None`.
    pub time: Option<String>,
    /// The numbers at the top, each with what it counts.
    pub numbers: Vec<(String, String)>,
    /// What the user should know.
    pub notes: Vec<String>,
    /// What the marks in the pictures are.
    pub legend: String,
    /// What the marks are called ("cells" where unset).
    pub marked: Option<&'static str>,
    /// Pictures in order.
    pub pictures: Vec<Picture>,
    /// A chart of bars.
    pub bars: Option<Bars>,
    /// Curves in order, before the distributions.
    pub curves: Vec<Curve>,
    /// Distributions in order.
    pub distributions: Vec<Distribution>,
    /// The stages in order.
    pub stages: Vec<StageRecord>,
    /// Files and counts: names and values.
    pub entries: Vec<(String, String)>,
    /// Sections of the options, each with its options and their values.
    pub options: Vec<(String, Vec<(String, String)>)>,
}

/// A picture with marks.
#[derive(Clone, Debug)]
pub struct Picture {
    /// Heading.
    pub title: String,
    /// What is seen.
    pub caption: String,
    /// Pixels down and across.
    pub size: [usize; 2],
    /// Micrometres down and across.
    pub um: [f64; 2],
    /// The pixels, row by row.
    pub pixels: Pixels,
    /// Marks in micrometres from the upper left corner.
    pub marks: Vec<Mark>,
    /// Whether it takes the whole width of the page.
    pub wide: bool,
}

/// Pixels of a picture.
#[derive(Clone, Debug)]
pub enum Pixels {
    /// One byte each.
    Grey(Vec<u8>),
    /// Three bytes each.
    Rgb(Vec<u8>),
}

/// A ring or a dot.
#[derive(Clone, Copy, Debug)]
pub struct Mark {
    /// Micrometres to the right.
    pub x: f64,
    /// Micrometres down.
    pub y: f64,
    /// Radius of a ring in micrometres; a dot without.
    pub radius: Option<f64>,
    /// 0 to 1, shown by colour.
    pub strength: f64,
}

/// Values whose histogram is shown.
#[derive(Clone, Debug)]
pub struct Distribution {
    /// What the values are.
    pub label: String,
    /// What has them ("cells").
    pub of: String,
    /// The values.
    pub values: Vec<f64>,
    /// A limit to draw in.
    pub limit: Option<f64>,
}

/// Values over an axis.
#[derive(Clone, Debug)]
pub struct Curve {
    /// What the axis is.
    pub over: String,
    /// What the values are.
    pub label: String,
    /// Places on the axis, rising, and values of 0 or more.
    pub points: Vec<[f64; 2]>,
}

/// A chart of bars, one below the other.
#[derive(Clone, Debug)]
pub struct Bars {
    /// Heading.
    pub title: String,
    /// What is seen.
    pub caption: String,
    /// The bars from above.
    pub rows: Vec<Bar>,
}

/// A bar of two parts.
#[derive(Clone, Debug)]
pub struct Bar {
    /// Before the bar.
    pub name: String,
    /// Shown when the pointer rests on it.
    pub title: String,
    /// Lengths of the parts, the first full and the second pale.
    pub values: [f64; 2],
    /// Colour, as #rrggbb.
    pub colour: String,
}

/// Dots drawn in one picture at most.
const MOST_DOTS: usize = 150_000;

/// Styles beyond those that all reports share.
const STYLE: &str = "
.marks circle { fill: none; stroke-width: 1.6; vector-effect: non-scaling-stroke; }
.marks path { fill: none; stroke-width: 3.4; stroke-linecap: round; }
.m0 { stroke: #ffe45c; } .m1 { stroke: #ffb347; } .m2 { stroke: #ff7a45; } .m3 { stroke: #ff4d5e; }
body:has(#show:not(:checked)) .marks { display: none; }
.picture image { image-rendering: pixelated; }
.picture { border-radius: 8px; background: #000; }
.bar-text { font-size: 13px; fill: #fff !important; }
.large { font-size: 36px; }
.two { display: grid; grid-template-columns: repeat(auto-fit, minmax(330px, 1fr)); gap: 16px; margin-top: 16px; }
figure { margin: 0; } figcaption { color: var(--soft); font-size: 13px; margin-top: 8px; }
.wide { margin-top: 16px; } .wide svg { max-height: 86vh; }
.plots > .card { max-width: 640px; }
";

/// The report as one HTML page.
pub fn volume_page(data: &VolumeReport) -> String {
    let mut html = beginning(&data.input, STYLE);
    html.push_str(&heading(short_name(&data.input), &data.subtitle, data.time.as_deref(), &data.numbers, &data.notes));
    html.push_str(
        "</div></header>\n<nav><div><a href=\"#pictures\">Pictures</a><a href=\"#distributions\">Distributions</a>\
         <a href=\"#run\">Run</a></div></nav>\n<main>\n",
    );
    if let Some(bars) = &data.bars {
        html.push_str(&format!(
            "<section id=bars><h2>{}</h2>\n<p>{}</p>\n<div class=card>{}</div></section>\n",
            escape(&bars.title),
            escape(&bars.caption),
            charts::bars(bars)
        ));
    }
    html.push_str(&format!("<section id=pictures><h2>Pictures</h2>\n<p>{}</p>\n", escape(&data.legend)));
    if data.pictures.iter().any(|picture| !picture.marks.is_empty()) {
        let what = escape(data.marked.unwrap_or("cells"));
        html.push_str(&format!("<p><label><input type=checkbox id=show checked> show the {what}</label></p>\n"));
    }
    let (wide, narrow): (Vec<&Picture>, Vec<&Picture>) = data.pictures.iter().partition(|picture| picture.wide);
    let wide: String = wide.iter().map(|one| format!("<div class=\"card wide\">{}</div>\n", figure(one))).collect();
    let narrow: String = narrow.iter().map(|one| format!("<div class=card>{}</div>\n", figure(one))).collect();
    // Those of the first picture's size come first.
    if data.pictures.first().is_none_or(|picture| picture.wide) {
        html.push_str(&format!("{wide}<div class=two>{narrow}</div>"));
    } else {
        html.push_str(&format!("<div class=two>{narrow}</div>\n{wide}"));
    }
    html.push_str("</section>\n<section id=distributions><h2>Distributions</h2>\n<div class=plots>");
    for one in &data.curves {
        html.push_str(&format!("<div class=card>{}</div>", charts::curve(one)));
    }
    for one in &data.distributions {
        html.push_str(&format!("<div class=card>{}</div>", charts::distribution(one)));
    }
    html.push_str("</div></section>\n");
    let entries: Vec<(String, String)> =
        data.entries.iter().map(|(what, value)| (what.clone(), escape(value))).collect();
    html.push_str(&run_section(&data.stages, &entries, &data.options));
    html.push_str(super::page::END);
    html.push_str("</body>\n</html>\n");
    html
}

fn figure(picture: &Picture) -> String {
    let [height, width] = picture.um;
    // Drawn 1000 wide, whatever the micrometres.
    let scale = 1000.0 / width.max(1e-9);
    let (across, down) = (1000.0, height * scale);
    let mut html = format!(
        "<h3>{}</h3><figure><svg class=picture viewBox=\"0 0 {} {}\" role=img aria-label=\"{}\">\
         <image width={} height={} preserveAspectRatio=none href=\"data:image/png;base64,{}\" />",
        escape(&picture.title),
        px(across),
        px(down),
        escape(&picture.title),
        px(across),
        px(down),
        base64::engine::general_purpose::STANDARD.encode(png(picture.size, &picture.pixels))
    );
    html.push_str(&marks(&picture.marks, scale));
    // A bar of about a fifth of the width, of a round length.
    let length = round_length(width / 5.0);
    if length * scale <= 500.0 && down >= 60.0 {
        let (x, y) = (across - 24.0 - length * scale, down - 22.0);
        html.push_str(&format!(
            "<rect x={} y={} width={} height={} fill=#fff /><text class={} x={} y={} text-anchor=middle>{}</text>",
            px(x),
            px(y),
            px(length * scale),
            if picture.wide { 5 } else { 12 },
            // Small pictures are shown at a third of the width: their words are larger.
            if picture.wide { "bar-text" } else { "\"bar-text large\"" },
            px(x + length * scale / 2.0),
            px(y - if picture.wide { 7.0 } else { 14.0 }),
            if length >= 1000.0 { format!("{} mm", length / 1000.0) } else { format!("{length} µm") }
        ));
    }
    let mut caption = picture.caption.clone();
    if picture.marks.len() > MOST_DOTS {
        caption.push_str(&format!(" {} of {} are drawn.", shown(picture.marks.len()), picture.marks.len()));
    }
    html.push_str(&format!("</svg><figcaption>{}</figcaption></figure>", escape(&caption)));
    html
}

fn shown(all: usize) -> usize {
    all.div_ceil(all.div_ceil(MOST_DOTS).max(1))
}

fn marks(all: &[Mark], scale: f64) -> String {
    let mut html = String::from("<g class=marks>");
    let class = |mark: &Mark| ((mark.strength * 4.0) as usize).min(3);
    let mut dots: [String; 4] = Default::default();
    for mark in all.iter().step_by(all.len().div_ceil(MOST_DOTS).max(1)) {
        let (x, y) = (px(mark.x * scale), px(mark.y * scale));
        match mark.radius {
            Some(radius) => {
                html.push_str(&format!("<circle class=m{} cx={x} cy={y} r={} />", class(mark), px(radius * scale)));
            }
            None => dots[class(mark)].push_str(&format!("M{x} {y}h0")),
        }
    }
    for (class, path) in dots.iter().enumerate().filter(|(_, path)| !path.is_empty()) {
        html.push_str(&format!("<path class=m{class} d=\"{path}\" />"));
    }
    html.push_str("</g>");
    html
}

/// The largest of 1, 2, 5 times a power of ten that is not above `most`.
pub(super) fn round_length(most: f64) -> f64 {
    let power = 10f64.powf(most.max(1e-6).log10().floor());
    [5.0, 2.0, 1.0].into_iter().map(|m| m * power).find(|length| *length <= most).unwrap_or(power)
}

/// A picture as PNG.
pub(super) fn png(size: [usize; 2], pixels: &Pixels) -> Vec<u8> {
    let (bytes, depth, kind) = match pixels {
        Pixels::Grey(bytes) => (bytes, 1, 0u8),
        Pixels::Rgb(bytes) => (bytes, 3, 2u8),
    };
    let mut packed = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::new(6));
    for row in bytes.chunks_exact((size[1] * depth).max(1)) {
        // Writing to memory does not fail. Each row is said to be unfiltered.
        let _ = packed.write_all(&[0]).and_then(|()| packed.write_all(row));
    }
    let mut out = b"\x89PNG\r\n\x1a\n".to_vec();
    let mut chunk = |name: &[u8; 4], data: &[u8]| {
        out.extend_from_slice(&(data.len() as u32).to_be_bytes());
        let mut sum = flate2::Crc::new();
        sum.update(name);
        sum.update(data);
        out.extend_from_slice(name);
        out.extend_from_slice(data);
        out.extend_from_slice(&sum.sum().to_be_bytes());
    };
    let mut header = Vec::new();
    header.extend_from_slice(&(size[1] as u32).to_be_bytes());
    header.extend_from_slice(&(size[0] as u32).to_be_bytes());
    header.extend_from_slice(&[8, kind, 0, 0, 0]);
    chunk(b"IHDR", &header);
    chunk(b"IDAT", &packed.finish().unwrap_or_default());
    chunk(b"IEND", &[]);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_whole_and_escaped() {
        let evil = "<script>alert('x')</script>&\"";
        let picture = |pixels, marks| Picture {
            title: evil.into(),
            caption: evil.into(),
            size: [2, 3],
            um: [20.0, 30.0],
            pixels,
            marks,
            wide: false,
        };
        let mark = |radius| Mark { x: 3.0, y: 4.0, radius, strength: 1.0 };
        let data = VolumeReport {
            input: format!("/data/{evil}.tif"),
            subtitle: evil.into(),
            notes: vec![evil.into()],
            legend: evil.into(),
            numbers: vec![(evil.into(), evil.into())],
            entries: vec![(evil.into(), evil.into())],
            pictures: vec![
                picture(Pixels::Grey(vec![0, 50, 100, 150, 200, 250]), vec![mark(Some(5.0)), mark(None)]),
                picture(Pixels::Rgb(vec![9; 18]), Vec::new()),
            ],
            distributions: vec![
                Distribution {
                    label: evil.into(),
                    of: evil.into(),
                    values: vec![1.0, 2.0, f64::NAN],
                    limit: Some(1.5),
                },
                Distribution { label: "none".into(), of: "cells".into(), values: vec![], limit: None },
            ],
            curves: vec![
                Curve { over: evil.into(), label: evil.into(), points: vec![[0.0, 3.0], [1.0, f64::NAN], [2.0, 5.0]] },
                Curve { over: "time".into(), label: "cells".into(), points: vec![] },
            ],
            ..Default::default()
        };
        let html = volume_page(&data);
        assert!(!html.contains("<script") && html.ends_with("</html>\n"));
        assert!(html.contains("class=m3 cx=100 cy=133.3 r=166.7") && html.contains("M100 133.3h0"), "{html}");
        assert!(html.contains("data:image/png;base64,iVBORw0KGgo") && html.contains("> show the cells<"));
        assert_eq!(html.matches("<polyline").count(), 2);
        assert_eq!(html.matches("<svg").count(), html.matches("</svg>").count());
        for address in ["http://", "https://", "src="] {
            assert!(!html.contains(address), "{address}");
        }
        assert_eq!(volume_page(&data), html);
    }

    #[test]
    fn bars_are_round() {
        assert_eq!(round_length(266.0), 200.0);
        assert_eq!(round_length(99.0), 50.0);
        assert_eq!(round_length(1.5), 1.0);
    }
}
