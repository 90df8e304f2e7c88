//! The still plots, as SVG that takes its colours from the page's style sheet.

use super::data::{Cluster, DotData, FeaturePlot, QcMetric};
use super::page::colour;
use super::scale::Scale;
use super::space::Lines;
use super::text::{escape, px, tick};
use super::volume::{Bars, Curve, Distribution};
use crate::measure::grouped;

const WIDTH: f64 = 440.0;
const HEIGHT: f64 = 270.0;
const LEFT: f64 = 54.0;
const RIGHT: f64 = 14.0;
const TOP: f64 = 14.0;
const BOTTOM: f64 = 44.0;

/// Left to right, over the drawing.
const ACROSS: (f64, f64) = (LEFT, WIDTH - RIGHT);
/// Bottom to top, over the drawing.
const UPWARD: (f64, f64) = (HEIGHT - BOTTOM, TOP);

/// The plot's frame around `body`: grid, ticks, labels.
fn frame(title: &str, x: &Scale, y: &Scale, x_label: &str, y_label: &str, body: &str) -> String {
    let mut svg = open(WIDTH, HEIGHT, title);
    for value in x.ticks(6) {
        let at = px(x.at(value));
        svg.push_str(&format!(
            "<line class=grid x1={at} x2={at} y1={} y2={} /><text class=tick x={at} y={} text-anchor=middle>{}</text>",
            px(TOP),
            px(HEIGHT - BOTTOM),
            px(HEIGHT - BOTTOM + 16.0),
            tick(value)
        ));
    }
    for value in y.ticks(5) {
        let at = y.at(value);
        svg.push_str(&format!(
            "<line class=grid x1={} x2={} y1={at} y2={at} /><text class=tick x={} y={} text-anchor=end>{}</text>",
            px(LEFT),
            px(WIDTH - RIGHT),
            px(LEFT - 7.0),
            px(at + 4.0),
            tick(value),
            at = px(at)
        ));
    }
    svg.push_str(body);
    svg.push_str(&format!(
        "<line class=axis x1={} x2={} y1={y0} y2={y0} /><text class=label x={} y={} text-anchor=middle>{}</text>",
        px(LEFT),
        px(WIDTH - RIGHT),
        px((LEFT + WIDTH - RIGHT) / 2.0),
        px(HEIGHT - 8.0),
        escape(x_label),
        y0 = px(HEIGHT - BOTTOM)
    ));
    let middle = px((TOP + HEIGHT - BOTTOM) / 2.0);
    svg.push_str(&format!(
        "<text class=label text-anchor=middle transform=\"translate(13 {middle}) rotate(-90)\">{}</text></svg>",
        escape(y_label)
    ));
    svg
}

/// The start tag, with a name for those who cannot see the picture.
fn open(width: f64, height: f64, title: &str) -> String {
    format!("<svg viewBox=\"0 0 {} {}\" role=img aria-label=\"{}\">", px(width), px(height), escape(title))
}

/// Distribution of a metric: kept and removed cells stacked, and where the limits lie.
pub(super) fn histogram(metric: &QcMetric, kept: &[bool]) -> String {
    const BINS: usize = 60;
    let highest = metric.values.iter().copied().filter(|value| value.is_finite()).fold(0.0, f64::max);
    let reach = [metric.lower, metric.upper]
        .into_iter()
        .flatten()
        .filter(|limit| *limit < highest * 4.0)
        .fold(highest, f64::max);
    let x = Scale::exact(0.0, reach * 1.02, ACROSS.0, ACROSS.1);
    let mut counts = [[0usize; 2]; BINS];
    for (value, kept) in metric.values.iter().zip(kept) {
        if value.is_finite() {
            let bin = ((x.share(*value) * BINS as f64) as usize).min(BINS - 1);
            counts[bin][usize::from(!kept)] += 1;
        }
    }
    let tallest = counts.iter().map(|bin| bin[0] + bin[1]).max().unwrap_or(0);
    let y = Scale::exact(0.0, tallest as f64 * 1.05, UPWARD.0, UPWARD.1);
    let width = (ACROSS.1 - ACROSS.0) / BINS as f64;
    let mut body = String::new();
    for (bin, [in_, out]) in counts.iter().enumerate() {
        let left = ACROSS.0 + bin as f64 * width;
        let mut bar = |from: usize, to: usize, class: &str, what: &str| {
            if to > from {
                let (top, bottom) = (y.at(to as f64), y.at(from as f64));
                body.push_str(&format!(
                    "<rect class={class} x={} y={} width={} height={}><title>{} {what}</title></rect>",
                    px(left),
                    px(top),
                    px((width - 0.7).max(0.5)),
                    px((bottom - top).max(0.5)),
                    grouped((to - from) as u64)
                ));
            }
        };
        bar(0, *in_, "kept", "cells kept");
        bar(*in_, in_ + out, "removed", "cells removed");
    }
    for (limit, side) in [(metric.lower, "≥"), (metric.upper, "≤")] {
        let Some(limit) = limit.filter(|limit| *limit > 0.0 && *limit <= x.high) else { continue };
        let at = x.at(limit);
        let flip = at > WIDTH * 0.75;
        body.push_str(&format!(
            "<line class=limit x1={at} x2={at} y1={} y2={} /><text class=limit-label x={} y={} text-anchor={}>{side} {}</text>",
            px(TOP),
            px(HEIGHT - BOTTOM),
            px(x.at(limit) + if flip { -5.0 } else { 5.0 }),
            px(TOP + 10.0),
            if flip { "end" } else { "start" },
            tick(limit),
            at = px(at)
        ));
    }
    frame(&format!("Histogram of {}", metric.label), &x, &y, &metric.label, "cells", &body)
}

/// Histogram of values from the least to the 99.5th percentile, whose bin takes what lies beyond.
pub(super) fn distribution(data: &Distribution) -> String {
    const BINS: usize = 48;
    let mut sorted: Vec<f64> = data.values.iter().copied().filter(|value| value.is_finite()).collect();
    sorted.sort_unstable_by(f64::total_cmp);
    let low = sorted.first().copied().unwrap_or(0.0);
    let high = sorted.get(sorted.len().saturating_sub(1) * 199 / 200).copied().unwrap_or(1.0);
    let x = Scale::exact(low, if high > low { high } else { low + 1.0 }, ACROSS.0, ACROSS.1);
    let mut counts = [0usize; BINS];
    for value in &sorted {
        counts[((x.share(*value) * BINS as f64) as usize).min(BINS - 1)] += 1;
    }
    let y = Scale::exact(0.0, counts.iter().copied().max().unwrap_or(0) as f64 * 1.05, UPWARD.0, UPWARD.1);
    let width = (ACROSS.1 - ACROSS.0) / BINS as f64;
    let mut body = String::new();
    for (bin, &count) in counts.iter().enumerate().filter(|(_, count)| **count > 0) {
        body.push_str(&format!(
            "<rect class=kept x={} y={} width={} height={}><title>{} {}</title></rect>",
            px(ACROSS.0 + bin as f64 * width),
            px(y.at(count as f64)),
            px((width - 0.7).max(0.5)),
            px((y.at(0.0) - y.at(count as f64)).max(0.5)),
            grouped(count as u64),
            escape(&data.of)
        ));
    }
    if let Some(limit) = data.limit.filter(|limit| (x.low..=x.high).contains(limit)) {
        let at = px(x.at(limit));
        body.push_str(&format!("<line class=limit x1={at} x2={at} y1={} y2={} />", px(TOP), px(HEIGHT - BOTTOM)));
    }
    frame(&format!("Histogram of {}", data.label), &x, &y, &data.label, &data.of, &body)
}

/// Values over an axis, as a line from 0 up; each is told where few enough are there to be pointed at.
pub(super) fn curve(data: &Curve) -> String {
    const POINTED: usize = 300;
    let points: Vec<[f64; 2]> = data.points.iter().copied().filter(|[_, value]| value.is_finite()).collect();
    let x = Scale::over(points.iter().map(|point| point[0]), false, ACROSS.0, ACROSS.1);
    let highest = points.iter().map(|point| point[1]).fold(0.0, f64::max);
    let y = Scale::exact(0.0, highest * 1.05, UPWARD.0, UPWARD.1);
    let mut body = String::from("<polyline class=line points=\"");
    for [at, value] in &points {
        body.push_str(&format!("{},{} ", px(x.at(*at)), px(y.at(*value))));
    }
    body.push_str("\" />");
    for [at, value] in points.iter().filter(|_| points.len() <= POINTED) {
        body.push_str(&format!(
            "<circle class=kept cx={} cy={} r=2.2><title>{}: {}</title></circle>",
            px(x.at(*at)),
            px(y.at(*value)),
            tick(*at),
            tick(*value)
        ));
    }
    frame(&format!("{} over {}", data.label, data.over), &x, &y, &data.over, &data.label, &body)
}

/// Bars of two parts, one below the other, each with its name before it and its length behind it.
pub(super) fn bars(data: &Bars) -> String {
    const STEP: f64 = 22.0;
    const BEFORE: f64 = 130.0;
    const ALL: f64 = 1000.0;
    let longest = data.rows.iter().map(|row| row.values[0] + row.values[1]).fold(0.0, f64::max).max(1e-9);
    let scale = (ALL - BEFORE - 110.0) / longest;
    let mut svg = open(ALL, data.rows.len() as f64 * STEP + 6.0, &data.title);
    for (at, row) in data.rows.iter().enumerate() {
        let top = at as f64 * STEP + 3.0;
        let (first, second) = (row.values[0] * scale, row.values[1] * scale);
        svg.push_str(&format!(
            "<g><title>{}</title><text class=label x={} y={} text-anchor=end>{}</text>\
             <rect x={} y={y} width={} height={h} fill=\"{colour}\" stroke=\"#0003\" />\
             <rect x={} y={y} width={} height={h} fill=\"{colour}\" fill-opacity=.45 stroke=\"#0003\" />\
             <text class=tick x={} y={}>{}</text></g>",
            escape(&row.title),
            px(BEFORE - 8.0),
            px(top + 12.5),
            escape(&shortened(&row.name, 18)),
            px(BEFORE),
            px(first),
            px(BEFORE + first),
            px(second),
            px(BEFORE + first + second + 8.0),
            px(top + 12.5),
            grouped((row.values[0] + row.values[1]) as u64),
            y = px(top),
            h = px(STEP - 6.0),
            colour = escape(&row.colour),
        ));
    }
    svg.push_str("</svg>");
    svg
}

/// Two metrics against one another, as a density of cells; places where most cells were removed stand out.
pub(super) fn scatter(x_metric: &QcMetric, y_metric: &QcMetric, kept: &[bool]) -> String {
    const COLUMNS: usize = 93;
    const ROWS: usize = 53;
    let x = Scale::over(x_metric.values.iter().copied(), false, ACROSS.0, ACROSS.1);
    let y = Scale::over(y_metric.values.iter().copied(), false, UPWARD.0, UPWARD.1);
    let mut counts = vec![[0usize; 2]; COLUMNS * ROWS];
    for ((a, b), kept) in x_metric.values.iter().zip(&y_metric.values).zip(kept) {
        if a.is_finite() && b.is_finite() {
            let column = ((x.share(*a) * COLUMNS as f64) as usize).min(COLUMNS - 1);
            let row = ((y.share(*b) * ROWS as f64) as usize).min(ROWS - 1);
            counts[row * COLUMNS + column][usize::from(!kept)] += 1;
        }
    }
    let body = density(&counts, COLUMNS, ROWS);
    let title = format!("{} against {}", y_metric.label, x_metric.label);
    frame(&title, &x, &y, &x_metric.label, &y_metric.label, &body)
}

/// Cells of a grid as squares whose opacity grows with the logarithm of the count.
fn density(counts: &[[usize; 2]], columns: usize, rows: usize) -> String {
    let most = counts.iter().map(|count| count[0] + count[1]).max().unwrap_or(0).max(1) as f64;
    let (width, height) = ((ACROSS.1 - ACROSS.0) / columns as f64, (UPWARD.0 - UPWARD.1) / rows as f64);
    let mut body = String::new();
    for (index, [kept, removed]) in counts.iter().enumerate() {
        let all = kept + removed;
        if all == 0 {
            continue;
        }
        let class = if removed > kept { "removed" } else { "kept" };
        let opacity = if most > 1.0 { 0.35 + 0.65 * (all as f64).ln() / most.ln() } else { 0.9 };
        body.push_str(&format!(
            "<rect class={class} x={} y={} width={} height={} opacity={opacity:.2} />",
            px(ACROSS.0 + (index % columns) as f64 * width),
            px(UPWARD.0 - ((index / columns) as f64 + 1.0) * height),
            px(width + 0.1),
            px(height + 0.1)
        ));
    }
    body
}

/// Counts per cell against the rank of the cell, on logarithmic axes.
pub(super) fn knee(metric: &QcMetric, kept: &[bool]) -> String {
    let mut ranked: Vec<(f64, bool)> =
        metric.values.iter().copied().zip(kept.iter().copied()).filter(|(value, _)| *value > 0.0).collect();
    ranked.sort_by(|a, b| b.0.total_cmp(&a.0));
    let x = Scale::over([1.0, ranked.len().max(10) as f64], true, ACROSS.0, ACROSS.1);
    let y = Scale::over(ranked.iter().map(|(value, _)| *value), true, UPWARD.0, UPWARD.1);
    // Ranks evenly spaced on the logarithmic axis: as many points as there are pixels to tell them apart.
    let mut places: Vec<usize> = (0..=300)
        .map(|step| {
            ((ranked.len().max(1) as f64).powf(f64::from(step) / 300.0) as usize).clamp(1, ranked.len().max(1)) - 1
        })
        .collect();
    places.dedup();
    let line: Vec<String> = places
        .iter()
        .filter_map(|&place| {
            ranked.get(place).map(|(value, _)| format!("{},{}", px(x.at(place as f64 + 1.0)), px(y.at(*value))))
        })
        .collect();
    let body = format!("<polyline class=line points=\"{}\" />", line.join(" "));
    frame("Knee plot", &x, &y, "rank of the cell", &metric.label, &body)
}

/// Mean against variability of genes; the chosen ones stand out.
pub(super) fn features(plot: &FeaturePlot) -> String {
    const COLUMNS: usize = 93;
    const ROWS: usize = 53;
    let x = Scale::over(plot.x.iter().copied(), plot.x_log, ACROSS.0, ACROSS.1);
    let y = Scale::over(plot.y.iter().copied(), plot.y_log, UPWARD.0, UPWARD.1);
    let mut counts = vec![[0usize; 2]; COLUMNS * ROWS];
    let mut chosen = String::new();
    let draw_each = plot.chosen.iter().filter(|chosen| **chosen).count() <= 4000;
    for index in 0..plot.x.len() {
        let (a, b) = (plot.x[index], plot.y[index]);
        if !a.is_finite() || !b.is_finite() || (plot.x_log && a <= 0.0) || (plot.y_log && b <= 0.0) {
            continue;
        }
        if plot.chosen[index] && draw_each {
            chosen.push_str(&format!(
                "<circle class=kept cx={} cy={} r=1.7><title>{}</title></circle>",
                px(x.at(a)),
                px(y.at(b)),
                escape(&plot.names[index])
            ));
        } else {
            let column = ((x.share(a) * COLUMNS as f64) as usize).min(COLUMNS - 1);
            let row = ((y.share(b) * ROWS as f64) as usize).min(ROWS - 1);
            counts[row * COLUMNS + column][usize::from(!plot.chosen[index])] += 1;
        }
    }
    let body = format!("<g class=muted>{}</g>{chosen}", density(&counts, COLUMNS, ROWS));
    frame("Mean against variability of genes", &x, &y, &plot.x_label, &plot.y_label, &body)
}

/// Share of variance of the principal components.
pub(super) fn elbow(ratio: &[f64]) -> String {
    let x = Scale::exact(0.0, ratio.len() as f64 + 1.0, ACROSS.0, ACROSS.1);
    let y = Scale::over(ratio.iter().map(|share| share * 100.0), true, UPWARD.0, UPWARD.1);
    let place = |index: usize, share: f64| (px(x.at(index as f64 + 1.0)), px(y.at(share * 100.0)));
    let mut body = String::from("<polyline class=line points=\"");
    for (index, &value) in ratio.iter().enumerate() {
        let (cx, cy) = place(index, value);
        body.push_str(&format!("{cx},{cy} "));
    }
    body.push_str("\" />");
    for (index, &value) in ratio.iter().enumerate() {
        let (cx, cy) = place(index, value);
        body.push_str(&format!(
            "<circle class=kept cx={cx} cy={cy} r=2.6><title>PC {}: {:.2} %</title></circle>",
            index + 1,
            value * 100.0
        ));
    }
    frame("Variance of the principal components", &x, &y, "principal component", "% of the variance", &body)
}

/// Curves over distance, each in the colour of its label; 1 is a line of its own.
pub(super) fn lines(data: &Lines) -> String {
    let (x, y) = data.scales(ACROSS, UPWARD);
    let at = px(y.at(1.0));
    let mut body = format!("<line class=limit x1={} x2={} y1={at} y2={at} />", px(ACROSS.0), px(ACROSS.1));
    for ((name, values), &number) in data.names.iter().zip(&data.values).zip(&data.colours) {
        let points: Vec<String> = data
            .x
            .iter()
            .zip(values)
            .filter(|(_, value)| value.is_finite())
            .map(|(far, value)| format!("{},{}", px(x.at(*far)), px(y.at(*value))))
            .collect();
        body.push_str(&format!(
            "<polyline fill=none stroke=\"{}\" stroke-width=2 points=\"{}\"><title>{}</title></polyline>",
            colour(number),
            points.join(" "),
            escape(name)
        ));
    }
    frame("Labels by distance", &x, &y, &data.x_label, "times as often", &body)
}

/// Dot plot: colour is mean expression (each gene from its lowest to its highest cluster), size the share of
/// expressing cells.
pub(super) fn dots(data: &DotData, clusters: &[Cluster]) -> String {
    const STEP: f64 = 19.0;
    let widest = data.genes.iter().map(|gene| gene.chars().count()).max().unwrap_or(0).min(18) as f64;
    let names = clusters.iter().map(|cluster| cluster.name.chars().count()).max().unwrap_or(0).min(24) as f64;
    let (left, top) = (names * 7.5 + 22.0, widest * 7.0 + 14.0);
    let width = left + (data.genes.len() as f64 * STEP + 12.0).max(300.0);
    let height = top + clusters.len() as f64 * STEP + 44.0;
    let mut svg = open(width, height, "Expression of the top markers over the clusters");
    svg = svg.replace("<svg ", &format!("<svg style=\"width:{}px\" ", px(width)));
    for (column, gene) in data.genes.iter().enumerate() {
        let x = left + (column as f64 + 0.5) * STEP;
        svg.push_str(&format!(
            "<text class=tick transform=\"translate({} {}) rotate(-90)\">{}</text>",
            px(x + 4.0),
            px(top - 6.0),
            escape(&shortened(gene, 18))
        ));
    }
    let reach: Vec<(f64, f64)> = (0..data.genes.len())
        .map(|gene| {
            data.means
                .iter()
                .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), row| (low.min(row[gene]), high.max(row[gene])))
        })
        .collect();
    for (row, cluster) in clusters.iter().enumerate() {
        let y = top + (row as f64 + 0.5) * STEP;
        svg.push_str(&format!(
            "<text class=tick text-anchor=end x={} y={}>{}</text>",
            px(left - 8.0),
            px(y + 4.0),
            escape(&shortened(&cluster.name, 24))
        ));
        let first = data.of_cluster.iter().position(|&of| of == row);
        let last = data.of_cluster.iter().rposition(|&of| of == row);
        if let (Some(first), Some(last)) = (first, last) {
            svg.push_str(&format!(
                "<rect class=own x={} y={} width={} height={} rx=5 />",
                px(left + first as f64 * STEP),
                px(y - STEP / 2.0),
                px((last - first + 1) as f64 * STEP),
                px(STEP)
            ));
        }
        for (column, gene) in data.genes.iter().enumerate() {
            let (mean, fraction) = (data.means[row][column], data.fractions[row][column]);
            let (low, high) = reach[column];
            let share = if high > low { ((mean - low) / (high - low)).clamp(0.0, 1.0) } else { 0.0 };
            let radius = (fraction.clamp(0.0, 1.0)).sqrt() * (STEP / 2.0 - 1.2);
            if radius < 0.4 {
                continue;
            }
            svg.push_str(&format!(
                "<circle class=dot style=\"--v:{:.0}%\" cx={} cy={} r={}><title>{} in {}: mean {:.2}, {:.0} % of cells</title></circle>",
                share * 100.0,
                px(left + (column as f64 + 0.5) * STEP),
                px(y),
                px(radius),
                escape(gene),
                escape(&cluster.name),
                mean,
                fraction * 100.0
            ));
        }
    }
    let y = height - 18.0;
    svg.push_str(&format!("<text class=tick x={} y={}>share of cells</text>", px(left), px(y + 4.0)));
    for (index, share) in [0.2, 0.4, 0.6, 0.8, 1.0].into_iter().enumerate() {
        svg.push_str(&format!(
            "<circle class=size cx={} cy={} r={} />",
            px(left + 104.0 + index as f64 * 20.0),
            px(y),
            px(f64::sqrt(share) * (STEP / 2.0 - 1.2))
        ));
    }
    svg.push_str(&format!("<text class=tick x={} y={}>20–100 %</text></svg>", px(left + 202.0), px(y + 4.0)));
    svg
}

/// The first letters of a long name, and an ellipsis.
pub(super) fn shortened(name: &str, most: usize) -> String {
    if name.chars().count() <= most {
        return name.to_string();
    }
    name.chars().take(most - 1).chain(['…']).collect()
}
