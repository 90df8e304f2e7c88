//! Volumes written by the reference writers in Python, read here: the same voxels, axes, spacing and names, for any
//! region and any number of threads. Skipped, with the reason printed, where Python or its packages are missing.

use std::path::{Path, PathBuf};
use std::process::Command;

use zensaibo_core::data::{Frame, Region, VolumeBlocks};
use zensaibo_core::parallel::with_threads;
use zensaibo_io::volume::{OpenOptions, open_volume, open_volume_with};

#[derive(serde::Deserialize)]
struct Expected {
    name: String,
    shape: [usize; 5],
    dtype: String,
    axes: String,
    spacing: Option<[f64; 3]>,
    step: Option<f64>,
    channels: Vec<String>,
    #[serde(default)]
    level: Option<usize>,
    #[serde(default)]
    open: Option<String>,
    #[serde(default)]
    orientation: Option<String>,
    #[serde(default)]
    origin: Option<[f64; 3]>,
}

/// The project's Python, or the one of the system.
fn python() -> PathBuf {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.venv/bin/python");
    if own.exists() { own } else { "python3".into() }
}

/// Runs a script of `tests/volumes` on a fresh folder.
fn made(script: &str) -> Option<tempfile::TempDir> {
    let folder = tempfile::tempdir().unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/volumes").join(script);
    match Command::new(python()).arg(&script).arg(folder.path()).output() {
        Ok(run) if run.status.success() => Some(folder),
        Ok(run) => {
            let said = String::from_utf8_lossy(&run.stderr).into_owned();
            assert!(said.contains("ModuleNotFoundError"), "{}: {said}", script.display());
            println!("skipped: {}", said.lines().last().unwrap_or_default());
            None
        }
        Err(error) => {
            println!("skipped: no Python ({error})");
            None
        }
    }
}

/// All voxels of a region, straight from the bytes that the script wrote.
fn cut(raw: &[u8], shape: [usize; 5], size: usize, frame: Frame, region: &Region) -> Vec<u8> {
    let mut out = Vec::new();
    for z in region.range(0) {
        for y in region.range(1) {
            let line = (((frame.time * shape[1] + frame.channel) * shape[2] + z) * shape[3] + y) * shape[4];
            let from = (line + region.start[2]) * size;
            out.extend_from_slice(&raw[from..from + region.size[2] * size]);
        }
    }
    out
}

/// Memory aligned for any type.
fn read(volume: &dyn VolumeBlocks, frame: Frame, region: &Region) -> Vec<u8> {
    let bytes = region.len() * volume.info().dtype.size();
    let mut words = vec![0u64; bytes.div_ceil(8)];
    volume.read(frame, region, &mut bytemuck::cast_slice_mut(&mut words)[..bytes]).unwrap();
    bytemuck::cast_slice(&words)[..bytes].to_vec()
}

fn compare(folder: &Path) {
    let index: Vec<Expected> = serde_json::from_slice(&std::fs::read(folder.join("index.json")).unwrap()).unwrap();
    assert!(!index.is_empty());
    for expected in index {
        let name = &expected.name;
        let raw = std::fs::read(folder.join(format!("{}.raw", name.replace('/', "_")))).unwrap();
        let options = OpenOptions { level: expected.level, ..OpenOptions::default() };
        let path = folder.join(expected.open.as_ref().unwrap_or(name));
        let volume = open_volume_with(&path, &options).unwrap_or_else(|error| panic!("{name}: {error}"));
        let info = volume.info();
        assert_eq!(info.shape, expected.shape, "{name}");
        assert_eq!(info.dtype.name(), expected.dtype, "{name}");
        assert_eq!(info.axes, expected.axes, "{name}");
        assert_eq!(info.channels, expected.channels, "{name}");
        assert_eq!(info.orientation.map(|sides| sides.to_string()), expected.orientation, "{name}");
        let near = |a: Option<[f64; 3]>, b: Option<[f64; 3]>| match (a, b) {
            (Some(a), Some(b)) => a.iter().zip(&b).all(|(a, b)| (a - b).abs() <= 1e-5 * b.abs()),
            (a, b) => a == b,
        };
        assert!(near(info.spacing, expected.spacing), "{name}: {:?} for {:?}", info.spacing, expected.spacing);
        assert!(near(Some(info.origin), Some(expected.origin.unwrap_or_default())), "{name}: {:?}", info.origin);
        assert_eq!(info.time_step.map(|s| s as f32), expected.step.map(|s| s as f32), "{name}");
        let (shape, size) = (info.shape, info.dtype.size());
        let space = info.space();
        let whole = Region::whole(space);
        // Corners and cuts at odd places, a single voxel, an empty region.
        let mut regions = vec![whole];
        for part in 1..4 {
            let start: [usize; 3] = std::array::from_fn(|axis| space[axis] * part / 5);
            let end: [usize; 3] = std::array::from_fn(|axis| (start[axis] + 1 + space[axis] / part / 2).min(space[axis]));
            regions.push(Region { start, size: std::array::from_fn(|axis| end[axis] - start[axis]) });
        }
        regions.push(Region { start: space.map(|n| n - 1), size: [1; 3] });
        regions.push(Region { start: [0; 3], size: [0, space[1], space[2]] });
        for threads in [1, 2, 8] {
            let volume = open_volume_with(&path, &options).unwrap();
            for frame in volume.info().frames() {
                for region in &regions {
                    let found = with_threads(Some(threads), || Ok(read(&volume, frame, region))).unwrap();
                    assert!(found == cut(&raw, shape, size, frame, region), "{name}: {frame:?} {region:?} {threads}");
                }
            }
        }
        let outside = Region { start: [0; 3], size: [space[0] + 1, 1, 1] };
        let bytes = outside.len() * size;
        assert!(volume.read(Frame::default(), &outside, &mut vec![0; bytes]).is_err(), "{name}");
        assert!(volume.read(Frame { time: shape[0], channel: 0 }, &whole, &mut vec![0; whole.len() * size]).is_err());
    }
}

/// Opens (and reads) every file of `folder` with bytes cut away or changed: an error that names the file, or voxels.
fn damaged(folder: &Path, names: &[&str]) {
    for name in names {
        let whole = std::fs::read(folder.join(name)).unwrap();
        let path = folder.join(format!("damaged_{name}"));
        for part in 0..40usize {
            let mut bytes = whole.clone();
            if part % 2 == 0 {
                bytes.truncate(whole.len() * part / 40);
            } else {
                // Headers sit at the start or the end: hit both, and a place in the middle.
                for at in [part * 3, whole.len() / 2 + part, whole.len().saturating_sub(part * 5)] {
                    if let Some(byte) = bytes.get_mut(at) {
                        *byte = byte.wrapping_add(part as u8 | 0x40);
                    }
                }
            }
            std::fs::write(&path, &bytes).unwrap();
            let volume = match open_volume(&path) {
                Ok(volume) => volume,
                Err(error) => {
                    assert!(error.to_string().contains("damaged_"), "{error}");
                    continue;
                }
            };
            let region = Region::whole(volume.info().space());
            if region.len() > 1 << 24 {
                continue;
            }
            for frame in volume.info().frames().into_iter().take(3) {
                let mut words = vec![0u64; (region.len() * volume.info().dtype.size()).div_ceil(8)];
                let bytes = &mut bytemuck::cast_slice_mut(&mut words)[..region.len() * volume.info().dtype.size()];
                if let Err(error) = volume.read(frame, &region, bytes) {
                    assert!(error.to_string().contains("damaged_"), "{error}");
                }
            }
        }
        std::fs::remove_file(&path).unwrap();
    }
}

fn refused(path: &Path, words: &[&str]) {
    let error = match open_volume(path) {
        Ok(volume) => panic!("{} was opened: {:?}", path.display(), volume.info()),
        Err(error) => error.to_string(),
    };
    for word in words {
        assert!(error.contains(word), "`{word}` is not in: {error}");
    }
}

#[test]
fn tiff() {
    let Some(folder) = made("make_tiff.py") else { return };
    let at = |name: &str| folder.path().join(name);
    compare(folder.path());
    damaged(folder.path(), &["plain.tif", "zlib_1_tiles.tif", "lzw_1_strips.tif", "ome.ome.tif", "imagej_one_page.tif"]);

    // A cut file says so.
    let bytes = std::fs::read(at("imagej_one_page.tif")).unwrap();
    std::fs::write(at("cut.tif"), &bytes[..bytes.len() / 2]).unwrap();
    refused(&at("cut.tif"), &["cut.tif", "truncated"]);
    let bytes = std::fs::read(at("tiles.tif")).unwrap();
    std::fs::write(at("cut.tif"), &bytes[..bytes.len() - 600]).unwrap();
    refused(&at("cut.tif"), &["cut.tif", "truncated"]);
    std::fs::write(at("empty.tif"), b"").unwrap();
    refused(&at("empty.tif"), &["empty.tif", "an empty file"]);
    refused(&at("none.tif"), &["none.tif"]);

    // Folders: a plane missing, one of another size, one of another type, one cut, one that does not belong.
    let planes = at("planes");
    let back = |name: &str| std::fs::copy(planes.join("slice_Z5.tif"), planes.join(name)).unwrap();
    std::fs::remove_file(planes.join("slice_Z7.tif")).unwrap();
    refused(&planes, &["planes", "7 after 6", "missing"]);
    std::fs::copy(at("one.tif"), planes.join("slice_Z7.tif")).unwrap();
    refused(&planes, &["slice_Z7.tif", "17 x 19", "37 x 53"]);
    std::fs::copy(at("rgb.tif"), planes.join("slice_Z7.tif")).unwrap();
    refused(&planes, &["slice_Z7.tif", "one page", "3 pages"]);
    back("slice_Z7.tif");
    assert_eq!(open_volume(&planes).unwrap().info().shape, [1, 1, 12, 17, 19]);
    back("slice_Z7_copy.tif");
    refused(&planes, &["slice_Z7_copy.tif", "extra"]);
    std::fs::remove_file(planes.join("slice_Z7_copy.tif")).unwrap();
    back("slice_Z07.tif");
    refused(&planes, &["planes", "twice"]);
    std::fs::remove_file(planes.join("slice_Z07.tif")).unwrap();
    let bytes = std::fs::read(planes.join("slice_Z3.tif")).unwrap();
    std::fs::write(planes.join("slice_Z3.tif"), &bytes[..bytes.len() - 100]).unwrap();
    refused(&planes, &["slice_Z3.tif", "truncated"]);

    // What a file does not say can be said; what it says can be corrected.
    let said = OpenOptions {
        spacing: Some([5.0, 2.0, 2.0]),
        orientation: Some("psl".parse().unwrap()),
        axes: Some("tyx".into()),
        ..OpenOptions::default()
    };
    let volume = open_volume_with(&at("plain.tif"), &said).unwrap();
    assert_eq!((volume.info().shape, volume.info().spacing), ([5, 1, 1, 37, 53], Some([5.0, 2.0, 2.0])));
    assert_eq!(volume.info().orientation.unwrap().to_string(), "psl");
    for (options, word) in [
        (OpenOptions { axes: Some("xyz".into()), ..OpenOptions::default() }, "axes"),
        (OpenOptions { spacing: Some([0.0, 1.0, 1.0]), ..OpenOptions::default() }, "spacing"),
        (OpenOptions { series: Some(3), ..OpenOptions::default() }, "series"),
        (OpenOptions { level: Some(1), ..OpenOptions::default() }, "level"),
    ] {
        let error = open_volume_with(&at("plain.tif"), &options).err().unwrap().to_string();
        assert!(error.contains(word), "{error}");
    }
}
