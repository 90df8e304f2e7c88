//! What lies beyond the border of a volume.

use serde::{Deserialize, Serialize};

/// What a filter sees beyond the border, in scipy.ndimage's words.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Border {
    /// Mirrored about the edge of the last voxel: d c b a | a b c d | d c b a.
    #[default]
    Reflect,
    /// Mirrored about the centre of the last voxel: d c b | a b c d | c b a.
    Mirror,
    /// The last voxel, repeated.
    Nearest,
    /// Zeros.
    Zero,
}

impl Border {
    /// The voxel of `0..n` that stands for place `at`, which may lie outside; `None` for zeros. `n` is at least 1.
    #[inline]
    pub fn place(self, at: isize, n: usize) -> Option<usize> {
        let n = n as isize;
        if (0..n).contains(&at) {
            return Some(at as usize);
        }
        match self {
            Self::Zero => None,
            Self::Nearest => Some(at.clamp(0, n - 1) as usize),
            Self::Reflect => {
                let at = at.rem_euclid(2 * n);
                Some(if at < n { at } else { 2 * n - 1 - at } as usize)
            }
            Self::Mirror if n == 1 => Some(0),
            Self::Mirror => {
                let at = at.rem_euclid(2 * n - 2);
                Some(if at < n { at } else { 2 * n - 2 - at } as usize)
            }
        }
    }
}
