//! Options of the phantom.

use zensaibo_core::data::check_spacing;
use zensaibo_core::{Error, Result, options};

options! {
    /// Options for [`Phantom::new`](super::Phantom::new).
    pub struct PhantomOptions("im_phantom") {
        /// Voxels along z, y and x.
        pub shape: [usize; 3] = [128, 128, 128],
        /// Micrometres per voxel along z, y and x.
        pub spacing: [f64; 3] = [2.0, 2.0, 2.0],
        /// Nuclei whose centres lie inside the volume, tears not counted.
        pub nuclei: usize = 400,
        /// Mean diameter of a nucleus in micrometres.
        pub diameter: f64 = 16.0,
        /// Relative standard deviation of the diameter, cut at two of them; 0 to 0.4.
        pub diameter_spread: f64 = 0.1,
        /// Longest over shortest axis of the most elongated nucleus; 1 for spheres, up to 3. Volume stays that of the sphere.
        pub elongation: f64 = 1.3,
        /// Least gap between two nuclei in micrometres, measured along the line of their centres.
        pub gap: f64 = 0.5,
        /// Share of the nuclei that come in touching pairs, 0 to 1.
        pub pairs: f64 = 0.0,
        /// Gap between the two of a pair in micrometres, along the line of their centres; below 0 they overlap.
        pub pair_gap: f64 = 0.0,
        /// Mean brightness of a nucleus above the background, in counts.
        pub intensity: f64 = 500.0,
        /// Relative standard deviation of the brightness between nuclei (log-normal).
        pub intensity_spread: f64 = 0.25,
        /// Light from everywhere in the tissue, in counts.
        pub background: f64 = 150.0,
        /// Relative swing of the background over some ten diameters, 0 to 1.
        pub unevenness: f64 = 0.2,
        /// Standard deviation of the point spread function along z, y and x in micrometres.
        pub psf: [f64; 3] = [2.5, 1.0, 1.0],
        /// Depth along z, in micrometres, over which light falls to 1/e; none for clear tissue.
        pub attenuation: Option<f64> = None,
        /// Share of the light that is lost to bleaching from the first plane of the first tile to the last of the last.
        pub bleaching: f64 = 0.0,
        /// Relative standard deviation of the brightness of lines along x: shadows in the light sheet.
        pub stripes: f64 = 0.0,
        /// Edge of a tile in y and x in micrometres; none for one tile.
        pub tile: Option<f64> = None,
        /// Relative standard deviation of the brightness of tiles.
        pub tile_gain: f64 = 0.0,
        /// Cracks through the tissue: flat slabs where there is neither light nor nuclei.
        pub tears: usize = 0,
        /// Width of a crack in micrometres.
        pub tear_width: f64 = 30.0,
        /// Counts of the camera in the dark.
        pub offset: f64 = 100.0,
        /// Photons per count: shot noise is that of a Poisson number of photons. 0 for none.
        pub photons: f64 = 1.0,
        /// Standard deviation of the camera's own noise in counts.
        pub read_noise: f64 = 5.0,
        /// Seed of places, shapes, brightness and noise.
        pub seed: u64 = 0,
    }
}

impl PhantomOptions {
    fn check(&self) -> Result<()> {
        check_spacing(self.spacing)?;
        if self.shape.iter().any(|&n| n == 0 || n > 1 << 20) {
            return Err(Error::parameter("shape", "1 to 1048576 voxels along each axis", format!("{:?}", self.shape)));
        }
        let within = |name: &str, value: f64, least: f64, most: f64| {
            if (least..=most).contains(&value) {
                return Ok(());
            }
            Err(Error::parameter(name, format!("a number between {least} and {most}"), value))
        };
        within("diameter", self.diameter, 0.01, 1e4)?;
        within("diameter_spread", self.diameter_spread, 0.0, 0.4)?;
        within("elongation", self.elongation, 1.0, 3.0)?;
        within("gap", self.gap, 0.0, 1e4)?;
        within("pairs", self.pairs, 0.0, 1.0)?;
        within("pair_gap", self.pair_gap, -0.5 * self.diameter, 1e4)?;
        within("intensity", self.intensity, 0.0, 65535.0)?;
        within("intensity_spread", self.intensity_spread, 0.0, 2.0)?;
        within("background", self.background, 0.0, 65535.0)?;
        within("unevenness", self.unevenness, 0.0, 1.0)?;
        for (axis, &sigma) in ["z", "y", "x"].iter().zip(&self.psf) {
            within(&format!("psf, axis {axis}"), sigma, 0.0, 1e3)?;
        }
        if let Some(depth) = self.attenuation {
            within("attenuation", depth, 1.0, 1e9)?;
        }
        within("bleaching", self.bleaching, 0.0, 0.99)?;
        within("stripes", self.stripes, 0.0, 1.0)?;
        if let Some(tile) = self.tile {
            within("tile", tile, 1.0, 1e9)?;
        }
        within("tile_gain", self.tile_gain, 0.0, 1.0)?;
        within("tear_width", self.tear_width, 0.0, 1e6)?;
        within("offset", self.offset, 0.0, 65535.0)?;
        within("photons", self.photons, 0.0, 1e6)?;
        within("read_noise", self.read_noise, 0.0, 65535.0)
    }
}
