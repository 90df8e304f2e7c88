//! Names in the order in which people count.

use std::cmp::Ordering;

/// A name cut into text and numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// Anything but digits.
    Text(String),
    /// A run of digits: its value, and how it is written.
    Number(u64, String),
}

/// Cuts a name into text and numbers.
pub(super) fn parts(name: &str) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut rest = name;
    while let Some(first) = rest.chars().next() {
        let digit = first.is_ascii_digit();
        let end = rest.find(|c: char| c.is_ascii_digit() != digit).unwrap_or(rest.len());
        let (run, after) = rest.split_at(end);
        // Runs too long for a number are text.
        parts.push(match run.parse() {
            Ok(value) if digit => Part::Number(value, run.into()),
            _ => Part::Text(run.into()),
        });
        rest = after;
    }
    parts
}

/// Compares names so that "z9" comes before "z10".
pub(super) fn compare(a: &str, b: &str) -> Ordering {
    for (a, b) in parts(a).iter().zip(&parts(b)) {
        let order = match (a, b) {
            (Part::Number(a, _), Part::Number(b, _)) => a.cmp(b),
            (Part::Text(a), Part::Text(b)) => a.cmp(b),
            (Part::Number(..), Part::Text(_)) => Ordering::Less,
            (Part::Text(_), Part::Number(..)) => Ordering::Greater,
        };
        if order != Ordering::Equal {
            return order;
        }
    }
    a.len().cmp(&b.len()).then_with(|| a.cmp(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_count_so() {
        let mut names = ["z10.tif", "z9.tif", "z1.tif", "a20b3", "a20b", "z009.tif"];
        names.sort_by(|a, b| compare(a, b));
        assert_eq!(names, ["a20b", "a20b3", "z1.tif", "z9.tif", "z009.tif", "z10.tif"]);
    }
}
