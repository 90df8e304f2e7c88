//! Which way the axes of a volume point in the body.

use std::fmt;
use std::str::FromStr;

use crate::{Error, Result};

/// An anatomical side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Side {
    Anterior,
    Posterior,
    Superior,
    Inferior,
    Left,
    Right,
}

impl Side {
    fn letter(self) -> char {
        match self {
            Self::Anterior => 'a',
            Self::Posterior => 'p',
            Self::Superior => 's',
            Self::Inferior => 'i',
            Self::Left => 'l',
            Self::Right => 'r',
        }
    }

    fn from_letter(letter: char) -> Option<Self> {
        [Self::Anterior, Self::Posterior, Self::Superior, Self::Inferior, Self::Left, Self::Right]
            .into_iter()
            .find(|side| side.letter() == letter)
    }

    /// The direction that the side belongs to: 0 front to back, 1 top to bottom, 2 left to right.
    pub fn direction(self) -> usize {
        match self {
            Self::Anterior | Self::Posterior => 0,
            Self::Superior | Self::Inferior => 1,
            Self::Left | Self::Right => 2,
        }
    }

    /// The side across.
    pub fn opposite(self) -> Self {
        match self {
            Self::Anterior => Self::Posterior,
            Self::Posterior => Self::Anterior,
            Self::Superior => Self::Inferior,
            Self::Inferior => Self::Superior,
            Self::Left => Self::Right,
            Self::Right => Self::Left,
        }
    }
}

/// For each array axis (z, y, x) the anatomical side where index 0 lies, as BrainGlobe writes it: "asr", "psl".
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Orientation(pub [Side; 3]);

impl FromStr for Orientation {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let refused = || {
            let expected = "three letters, one of a/p, one of s/i and one of l/r, for the sides where index 0 of each \
                            axis lies (such as \"asr\")";
            Error::parameter("orientation", expected, format!("{text:?}"))
        };
        let sides: Vec<Side> = text
            .chars()
            .map(|c| Side::from_letter(c.to_ascii_lowercase()))
            .collect::<Option<_>>()
            .ok_or_else(refused)?;
        let sides: [Side; 3] = sides.try_into().map_err(|_| refused())?;
        let mut directions = sides.map(Side::direction);
        directions.sort_unstable();
        if directions == [0, 1, 2] { Ok(Self(sides)) } else { Err(refused()) }
    }
}

impl fmt::Display for Orientation {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|side| write!(out, "{}", side.letter()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_writes_triples() {
        assert_eq!("asr".parse::<Orientation>().unwrap().to_string(), "asr");
        assert_eq!("PSL".parse::<Orientation>().unwrap().to_string(), "psl");
        for bad in ["", "as", "asx", "aps", "asrr", "lrs"] {
            let message = bad.parse::<Orientation>().unwrap_err().to_string();
            assert!(message.contains("orientation") && message.contains("asr"), "{message}");
        }
    }
}
