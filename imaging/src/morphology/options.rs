//! Options of components and distances.

use zensaibo_core::{Error, Result, options};

/// Which neighbours a voxel touches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub enum Connectivity {
    /// The 6 that share a face.
    Faces,
    /// The 18 that share a face or an edge.
    Edges,
    /// The 26 that share a face, an edge or a corner.
    #[default]
    Corners,
}

impl TryFrom<u8> for Connectivity {
    type Error = String;
    fn try_from(neighbours: u8) -> std::result::Result<Self, String> {
        match neighbours {
            6 => Ok(Self::Faces),
            18 => Ok(Self::Edges),
            26 => Ok(Self::Corners),
            other => Err(format!("connectivity must be 6, 18 or 26, found {other}")),
        }
    }
}

impl From<Connectivity> for u8 {
    fn from(connectivity: Connectivity) -> Self {
        match connectivity {
            Connectivity::Faces => 6,
            Connectivity::Edges => 18,
            Connectivity::Corners => 26,
        }
    }
}

options! {
    /// Options for [`Components::find`](super::Components::find).
    pub struct LabelOptions("im_label") {
        /// Neighbours that connect: 6 (faces), 18 (and edges) or 26 (and corners).
        pub connectivity: Connectivity = Connectivity::Corners,
        /// Whether voxels connect only where their values are equal, so that touching labels stay apart.
        /// Otherwise every voxel that is not 0 (NaN included) is foreground.
        pub by_value: bool = false,
        /// Components of fewer voxels become background and take no number.
        pub min_voxels: u64 = 1,
        /// The number of the first component; the others follow.
        pub first_label: u64 = 1,
    }
}

impl LabelOptions {
    fn check(&self) -> Result<()> {
        if self.first_label == 0 {
            return Err(Error::parameter("first_label", "at least 1, since 0 is background", 0));
        }
        Ok(())
    }
}

options! {
    /// Options for [`distance_transform`](super::distance_transform).
    pub struct DistanceOptions("im_distance_transform") {
        /// Whether what lies beyond the volume counts as background.
        pub black_border: bool = false,
        /// Whether squared distances come back.
        pub squared: bool = false,
    }
}

impl DistanceOptions {
    fn check(&self) -> Result<()> {
        Ok(())
    }
}
