//! The options of the commands on volumes.

use zensaibo_core::data::check_spacing;
use zensaibo_core::{Error, Result, options};
use zensaibo_imaging::detect::DetectOptions;
use zensaibo_imaging::register::RegisterOptions;
use zensaibo_imaging::segment::NucleiOptions;
use zensaibo_imaging::stitch::{FuseOptions, StitchOptions};
use zensaibo_imaging::track::TrackOptions;
use zensaibo_io::volume::TileOrder;

use super::{AtlasOptions, ImageOptions, LandmarksOptions, PlacesOptions, SampleOptions, TrustOptions};
use crate::recipe::sections::recipe_config;

recipe_config! {
    /// The options of `zensaibo detect`.
    pub struct DetectConfig("detect") {
        /// How the volume is read.
        input: VolumeOptions,
        /// The channel without the stain (autofluorescence), where a volume that has one is named.
        background: BackgroundOptions,
        /// What decides which candidates are cells.
        classifier: ClassifierOptions,
        /// Where cells are sought. What goes by the soma diameter follows from it.
        detect: DetectOptions,
    }
}

recipe_config! {
    /// The options of `zensaibo segment`.
    pub struct SegmentConfig("segment") {
        /// How the volume is read.
        input: SegmentInputOptions,
        /// How nuclei are found and outlined.
        segment: NucleiOptions,
    }
}

recipe_config! {
    /// The options of `zensaibo stitch`.
    pub struct StitchConfig("stitch") {
        /// How tiles are read.
        input: StitchInputOptions,
        /// How it is found where they lie.
        stitch: StitchOptions,
        /// How they become one volume.
        fuse: FuseOptions,
    }
}

recipe_config! {
    /// The options of `zensaibo track`.
    pub struct TrackConfig("track") {
        /// How detections are read.
        input: TrackInputOptions,
        /// How they are linked.
        track: TrackOptions,
    }
}

recipe_config! {
    /// The options of `zensaibo register`.
    pub struct RegisterConfig("register") {
        /// The volume that is moved: a sample.
        moving: ImageOptions,
        /// The volume that stays. Without meaning where it is the template of the atlas.
        fixed: ImageOptions,
        /// The atlas whose template stays where no fixed volume is named, and whose structures the report outlines.
        atlas: AtlasOptions,
        /// Places that are known to belong together.
        landmarks: LandmarksOptions,
        /// The search.
        register: RegisterOptions,
        /// What becomes of the result.
        trust: TrustOptions,
    }
}

recipe_config! {
    /// The options of `zensaibo count`.
    pub struct CountConfig("count") {
        /// How cells are read.
        cells: PlacesOptions,
        /// The atlas whose structures are counted.
        atlas: AtlasOptions,
    }
}

recipe_config! {
    /// The options of `zensaibo cells`.
    pub struct CellsConfig("cells") {
        /// How the volumes are read.
        input: VolumeOptions,
        /// The channel without the stain (autofluorescence), where a volume that has one is named.
        background: BackgroundOptions,
        /// What decides which candidates are cells.
        classifier: ClassifierOptions,
        /// Where cells are sought. What goes by the soma diameter follows from it. `memory` is that of the whole run.
        detect: DetectOptions,
        /// The atlas.
        atlas: AtlasOptions,
        /// The sample on its way into the atlas.
        sample: SampleOptions,
        /// Places of sample and template that are known to belong together.
        landmarks: LandmarksOptions,
        /// The search for the way into the atlas.
        register: RegisterOptions,
    }
}

options! {
    /// How a volume is read.
    pub struct VolumeOptions("volume") {
        /// Micrometres per voxel along z, y and x. Unset: what the file says; where it says nothing, this must be set.
        pub spacing: Option<[f64; 3]> = None,
        /// Names of the axes, such as tzyx, where the file does not name them.
        pub axes: Option<String> = None,
        /// Which of several images of one file, from 0.
        pub series: Option<usize> = None,
        /// Which level of a pyramid, from 0 (the finest). Unset: the finest.
        pub level: Option<usize> = None,
    }
}

impl VolumeOptions {
    fn check(&self) -> Result<()> {
        self.spacing.map_or(Ok(()), |spacing| check_spacing(spacing).map(|_| ()))
    }
}

options! {
    /// The channel of background.
    pub struct BackgroundOptions("background") {
        /// Channel of the background volume, from 0.
        pub channel: usize = 0,
        /// Time point of the background volume, from 0.
        pub time: usize = 0,
    }
}

impl BackgroundOptions {
    fn check(&self) -> Result<()> {
        Ok(())
    }
}

options! {
    /// What decides.
    pub struct ClassifierOptions("classifier") {
        /// "default": the classifier that comes with zensaibo, trained on c-Fos nuclei of cleared mouse brain; "none":
        /// detect.threshold decides; or the file of one that was trained by zensaibo.im.train_cell_classifier.
        pub model: String = "default".into(),
    }
}

impl ClassifierOptions {
    fn check(&self) -> Result<()> {
        if self.model.is_empty() {
            return Err(Error::parameter("model", "default, none, or the name of a file", "\"\""));
        }
        Ok(())
    }
}

options! {
    /// What is segmented.
    pub struct SegmentInputOptions("segment_input") {
        /// Micrometres per voxel along z, y and x. Unset: what the file says; where it says nothing, this must be set.
        pub spacing: Option<[f64; 3]> = None,
        /// Channel that shows the nuclei, from 0. Intensities are measured in all channels.
        pub channel: usize = 0,
        /// Names of the axes, such as tzyx, where the file does not name them.
        pub axes: Option<String> = None,
        /// Which of several images of one file, from 0.
        pub series: Option<usize> = None,
        /// Which level of a pyramid, from 0 (the finest). Unset: the finest.
        pub level: Option<usize> = None,
        /// Bytes of working memory. Unset: 2 GiB for blocks, and one time point beside it.
        pub memory: Option<u64> = None,
    }
}

impl SegmentInputOptions {
    fn check(&self) -> Result<()> {
        self.volume().check()
    }

    pub(super) fn volume(&self) -> VolumeOptions {
        VolumeOptions { spacing: self.spacing, axes: self.axes.clone(), series: self.series, level: self.level }
    }
}

options! {
    /// What is stitched.
    pub struct StitchInputOptions("stitch_input") {
        /// Micrometres per voxel along z, y and x. Unset: what the files say; where they say nothing, this must be set.
        pub spacing: Option<[f64; 3]> = None,
        /// Share of a tile that its neighbour shows too, such as 0.1: where tiles lie by rows and columns.
        pub overlap: Option<f64> = None,
        /// Rows and columns, where tiles are listed or numbered.
        pub grid: Option<[usize; 2]> = None,
        /// Their order in the grid: "rows" (row after row from the first column), "snake" (every second row backwards),
        /// "columns" or "snake_columns".
        pub order: String = "rows".into(),
        /// Names of the axes, such as czyx, where files do not name them.
        pub axes: Option<String> = None,
    }
}

impl StitchInputOptions {
    fn check(&self) -> Result<()> {
        self.spacing.map_or(Ok(()), |spacing| check_spacing(spacing).map(|_| ()))?;
        if let Some(overlap) = self.overlap.filter(|share| !(0.0..1.0).contains(share)) {
            return Err(Error::parameter("overlap", "a share of at least 0 and below 1", overlap));
        }
        if let Some(grid) = self.grid.filter(|grid| grid.contains(&0)) {
            return Err(Error::parameter("grid", "rows and columns of at least 1", format!("{grid:?}")));
        }
        self.order.parse::<TileOrder>().map(|_| ())
    }
}

options! {
    /// What is tracked.
    pub struct TrackInputOptions("track_input") {
        /// Micrometres per voxel along z, y and x: of labels instead of what the file says; of tables, whose places are
        /// then voxels. Unset: places of tables are micrometres.
        pub spacing: Option<[f64; 3]> = None,
        /// Column of a table that holds its time points, as whole numbers. Only where one table holds all of them.
        pub time: String = "t".into(),
        /// Column of tables that holds volumes (or areas), if they are to count. Of labels they are known.
        pub size: Option<String> = None,
        /// Names of the axes of labels, such as tzyx, where the file does not name them.
        pub axes: Option<String> = None,
        /// Which of several images of one file of labels, from 0.
        pub series: Option<usize> = None,
    }
}

impl TrackInputOptions {
    fn check(&self) -> Result<()> {
        self.volume().check()
    }

    pub(super) fn volume(&self) -> VolumeOptions {
        VolumeOptions { spacing: self.spacing, axes: self.axes.clone(), series: self.series, level: None }
    }
}

impl DetectConfig {
    fn check_together(&self) -> Result<()> {
        if self.classifier.model == "none" && self.detect.min_score.is_some() {
            let found = "a score, with classifier.model = \"none\"";
            return Err(Error::parameter("detect.min_score", "unset without a classifier", found));
        }
        Ok(())
    }
}

impl SegmentConfig {
    fn check_together(&self) -> Result<()> {
        Ok(())
    }
}

impl StitchConfig {
    fn check_together(&self) -> Result<()> {
        Ok(())
    }
}

impl RegisterConfig {
    fn check_together(&self) -> Result<()> {
        Ok(())
    }
}

impl CountConfig {
    fn check_together(&self) -> Result<()> {
        Ok(())
    }
}

impl CellsConfig {
    fn check_together(&self) -> Result<()> {
        DetectConfig { classifier: self.classifier.clone(), detect: self.detect.clone(), ..Default::default() }
            .check_together()
    }
}

impl TrackConfig {
    fn check_together(&self) -> Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recipe::SectionDoc;

    #[test]
    fn templates_read_back_as_the_defaults() {
        let all: [Vec<SectionDoc>; 7] = [
            DetectConfig::sections(),
            SegmentConfig::sections(),
            StitchConfig::sections(),
            TrackConfig::sections(),
            RegisterConfig::sections(),
            CountConfig::sections(),
            CellsConfig::sections(),
        ];
        for section in all.into_iter().flatten() {
            assert!(!section.doc.trim().is_empty() && !section.fields.is_empty(), "[{}]", section.name);
            assert!(section.fields.iter().all(|field| !field.doc.trim().is_empty()), "[{}]", section.name);
        }
        assert_eq!(DetectConfig::from_toml(&DetectConfig::template(), &[]).unwrap(), DetectConfig::default());
        assert_eq!(SegmentConfig::from_toml(&SegmentConfig::template(), &[]).unwrap(), SegmentConfig::default());
        assert_eq!(StitchConfig::from_toml(&StitchConfig::template(), &[]).unwrap(), StitchConfig::default());
        assert_eq!(TrackConfig::from_toml(&TrackConfig::template(), &[]).unwrap(), TrackConfig::default());
        assert_eq!(RegisterConfig::from_toml(&RegisterConfig::template(), &[]).unwrap(), RegisterConfig::default());
        assert_eq!(CountConfig::from_toml(&CountConfig::template(), &[]).unwrap(), CountConfig::default());
        assert_eq!(CellsConfig::from_toml(&CellsConfig::template(), &[]).unwrap(), CellsConfig::default());
    }

    #[test]
    fn what_is_wrong_is_named() {
        let refused = |text: &str| DetectConfig::from_toml(text, &[]).unwrap_err().to_string();
        assert!(refused("[detect]\nsoma_diamater = 3").contains("did you mean `soma_diameter`?"));
        assert!(refused("[detect]\nsoma_diameter = -3").contains("detect.soma_diameter"));
        assert!(refused("[input]\nspacing = [5, 0, 2]").contains("input.spacing"));
        assert!(refused("[input]\nspacing = [5, 2]").contains("input.spacing"));
        assert!(refused("[classifier]\nmodel = \"\"").contains("classifier.model"));
        assert!(refused("[classifier]\nmodel = \"none\"\n[detect]\nmin_score = 0.5").contains("detect.min_score"));
    }
}
