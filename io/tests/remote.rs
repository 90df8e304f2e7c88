//! Files behind URLs: the same bits as from disk, and what becomes of servers that misbehave. Nothing leaves this machine.
#![cfg(feature = "remote")]

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use common::server::{Fault, Server};
use common::zarr_store;
use zensaibo_core::data::{Csr, Dtype, Frame, Region, VolumeBlocks, VolumeInfo};
use zensaibo_core::matrix::{RowBlocks, collect};
use zensaibo_core::parallel::with_threads;
use zensaibo_core::{Ctx, Error, Result};
use zensaibo_io::volume::{NgffVersion, OmeZarrOptions, volume_format, write_ome_zarr};
use zensaibo_io::{
    AnnDataFile, AnnDataWriter, AnnDataZarr, Column, Format, MatrixFile, Table, TenxOptions, Turning, Value,
    WriteOptions, convert, detect, inspect, open_counts, open_volume, read_counts,
};

/// How long a server may be silent in these tests.
const STALL: Duration = Duration::from_millis(400);

/// The settings of the process, once, before anybody reads them; and the store that S3's addresses lead to.
fn settings() -> &'static (PathBuf, Server) {
    static MADE: OnceLock<(PathBuf, Server)> = OnceLock::new();
    MADE.get_or_init(|| {
        let root = tempfile::tempdir().unwrap().keep();
        let server = Server::new(&root);
        for (name, value) in [
            ("ZENSAIBO_REMOTE_STALL_TIMEOUT", "0.4"),
            ("ZENSAIBO_REMOTE_CONNECT_TIMEOUT", "5"),
            ("ZENSAIBO_REMOTE_RETRIES", "2"),
            ("AWS_ENDPOINT_URL", server.endpoint().as_str()),
            ("AWS_ACCESS_KEY_ID", "key"),
            ("AWS_SECRET_ACCESS_KEY", "secret"),
        ] {
            // Every test waits here before it does anything, and nobody writes afterwards.
            unsafe { std::env::set_var(name, value) };
        }
        for name in ["AWS_ENDPOINT_URL_S3", "AWS_NO_SIGN_REQUEST", "AWS_SESSION_TOKEN"] {
            unsafe { std::env::remove_var(name) };
        }
        (root, server)
    })
}

/// A folder and a server of it.
fn served() -> (tempfile::TempDir, Server) {
    settings();
    let folder = tempfile::tempdir().unwrap();
    let server = Server::new(folder.path());
    (folder, server)
}

/// Counts that take many chunks.
fn example(n: usize, m: usize) -> Csr {
    let mut matrix = Csr { n_rows: n, n_cols: m, indptr: vec![0], indices: Vec::new(), values: Vec::new() };
    let mut state = 1u64;
    for _ in 0..n {
        for j in 0..m {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            if state >> 62 == 0 {
                matrix.indices.push(j as u32);
                matrix.values.push((state >> 40 & 0xfff) as f32 + 1.0);
            }
        }
        matrix.indptr.push(matrix.indices.len() as u64);
    }
    matrix
}

fn write(path: &Path, matrix: &Csr, gzip: Option<u8>) {
    let ctx = Ctx::quiet();
    let mut writer = AnnDataWriter::create(path, &WriteOptions { gzip }).unwrap();
    writer.rows("X", matrix, &ctx).unwrap();
    writer.rows("layers/counts", matrix, &ctx).unwrap();
    let names = |prefix: &str, n: usize| Table::of_names((0..n).map(|i| format!("{prefix}{i}")).collect());
    let mut obs = names("cell", matrix.n_rows);
    let kinds: Vec<String> = (0..matrix.n_rows).map(|i| format!("kind {}", i % 3)).collect();
    obs.set("kind", Column::categorical(&kinds)).unwrap();
    writer.obs(&obs).unwrap();
    writer.var(&names("gene", matrix.n_cols)).unwrap();
    writer.value("uns/log1p", &Value::dict([("base", Value::Null)])).unwrap();
    writer.finish().unwrap();
}

fn read(path: &Path) -> Result<Csr> {
    let ctx = Ctx::quiet();
    collect(&MatrixFile::open(path, "X")?.rows(&Turning::default(), &ctx)?, &ctx)
}

#[test]
fn an_h5ad_behind_a_url_is_that_on_disk() {
    let (folder, server) = served();
    let ctx = Ctx::quiet();
    let matrix = example(40_000, 120);
    for (name, gzip) in [("packed.h5ad", Some(1)), ("plain.h5ad", None)] {
        let path = folder.path().join(name);
        write(&path, &matrix, gzip);
        let url = server.url(name);
        assert_eq!(detect(&url).unwrap(), Format::H5ad);
        let (local, remote) = (AnnDataFile::open(&path).unwrap(), AnnDataFile::open(&url).unwrap());
        let rows = remote.rows("X", &ctx).unwrap();
        assert!(rows.n_blocks() > 1 && rows.layout().name() == "csr");
        for threads in [1, 3] {
            assert!(with_threads(Some(threads), || collect(&rows, &ctx)).unwrap() == matrix, "{name}");
        }
        assert!(remote.csr("layers/counts", &ctx).unwrap() == matrix);
        assert_eq!(remote.obs(&ctx).unwrap(), local.obs(&ctx).unwrap());
        assert_eq!(remote.value("uns", &ctx).unwrap(), local.value("uns", &ctx).unwrap());
        let (mut there, here) = (inspect(&url).unwrap(), inspect(&path).unwrap());
        assert_eq!(there.path, url);
        there.path = here.path.clone();
        assert_eq!(there, here);
        let counts = open_counts(&url, Some("counts"), &TenxOptions::default(), &ctx).unwrap();
        assert_eq!(counts.obs.len(), 40_000);
        assert!(read_counts(&url, &TenxOptions::default(), &ctx).unwrap().matrix == matrix);
        let copy = folder.path().join("copy.h5ad");
        convert(&url, &copy, &TenxOptions::default(), &WriteOptions::default(), &ctx).unwrap();
        assert!(read(&copy).unwrap() == matrix);
    }
    // Nothing was asked for that is not needed: no request without range, and each block of rows in few.
    let log = server.take_log();
    assert!(log.iter().all(|line| line.contains(" bytes=")), "{log:?}");
}

#[test]
fn a_block_of_rows_takes_few_requests() {
    let (folder, server) = served();
    let matrix = example(40_000, 120);
    write(&folder.path().join("x.h5ad"), &matrix, Some(1));
    let ctx = Ctx::quiet();
    let rows = MatrixFile::open(server.url("x.h5ad"), "X").unwrap().rows(&Turning::default(), &ctx).unwrap();
    server.take_log();
    let mut scratch = zensaibo_core::matrix::Scratch::default();
    rows.read(0, &mut scratch).unwrap();
    let log = server.take_log();
    // Neighbouring chunks of data, and of indices, come together.
    assert!((1..=6).contains(&log.len()), "{log:?}");
    rows.read(0, &mut scratch).unwrap();
    assert_eq!(server.take_log(), Vec::<String>::new());
}

#[test]
fn anndata_in_zarr_behind_a_url_is_that_on_disk() {
    let (folder, server) = served();
    let ctx = Ctx::quiet();
    let path = folder.path().join("x.zarr");
    let matrix = zarr_store::example(70_000, 60);
    zarr_store::store(&path, &matrix);
    let url = server.url("x.zarr");
    assert_eq!(detect(&url).unwrap(), Format::AnnDataZarr);
    let (local, remote) = (AnnDataZarr::open(&path).unwrap(), AnnDataZarr::open(&url).unwrap());
    for threads in [1, 3] {
        let rows = remote.rows("X", &ctx).unwrap();
        assert!(with_threads(Some(threads), || collect(&rows, &ctx)).unwrap() == matrix);
    }
    assert_eq!(remote.obs(&ctx).unwrap(), local.obs(&ctx).unwrap());
    assert_eq!(remote.var(&ctx).unwrap(), local.var(&ctx).unwrap());
    assert!(read_counts(&url, &TenxOptions::default(), &ctx).unwrap().matrix == matrix);
    // A web server lists nothing; what there is, is said by consolidated metadata.
    let said = remote.matrices().unwrap_err().to_string();
    assert!(said.contains("x.zarr") && said.contains("consolidated"), "{said}");
    assert!(matches!(remote.rows("layers/none", &ctx), Err(Error::Key { .. })));
    consolidate(&path);
    let found = inspect(&url).unwrap();
    assert_eq!((found.n_cells, found.n_genes, found.slots.len(), found.bytes), (70_000, 60, 1, 0));
    assert!(found.to_string().contains("size not known"));
    server.take_log();
    let obs = AnnDataZarr::open(&url).unwrap().obs(&ctx).unwrap();
    assert_eq!(obs, local.obs(&ctx).unwrap());
    // One document for all of them.
    let documents = |line: &&String| line.contains("/.z");
    assert_eq!(server.take_log().iter().filter(documents).count(), 1);
    // A chunk that is gone.
    fs::remove_file(path.join("X/data/1")).unwrap();
    let said = collect(&AnnDataZarr::open(&url).unwrap().rows("X", &ctx).unwrap(), &ctx).unwrap_err().to_string();
    assert!(said.contains("X/data: chunk [1]") && said.contains("incomplete"), "{said}");
}

/// Writes `.zmetadata`.
fn consolidate(root: &Path) {
    fn walk(folder: &Path, before: &str, out: &mut Vec<String>) {
        for entry in fs::read_dir(folder).unwrap().flatten() {
            let name = format!("{before}{}", entry.file_name().to_string_lossy());
            if entry.path().is_dir() {
                walk(&entry.path(), &format!("{name}/"), out);
            } else if name.contains(".z") {
                out.push(format!("{name:?}: {}", fs::read_to_string(entry.path()).unwrap()));
            }
        }
    }
    let mut all = Vec::new();
    walk(root, "", &mut all);
    let text = format!("{{\"zarr_consolidated_format\": 1, \"metadata\": {{{}}}}}", all.join(","));
    fs::write(root.join(".zmetadata"), text).unwrap();
}

#[test]
fn s3_is_read_listed_and_signed() {
    let (root, server) = settings();
    let ctx = Ctx::quiet();
    let matrix = zarr_store::example(3000, 40);
    zarr_store::store(&root.join("bucket/deep/x.zarr"), &matrix);
    write(&root.join("bucket/deep/x.h5ad"), &matrix, Some(1));
    let (zarr, h5ad) = (Path::new("s3://bucket/deep/x.zarr"), Path::new("s3://bucket/deep/x.h5ad"));
    assert_eq!((detect(zarr).unwrap(), detect(h5ad).unwrap()), (Format::AnnDataZarr, Format::H5ad));
    assert!((read(zarr).unwrap(), read(h5ad).unwrap()) == (matrix.clone(), matrix));
    let found = inspect(zarr).unwrap();
    let (keys, bytes): (Vec<String>, u64) = (found.slots.iter().map(|slot| slot.key.clone()).collect(), found.bytes);
    assert_eq!(keys, ["X"]);
    assert_eq!(bytes, inspect(root.join("bucket/deep/x.zarr")).unwrap().bytes);
    let log = server.take_log();
    assert!(log.iter().all(|line| line.ends_with(" signed")), "{log:?}");
    assert!(log.iter().any(|line| line.contains("continuation-token=")), "{log:?}");
    assert!(AnnDataZarr::open(zarr).unwrap().rows("layers/none", &ctx).is_err());
    let said = detect("s3://bucket/deep/none.h5ad").unwrap_err().to_string();
    assert!(said.contains("s3://bucket/deep/none.h5ad") && said.contains("404"), "{said}");
}

#[test]
fn volumes_behind_urls_are_those_on_disk() {
    struct Ramp(VolumeInfo);
    impl VolumeBlocks for Ramp {
        fn info(&self) -> &VolumeInfo {
            &self.0
        }
        fn read(&self, _: Frame, region: &Region, out: &mut [u8]) -> Result<()> {
            let mut at = out.chunks_exact_mut(2);
            for z in region.range(0) {
                for y in region.range(1) {
                    for x in region.range(2) {
                        let value = (z * 7919 + y * 131 + x * 17) as u16;
                        at.next().unwrap().copy_from_slice(&value.to_ne_bytes());
                    }
                }
            }
            Ok(())
        }
    }
    let (folder, server) = served();
    let source =
        Ramp(VolumeInfo { spacing: Some([5.0, 2.0, 2.0]), ..VolumeInfo::plain("ramp", [20, 90, 80], Dtype::U16) });
    let small =
        OmeZarrOptions { chunk: Some([8, 32, 32]), shard: Some([16, 64, 64]), levels: Some(2), ..Default::default() };
    let old = OmeZarrOptions { version: NgffVersion::V04, shard: None, ..small.clone() };
    for (name, options) in [("five.ome.zarr", small), ("four.ome.zarr", old)] {
        let path = folder.path().join(name);
        write_ome_zarr(&source, &path, &options, &Ctx::quiet()).unwrap();
        let url = server.url(name);
        assert_eq!(volume_format(&url).unwrap().name(), "OME-Zarr");
        for inner in ["", "/0"] {
            let at = |place: &Path| PathBuf::from(format!("{}{inner}", place.display()));
            let (here, there) = (open_volume(&at(&path)).unwrap(), open_volume(&at(&url)).unwrap());
            assert_eq!(here.info().shape, there.info().shape);
            assert_eq!(here.info().spacing, there.info().spacing);
            let region = Region { start: [3, 10, 5], size: [15, 70, 60] };
            let read = |volume: &dyn VolumeBlocks| {
                let mut out = vec![0u8; region.len() * 2];
                volume.read(Frame::default(), &region, &mut out).map(|()| out)
            };
            assert_eq!(read(&*here).unwrap(), read(&*there).unwrap());
        }
        // A server that fails while voxels are read is named, with the status.
        let volume = open_volume(&url).unwrap();
        server.fail("", 0, usize::MAX, Fault::Status(500));
        let region = Region { start: [0; 3], size: [20, 90, 80] };
        let mut out = vec![0u8; region.len() * 2];
        let error = volume.read(Frame::default(), &region, &mut out).unwrap_err();
        let said = error.to_string();
        assert!(matches!(error, Error::Io { .. }), "{said}");
        assert!(said.contains(name) && said.contains("status 500") && said.contains("3 attempts"), "{said}");
        server.behave();
    }
    let said = open_volume(&server.url("none.ome.zarr")).err().unwrap().to_string();
    assert!(said.contains("none.ome.zarr") && said.contains("404"), "{said}");
}

#[test]
fn what_passes_is_survived() {
    let (folder, server) = served();
    let matrix = example(20_000, 120);
    write(&folder.path().join("x.h5ad"), &matrix, Some(1));
    zarr_store::store(&folder.path().join("x.zarr"), &matrix);
    // Read whole first, to know how many requests there are.
    let (h5ad, zarr) = (server.url("x.h5ad"), server.url("x.zarr"));
    assert!(read(&h5ad).unwrap() == matrix);
    let count = server.take_log().len();
    let long = Duration::from_secs(3);
    for fault in
        [Fault::Status(500), Fault::Status(429), Fault::Cut, Fault::HangUp, Fault::Stall(long), Fault::Silence(long)]
    {
        // At the start, in the middle of the metadata, and among the last chunks; twice in a row.
        for skip in [0, count / 2, count * 3 / 4] {
            server.behave();
            server.renew();
            server.fail("x.h5ad", skip, if matches!(fault, Fault::Status(_)) { 2 } else { 1 }, fault);
            assert!(read(&h5ad).unwrap() == matrix, "{fault:?} after {skip}");
            assert!(server.is_spent(), "{fault:?} after {skip}");
        }
        server.behave();
        server.fail("X/data/1", 0, 1, fault);
        server.fail("obs/.zgroup", 0, 1, fault);
        assert!(read(&zarr).unwrap() == matrix, "{fault:?}");
        assert!(server.is_spent(), "{fault:?}");
    }
}

#[test]
fn what_does_not_pass_is_named_in_time() {
    let (folder, server) = served();
    let matrix = example(20_000, 120);
    write(&folder.path().join("x.h5ad"), &matrix, Some(1));
    zarr_store::store(&folder.path().join("x.zarr"), &matrix);
    let (h5ad, zarr) = (server.url("x.h5ad"), server.url("x.zarr"));
    assert!(read(&h5ad).unwrap() == matrix);
    let count = server.take_log().len();
    let long = Duration::from_secs(30);
    let faults: [(Fault, &[&str]); 5] = [
        (Fault::Stall(long), &["stalls", "0.4 s", "3 attempts"]),
        (Fault::Silence(long), &["stalls", "0.4 s", "3 attempts"]),
        (Fault::Status(503), &["status 503", "SlowDown: Ask later", "3 attempts"]),
        (Fault::Status(403), &["status 403"]),
        (Fault::Cut, &["bytes came", "3 attempts"]),
    ];
    for (fault, words) in faults {
        for (url, path, skip) in [
            (&h5ad, "x.h5ad", 0),
            (&h5ad, "x.h5ad", 2),
            (&h5ad, "x.h5ad", count / 2),
            (&h5ad, "x.h5ad", count * 3 / 4),
            (&zarr, "X/data/1", 0),
            (&zarr, "obs/.zgroup", 0),
        ] {
            server.behave();
            server.renew();
            server.fail(path, skip, usize::MAX, fault);
            let begun = Instant::now();
            let error = read(url).err().unwrap_or_else(|| panic!("{fault:?} after {skip}"));
            // Three silences and the pauses between them, not thirty seconds.
            assert!(begun.elapsed() < Duration::from_secs(15), "{fault:?}");
            let said = error.to_string();
            assert!(matches!(error, Error::Io { .. }), "{fault:?} after {skip}: {said}");
            assert!(said.contains(path) && said.contains("http://127.0.0.1:"), "{said}");
            assert!(words.iter().all(|word| said.contains(word)), "{words:?}: {said}");
        }
    }
    server.behave();
    let said = read(&server.url("none.h5ad")).unwrap_err().to_string();
    assert!(said.contains("none.h5ad") && said.contains("status 404 Not Found"), "{said}");
    fs::write(folder.path().join("notes.h5ad"), "dear diary").unwrap();
    fs::write(folder.path().join("empty.h5ad"), "").unwrap();
    for name in ["notes.h5ad", "empty.h5ad"] {
        let error = detect(server.url(name)).unwrap_err();
        assert!(matches!(error, Error::Format { .. }) && error.to_string().contains(name), "{error}");
    }
    // A connection that nobody takes.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let said = read(Path::new(&format!("http://127.0.0.1:{free}/x.h5ad"))).unwrap_err().to_string();
    assert!(said.contains("x.h5ad") && said.contains("3 attempts"), "{said}");
    server.ignore_ranges(true);
    let said = read(&h5ad).unwrap_err().to_string();
    assert!(said.contains("range requests") && said.contains("x.h5ad"), "{said}");
    // Objects that are read whole need none.
    assert!(read(&zarr).unwrap() == matrix);
}

#[test]
fn an_object_that_changes_while_it_is_read_is_told() {
    let (folder, server) = served();
    let path = folder.path().join("x.h5ad");
    write(&path, &example(20_000, 120), Some(1));
    let url = server.url("x.h5ad");
    let ctx = Ctx::quiet();
    let rows = MatrixFile::open(&url, "X").unwrap().rows(&Turning::default(), &ctx).unwrap();
    let mut bytes = fs::read(&path).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs::write(&path, &bytes).unwrap();
    let error = collect(&rows, &ctx).unwrap_err();
    let said = error.to_string();
    assert!(matches!(error, Error::Format { .. }), "{said}");
    assert!(said.contains("x.h5ad") && said.contains("changed while it was read") && said.contains("ETag"), "{said}");
    // Opened anew it is another object, and then a shorter one.
    bytes[last] ^= 1;
    fs::write(&path, &bytes).unwrap();
    let rows = MatrixFile::open(&url, "X").unwrap().rows(&Turning::default(), &ctx).unwrap();
    fs::write(&path, &bytes[..last]).unwrap();
    let said = collect(&rows, &ctx).unwrap_err().to_string();
    assert!(said.contains(&format!("{last} bytes")) && said.contains("changed while it was read"), "{said}");
}

#[test]
fn waiting_for_a_server_stops_when_it_is_asked_to() {
    let (folder, server) = served();
    write(&folder.path().join("x.h5ad"), &example(20_000, 120), Some(1));
    let url = server.url("x.h5ad");
    let ctx = Ctx::quiet();
    let rows = MatrixFile::open(&url, "X").unwrap().rows(&Turning::default(), &ctx).unwrap();
    server.fail("x.h5ad", 0, usize::MAX, Fault::Silence(Duration::from_secs(30)));
    let token = ctx.token().clone();
    let begun = Instant::now();
    let stop = std::thread::spawn(move || {
        std::thread::sleep(STALL / 4);
        token.cancel();
    });
    let error = collect(&rows, &ctx).unwrap_err();
    assert!(matches!(error, Error::Interrupted), "{error}");
    // Before even the first silence is taken for a fault.
    assert!(begun.elapsed() < STALL, "{:?}", begun.elapsed());
    stop.join().unwrap();
    // The file is as good as before.
    server.behave();
    assert!(collect(&rows, &Ctx::quiet()).is_ok());
}
