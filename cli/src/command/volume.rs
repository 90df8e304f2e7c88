//! What the commands on volumes share: how lengths, sizes and volumes are written on the command line.

use std::path::Path;
use std::sync::Arc;

use clap::Args as ClapArgs;
use zensaibo_core::data::{Orientation, VolumeBlocks, VolumeInfo};
use zensaibo_core::{Error, Result};
use zensaibo_io::volume::{OpenOptions, VolumeFormat, open_volume_with, volume_format};
use zensaibo_io::{Format, detect};

use crate::measure::bytes_text;

// No doc comment: clap would show it as that of the command.
#[derive(Clone, Debug, Default, ClapArgs)]
pub(super) struct Spoken {
    /// Volumes: micrometres per voxel, instead of what the file says.
    #[arg(long, value_name = "Z,Y,X", value_parser = three::<f64>)]
    spacing: Option<[f64; 3]>,
    /// Volumes: the anatomical side where index 0 of each axis lies, such as asr or psl.
    #[arg(long, value_name = "SIDES")]
    orientation: Option<Orientation>,
    /// Volumes: names of the axes, such as tzyx, where the file does not name them.
    #[arg(long)]
    axes: Option<String>,
    /// Volumes: which of several images of one file.
    #[arg(long, value_name = "N")]
    series: Option<usize>,
}

impl Spoken {
    /// The options given, by name.
    pub(super) fn given(&self) -> Vec<&'static str> {
        let all = [
            ("--spacing", self.spacing.is_some()),
            ("--orientation", self.orientation.is_some()),
            ("--axes", self.axes.is_some()),
            ("--series", self.series.is_some()),
        ];
        all.into_iter().filter(|option| option.1).map(|option| option.0).collect()
    }

    /// Opens a volume.
    pub(super) fn open(&self, path: &Path) -> Result<Arc<dyn VolumeBlocks>> {
        let options = OpenOptions {
            spacing: self.spacing,
            orientation: self.orientation,
            axes: self.axes.clone(),
            series: self.series,
            level: None,
        };
        open_volume_with(path, &options)
    }
}

/// Three numbers apart by commas.
pub(super) fn three<T: std::str::FromStr + Copy>(text: &str) -> std::result::Result<[T; 3], String> {
    let all: Option<Vec<T>> = text.split(',').map(|part| part.trim().parse().ok()).collect();
    all.and_then(|all| <[T; 3]>::try_from(all).ok())
        .ok_or_else(|| "expected three numbers, for z, y and x (such as 5,2,2)".into())
}

/// "4GiB", "500MB", or a number of bytes.
pub(super) fn memory(text: &str) -> std::result::Result<u64, String> {
    let refused = || "expected a size such as 4GiB, 500MB, or a number of bytes".to_string();
    let at = text.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(text.len());
    let (number, unit) = text.split_at(at);
    let number: f64 = number.parse().map_err(|_| refused())?;
    let unit = match unit.trim().to_lowercase().as_str() {
        "" | "b" => 1.0,
        "kb" => 1e3,
        "mb" => 1e6,
        "gb" => 1e9,
        "tb" => 1e12,
        "kib" | "k" => 1024.0,
        "mib" | "m" => 1024.0 * 1024.0,
        "gib" | "g" => 1024.0 * 1024.0 * 1024.0,
        "tib" | "t" => 1024.0 * 1024.0 * 1024.0 * 1024.0,
        _ => return Err(refused()),
    };
    let bytes = number * unit;
    if (1e6..=1e15).contains(&bytes) { Ok(bytes as u64) } else { Err("expected a size from 1MB to 1000TB".into()) }
}

/// What an input is.
pub(super) enum Input {
    /// Counts and tables.
    Omics(Format),
    /// A volume.
    Volume(VolumeFormat),
}

/// Looks at the content of `path`.
///
/// # Errors
/// [`Error::Io`] when it cannot be read; [`Error::Format`] when it is neither.
pub(super) fn what(path: &Path) -> Result<Input> {
    let omics = match detect(path) {
        Ok(format) => return Ok(Input::Omics(format)),
        Err(error) => error,
    };
    match (volume_format(path), omics) {
        (Ok(format), _) => Ok(Input::Volume(format)),
        (Err(Error::Format { expected: volumes, found, .. }), Error::Format { key, expected, .. }) => {
            Err(Error::format(path, key, format!("{expected}; or {volumes}"), found))
        }
        (_, omics) => Err(omics),
    }
}

/// A volume in a few lines.
pub(super) fn describe(info: &VolumeInfo, format: &str, levels: &[VolumeInfo], stored: u64) -> String {
    // What is behind a URL is not measured.
    let size = if stored > 0 { format!(", {} on disk", bytes_text(stored)) } else { String::new() };
    let mut lines = vec![format!("{}: {format}{size}", info.name)];
    let mut add = |name: &str, value: String| lines.push(format!("  {name:<13}{value}"));
    let lengths: Vec<String> = "tczyx"
        .chars()
        .zip(info.shape)
        .filter(|(axis, _)| info.axes.contains(*axis))
        .map(|(axis, n)| format!("{axis} {n}"))
        .collect();
    let voxels: u64 = info.shape.iter().map(|&n| n as u64).product();
    add("shape", lengths.join(" x "));
    add("type", format!("{}, {} of voxels", info.dtype.name(), bytes_text(voxels * info.dtype.size() as u64)));
    let three = |all: [f64; 3]| all.map(|x| format!("{}", (x * 1e6).round() / 1e6)).join(" x ");
    add(
        "spacing",
        info.spacing.map_or("not said (give --spacing Z,Y,X)".into(), |all| format!("{} um (z, y, x)", three(all))),
    );
    if let Some(spacing) = info.spacing {
        let extent: [f64; 3] = std::array::from_fn(|axis| spacing[axis] * info.shape[axis + 2] as f64 / 1000.0);
        add("extent", format!("{} mm", three(extent)));
    }
    if info.origin != [0.0; 3] {
        add("origin", format!("{} um", three(info.origin)));
    }
    add("orientation", info.orientation.map_or("not said".into(), |sides| sides.to_string()));
    if info.shape[0] > 1 {
        add("time step", info.time_step.map_or("not said".into(), |step| format!("{step} s")));
    }
    if !info.channels.is_empty() {
        add("channels", info.channels.join(", "));
    }
    add("stored in", format!("pieces of {:?} (z, y, x)", info.chunk));
    for (at, level) in levels.iter().enumerate().skip(1) {
        let spacing = level.spacing.map_or(String::new(), |all| format!(", {} um", three(all)));
        add(&format!("level {at}"), format!("{} x {} x {}{spacing}", level.shape[2], level.shape[3], level.shape[4]));
    }
    lines.join("\n") + "\n"
}

/// Bytes of a file, or of all files of a folder.
pub(super) fn stored_bytes(path: &Path) -> u64 {
    let Ok(meta) = std::fs::symlink_metadata(path) else { return 0 };
    if !meta.is_dir() {
        return std::fs::metadata(path).map_or(0, |meta| meta.len());
    }
    let entries = std::fs::read_dir(path).map(|entries| entries.flatten().collect::<Vec<_>>()).unwrap_or_default();
    entries.iter().map(|entry| stored_bytes(&entry.path())).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_lengths() {
        assert_eq!(memory("4GiB"), Ok(4 << 30));
        assert_eq!(memory("1.5 MB"), Ok(1_500_000));
        assert_eq!(memory("2000000"), Ok(2_000_000));
        for bad in ["", "4", "four", "4XB", "-1GiB", "0GiB"] {
            assert!(memory(bad).is_err(), "{bad}");
        }
        assert_eq!(three::<f64>("5, 2,2.5"), Ok([5.0, 2.0, 2.5]));
        assert!(three::<usize>("5,2").is_err() && three::<usize>("5,2,-1").is_err());
    }
}
