//! The whole way: rough fit, refinement, pairs, and whether to believe it.

use ndarray::ArrayView2;
use zensaibo_core::options::Options;
use zensaibo_core::{Ctx, DataFault, Error, Result};

use crate::cloud::{Cloud, Point, square};
use crate::grow::{Neighbors, grow};
use crate::landmarks::{LandmarkOptions, landmark_map};
use crate::linear::Linear;
use crate::map::PointMap;
use crate::options::AlignOptions;
use crate::pairs::{Matches, Rules, pair_up};
use crate::refine::{Schedule, Shape, refine};
use crate::scene::{Likeness, Scene};
use crate::seeds::{Freedom, hit_distance, search};
use crate::smooth::Basis;

/// Within this many spacings of a fixed cell a moving one counts as lying among them.
const AMONG: f64 = 3.0;
/// Width of the kernel in spacings, unless given.
const BETA: f64 = 8.0;
/// Landmarks that fit this much better another way than the one asked for are refused.
const MUCH_BETTER: f64 = 0.5;

/// How often the drift is repeated at most, from which width in spacings, and by how much pairs must have spread for it.
const ROUNDS: usize = 4;
const AGAIN: f64 = 0.6;
const MORE: f64 = 1.03;

/// How the two sides are brought together before anything is refined.
#[derive(Clone, Debug)]
pub enum Start {
    /// Places that are known to be the same: moving, fixed, and a weight for each.
    Landmarks(Cloud, Cloud, Option<Vec<f64>>),
    /// A map from the moving to the fixed space.
    Map(Linear),
    /// Nothing is known: the geometry of neighbourhoods decides.
    Geometry,
}

/// What [`align`] returns.
#[derive(Clone, Debug, PartialEq)]
pub struct Alignment {
    /// From the moving to the fixed space.
    pub map: PointMap,
    /// Where the moving cells lie after it.
    pub placed: Vec<Point>,
    /// Pairs, their probabilities and false match rates.
    pub matches: Matches,
    /// Median distance of a fixed cell to its nearest: the unit of the options.
    pub spacing: f64,
    /// Distances that the rough fit leaves at the landmarks; empty without any.
    pub landmark_residuals: Vec<f64>,
    /// Seeds tried, and pairs that spread from the last; without landmarks and map alone.
    pub seeds: Option<(usize, usize)>,
    /// Why the result is not to be trusted; empty where there is no reason not to.
    pub faults: Vec<String>,
}

/// Features of the two sides, (cells x values) each.
pub type Features<'a> = (ArrayView2<'a, f64>, ArrayView2<'a, f64>);

/// Aligns `moving` with `fixed` and pairs their cells one to one.
///
/// A rough fit from `start`; then coherent point drift with a width that is lowered from neighbourhoods to single cells, every
/// cell having at most one partner; then the likeliest pairs within the gate, each with its probability, and from displaced
/// copies of the moving cells the share of pairs that is false.
///
/// Cost: without landmarks seeds x fixed cells; the drift some 30 to 60 rounds of (moving x control points near each, squared)
/// and control points cubed; memory 8 bytes per control point squared and some kB per moving cell in work. The same bits for any number of
/// threads.
///
/// # Errors
/// [`Error::Parameter`]; [`Error::Data`] for sides that do not fit together; [`Error::NotTrustworthy`] where no rough fit is
/// found, landmarks fit mirrored or at another scale, or the sides do not overlap, with the reason; [`Error::Interrupted`].
/// Few or doubtful pairs are no error here but stand in `faults`.
pub fn align(
    moving: &Cloud,
    fixed: &Cloud,
    start: &Start,
    features: Option<Features<'_>>,
    options: &AlignOptions,
    ctx: &Ctx,
) -> Result<Alignment> {
    options.validate()?;
    let dimensions = fixed.dimensions();
    if moving.dimensions() != dimensions {
        let expected = format!("{dimensions} coordinates per cell, as the fixed cells have");
        return Err(Error::data(DataFault::Shape, "moving cells", expected, moving.dimensions()));
    }
    let scene = Scene::new("fixed cells", fixed)?;
    let likeness = features.map(|features| likeness_of(features, moving, fixed, options)).transpose()?;
    let (rough, landmark_residuals, known) = match start {
        Start::Landmarks(from, to, weights) => {
            let (map, left) = from_landmarks(from, to, weights.as_deref(), scene.spacing, dimensions, options)?;
            (map, left, None)
        }
        Start::Map(map) => {
            if map.inverse().is_none() {
                return Err(Error::parameter("initial", "a map that has an inverse", format!("{:?}", map.matrix)));
            }
            (*map, Vec::new(), None)
        }
        Start::Geometry => {
            let found = from_geometry(moving.points(), &scene, options, ctx)?;
            (found.0, Vec::new(), Some(found.1))
        }
    };
    let places: Vec<Point> = moving.points().iter().map(|place| rough.apply(place)).collect();
    overlap(&places, &scene, options)?;

    let from = options.start_width.unwrap_or(if known.is_some() { 0.6 } else { 1.25 }).max(options.end_width);
    let schedule = Schedule {
        from: from * scene.spacing,
        to: options.end_width * scene.spacing,
        outliers: options.outliers,
        stiffness: options.stiffness / (scene.spacing * scene.spacing),
    };
    let shape = match options.deform.as_str() {
        "none" => Shape::Stiff { dimensions, scale: options.scale },
        "affine" => Shape::Smooth(Basis::affine(&places, dimensions)),
        _ => {
            let beta = options.beta.unwrap_or(BETA) * scene.spacing;
            Shape::Smooth(Basis::over(&places, dimensions, beta, options.max_controls, options.beta.is_some())?)
        }
    };
    let pairs = known.as_ref().map(|known| &known.pairs[..]);
    let mut refined = refine(&places, &scene, &shape, &schedule, pairs, likeness.as_ref(), ctx)?;
    let rules = Rules {
        gate: options.gate * scene.spacing,
        min_probability: options.min_probability,
        decoys: options.decoys,
        seed: options.seed,
    };
    let mut matches = pair_up(&refined.placed, &scene, &rules, likeness.as_ref(), ctx)?;
    // Where the drift was caught by wrong neighbours, pairs spread in from where it was not; then it runs once more.
    let again = Schedule { from: schedule.from.min(AGAIN * scene.spacing).max(schedule.to), ..schedule };
    for _ in 0..if options.deform == "nonrigid" { ROUNDS } else { 0 } {
        let mut pairs = vec![None; places.len()];
        matches.pairs.iter().for_each(|pair| pairs[pair.moving as usize] = Some(pair.fixed));
        let grown = grow(&places, &Neighbors::new(&places), &scene, pairs, hit_distance(&scene), ctx)?;
        if (grown.count() as f64) < MORE * matches.pairs.len() as f64 {
            break;
        }
        let next = refine(&places, &scene, &shape, &again, Some(&grown.pairs), likeness.as_ref(), ctx)?;
        let found = pair_up(&next.placed, &scene, &rules, likeness.as_ref(), ctx)?;
        if found.pairs.len() <= matches.pairs.len() {
            break;
        }
        (refined, matches) = (next, found);
    }
    let mut faults = Vec::new();
    if matches.pairs.len() < options.min_matches {
        faults.push(format!(
            "too few matches: {} of {} moving cells found a partner, `min_matches` is {}",
            matches.pairs.len(),
            moving.len(),
            options.min_matches
        ));
    }
    if matches.false_match_rate > options.max_false_rate {
        faults.push(format!(
            "{:.0} % of the matches are false by the count of displaced copies, `max_false_rate` is {}",
            100.0 * matches.false_match_rate,
            options.max_false_rate
        ));
    }
    let mut map = PointMap { start: rough, affine: refined.moves.affine, ..PointMap::linear(dimensions, rough) };
    if let Shape::Smooth(basis) = shape
        && !basis.controls.is_empty()
    {
        (map.beta, map.reach) = (basis.beta, basis.reach());
        (map.controls, map.weights) = (basis.controls, refined.moves.weights);
    }
    Ok(Alignment {
        map,
        placed: refined.placed,
        matches,
        spacing: scene.spacing,
        landmark_residuals,
        seeds: known.map(|known| (known.tries, known.count)),
        faults,
    })
}

/// Pairs cells that lie in one space already, as [`align`] does at its end.
///
/// # Errors
/// As [`align`], but nothing is refused for being doubtful.
pub fn match_points(
    moving: &Cloud,
    fixed: &Cloud,
    features: Option<Features<'_>>,
    options: &AlignOptions,
    ctx: &Ctx,
) -> Result<Matches> {
    options.validate()?;
    if moving.dimensions() != fixed.dimensions() {
        let expected = format!("{} coordinates per cell, as the fixed cells have", fixed.dimensions());
        return Err(Error::data(DataFault::Shape, "moving cells", expected, moving.dimensions()));
    }
    let scene = Scene::new("fixed cells", fixed)?;
    let likeness = features.map(|features| likeness_of(features, moving, fixed, options)).transpose()?;
    let rules = Rules {
        gate: options.gate * scene.spacing,
        min_probability: options.min_probability,
        decoys: options.decoys,
        seed: options.seed,
    };
    pair_up(moving.points(), &scene, &rules, likeness.as_ref(), ctx)
}

fn likeness_of<'a>(
    features: Features<'a>,
    moving: &Cloud,
    fixed: &Cloud,
    options: &AlignOptions,
) -> Result<Likeness<'a>> {
    let (a, b) = features;
    let width = b.ncols();
    for (name, array, cells) in
        [("features of moving cells", a, moving.len()), ("features of fixed cells", b, fixed.len())]
    {
        if array.dim() != (cells, width) || width == 0 {
            let expected = format!("{cells} cells x {} values, the same on both sides", width.max(1));
            return Err(Error::data(
                DataFault::Shape,
                name,
                expected,
                format!("{} x {}", array.nrows(), array.ncols()),
            ));
        }
        if let Some(((row, column), value)) = array.indexed_iter().find(|(_, value)| !value.is_finite()) {
            let found = format!("{value} for cell {row}, value {column}");
            return Err(Error::data(DataFault::NotFinite, name, "finite values", found));
        }
    }
    Likeness::new(a, b, options.feature_width, options.seed)
}

fn refuse(what: &str, reason: String) -> Error {
    Error::NotTrustworthy { what: what.into(), reasons: vec![reason] }
}

/// The rough map, refused where another kind of map fits much better.
fn from_landmarks(
    from: &Cloud,
    to: &Cloud,
    weights: Option<&[f64]>,
    spacing: f64,
    dimensions: usize,
    options: &AlignOptions,
) -> Result<(Linear, Vec<f64>)> {
    let fit =
        |kind: &str, mirror: bool| landmark_map(from, to, weights, &LandmarkOptions { kind: kind.to_string(), mirror });
    let rms = |left: &[f64]| (left.iter().map(|value| value * value).sum::<f64>() / left.len().max(1) as f64).sqrt();
    let kind = if options.scale { "similarity" } else { "rigid" };
    // The best map of the other hand may have no scale above 0, or none at all.
    let (map, left) = fit(kind, options.mirror)?;
    let reached = rms(&left);
    const WHAT: &str = "alignment by landmarks";
    if reached > 2.0 * spacing {
        if let Ok((_, other)) = fit(kind, !options.mirror)
            && rms(&other) < MUCH_BETTER * reached
            && from.len() > dimensions
        {
            let (how, value) = if options.mirror { ("without mirroring", "False") } else { ("mirrored", "True") };
            return Err(refuse(
                WHAT,
                format!(
                    "the landmarks fit {how} (to {} instead of {}, root mean square); if that is right, pass mirror={value}",
                    short(rms(&other)),
                    short(reached)
                ),
            ));
        }
        if !options.scale
            && let Ok((scaled, other)) = fit("similarity", options.mirror)
            && rms(&other) < MUCH_BETTER * reached
        {
            return Err(refuse(
                WHAT,
                format!(
                    "the landmarks fit at a scale of {}; pass scale=True if one side has grown or shrunk, or bring both to one unit",
                    short(scaled.scale(dimensions))
                ),
            ));
        }
    }
    let scale = map.scale(dimensions);
    if options.scale && !(1.0 / options.max_scale..=options.max_scale).contains(&scale) {
        return Err(refuse(
            WHAT,
            format!(
                "the landmarks have a scale of {} between the sides, beyond `max_scale` = {}; are both in one unit?",
                short(scale),
                options.max_scale
            ),
        ));
    }
    Ok((map, left))
}

/// A number with four digits, for reading.
fn short(value: f64) -> String {
    let size = value.abs();
    if !(1e-3..1e6).contains(&size) {
        return format!("{value:.3e}");
    }
    let digits = (3 - size.log10().floor() as i32).clamp(0, 6) as usize;
    format!("{value:.digits$}")
}

struct Known {
    pairs: Vec<Option<u32>>,
    tries: usize,
    count: usize,
}

/// The rough map from the geometry of neighbourhoods, and the pairs that it rests on.
fn from_geometry(moving: &[Point], scene: &Scene<'_>, options: &AlignOptions, ctx: &Ctx) -> Result<(Linear, Known)> {
    let scale = if options.scale { (1.0 / options.max_scale, options.max_scale) } else { (1.0, 1.0) };
    let freedom = Freedom { scale, mirror: options.mirror };
    if let Some(found) = search(moving, scene, freedom, options.tries, options.seed, ctx)? {
        let pairs = found.grown.pairs.iter().enumerate();
        let sums = crate::linear::Pairs::of(
            pairs.filter_map(|(at, pair)| Some((moving[at], scene.points[(*pair)? as usize], 1.0))),
        );
        let map = sums.similarity(scene.dimensions, options.scale, options.mirror).unwrap_or(found.map);
        let count = found.grown.count();
        return Ok((map, Known { pairs: found.grown.pairs, tries: found.tries, count }));
    }
    // What would have been found otherwise, so that the reason can be told.
    let few = options.tries.min(40);
    let mut reasons = vec![format!(
        "no neighbourhood of {} of the moving cells was found again among the fixed ones",
        options.tries.min(moving.len())
    )];
    let other = Freedom { mirror: !options.mirror, ..freedom };
    if search(moving, scene, other, few, options.seed, ctx)?.is_some() {
        let value = if options.mirror { "False" } else { "True" };
        reasons.push(format!("the clouds are mirror images of each other; if that is right, pass mirror={value}"));
    } else {
        let free = Freedom { scale: (1e-4, 1e4), ..freedom };
        match search(moving, scene, free, few, options.seed, ctx)? {
            Some(found) => reasons.push(format!(
                "they fit at a scale of {}: bring both sides to one unit, or allow it with scale=True and max_scale",
                short(found.map.scale(scene.dimensions))
            )),
            None => reasons.push(
                "the sides may not overlap, share too few cells or be too noisy; landmarks or an initial map need less"
                    .into(),
            ),
        }
    }
    Err(Error::NotTrustworthy { what: "alignment without landmarks".into(), reasons })
}

/// Refuses sides that lie apart.
fn overlap(places: &[Point], scene: &Scene<'_>, options: &AlignOptions) -> Result<()> {
    let limit = (AMONG * scene.spacing) * (AMONG * scene.spacing);
    let among = places.iter().filter(|place| scene.tree.first(place, limit, None).is_some()).count();
    if among >= options.min_matches.max(1) {
        return Ok(());
    }
    let size = |points: &[Point]| {
        let middle: Point =
            std::array::from_fn(|axis| points.iter().map(|point| point[axis]).sum::<f64>() / points.len() as f64);
        (points.iter().map(|point| square(point, &middle)).sum::<f64>() / points.len() as f64).sqrt()
    };
    let (a, b) = (size(places), size(scene.points));
    let mut reason = format!(
        "no overlap: after the rough fit {among} of {} moving cells lie within {} of a fixed one, `min_matches` is {}",
        places.len(),
        short(AMONG * scene.spacing),
        options.min_matches
    );
    if a > 20.0 * b || b > 20.0 * a {
        reason.push_str(&format!("; the sides measure {} and {} across: are both in one unit?", short(a), short(b)));
    }
    Err(refuse("alignment", reason))
}
