//! Colours for categories and for values.

use super::colors::Rgba;

/// Light grey, for points without a value or category.
pub const MISSING: Rgba = [211, 211, 211, 255];

/// Category colours 1 to 8: those of Okabe and Ito (2008), which the colour-blind tell apart, black last. 9 to 20: of
/// Tableau's hues and their lighter versions, as in Vega (BSD-3-Clause), those that lie far from the first eight.
const FIRST: [[u8; 3]; 20] = [
    [230, 159, 0],
    [86, 180, 233],
    [0, 158, 115],
    [240, 228, 66],
    [0, 114, 178],
    [213, 94, 0],
    [204, 121, 167],
    [0, 0, 0],
    [148, 103, 189],
    [140, 86, 75],
    [127, 127, 127],
    [23, 190, 207],
    [214, 39, 40],
    [152, 223, 138],
    [174, 199, 232],
    [255, 152, 150],
    [197, 176, 213],
    [188, 189, 34],
    [247, 182, 210],
    [196, 156, 148],
];

/// Every eighth colour of viridis (van der Walt and Smith 2015, CC0).
const VIRIDIS: [[u8; 3]; 33] = [
    [68, 1, 84],
    [71, 13, 96],
    [72, 24, 106],
    [72, 35, 116],
    [71, 45, 123],
    [69, 54, 129],
    [66, 64, 134],
    [63, 73, 137],
    [59, 82, 139],
    [55, 90, 141],
    [51, 99, 141],
    [47, 106, 142],
    [44, 114, 142],
    [41, 122, 142],
    [38, 129, 142],
    [35, 137, 142],
    [33, 144, 140],
    [31, 152, 139],
    [31, 159, 136],
    [33, 166, 133],
    [40, 174, 128],
    [49, 181, 123],
    [62, 188, 116],
    [76, 194, 108],
    [93, 201, 99],
    [110, 206, 88],
    [130, 211, 76],
    [150, 216, 63],
    [171, 220, 50],
    [192, 223, 36],
    [213, 226, 26],
    [234, 229, 26],
    [253, 231, 37],
];

/// Distinct colours for `n` categories. The first colours do not depend on n.
///
/// The first 8 are told apart by the colour-blind as well. Up to 20 come from a list; each further one is the colour, on
/// a grid of readable ones, that differs most (in CIELAB) from all before it. O(n) per colour over about 3,000 candidates.
pub fn palette(n: usize) -> Vec<Rgba> {
    let mut colors: Vec<[u8; 3]> = FIRST.iter().copied().take(n).collect();
    if n > FIRST.len() {
        let candidates = readable();
        let mut distance: Vec<f64> = candidates
            .iter()
            .map(|candidate| FIRST.iter().map(|&c| apart(candidate.1, lab(c))).fold(f64::INFINITY, f64::min))
            .collect();
        while colors.len() < n {
            let mut best = 0;
            for i in 1..candidates.len() {
                if distance[i] > distance[best] {
                    best = i;
                }
            }
            let (color, position) = candidates[best];
            colors.push(color);
            for (nearest, candidate) in distance.iter_mut().zip(&candidates) {
                *nearest = nearest.min(apart(candidate.1, position));
            }
        }
    }
    colors.into_iter().map(|[r, g, b]| [r, g, b, 255]).collect()
}

/// The viridis colour map as `n` colours from low to high.
pub fn viridis(n: usize) -> Vec<Rgba> {
    let last = (VIRIDIS.len() - 1) as f64;
    (0..n)
        .map(|i| {
            let place = if n > 1 { i as f64 / (n - 1) as f64 * last } else { last / 2.0 };
            let low = (place as usize).min(VIRIDIS.len() - 2);
            let share = place - low as f64;
            let mix = |c: usize| {
                let (a, b) = (f64::from(VIRIDIS[low][c]), f64::from(VIRIDIS[low + 1][c]));
                (a + share * (b - a)).round() as u8
            };
            [mix(0), mix(1), mix(2), 255]
        })
        .collect()
}

/// Colours neither too light nor too dark for a white page, with their CIELAB coordinates.
fn readable() -> Vec<([u8; 3], [f64; 3])> {
    let levels = || (0..16u8).map(|step| step * 17);
    let mut colors = Vec::new();
    for r in levels() {
        for g in levels() {
            for b in levels() {
                let position = lab([r, g, b]);
                let chroma = position[1].hypot(position[2]);
                if (22.0..88.0).contains(&position[0]) && chroma > 12.0 {
                    colors.push(([r, g, b], position));
                }
            }
        }
    }
    colors
}

/// sRGB to CIELAB, white point D65 (IEC 61966-2-1, CIE 15).
fn lab(color: [u8; 3]) -> [f64; 3] {
    let [r, g, b] = color.map(|value| {
        let v = f64::from(value) / 255.0;
        if v <= 0.040_45 { v / 12.92 } else { ((v + 0.055) / 1.055).powf(2.4) }
    });
    let x = (0.4124 * r + 0.3576 * g + 0.1805 * b) / 0.950_47;
    let y = 0.2126 * r + 0.7152 * g + 0.0722 * b;
    let z = (0.0193 * r + 0.1192 * g + 0.9505 * b) / 1.088_83;
    let [fx, fy, fz] =
        [x, y, z].map(|t| if t > 216.0 / 24389.0 { t.cbrt() } else { (24389.0 / 27.0 * t + 16.0) / 116.0 });
    [116.0 * fy - 16.0, 500.0 * (fx - fy), 200.0 * (fy - fz)]
}

/// Squared distance in CIELAB.
fn apart(a: [f64; 3], b: [f64; 3]) -> f64 {
    (a[0] - b[0]).powi(2) + (a[1] - b[1]).powi(2) + (a[2] - b[2]).powi(2)
}
