//! Volumes of cells with known truth: what detection and segmentation are measured against.
//!
//! A [`Phantom`] holds only its nuclei (about 150 bytes each) and is read by regions like a file, u16 counts of
//! (z, y, x), of any size: a 10 GB volume costs no memory. Ellipsoids of random place, size, axes and brightness lie in tissue
//! that shines by itself; the microscope blurs (Gaussian), loses light with depth and exposure, throws stripes,
//! differs between tiles; the camera adds shot and read noise. Each defect is an option, each voxel a function of the
//! seed and its place alone, so that reading in other regions gives the same bits.

mod options;
mod place;
mod render;

pub use options::PhantomOptions;
pub use place::Nucleus;
pub use render::PhantomLabels;

use zensaibo_core::Result;
use zensaibo_core::data::{Dtype, VolumeInfo};
use zensaibo_core::options::Options;

use crate::blocks::Border;
use crate::filters::{Gaussian, GaussianOptions};
use crate::space::Spacing;
use place::{Buckets, Tear};

/// A volume of nuclei with known truth. Reading it as a volume gives the picture; [`Phantom::labels`] the truth.
pub struct Phantom {
    options: PhantomOptions,
    info: VolumeInfo,
    nuclei: Vec<Nucleus>,
    buckets: Buckets,
    tears: Vec<Tear>,
    psf: Gaussian,
    /// Six waves of the background: a wave vector in radians per micrometre, and a phase.
    waves: [([f64; 3], f64); 6],
}

impl Phantom {
    /// Places the nuclei. No randomness but that of `options.seed`.
    ///
    /// # Errors
    /// [`zensaibo_core::Error::Parameter`] for options out of range, or when so many nuclei find no room.
    pub fn new(options: &PhantomOptions) -> Result<Self> {
        options.validate()?;
        let spacing = Spacing::new(options.spacing)?;
        let blur = GaussianOptions { sigma: options.psf, truncate: 3.0, border: Border::Zero };
        let psf = Gaussian::new(&blur, spacing)?;
        let tears = place::tears(options);
        let nuclei = place::nuclei(options, &tears)?;
        let buckets = Buckets::new(options, &nuclei);
        let mut info = VolumeInfo::plain("phantom", options.shape, Dtype::U16);
        info.spacing = Some(options.spacing);
        Ok(Self { waves: place::waves(options), options: options.clone(), info, nuclei, buckets, tears, psf })
    }

    /// The options it was made from.
    pub fn options(&self) -> &PhantomOptions {
        &self.options
    }

    /// The nuclei, by z, then y, then x of their centres; the label of `nuclei()[i]` is `i + 1`.
    pub fn nuclei(&self) -> &[Nucleus] {
        &self.nuclei
    }

    /// Centres of the nuclei in micrometres, (z, y, x).
    pub fn centres(&self) -> Vec<[f64; 3]> {
        self.nuclei.iter().map(|nucleus| nucleus.centre).collect()
    }

    /// The truth as a volume of u32: 0 outside nuclei, else 1 + the place in [`Phantom::nuclei`]. Where two nuclei
    /// overlap, a voxel belongs to the one in which it lies deeper.
    pub fn labels(&self) -> PhantomLabels<'_> {
        PhantomLabels::new(self)
    }
}

#[cfg(test)]
mod tests;
