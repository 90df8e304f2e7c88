//! Cells, nuclei and tracks on the command line.

mod common;

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use common::{errors, names, zensaibo};
use zensaibo_core::Ctx;
use zensaibo_core::data::{Frame, Grid, VolumeBlocks, VolumeInfo};
use zensaibo_imaging::blocks::read_as;
use zensaibo_imaging::classify::CellClassifier;
use zensaibo_imaging::detect::{Cells, DetectOptions, detect_cells};
use zensaibo_imaging::matching::match_points;
use zensaibo_imaging::phantom::{Phantom, PhantomOptions};
use zensaibo_imaging::segment::{NucleiOptions, segment_nuclei};
use zensaibo_imaging::space::Spacing;
use zensaibo_imaging::track::{Detections, TrackOptions, label_centres, track};
use zensaibo_io::volume::{OmeZarrOptions, OpenOptions, open_volume, open_volume_with, write_ome_zarr};
use zensaibo_io::{AnnDataFile, Column, Columns, Marker, Value, Values, read_columns, read_markers, write_columns};

const SPACING: [f64; 3] = [5.0, 2.0, 2.0];

fn phantom(shape: [usize; 3], nuclei: usize) -> Phantom {
    let options = PhantomOptions { shape, spacing: SPACING, nuclei, diameter: 16.0, gap: 6.0, ..Default::default() };
    Phantom::new(&options).unwrap()
}

/// A phantom as OME-Zarr, which says its spacing.
fn stored(at: &Path, phantom: &Phantom) -> PathBuf {
    let path = at.join("signal.ome.zarr");
    write_ome_zarr(phantom, &path, &OmeZarrOptions { chunk: Some([16, 32, 32]), ..Default::default() }, &Ctx::quiet())
        .unwrap();
    path
}

/// A numpy file of (z, y, x) or (t, z, y, x).
fn npy(path: &Path, kind: &str, shape: &[usize], bytes: &[u8]) {
    let lengths: Vec<String> = shape.iter().map(usize::to_string).collect();
    let mut header = format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': ({}), }}", lengths.join(", "));
    while (header.len() + 11) % 64 != 0 {
        header.push(' ');
    }
    header.push('\n');
    let mut all = b"\x93NUMPY\x01\x00".to_vec();
    all.extend_from_slice(&(header.len() as u16).to_le_bytes());
    all.extend_from_slice(header.as_bytes());
    all.extend_from_slice(bytes);
    std::fs::write(path, all).unwrap();
}

fn said(run: &Output) -> String {
    String::from_utf8_lossy(&run.stdout).into_owned()
}

/// Runs the binary with arguments apart by blanks; `{}` stands for the folder.
fn run(place: &Path, line: &str) -> Output {
    let folder = place.display().to_string();
    zensaibo(line.split(' ').map(|word| word.replace("{}", &folder)))
}

fn done(place: &Path, line: &str) -> String {
    let run = run(place, line);
    assert_eq!(run.status.code(), Some(0), "{line}: {}", errors(&run));
    said(&run)
}

fn refused(place: &Path, line: &str, code: i32, words: &[&str]) {
    let before = names(place);
    let run = run(place, line);
    let text = errors(&run);
    assert_eq!(run.status.code(), Some(code), "{line}: {text}");
    for word in words {
        assert!(text.contains(word), "{line}: `{word}` is not in: {text}");
    }
    assert!(!text.contains("panic"), "{text}");
    assert_eq!(names(place), before, "{line} left something behind");
}

fn expected(volume: &Path, options: &DetectOptions) -> Cells {
    let volume = open_volume(volume).unwrap();
    let classifier = CellClassifier::default_model().unwrap();
    let spacing = Spacing::new(SPACING).unwrap();
    detect_cells(&volume, None, spacing, Some(classifier), options, &Ctx::quiet()).unwrap()
}

fn floats(table: &Columns, name: &str) -> Vec<f32> {
    match table.get(name) {
        Some(Column::Numbers(Values::F32(values))) => values.clone(),
        other => panic!("{name}: {other:?}"),
    }
}

#[test]
fn cells_go_into_every_kind_of_file() {
    let place = tempfile::tempdir().unwrap();
    let at = |name: &str| place.path().join(name);
    let phantom = phantom([40, 160, 150], 120);
    let signal = stored(place.path(), &phantom);
    let cells = expected(&signal, &DetectOptions { soma_diameter: 16.0, ..Default::default() });
    let found = match_points(&cells.centre, &phantom.centres(), 8.0).unwrap().pairs.len();
    assert!(found >= 105, "{found} of {}", phantom.nuclei().len());

    let detect = "detect {}/signal.ome.zarr --soma-diameter 16 -o {}/cells";
    let text = done(place.path(), &format!("{detect}.parquet --report {{}}/cells.html --memory 512MiB"));
    for word in
        ["cells (soma 16 um", "candidates", "edge zone", "detect ", "memory: ", "of 537 MB allowed", "cells.html"]
    {
        assert!(text.contains(word), "`{word}` is not in: {text}");
    }
    let table = read_columns(&at("cells.parquet")).unwrap();
    let columns: Vec<&str> = table.columns.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(
        columns,
        [
            "label",
            "score",
            "volume",
            "radius",
            "mean_intensity",
            "peak_intensity",
            "background",
            "noise",
            "edge",
            "z",
            "y",
            "x"
        ]
    );
    assert_eq!(table.get("label"), Some(&Column::Numbers((1..=cells.len() as u32).collect::<Vec<u32>>().into())));
    for (name, values) in [
        ("score", &cells.score),
        ("volume", &cells.volume),
        ("radius", &cells.radius),
        ("mean_intensity", &cells.mean),
        ("peak_intensity", &cells.peak),
        ("background", &cells.background),
        ("noise", &cells.noise),
    ] {
        assert_eq!(&floats(&table, name), values, "{name}");
    }
    assert_eq!(table.get("edge"), Some(&Column::Numbers(cells.edge.clone().into())));
    let path = at("cells.parquet");
    for (axis, name) in ["z", "y", "x"].into_iter().enumerate() {
        let values: Vec<f64> = cells.centre.iter().map(|centre| centre[axis]).collect();
        assert_eq!(table.numbers(&path, name).unwrap(), values);
    }
    assert_eq!((table.said("unit"), table.said("spacing")), (Some("micrometer"), Some("[5.0,2.0,2.0]")));
    assert!(table.said("detection").unwrap().contains("\"candidates\""));
    assert!(table.said("zensaibo").unwrap().contains("\"soma_diameter\":16.0"));

    // The same bytes for other threads and other blocks.
    let bytes = std::fs::read(&path).unwrap();
    done(place.path(), &format!("{detect}2.parquet --memory 128MiB --threads 1 --quiet"));
    assert_eq!(std::fs::read(at("cells2.parquet")).unwrap(), bytes);

    done(place.path(), &format!("{detect}.csv"));
    let csv = read_columns(&at("cells.csv")).unwrap();
    for name in ["label", "score", "noise", "z", "x"] {
        let back: Vec<f64> = csv.numbers(&path, name).unwrap();
        let own = table.numbers(&path, name).unwrap();
        let same = back.iter().zip(&own).all(|(a, b)| a == b || *a as f32 == *b as f32);
        assert!(same && back.len() == own.len(), "{name}");
    }

    done(place.path(), &format!("{detect}.xml"));
    let voxels: Vec<[f64; 3]> =
        cells.centre.iter().map(|centre| std::array::from_fn(|a| (centre[a] / SPACING[a]).round_ties_even())).collect();
    assert_eq!(read_markers(&at("cells.xml"), Marker::Cell).unwrap(), voxels);

    done(place.path(), &format!("{detect}.h5ad"));
    let file = AnnDataFile::open(at("cells.h5ad")).unwrap();
    assert_eq!(file.shape().unwrap(), (cells.len(), 0));
    let obs = file.obs(&Ctx::quiet()).unwrap();
    assert_eq!(obs.index[..3], ["1", "2", "3"]);
    assert_eq!(obs.columns, table.columns[..9]);
    let Value::Array { shape, values } = file.value("obsm/spatial", &Ctx::quiet()).unwrap() else { panic!() };
    let spatial: Vec<f64> = cells.centre.iter().flat_map(|&[z, y, x]| [x, y, z]).collect();
    assert_eq!((shape, values.to_f64()), (vec![cells.len(), 3], spatial));

    let page = std::fs::read_to_string(at("cells.html")).unwrap();
    for word in ["from above", "from the side", "Most cells", "class=m", "soma_diameter", "Histogram of score"] {
        assert!(page.contains(word), "{word}");
    }
    for address in ["http://", "https://", "src=\"", "<script"] {
        assert!(!page.contains(address), "{address}");
    }
    assert!(names(place.path()).iter().all(|name| !name.starts_with('.')), "{:?}", names(place.path()));
}

#[test]
fn background_channels_and_classifiers() {
    let place = tempfile::tempdir().unwrap();
    let phantom = phantom([24, 90, 80], 30);
    let signal: Grid<u16> =
        read_as(&phantom, Frame::default(), &zensaibo_core::data::Region::whole(phantom.info().space())).unwrap();
    let speckled = |(at, &value): (usize, &u16)| value / 8 + 50 + (at * 7919 % 151) as u16;
    let flat: Vec<u16> = signal.data.iter().enumerate().map(speckled).collect();
    let both: Vec<u16> = signal.data.iter().chain(&flat).copied().collect();
    let at = |name: &str| place.path().join(name);
    npy(&at("both.npy"), "<u2", &[2, 24, 90, 80], bytemuck::cast_slice(&both));
    npy(&at("signal.npy"), "<u2", &[24, 90, 80], bytemuck::cast_slice(&signal.data));
    npy(&at("flat.npy"), "<u2", &[24, 90, 80], bytemuck::cast_slice(&flat));
    let detect = "--spacing 5,2,2 --soma-diameter 16 --quiet -o {}";
    done(place.path(), &format!("detect {{}}/signal.npy --background {{}}/flat.npy {detect}/one.csv"));
    done(
        place.path(),
        &format!(
            "detect {{}}/both.npy --background {{}}/both.npy --set background.channel=1 --set input.axes=czyx {detect}/two.csv"
        ),
    );
    assert_eq!(std::fs::read(at("one.csv")).unwrap(), std::fs::read(at("two.csv")).unwrap());
    assert!(read_columns(&at("one.csv")).unwrap().len() >= 20);
    done(place.path(), &format!("detect {{}}/signal.npy {detect}/alone.csv"));
    assert_ne!(std::fs::read(at("one.csv")).unwrap(), std::fs::read(at("alone.csv")).unwrap());

    std::fs::write(at("own.json"), CellClassifier::default_model().unwrap().to_json()).unwrap();
    done(place.path(), &format!("detect {{}}/signal.npy --classifier {{}}/own.json {detect}/own.csv"));
    assert_eq!(std::fs::read(at("own.csv")).unwrap(), std::fs::read(at("alone.csv")).unwrap());
    done(place.path(), &format!("detect {{}}/signal.npy --classifier none --set detect.threshold=4 {detect}/none.csv"));
    assert!(read_columns(&at("none.csv")).unwrap().len() >= 25);

    for (line, code, words) in [
        ("detect {}/signal.npy --classifier {}/none.json", 3, &["none.json"][..]),
        ("detect {}/signal.npy --classifier {}/flat.npy", 3, &["flat.npy"]),
        ("detect {}/signal.npy --classifier none --set detect.min_score=0.5", 2, &["detect.min_score"]),
        (
            "detect {}/both.npy --background {}/both.npy --set background.channel=7 --set input.axes=czyx",
            2,
            &["background.channel", "7"],
        ),
        ("detect {}/signal.npy --channel 3", 2, &["channel", "3"]),
    ] {
        refused(place.path(), &format!("{line} {detect}/refused.csv"), code, words);
    }
}

#[test]
fn bad_volumes_and_options_are_told_apart() {
    let place = tempfile::tempdir().unwrap();
    let at = |name: &str| place.path().join(name);
    let noise: Vec<u16> = (0..20 * 40 * 40u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u16).collect();
    npy(&at("noise.npy"), "<u2", &[20, 40, 40], bytemuck::cast_slice(&noise));
    npy(&at("small.npy"), "<u2", &[20, 40, 39], bytemuck::cast_slice(&noise[..20 * 40 * 39]));
    npy(&at("empty.npy"), "<u2", &[0, 40, 40], &[]);
    let mut floats: Vec<f32> = noise.iter().map(|&value| f32::from(value)).collect();
    floats[(7 * 40 + 8) * 40 + 9] = f32::NAN;
    npy(&at("nan.npy"), "<f4", &[20, 40, 40], bytemuck::cast_slice(&floats));
    std::fs::write(at("notes.txt"), "dear diary").unwrap();
    std::fs::write(at("my.toml"), "[detect]\nsoma = 3\n").unwrap();
    let um = "--spacing 5,2,2 --soma-diameter 16 -o {}/out";
    for (line, code, words) in [
        ("detect {}/none.tif --spacing 5,2,2 -o {}/out.csv", 3, &["none.tif"][..]),
        ("detect {}/notes.txt --spacing 5,2,2 -o {}/out.csv", 3, &["notes.txt"]),
        ("detect {}/noise.npy -o {}/out.csv", 2, &["--spacing", "does not say"]),
        ("detect {}/noise.npy --spacing 0,2,2 -o {}/out.csv", 2, &["spacing"]),
        ("detect {}/noise.npy --spacing 5,2 -o {}/out.csv", 2, &["three numbers"]),
        ("detect {}/noise.npy --background {}/small.npy {um}.csv", 3, &["small.npy", "shape", "39"]),
        ("detect {}/nan.npy {um}.csv", 3, &["nan.npy", "(7, 8, 9)"]),
        ("detect {}/empty.npy {um}.csv", 3, &["empty.npy"]),
        ("detect {}/noise.npy {um}.tif", 2, &[".parquet", ".xml"]),
        ("detect {}/noise.npy {um}", 2, &[".parquet"]),
        ("detect {}/noise.npy --spacing 5,2,2 -o {}/no/such/out.csv", 2, &["no/such"]),
        ("detect {}/noise.npy --spacing 5,2,2 -o {}/out.csv --report {}/no/such.html", 2, &["report"]),
        ("detect {}/noise.npy {um}.csv --set detect.soma_diameter=-1", 2, &["detect.soma_diameter"]),
        ("detect {}/noise.npy {um}.csv --set detect.soma_diamter=1", 2, &["did you mean `soma_diameter`?"]),
        ("detect {}/noise.npy {um}.csv --config {}/my.toml", 2, &["detect.soma"]),
        ("detect {}/noise.npy {um}.csv --config {}/none.toml", 2, &["none.toml"]),
        ("detect {}/noise.npy {um}.csv --threads 0", 2, &["threads"]),
        ("detect {}/noise.npy {um}.csv --memory lots", 2, &["4GiB"]),
        ("detect {}/noise.npy --spacing 5,2,2 --soma-diameter 5000 -o {}/out.csv", 2, &["soma_diameter", "200"]),
        ("detect {}/noise.npy {um}.csv --memory 1MB", 3, &["memory", "MiB"]),
        ("segment {}/noise.npy --spacing 5,2,2 -o {}/out.tif", 2, &[".zarr"]),
        ("segment {}/noise.npy -o {}/out.zarr", 2, &["--spacing"]),
        ("segment {}/nan.npy --spacing 5,2,2 -o {}/out.zarr", 3, &["nan.npy", "finite"]),
        ("segment {}/noise.npy --spacing 5,2,2 -o {}/out.zarr --table {}/t.xml", 2, &["table", ".parquet"]),
        ("segment {}/noise.npy --spacing 5,2,2 -o {}/out.zarr --channel 2", 2, &["input.channel", "2"]),
        (
            "segment {}/noise.npy --spacing 5,2,2 -o {}/out.zarr --set segment.diametre=2",
            2,
            &["did you mean `diameter`?"],
        ),
        ("track {}/notes.txt -o {}/out.csv --spacing 1,1,1", 3, &["notes.txt"]),
        ("track {}/none.csv -o {}/out.csv", 3, &["none.csv"]),
        ("track {}/noise.npy -o {}/out.csv --spacing 1,1,1", 3, &["axis t", "tzyx"]),
        ("track {}/noise.npy {}/small.npy -o {}/out.csv", 3, &["a table (.parquet"]),
        ("track {}/noise.npy -o {}/out.xml", 2, &[".parquet"]),
    ] {
        refused(place.path(), &line.replace("{um}", um), code, words);
    }
    assert_eq!(run(place.path(), "track -o {}/out.csv").status.code(), Some(2));
    // Nothing to see is said, and is no fault.
    npy(&at("constant.npy"), "<u2", &[20, 40, 40], bytemuck::cast_slice(&vec![7u16; 20 * 40 * 40]));
    let text = done(place.path(), &format!("detect {{}}/constant.npy {um}.parquet --report {{}}/out.html"));
    assert!(text.contains("0 cells") && text.contains("no contrast"), "{text}");
    assert_eq!(read_columns(&at("out.parquet")).unwrap().len(), 0);
    assert!(std::fs::read_to_string(at("out.html")).unwrap().contains("No cell was found"));
    let text = done(place.path(), "segment {}/constant.npy --spacing 5,2,2 -o {}/out.zarr --table {}/table.csv");
    assert!(text.contains("0 nuclei"), "{text}");
}

/// A volume that takes a while, to be interrupted in.
#[cfg(unix)]
#[test]
fn an_interrupted_run_leaves_nothing_and_is_130() {
    let place = tempfile::tempdir().unwrap();
    let phantom = phantom([40, 500, 500], 300);
    let signal = stored(place.path(), &phantom);
    let results = place.path().join("results");
    std::fs::create_dir(&results).unwrap();
    let output = results.join("cells.parquet");
    std::fs::write(&output, "an older result").unwrap();
    for signal_number in [libc::SIGINT, libc::SIGTERM] {
        let mut child = Command::new(env!("CARGO_BIN_EXE_zensaibo"))
            .args(["detect".as_ref(), signal.as_os_str(), "-o".as_ref(), output.as_os_str()])
            .args(["--soma-diameter", "40", "--threads", "1"])
            .stderr(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        use std::io::BufRead as _;
        let mut lines = std::io::BufReader::new(child.stderr.as_mut().unwrap()).lines();
        assert!(lines.any(|line| line.unwrap().starts_with("open")), "the run ended early");
        let asked = std::time::Instant::now();
        // SAFETY: a signal to a child that has not been waited for.
        unsafe { libc::kill(child.id() as i32, signal_number) };
        let status = child.wait().unwrap();
        assert_eq!(status.code(), Some(130), "{status:?}");
        assert!(asked.elapsed().as_secs() < 5, "took {:?}", asked.elapsed());
        assert_eq!(names(&results), ["cells.parquet"]);
        assert_eq!(std::fs::read(&output).unwrap(), b"an older result");
    }
}

#[cfg(unix)]
#[test]
fn a_full_disk_leaves_the_old_file_and_is_1() {
    let place = tempfile::tempdir().unwrap();
    let phantom = phantom([30, 120, 120], 60);
    let signal = stored(place.path(), &phantom);
    let results = place.path().join("results");
    std::fs::create_dir(&results).unwrap();
    for name in ["cells.parquet", "cells.csv", "cells.xml", "cells.h5ad"] {
        let output = results.join(name);
        std::fs::write(&output, "an older result").unwrap();
        // Files of at most one block of 1024 bytes: writing beyond fails as on a full disk.
        let script = format!(
            "trap '' XFSZ; ulimit -f 1; exec {} detect {} -o {} --soma-diameter 16 --quiet",
            env!("CARGO_BIN_EXE_zensaibo"),
            signal.display(),
            output.display()
        );
        let run = Command::new("bash").args(["-c", &script]).output().unwrap();
        assert_eq!(run.status.code(), Some(1), "{name}: {}", errors(&run));
        assert!(errors(&run).contains(name), "{}", errors(&run));
        assert_eq!(std::fs::read(&output).unwrap(), b"an older result");
    }
    assert_eq!(names(&results), ["cells.csv", "cells.h5ad", "cells.parquet", "cells.xml"]);
    let script = format!(
        "trap '' XFSZ; ulimit -f 1; exec {} segment {} -o {}/labels.zarr --diameter 16 --quiet",
        env!("CARGO_BIN_EXE_zensaibo"),
        signal.display(),
        results.display()
    );
    let run = Command::new("bash").args(["-c", &script]).output().unwrap();
    assert_eq!(run.status.code(), Some(1), "{}", errors(&run));
    assert_eq!(names(&results), ["cells.csv", "cells.h5ad", "cells.parquet", "cells.xml"]);
}

#[test]
fn nuclei_become_labels_and_a_table() {
    let place = tempfile::tempdir().unwrap();
    let at = |name: &str| place.path().join(name);
    let phantom = phantom([30, 120, 110], 70);
    stored(place.path(), &phantom);
    let line = "segment {}/signal.ome.zarr --diameter 16 -o {}/labels.ome.zarr --table {}/nuclei";
    let text = done(place.path(), &format!("{line}.parquet --report {{}}/nuclei.html --memory 256MiB"));
    for word in ["nuclei", "touch the border", "memory: ", "labels.ome.zarr", "nuclei.parquet", "nuclei.html"] {
        assert!(text.contains(word), "`{word}` is not in: {text}");
    }
    let volume = open_volume(&at("signal.ome.zarr")).unwrap();
    let options = NucleiOptions { diameter: 16.0, ..Default::default() };
    let spacing = Spacing::new(SPACING).unwrap();
    let own = segment_nuclei(&volume, Frame::default(), spacing, &options, None, &Ctx::quiet()).unwrap();
    let labels = open_volume(&at("labels.ome.zarr")).unwrap();
    assert_eq!((labels.info().spacing, labels.info().axes.as_str()), (Some(SPACING), "zyx"));
    let whole = zensaibo_core::data::Region::whole(labels.info().space());
    let written: Grid<u32> = read_as(&labels, Frame::default(), &whole).unwrap();
    assert_eq!(written, own.labels);
    assert!((60..=75).contains(&own.table.len()), "{}", own.table.len());
    let path = at("nuclei.parquet");
    let table = read_columns(&path).unwrap();
    assert_eq!(table.numbers(&path, "volume").unwrap(), own.table.volume);
    assert_eq!(table.numbers(&path, "sphericity").unwrap(), own.table.sphericity);
    assert_eq!(table.numbers(&path, "mean_0").unwrap(), own.table.channels[0].mean);
    done(place.path(), &format!("{line}.h5ad --quiet --threads 1"));
    let file = AnnDataFile::open(at("nuclei.h5ad")).unwrap();
    assert_eq!(file.shape().unwrap(), (own.table.len(), 1));
    let again: Grid<u32> = read_as(&open_volume(&at("labels.ome.zarr")).unwrap(), Frame::default(), &whole).unwrap();
    assert_eq!(again, own.labels);
    let page = std::fs::read_to_string(at("nuclei.html")).unwrap();
    assert!(page.contains("Plane 15") && page.contains("Histogram of sphericity"));
    refused(
        place.path(),
        "segment {}/signal.ome.zarr --diameter 16 -o {}/x.zarr --memory 5MB",
        3,
        &["memory", "time point"],
    );
}

/// A sheet of cells that walk, and one below them that divides at time 2.
fn walk() -> Vec<Vec<[f64; 3]>> {
    (0..5u32)
        .map(|t| {
            let (wiggle, step) = (|k: u32| 0.2 * (f64::from((k + 3 * t) % 5) - 2.0), f64::from(t));
            let mut cells: Vec<[f64; 3]> = (0..20u32)
                .map(|k| {
                    let (i, j, w) = (f64::from(k / 5), f64::from(k % 5), wiggle(k / 5 * 7 + k % 5 * 5));
                    [10.0 + w, 20.0 + 40.0 * i + step, 20.0 + 40.0 * j - w]
                })
                .collect();
            let apart = if t < 2 { 0.0 } else { 2.0 + 1.5 * (step - 2.0) };
            cells.push([40.0, 70.0 + step - apart, 70.0]);
            if t >= 2 {
                cells.push([40.0, 70.0 + step + apart, 70.0]);
            }
            cells
        })
        .collect()
}

/// Track and parent of each detection, straight from the library.
fn tracked(frames: &[Vec<[f64; 3]>], sizes: Option<&[f64]>) -> (Vec<f64>, Vec<f64>) {
    let mut offsets = vec![0];
    frames.iter().for_each(|frame| offsets.push(offsets[offsets.len() - 1] + frame.len()));
    let points = frames.concat();
    let detections = Detections { offsets: &offsets, points: &points, sizes };
    let options = TrackOptions { max_speed: 6.0, ..Default::default() };
    let found = track(&detections, &options, &Ctx::quiet()).unwrap();
    let parents = found.track.iter().map(|&track| f64::from(found.parent[track as usize - 1])).collect();
    (found.track.iter().map(|&track| f64::from(track)).collect(), parents)
}

fn table_of(points: &[[f64; 3]], time: Option<Vec<i64>>) -> Columns {
    let axis = |a: usize| Column::Numbers(points.iter().map(|point| point[a]).collect::<Vec<f64>>().into());
    let mut columns = vec![("z".to_string(), axis(0)), ("y".to_string(), axis(1)), ("x".to_string(), axis(2))];
    columns.extend(time.map(|time| ("t".to_string(), Column::Numbers(time.into()))));
    Columns { columns, metadata: Vec::new() }
}

#[test]
fn tracks_of_tables_and_labels() {
    let place = tempfile::tempdir().unwrap();
    let at = |name: &str| place.path().join(name);
    let frames = walk();
    let mut list = String::new();
    for (t, frame) in frames.iter().enumerate() {
        write_columns(&at(&format!("t{t}.parquet")), &table_of(frame, None)).unwrap();
        list.push_str(&format!("{{}}/t{t}.parquet "));
    }
    let line = format!("track {list}-o {{}}/tracks.csv --max-speed 6 --report {{}}/tracks.html");
    let text = done(place.path(), &line);
    let page = std::fs::read_to_string(at("tracks.html")).unwrap();
    assert!(text.contains("tracks.html") && page.contains("All tracks, from the side"), "{text}");
    // Cells and divisions over time: 21 cells until time point 1, one division there.
    for told in ["cells over time point", "<title>1: 21</title>", "<title>2: 22</title>", "<title>1: 1</title>"] {
        assert!(page.contains(told), "{told}");
    }
    assert_eq!(page.matches("<circle class=m3").count(), 2);
    for told in
        ["Histogram of length of the track", "Histogram of step to the next time point", "> show the divisions<"]
    {
        assert!(page.contains(told), "{told}");
    }
    assert!(text.contains("tracks of 108 detections at 5 time points; 1 division;"), "{text}");
    let path = at("tracks.csv");
    let tracks = read_columns(&path).unwrap();
    let names: Vec<&str> = tracks.columns.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["track", "parent", "t", "z", "y", "x", "detection"]);
    let number = |name: &str| tracks.numbers(&path, name).unwrap();
    let expected = tracked(&frames, None);
    assert_eq!((number("track"), number("parent")), expected);
    assert_eq!(number("t")[20..22], [0.0, 1.0]);
    assert_eq!(number("detection")[20..23], [20.0, 0.0, 1.0]);
    assert_eq!(number("y")[..2], [20.0, 20.0]);

    // One table of all, backwards: the same tracks, told by rows of that table.
    let (mut points, mut times) = (Vec::new(), Vec::new());
    for (t, frame) in frames.iter().enumerate().rev() {
        points.extend_from_slice(frame);
        times.extend(std::iter::repeat_n(t as i64 + 3, frame.len()));
    }
    write_columns(&at("all.csv"), &table_of(&points, Some(times))).unwrap();
    done(place.path(), "track {}/all.csv -o {}/whole.parquet --max-speed 6 --quiet --threads 1");
    let whole = read_columns(&at("whole.parquet")).unwrap();
    assert_eq!(whole.numbers(&path, "track").unwrap(), number("track"));
    assert_eq!(whole.numbers(&path, "t").unwrap()[0], 3.0);
    assert_eq!(whole.numbers(&path, "detection").unwrap()[0], 87.0);
    assert!(whole.said("zensaibo").unwrap().contains("\"max_speed\":6.0"));

    // Voxels.
    let voxels: Vec<[f64; 3]> = points.iter().map(|point| [point[0] / 5.0, point[1] / 2.0, point[2] / 2.0]).collect();
    let times: Vec<i64> = frames.iter().enumerate().rev().flat_map(|(t, frame)| vec![t as i64; frame.len()]).collect();
    write_columns(&at("voxels.csv"), &table_of(&voxels, Some(times))).unwrap();
    done(place.path(), "track {}/voxels.csv -o {}/voxel_tracks.csv --max-speed 6 --spacing 5,2,2 --quiet");
    let scaled = read_columns(&at("voxel_tracks.csv")).unwrap();
    assert!(scaled.numbers(&path, "y").unwrap().iter().zip(number("y")).all(|(a, b)| (a - b).abs() < 1e-9));

    // Labels: boxes around the places.
    let shape = [5, 12, 90, 100];
    let mut labels = vec![0u16; shape.iter().product()];
    for (t, frame) in frames.iter().enumerate() {
        for (label, cell) in frame.iter().enumerate() {
            let at: [usize; 3] = std::array::from_fn(|a| (cell[a] / SPACING[a]).round() as usize);
            for y in at[1] - 1..at[1] + 1 {
                for x in at[2] - 1..=at[2] + 1 {
                    labels[((t * shape[1] + at[0]) * shape[2] + y) * shape[3] + x] = label as u16 + 11;
                }
            }
        }
    }
    npy(&at("labels.npy"), "<u2", &shape, bytemuck::cast_slice(&labels));
    let line = "track {}/labels.npy --set input.axes=tzyx -o {}/label_tracks.parquet --max-speed 6 --spacing 5,2,2";
    assert!(done(place.path(), line).contains("tracks of 108 detections"));
    let opened = open_volume_with(&at("labels.npy"), &OpenOptions { axes: Some("tzyx".into()), ..Default::default() });
    let spacing = Spacing::new(SPACING).unwrap();
    let (mut centres, mut sizes) = (Vec::new(), Vec::new());
    for frame in label_centres(&opened.unwrap(), &Ctx::quiet()).unwrap() {
        centres.push(frame.centres.iter().map(|&centre| spacing.point_um(centre)).collect::<Vec<[f64; 3]>>());
        sizes.extend(frame.voxels.iter().map(|&voxels| voxels as f64));
    }
    let of_labels = read_columns(&at("label_tracks.parquet")).unwrap();
    let of = |name: &str| of_labels.numbers(&path, name).unwrap();
    assert_eq!((of("track"), of("parent")), tracked(&centres, Some(&sizes)));
    assert_eq!(of("label")[..3], [11.0, 12.0, 13.0]);
    assert_eq!(of("y"), centres.concat().iter().map(|centre| centre[1]).collect::<Vec<f64>>());

    let mut gone = table_of(&frames[0], None);
    gone.columns.remove(1);
    write_columns(&at("gone.csv"), &gone).unwrap();
    std::fs::write(at("half.csv"), "t,z,y,x\n0,1,2,3\n0.5,1,2,3\n").unwrap();
    std::fs::write(at("text.csv"), "t,z,y,x\n0,1,two,3\n").unwrap();
    for (line, code, words) in [
        ("track {}/gone.csv {}/gone.csv -o {}/x.csv", 3, &["gone.csv", "column y"][..]),
        ("track {}/t0.parquet -o {}/x.csv", 3, &["t0.parquet", "column t"]),
        ("track {}/half.csv -o {}/x.csv", 3, &["column t", "whole numbers", "row 1"]),
        ("track {}/text.csv -o {}/x.csv", 3, &["column y", "text"]),
        ("track {}/all.csv -o {}/x.csv --max-speed 0", 2, &["track.max_speed"]),
        ("track {}/all.csv -o {}/x.csv --set input.size=volume", 3, &["column volume"]),
        ("track {}/all.csv -o {}/all.csv", 2, &["other than the input"]),
        ("track {}/labels.npy --set input.axes=tzyx -o {}/x.csv", 2, &["--spacing"]),
    ] {
        refused(place.path(), line, code, words);
    }
}

#[test]
fn every_step_prints_its_options() {
    for (step, words) in [
        ("detect", ["[input]", "[background]", "[classifier]", "[detect]", "soma_diameter = 10.0"]),
        ("segment", ["[input]", "[segment]", "diameter = 10.0", "contour_level = 0.45", "# min_contrast ="]),
        ("track", ["[input]", "[track]", "max_speed = 10.0", "max_gap = 1", "time = \"t\""]),
    ] {
        let run = zensaibo(["config", step]);
        assert_eq!(run.status.code(), Some(0), "{}", errors(&run));
        for word in words {
            assert!(said(&run).contains(word), "`{word}` is not in: {}", said(&run));
        }
        let help = zensaibo([step, "--help"]);
        assert!(said(&help).contains("Examples:") && said(&help).contains("--threads"), "{}", said(&help));
    }
}

#[test]
fn the_phantom_has_what_the_tests_assume() {
    let info: &VolumeInfo = &phantom([10, 40, 40], 3).info().clone();
    assert_eq!((info.spacing, info.space()), (Some(SPACING), [10, 40, 40]));
}
