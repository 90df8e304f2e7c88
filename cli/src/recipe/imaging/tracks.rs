//! Tracks as lines: pictures from above and from the side, steps, divisions.

use zensaibo_imaging::track::Tracks;

use crate::report::{Mark, Picture, Pixels};

/// Pixels along the longest side of a picture.
const SIDE: f64 = 1400.0;
/// Colours from the first time point to the last.
const COLOURS: [[f64; 3]; 5] =
    [[70.0, 90.0, 220.0], [40.0, 160.0, 220.0], [50.0, 200.0, 130.0], [170.0, 220.0, 60.0], [255.0, 235.0, 70.0]];

/// Detections over time with what each follows.
pub(super) struct Paths<'a> {
    /// (z, y, x) in micrometres, ordered by time.
    points: &'a [[f64; 3]],
    times: &'a [i64],
    /// Of each detection the one before it in its track, or the last of its mother.
    before: Vec<Option<usize>>,
    /// Last detections of tracks that divide.
    divisions: Vec<usize>,
}

impl<'a> Paths<'a> {
    pub(super) fn new(points: &'a [[f64; 3]], times: &'a [i64], tracks: &Tracks) -> Self {
        let mut last: Vec<Option<usize>> = vec![None; tracks.len()];
        let mut before = Vec::with_capacity(points.len());
        let mut divisions = Vec::new();
        // Ordered by time: a mother is complete when her daughters begin.
        for (at, &track) in tracks.track.iter().enumerate() {
            let own = track as usize - 1;
            let mother = tracks.parent[own] as usize;
            if last[own].is_none() && mother > 0 {
                before.push(last[mother - 1]);
                divisions.extend(last[mother - 1]);
            } else {
                before.push(last[own]);
            }
            last[own] = Some(at);
        }
        divisions.sort_unstable();
        divisions.dedup();
        Self { points, times, before, divisions }
    }

    /// The last detections of tracks that divide.
    pub(super) fn divisions(&self) -> &[usize] {
        &self.divisions
    }

    /// How far cells go from one time point to the next, in micrometres.
    pub(super) fn steps(&self) -> Vec<f64> {
        let links = self.before.iter().enumerate().filter_map(|(at, before)| before.map(|before| (before, at)));
        let next = links.filter(|&(before, at)| self.times[at] == self.times[before] + 1);
        next.map(|(before, at)| {
            (0..3).map(|a| (self.points[at][a] - self.points[before][a]).powi(2)).sum::<f64>().sqrt()
        })
        .collect()
    }

    /// The tracks from above, and from the side where they have depth.
    pub(super) fn pictures(&self) -> Vec<Picture> {
        let [mut low, mut high] = [[f64::INFINITY; 3], [f64::NEG_INFINITY; 3]];
        for point in self.points {
            for a in 0..3 {
                low[a] = low[a].min(point[a]);
                high[a] = high[a].max(point[a]);
            }
        }
        if self.points.is_empty() {
            return Vec::new();
        }
        let longest = (0..3).map(|a| high[a] - low[a]).fold(0.0, f64::max);
        let margin = if longest > 0.0 { 0.02 * longest } else { 1.0 };
        let mut pictures = vec![self.picture(1, low, high, margin)];
        if high[0] > low[0] {
            pictures.push(self.picture(0, low, high, margin));
        }
        pictures
    }

    /// The plane of axis `down` and x.
    fn picture(&self, down: usize, low: [f64; 3], high: [f64; 3], margin: f64) -> Picture {
        let um = [high[down] - low[down] + 2.0 * margin, high[2] - low[2] + 2.0 * margin];
        let pixel = um[0].max(um[1]) / SIDE;
        let size = um.map(|um| (um / pixel).ceil().max(1.0) as usize);
        let place = |at: usize| [self.points[at][down] - low[down] + margin, self.points[at][2] - low[2] + margin];
        let (first, last) = (self.times[0], self.times[self.times.len() - 1]);
        let mut pixels = vec![0u8; 3 * size[0] * size[1]];
        // In the order of time: what is later lies above.
        for (at, before) in self.before.iter().enumerate() {
            let share = (self.times[at] - first) as f64 / (last - first).max(1) as f64;
            let (to, from) = (place(at).map(|um| um / pixel), place(before.unwrap_or(at)).map(|um| um / pixel));
            line(&mut pixels, size, from, to, colour(share));
        }
        let ring = |&at: &usize| {
            let [y, x] = place(at);
            Mark { x, y, radius: Some(8.0 * pixel), strength: 1.0 }
        };
        Picture {
            title: if down == 1 { "All tracks, from above" } else { "All tracks, from the side" }.into(),
            caption: format!(
                "{} down and x across; the upper left corner lies at {} {:.1}, x {:.1} um.",
                ["z", "y"][down],
                ["z", "y"][down],
                low[down] - margin,
                low[2] - margin
            ),
            size,
            um: size.map(|n| n as f64 * pixel),
            pixels: Pixels::Rgb(pixels),
            marks: self.divisions.iter().map(ring).collect(),
            wide: true,
        }
    }
}

/// The colour of a share of the time, 0 to 1.
fn colour(share: f64) -> [u8; 3] {
    let place = share.clamp(0.0, 1.0) * (COLOURS.len() - 1) as f64;
    let low = (place as usize).min(COLOURS.len() - 2);
    let rest = place - low as f64;
    std::array::from_fn(|c| (COLOURS[low][c] * (1.0 - rest) + COLOURS[low + 1][c] * rest) as u8)
}

/// A line two pixels wide, both ends among them.
fn line(pixels: &mut [u8], size: [usize; 2], from: [f64; 2], to: [f64; 2], colour: [u8; 3]) {
    let steps = (to[0] - from[0]).abs().max((to[1] - from[1]).abs()).ceil().max(1.0) as usize;
    for step in 0..=steps {
        let share = step as f64 / steps as f64;
        let [y, x] = std::array::from_fn(|a| (from[a] + (to[a] - from[a]) * share) as usize);
        for (y, x) in [(y, x), (y + 1, x), (y, x + 1), (y + 1, x + 1)] {
            if y < size[0] && x < size[1] {
                let at = 3 * (y * size[1] + x);
                pixels[at..at + 3].copy_from_slice(&colour);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A cell that goes along x and divides, beside one that waits a time point.
    fn paths() -> (Vec<[f64; 3]>, Vec<i64>, Tracks) {
        let points = vec![
            [0.0, 0.0, 0.0],
            [0.0, 50.0, 0.0],
            [0.0, 0.0, 3.0],
            [0.0, 4.0, 6.0],
            [0.0, -4.0, 6.0],
            [0.0, 50.0, 9.0],
        ];
        let tracks = Tracks { track: vec![1, 2, 1, 3, 4, 2], parent: vec![0, 0, 1, 1] };
        (points, vec![5, 5, 6, 7, 7, 7], tracks)
    }

    #[test]
    fn steps_and_divisions_are_those_of_the_tracks() {
        let (points, times, tracks) = paths();
        let paths = Paths::new(&points, &times, &tracks);
        assert_eq!(paths.divisions(), [2]);
        // The gap of the second cell is no step to the next time point.
        assert_eq!(paths.steps(), [3.0, 5.0, 5.0]);
    }

    #[test]
    fn lines_run_where_cells_went() {
        let (mut points, times, tracks) = paths();
        let pictures = Paths::new(&points, &times, &tracks).pictures();
        let [picture] = &pictures[..] else { panic!("{} pictures of a plane", pictures.len()) };
        let Pixels::Rgb(pixels) = &picture.pixels else { panic!("no colours") };
        assert_eq!(pixels.len(), 3 * picture.size[0] * picture.size[1]);
        let at = |y: f64, x: f64| {
            let margin = 0.02 * 54.0;
            let scale = picture.size[0] as f64 / picture.um[0];
            let [row, column] = [(y + 4.0 + margin) * scale, (x + margin) * scale].map(|v| v as usize);
            let at = 3 * (row * picture.size[1] + column);
            [pixels[at], pixels[at + 1], pixels[at + 2]]
        };
        assert_eq!(at(0.0, 1.5), colour(0.5));
        assert_eq!(at(2.0, 4.5), colour(1.0));
        assert_eq!(at(50.0, 4.0), colour(1.0));
        assert_eq!(at(25.0, 5.0), [0; 3]);
        let [ring] = picture.marks[..] else { panic!("{} rings", picture.marks.len()) };
        assert!((ring.x - 3.0 - 1.08).abs() < 1e-9 && (ring.y - 4.0 - 1.08).abs() < 1e-9);
        points[5][0] = 2.0;
        assert_eq!(Paths::new(&points, &times, &tracks).pictures().len(), 2);
        assert!(Paths::new(&[], &[], &Tracks::default()).pictures().is_empty());
        let alone = Tracks { track: vec![1], parent: vec![0] };
        assert_eq!(Paths::new(&[[1.0; 3]], &[0], &alone).pictures()[0].size, [1400, 1400]);
    }
}
