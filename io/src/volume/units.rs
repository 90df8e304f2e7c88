//! Units of length and time as files name them.

/// Micrometres in one `unit`; `None` for names that are no length ("pixel").
pub(super) fn micrometres(unit: &str) -> Option<f64> {
    let unit = unit.trim().trim_matches('"').replace("\\u00B5", "u").replace("\\u00b5", "u");
    Some(match unit.to_lowercase().replace(['µ', 'μ'], "u").as_str() {
        "um" | "micron" | "microns" | "micrometer" | "micrometre" | "micrometers" | "micrometres" => 1.0,
        "nm" | "nanometer" | "nanometre" | "nanometers" => 1e-3,
        "pm" | "picometer" => 1e-6,
        "å" | "a" | "angstrom" => 1e-4,
        "mm" | "millimeter" | "millimetre" | "millimeters" => 1e3,
        "cm" | "centimeter" | "centimetre" => 1e4,
        "dm" | "decimeter" => 1e5,
        "m" | "meter" | "metre" => 1e6,
        "in" | "inch" | "inches" => 25_400.0,
        _ => return None,
    })
}

/// Seconds in one `unit`.
pub(super) fn seconds(unit: &str) -> Option<f64> {
    Some(match unit.trim().to_lowercase().replace(['µ', 'μ'], "u").as_str() {
        "s" | "sec" | "second" | "seconds" => 1.0,
        "ms" | "msec" | "millisecond" | "milliseconds" => 1e-3,
        "us" | "usec" | "microsecond" => 1e-6,
        "ns" | "nanosecond" => 1e-9,
        "min" | "minute" | "minutes" => 60.0,
        "h" | "hour" | "hours" => 3600.0,
        "d" | "day" | "days" => 86_400.0,
        _ => return None,
    })
}

/// A spacing that a microscope can have, or none: files are full of zeros and placeholders.
pub(super) fn plausible(spacing: [f64; 3]) -> Option<[f64; 3]> {
    zensaibo_core::data::check_spacing(spacing).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_lengths() {
        for (name, value) in
            [("µm", 1.0), ("\\u00B5m", 1.0), ("micron", 1.0), ("nm", 1e-3), ("mm", 1e3), ("inch", 25_400.0)]
        {
            assert_eq!(micrometres(name), Some(value), "{name}");
        }
        assert_eq!((micrometres("pixel"), micrometres("")), (None, None));
        assert_eq!((seconds("ms"), seconds("frame")), (Some(1e-3), None));
    }
}
