//! From categories and values to colours.

use crate::{DataFault, Error, Result};

/// Red, green, blue, alpha, not premultiplied.
pub type Rgba = [u8; 4];

/// Where the colours of n points come from.
#[derive(Clone, Copy, Debug)]
pub enum Colors<'a> {
    /// One colour for all.
    One(Rgba),
    /// A colour for each point.
    Each(&'a [Rgba]),
    /// A category for each point; those at or above the length of the table have none and take `missing`.
    Categories {
        /// Category of each point.
        codes: &'a [u32],
        /// Colour of each category.
        table: &'a [Rgba],
        /// Colour of points without a category.
        missing: Rgba,
    },
    /// A value for each point; NaN takes `missing`.
    Values {
        /// Value of each point.
        values: &'a [f32],
        /// Value that takes the first colour; all below take it too.
        low: f64,
        /// Value that takes the last colour; all above take it too. Not below `low`.
        high: f64,
        /// Colours from low to high.
        table: &'a [Rgba],
        /// Colour of points without a value.
        missing: Rgba,
    },
}

impl Colors<'_> {
    /// Checks lengths and ranges against `n` points.
    pub(super) fn check(&self, n: usize) -> Result<()> {
        let (what, found) = match self {
            Self::One(_) => return Ok(()),
            Self::Each(colors) => ("colors", colors.len()),
            Self::Categories { codes, .. } => ("codes", codes.len()),
            Self::Values { values, low, high, table, .. } => {
                if table.is_empty() {
                    return Err(Error::data(DataFault::Empty, "colour table", "at least one colour", 0));
                }
                if !(low.is_finite() && high.is_finite() && low <= high) {
                    return Err(Error::parameter("low, high", "finite numbers, low <= high", format!("{low}, {high}")));
                }
                ("values", values.len())
            }
        };
        if found != n {
            return Err(Error::data(DataFault::Shape, what, format!("{n}, one for each point"), found));
        }
        Ok(())
    }

    /// Colour of point `i`.
    #[inline]
    pub(super) fn of(&self, i: usize) -> Rgba {
        match self {
            Self::One(color) => *color,
            Self::Each(colors) => colors[i],
            Self::Categories { codes, table, missing } => table.get(codes[i] as usize).copied().unwrap_or(*missing),
            Self::Values { values, low, high, table, missing } => {
                let value = f64::from(values[i]);
                if value.is_nan() {
                    return *missing;
                }
                let share = if high > low { (value - low) / (high - low) } else { 0.5 };
                // As matplotlib: equal bins, the last one closed above. Casting saturates at both ends.
                table[((share * table.len() as f64) as usize).min(table.len() - 1)]
            }
        }
    }

    /// Whether point `i` has neither value nor category.
    #[inline]
    pub(super) fn is_missing(&self, i: usize) -> bool {
        match self {
            Self::One(_) | Self::Each(_) => false,
            Self::Categories { codes, table, .. } => codes[i] as usize >= table.len(),
            Self::Values { values, .. } => values[i].is_nan(),
        }
    }
}
