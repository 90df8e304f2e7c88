//! Volumes on the command line: inspect and convert.

mod common;

use std::path::Path;

use common::{errors, example, names, zensaibo};

/// A numpy file of (z, y, x) u16.
fn npy(path: &Path, shape: [usize; 3]) {
    let mut header =
        format!("{{'descr': '<u2', 'fortran_order': False, 'shape': ({}, {}, {}), }}", shape[0], shape[1], shape[2]);
    while (header.len() + 11) % 64 != 0 {
        header.push(' ');
    }
    header.push('\n');
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend_from_slice(&(header.len() as u16).to_le_bytes());
    bytes.extend_from_slice(header.as_bytes());
    let voxels: usize = shape.iter().product();
    bytes.extend((0..voxels).flat_map(|at| ((at * 7 % 1000) as u16).to_le_bytes()));
    std::fs::write(path, bytes).unwrap();
}

fn said(run: &std::process::Output) -> String {
    String::from_utf8_lossy(&run.stdout).into_owned()
}

#[test]
fn a_volume_becomes_an_ome_zarr() {
    let place = tempfile::tempdir().unwrap();
    let at = |name: &str| place.path().join(name).display().to_string();
    npy(Path::new(&at("in.npy")), [20, 300, 270]);
    let run = zensaibo(["inspect", &at("in.npy")]);
    assert_eq!(run.status.code(), Some(0), "{}", errors(&run));
    for word in ["npy", "z 20 x y 300 x x 270", "uint16", "not said", "--spacing"] {
        assert!(said(&run).contains(word), "`{word}` is not in: {}", said(&run));
    }
    let convert = |more: &[&str]| {
        let (from, to) = (at("in.npy"), at("out.ome.zarr"));
        let mut args = vec!["convert", &from, &to];
        args.extend(more);
        zensaibo(args)
    };
    let run = convert(&["--spacing", "5,2,2", "--orientation", "psl", "--memory", "64MiB", "--threads", "2"]);
    assert_eq!(run.status.code(), Some(0), "{}", errors(&run));
    assert!(said(&run).contains("1 x 1 x 20 x 300 x 270") && said(&run).contains("2 levels"), "{}", said(&run));
    let run = zensaibo(["inspect", &at("out.ome.zarr")]);
    for word in ["OME-Zarr", "5 x 2 x 2 um", "psl", "level 1", "20 x 150 x 135", "0.1 x 0.6 x 0.54 mm"] {
        assert!(said(&run).contains(word), "`{word}` is not in: {}", said(&run));
    }
    // Once more, in place, in the older version.
    let run = convert(&["--ngff", "0.4", "--labels", "--levels", "1", "--compression", "zstd", "--quiet"]);
    assert_eq!((run.status.code(), said(&run).as_str()), (Some(0), ""), "{}", errors(&run));
    assert!(Path::new(&at("out.ome.zarr")).join("0/.zarray").exists());
    assert_eq!(names(place.path()), ["in.npy", "out.ome.zarr"]);

    for (more, code, word) in [
        (&["--spacing", "0,2,2"][..], 2, "spacing"),
        (&["--spacing", "5,2"], 2, "three numbers"),
        (&["--orientation", "aaa"], 2, "orientation"),
        (&["--memory", "none"], 2, "4GiB"),
        (&["--gzip", "3"], 2, "--gzip"),
        (&["--chunk", "0,8,8"], 2, "chunk"),
        (&["--series", "4"], 2, "series"),
    ] {
        let run = convert(more);
        assert_eq!(run.status.code(), Some(code), "{more:?}: {}", errors(&run));
        assert!(errors(&run).contains(word), "`{word}` is not in: {}", errors(&run));
    }
    let run = zensaibo(["convert", &at("in.npy"), &at("out.h5ad")]);
    assert_eq!(run.status.code(), Some(2));
    assert!(errors(&run).contains(".zarr"), "{}", errors(&run));
    let counts = example(&place.path().join("counts")).display().to_string();
    let run = zensaibo(["convert", &counts, &at("c.h5ad"), "--spacing", "5,2,2"]);
    assert_eq!(run.status.code(), Some(2));
    assert!(errors(&run).contains("--spacing"), "{}", errors(&run));

    let bytes = std::fs::read(at("in.npy")).unwrap();
    std::fs::write(at("cut.npy"), &bytes[..bytes.len() / 2]).unwrap();
    for command in [vec!["inspect", "cut.npy"], vec!["convert", "cut.npy", "cut.zarr"]] {
        let args: Vec<String> =
            command.iter().enumerate().map(|(n, word)| if n == 0 { word.to_string() } else { at(word) }).collect();
        let run = zensaibo(&args);
        assert_eq!(run.status.code(), Some(3));
        assert!(errors(&run).contains("cut.npy") && errors(&run).contains("truncated"), "{}", errors(&run));
    }
    std::fs::write(at("notes.txt"), "dear diary").unwrap();
    let run = zensaibo(["inspect", &at("notes.txt")]);
    assert_eq!(run.status.code(), Some(3));
    assert!(errors(&run).contains("h5ad") && errors(&run).contains("TIFF"), "{}", errors(&run));
    assert!(!Path::new(&at("cut.zarr")).exists());
}
