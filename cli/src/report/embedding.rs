//! The embedding as the page's script reads it: packed, deflated, in base64.

use std::io::Write as _;

use base64::Engine as _;
use flate2::Compression;
use flate2::write::ZlibEncoder;
use serde_json::{Value, json};

use super::MOST_POINTS;
use super::data::{Cluster, Embedding};

/// Levels of expression that are kept: half a byte per cell.
const LEVELS: f32 = 15.0;

/// Packs the embedding: cells in order of their clusters (so that only sizes need be written, and expression
/// deflates well), coordinates in 16 bits over one common range, expression in 16 levels, two per byte.
pub(super) fn pack(embedding: &Embedding, clusters: &[Cluster]) -> Value {
    let members = members(&embedding.labels, clusters.len());
    let total: usize = members.iter().map(Vec::len).sum();
    let stride = total.div_ceil(MOST_POINTS).max(1);
    let shown: Vec<Vec<usize>> = members.iter().map(|cells| cells.iter().copied().step_by(stride).collect()).collect();
    let order: Vec<usize> = shown.iter().flatten().copied().collect();

    let points = Quantised::new(&order, 2, |cell, axis| embedding.points[cell][axis]);
    let genes: Vec<Value> = embedding
        .genes
        .iter()
        .map(|gene| {
            let top = top_value(&order.iter().map(|&cell| gene.values[cell]).collect::<Vec<_>>());
            let level = |index: usize| -> u8 {
                let value = order.get(index).map_or(0.0, |&cell| gene.values[cell]);
                if value > 0.0 && top > 0.0 { (value / top * LEVELS).ceil().clamp(1.0, LEVELS) as u8 } else { 0 }
            };
            let bytes: Vec<u8> =
                (0..order.len().div_ceil(2)).map(|pair| level(2 * pair) | level(2 * pair + 1) << 4).collect();
            json!({ "name": gene.name, "top": (f64::from(top) * 100.0).round() / 100.0, "data": deflated(&bytes) })
        })
        .collect();

    let groups: Vec<Value> = clusters
        .iter()
        .zip(&shown)
        .zip(&members)
        .map(|((cluster, shown), all)| {
            let middle = |axis: usize| {
                let places = all.iter().map(|&cell| f64::from(embedding.points[cell][axis]));
                ((median(places) - points.lows[axis]) / points.span * 1e4).round() / 1e4
            };
            json!({
                "name": cluster.name,
                "size": cluster.size,
                "shown": shown.len(),
                "x": middle(0),
                "y": middle(1),
                "marker": cluster.markers.first().map(|marker| marker.gene.clone()),
            })
        })
        .collect();
    json!({ "n": order.len(), "total": total, "points": points.packed, "groups": groups, "genes": genes })
}

/// Coordinates in 16 bits over the longest of their ranges.
pub(super) struct Quantised {
    /// Axis after axis, deflated, in base64.
    pub packed: String,
    /// Where each axis begins, and the length of that range.
    pub lows: Vec<f64>,
    pub span: f64,
    /// What each axis spans of it.
    pub shares: Vec<f64>,
}

impl Quantised {
    /// Of `cells`, `place(cell, axis)` for each axis. What is not finite bounds no range.
    pub(super) fn new(cells: &[usize], axes: usize, place: impl Fn(usize, usize) -> f32) -> Self {
        let (mut lows, mut spans) = (Vec::with_capacity(axes), Vec::with_capacity(axes));
        for axis in 0..axes {
            let (low, high) = cells
                .iter()
                .map(|&cell| f64::from(place(cell, axis)))
                .filter(|x| x.is_finite())
                .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), x| (low.min(x), high.max(x)));
            lows.push(if low.is_finite() { low } else { 0.0 });
            spans.push(if high > low { high - low } else { 0.0 });
        }
        let span = spans.iter().copied().fold(0.0, f64::max);
        let span = if span > 0.0 { span } else { 1.0 };
        let mut bytes = Vec::with_capacity(cells.len() * axes * 2);
        for (axis, low) in lows.iter().enumerate() {
            for &cell in cells {
                let share = (f64::from(place(cell, axis)) - low) / span;
                bytes.extend_from_slice(&((share * 65535.0).round().clamp(0.0, 65535.0) as u16).to_le_bytes());
            }
        }
        Self { packed: deflated(&bytes), lows, span, shares: spans.iter().map(|one| one / span).collect() }
    }
}

/// The cells of each cluster, ascending.
pub(super) fn members(labels: &[u32], n_clusters: usize) -> Vec<Vec<usize>> {
    let mut members = vec![Vec::new(); n_clusters];
    for (cell, &label) in labels.iter().enumerate() {
        if let Some(cells) = members.get_mut(label as usize) {
            cells.push(cell);
        }
    }
    members
}

/// What the top level stands for: the 99.5th percentile of the expressing cells, so that one cell does not
/// wash out the others.
fn top_value(values: &[f32]) -> f32 {
    let mut positive: Vec<f32> = values.iter().copied().filter(|value| *value > 0.0 && value.is_finite()).collect();
    if positive.is_empty() {
        return 0.0;
    }
    let place = ((positive.len() - 1) as f64 * 0.995).round() as usize;
    *positive.select_nth_unstable_by(place, f32::total_cmp).1
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    if values.is_empty() {
        return 0.0;
    }
    let middle = values.len() / 2;
    *values.select_nth_unstable_by(middle, f64::total_cmp).1
}

pub(super) fn deflated(bytes: &[u8]) -> String {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::new(9));
    // Writing to memory cannot fail; were it to, the page would show an empty plot.
    let packed = encoder.write_all(bytes).and_then(|()| encoder.finish()).unwrap_or_default();
    base64::engine::general_purpose::STANDARD.encode(packed)
}

/// What [`deflated`] packed.
#[cfg(test)]
pub(super) fn inflated(value: &Value) -> Vec<u8> {
    use std::io::Read as _;

    let packed = base64::engine::general_purpose::STANDARD.decode(value.as_str().unwrap()).unwrap();
    let mut bytes = Vec::new();
    flate2::read::ZlibDecoder::new(&packed[..]).read_to_end(&mut bytes).unwrap();
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    #[test]
    fn packs_by_hand() {
        let embedding = Embedding {
            points: vec![[0.0, 0.0], [10.0, 0.0], [5.0, 5.0]],
            labels: vec![1, 0, 1],
            genes: vec![super::super::GeneValues { name: "G".into(), values: vec![0.0, 2.0, 1.0] }],
        };
        let clusters = vec![
            Cluster { name: "0".into(), size: 1, ..Default::default() },
            Cluster { name: "1".into(), size: 2, ..Default::default() },
        ];
        let packed = pack(&embedding, &clusters);
        // Cells in the order 1, 0, 2: x = 10, 0, 5 and y = 0, 0, 5 over a span of 10.
        let bytes = inflated(&packed["points"]);
        let numbers: Vec<u16> = bytes.chunks(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]])).collect();
        assert_eq!(numbers, [65535, 0, 32768, 0, 0, 32768]);
        // Levels 15, 0, 8.
        assert_eq!(inflated(&packed["genes"][0]["data"]), [15, 8]);
        assert_eq!(packed["groups"][1]["shown"], 2);
    }

    #[test]
    fn no_cells_and_strange_values_pack_too() {
        assert_eq!(pack(&Embedding::default(), &[])["n"], 0);
        let embedding = Embedding { points: vec![[f32::NAN, 1.0]], labels: vec![0], genes: vec![] };
        let packed = pack(&embedding, &[Cluster { name: "0".into(), size: 1, ..Default::default() }]);
        assert_eq!(packed["n"], 1);
    }
}
