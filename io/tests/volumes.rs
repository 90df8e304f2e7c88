//! Volumes written by the reference writers in Python, read here: the same voxels, axes, spacing and names, for any
//! region and any number of threads. Skipped, with the reason printed, where Python or its packages are missing.

use std::path::{Path, PathBuf};
use std::process::Command;

use zensaibo_core::Ctx;
use zensaibo_core::data::{Dtype, Frame, Region, VolumeBlocks, VolumeInfo, VolumeSink as _};
use zensaibo_core::parallel::with_threads;
use zensaibo_core::progress::CancelToken;
use zensaibo_io::volume::{
    Compression, NgffVersion, OmeZarrOptions, OmeZarrWriter, OpenOptions, open_volume, open_volume_with,
    pyramid_levels, write_ome_zarr,
};

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
            let end: [usize; 3] =
                std::array::from_fn(|axis| (start[axis] + 1 + space[axis] / part / 2).min(space[axis]));
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
    damaged(
        folder.path(),
        &["plain.tif", "zlib_1_tiles.tif", "lzw_1_strips.tif", "ome.ome.tif", "imagej_one_page.tif"],
    );

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

#[test]
fn zarr() {
    let Some(folder) = made("make_zarr.py") else { return };
    let at = |name: &str| folder.path().join(name);
    compare(folder.path());
    refused(&at("plate.zarr"), &["plate", "A/1/0", "B/2/1"]);
    refused(&at("plate.zarr/A/1"), &["well", "0, 1"]);
    for (name, words) in [
        ("affine", &["3 rows of 4 numbers for `affine`"] as &[&str]),
        ("sheared", &["every axis along one other", "0.1"]),
        ("turned_stored", &["every axis along one other", "-0.6"]),
        ("mirrored", &["axis x to run on", "-1"]),
        ("bent", &["displacements", "identity, scale, translation"]),
        ("no_parameters", &["[3, 3] finite numbers at `path`"]),
        ("indices_turned", &["every axis along one other"]),
        ("twice", &["one transformation of a level", "2"]),
    ] {
        let all: Vec<&str> = ["coordinateTransformations", "zarr.json"].iter().chain(words).copied().collect();
        refused(&at(&format!("{name}.zarr")), &all);
    }
    refused(&at("indices_many.zarr"), &["axes", "4 dimensions"]);
    let named = OpenOptions { axes: Some("czyx".into()), ..OpenOptions::default() };
    let volume = open_volume_with(&at("indices_many.zarr"), &named).unwrap();
    assert_eq!((volume.info().shape, volume.info().spacing), ([1, 3, 8, 12, 16], None));
    refused(&at("scene.zarr"), &["scene", "tile_0, tile_1, tile_2, tile_3"]);
    assert_eq!(open_volume(&at("scene.zarr/tile_1")).unwrap().info().spacing, Some([2.0; 3]));
    refused(&at("scene_alone.zarr"), &["scene", "no image"]);
    refused(&at("four"), &["axes", "4 dimensions"]);
    refused(&at("text"), &["text", "numbers"]);
    let four = OpenOptions { axes: Some("czyx".into()), ..OpenOptions::default() };
    assert_eq!(open_volume_with(&at("four"), &four).unwrap().info().shape, [1, 2, 3, 4, 5]);
    let level = OpenOptions { level: Some(2), ..OpenOptions::default() };
    let error = open_volume_with(&at("v05.zarr"), &level).err().unwrap().to_string();
    assert!(error.contains("level") && error.contains("0..2"), "{error}");

    // A damaged shard, cut metadata.
    let shard = at("codec_zstd/c/0/0/0");
    let bytes = std::fs::read(&shard).unwrap();
    for damaged in [&bytes[..bytes.len() / 2], &bytes[..3], &[0xee; 5000][..]] {
        std::fs::write(&shard, damaged).unwrap();
        let volume = open_volume(&at("codec_zstd")).unwrap();
        let region = Region::whole(volume.info().space());
        let mut out = vec![0u16; region.len()];
        let error = volume.read(Frame::default(), &region, bytemuck::cast_slice_mut(&mut out)).unwrap_err().to_string();
        assert!(error.contains("codec_zstd"), "{error}");
    }
    let text = std::fs::read(at("v05.zarr/zarr.json")).unwrap();
    std::fs::write(at("v05.zarr/zarr.json"), &text[..text.len() / 2]).unwrap();
    refused(&at("v05.zarr"), &["zarr.json", "JSON"]);
}

#[test]
fn others() {
    let Some(folder) = made("make_more.py") else { return };
    let at = |name: &str| folder.path().join(name);
    compare(folder.path());
    let files =
        ["im.ims", "gzip.h5", "whole.h5", "raw.nrrd", "packed.nrrd", "ras.nii", "turned.nii.gz", "c.npy", "bdv.xml"];
    damaged(folder.path(), &files);
    refused(&at("two.h5"), &["two.h5", "0: a, 1: b", "series"]);
    refused(&at("four.npy"), &["four.npy", "axes", "4 dimensions"]);
    refused(&at("tiles.xml"), &["tiles.xml", "chan0", "series"]);
    let one = OpenOptions { series: Some(1), ..OpenOptions::default() };
    assert_eq!(open_volume_with(&at("tiles.xml"), &one).unwrap().info().shape, [2, 1, 9, 21, 33]);
    assert_eq!(open_volume_with(&at("two.h5"), &one).unwrap().info().shape, [1, 1, 9, 21, 33]);
    let bytes = std::fs::read(at("c.npy")).unwrap();
    std::fs::write(at("cut.npy"), &bytes[..bytes.len() - 1]).unwrap();
    refused(&at("cut.npy"), &["cut.npy", "truncated"]);
    let block = at("n5_gzip/0/0/0");
    let bytes = std::fs::read(&block).unwrap();
    std::fs::write(&block, &bytes[..bytes.len() / 2]).unwrap();
    let volume = open_volume(&at("n5_gzip")).unwrap();
    let region = Region::whole(volume.info().space());
    let mut out = vec![0u16; region.len()];
    let error = volume.read(Frame::default(), &region, bytemuck::cast_slice_mut(&mut out)).unwrap_err().to_string();
    assert!(error.contains("n5_gzip"), "{error}");
    std::fs::create_dir(at("empty")).unwrap();
    refused(&at("empty"), &["empty", "a volume"]);
    std::fs::write(at("notes.txt"), "dear diary").unwrap();
    refused(&at("notes.txt"), &["notes.txt", "a volume"]);
}

/// A volume in memory with several frames.
struct Memory(VolumeInfo, Vec<u8>);

impl VolumeBlocks for Memory {
    fn info(&self) -> &VolumeInfo {
        &self.0
    }
    fn read(&self, frame: Frame, region: &Region, out: &mut [u8]) -> zensaibo_core::Result<()> {
        self.0.check(frame, region)?;
        out.copy_from_slice(&cut(&self.1, self.0.shape, self.0.dtype.size(), frame, region));
        Ok(())
    }
}

fn memory(shape: [usize; 5], dtype: Dtype, spacing: Option<[f64; 3]>) -> Memory {
    let mut info = VolumeInfo::plain("memory", [shape[2], shape[3], shape[4]], dtype);
    info.shape = shape;
    info.spacing = spacing;
    info.axes =
        "tczyx".chars().zip(shape).filter(|(axis, n)| *n > 1 || "yx".contains(*axis)).map(|(axis, _)| axis).collect();
    let voxels: usize = shape.iter().product();
    let value = |at: usize| (at as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
    let bytes = match dtype {
        Dtype::F32 => (0..voxels).flat_map(|at| ((value(at) % 1000) as f32 / 7.0).to_ne_bytes()).collect(),
        Dtype::U32 => (0..voxels).flat_map(|at| ((value(at / 3) % 5) as u32).to_ne_bytes()).collect(),
        Dtype::U8 => (0..voxels).map(|at| value(at) as u8).collect(),
        _ => (0..voxels).flat_map(|at| ((value(at) % 4000) as u16).to_ne_bytes()).collect(),
    };
    Memory(info, bytes)
}

#[test]
fn ome_zarr_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let ctx = Ctx::quiet();
    let mut cases = Vec::new();
    let small = OmeZarrOptions {
        chunk: Some([4, 8, 16]),
        shard: Some([8, 16, 32]),
        levels: Some(3),
        ..OmeZarrOptions::default()
    };
    let old = OmeZarrOptions { version: NgffVersion::V04, shard: None, ..small.clone() };
    let anisotropic = Some([5.0, 2.0, 2.0]);
    for (name, shape, dtype, spacing, options, label) in [
        ("v05.ome.zarr", [1, 1, 19, 45, 71], Dtype::U16, anisotropic, small.clone(), false),
        ("v04.ome.zarr", [1, 1, 19, 45, 71], Dtype::U16, anisotropic, old.clone(), false),
        ("five.ome.zarr", [2, 3, 9, 21, 33], Dtype::F32, Some([1.0; 3]), small.clone(), false),
        (
            "five4.ome.zarr",
            [2, 3, 9, 21, 33],
            Dtype::U8,
            None,
            OmeZarrOptions { compression: Compression::Zstd, ..old },
            false,
        ),
        (
            "flat.ome.zarr",
            [1, 2, 1, 50, 70],
            Dtype::U8,
            Some([0.5; 3]),
            OmeZarrOptions { compression: Compression::None, chunk: None, shard: None, ..small.clone() },
            false,
        ),
        ("plain.ome.zarr", [1, 1, 30, 300, 270], Dtype::U16, anisotropic, OmeZarrOptions::default(), false),
        ("v05.ome.zarr/labels/cells", [1, 1, 19, 45, 71], Dtype::U32, anisotropic, small.clone(), true),
        ("v05.ome.zarr/labels/nuclei", [1, 1, 19, 45, 71], Dtype::U32, anisotropic, small.clone(), true),
        (
            "v04.ome.zarr/labels/cells",
            [1, 1, 19, 45, 71],
            Dtype::U32,
            anisotropic,
            OmeZarrOptions { shard: None, ..small.clone() },
            true,
        ),
    ] {
        let mut source = memory(shape, dtype, spacing);
        source.0.orientation = Some("psl".parse().unwrap());
        // An axis that is not there has no origin, and neither have lengths without a unit.
        source.0.origin = match spacing {
            Some(_) => [if shape[2] > 1 { 7.0 } else { 0.0 }, 8.0, 9.0],
            None => [0.0; 3],
        };
        if shape[1] > 1 {
            source.0.channels = (0..shape[1]).map(|c| format!("stain {c}")).collect();
        }
        if label {
            let (image, own) = name.split_once("/labels/").unwrap();
            let writer = OmeZarrWriter::create_labels(&at(image), own, &source.0, &options).unwrap();
            writer.copy_from(&source, &ctx).unwrap();
            writer.finish(&ctx).unwrap();
        } else {
            write_ome_zarr(&source, &at(name), &options, &ctx).unwrap();
        }
        let raw = format!("{}.raw", name.replace('/', "_"));
        std::fs::write(at(&raw), &source.1).unwrap();
        // Read back whole.
        let volume = open_volume(&at(name)).unwrap();
        let info = volume.info();
        assert_eq!(
            (info.shape, info.dtype, info.spacing, info.orientation),
            (shape, dtype, spacing, source.0.orientation)
        );
        assert_eq!((info.origin, &info.channels), (source.0.origin, &source.0.channels), "{name}");
        let whole = Region::whole(info.space());
        for frame in info.frames() {
            assert!(read(&volume, frame, &whole) == cut(&source.1, shape, dtype.size(), frame, &whole), "{name}");
        }
        let levels = pyramid_levels(&at(name)).unwrap().len();
        let v3 = at(name).join("zarr.json").exists();
        cases.push(serde_json::json!({
            "path": name, "raw": raw, "shape": shape, "dtype": dtype.name(), "axes": info.axes, "labels": label, "levels": levels,
            "version": if v3 { "0.5" } else { "0.4" }, "spacing": spacing, "channels": info.channels, "shards": name.starts_with("v05"),
        }));
    }
    let levels: Vec<u64> = cases.iter().map(|case| case["levels"].as_u64().unwrap()).collect();
    assert_eq!(levels, [3, 3, 3, 3, 3, 2, 3, 3, 3]);

    // The same bytes for any number of threads and any memory.
    let source = memory([1, 2, 19, 45, 71], Dtype::U16, anisotropic);
    let files = |name: &str, threads: usize, memory: Option<u64>| {
        let options = OmeZarrOptions { memory, ..small.clone() };
        with_threads(Some(threads), || write_ome_zarr(&source, &at(name), &options, &ctx)).unwrap();
        let mut files = Vec::new();
        let mut folders = vec![at(name)];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    files.push((path.strip_prefix(at(name)).unwrap().to_path_buf(), std::fs::read(&path).unwrap()));
                }
            }
        }
        files.sort();
        files
    };
    let one = files("same.zarr", 1, None);
    assert!(one == files("same.zarr", 8, None) && one == files("same.zarr", 2, Some(1 << 20)));

    // Nothing half-written: what was interrupted, dropped or refused leaves what was there.
    let before = std::fs::read_dir(folder.path()).unwrap().count();
    let cancel = CancelToken::default();
    struct Stop(CancelToken);
    impl zensaibo_core::progress::Progress for Stop {
        fn start(&self, _: &str, _: u64) {}
        fn advance(&self, _: u64) {
            self.0.cancel();
        }
        fn finish(&self) {}
    }
    let stopped = Ctx::new(cancel.clone(), std::sync::Arc::new(Stop(cancel)));
    assert!(
        write_ome_zarr(&source, &at("same.zarr"), &small, &stopped).unwrap_err().to_string().contains("interrupted")
    );
    drop(OmeZarrWriter::create(&at("dropped.zarr"), &source.0, &small).unwrap());
    std::fs::create_dir(at("mine")).unwrap();
    std::fs::write(at("mine/notes.txt"), "dear diary").unwrap();
    for (place, options, word) in [
        ("mine", small.clone(), "no Zarr"),
        ("mine/notes.txt", small.clone(), "a file"),
        ("new.zarr", OmeZarrOptions { shard: Some([5, 16, 32]), ..small.clone() }, "shard"),
        ("new.zarr", OmeZarrOptions { level: 0, ..small.clone() }, "level"),
        ("new.zarr", OmeZarrOptions { levels: Some(0), ..small.clone() }, "levels"),
        ("new.zarr", OmeZarrOptions { chunk: Some([0, 8, 8]), ..small.clone() }, "chunk"),
        ("new.zarr", OmeZarrOptions { version: NgffVersion::V04, ..small.clone() }, "shard"),
    ] {
        let error = write_ome_zarr(&source, &at(place), &options, &ctx).unwrap_err().to_string();
        assert!(error.contains(word), "{error}");
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), before + 1);
    assert_eq!(open_volume(&at("same.zarr")).unwrap().info().shape, [1, 2, 19, 45, 71]);
    let writer = OmeZarrWriter::create(&at("wrong.zarr"), &source.0, &small).unwrap();
    let region = Region { start: [0, 3, 0], size: [8, 16, 32] };
    let error = writer.write(Frame::default(), &region, &vec![0; region.len() * 2]).unwrap_err().to_string();
    assert!(error.contains("multiples"), "{error}");
    drop(writer);
    let floats = memory([1, 1, 4, 4, 4], Dtype::F32, None);
    let error = OmeZarrWriter::create_labels(&at("v05.ome.zarr"), "f", &floats.0, &small).err().unwrap().to_string();
    assert!(error.contains("whole numbers"), "{error}");

    std::fs::write(at("check.json"), serde_json::to_string(&cases).unwrap()).unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/volumes/check_zarr.py");
    let checker = std::env::var_os("ZENSAIBO_PYTHON").map_or_else(python, PathBuf::from);
    match Command::new(checker).arg(script).arg(folder.path()).output() {
        Ok(run) => {
            let said = String::from_utf8_lossy(&run.stderr).into_owned();
            if said.contains("ModuleNotFoundError") {
                println!("skipped: {}", said.lines().last().unwrap_or_default());
            } else {
                assert!(run.status.success(), "{said}");
                print!("{}", String::from_utf8_lossy(&run.stdout));
            }
        }
        Err(error) => println!("skipped: no Python ({error})"),
    }
}
