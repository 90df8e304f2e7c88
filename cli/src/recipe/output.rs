//! Writes the results: an h5ad, and text files, each beside its target and then renamed.

use std::fs;
use std::path::{Path, PathBuf};

use zensaibo_core::data::Csr;
use zensaibo_core::matrix::Local;
use zensaibo_core::{Ctx, Error, Result};
use zensaibo_io::{AnnDataWriter, Value, WriteOptions};

use super::ClusterConfig;
use super::cluster::Clustered;
use super::slots;

/// Refuses, before any work is done, targets that cannot be written, and an output that is the input.
pub(crate) fn check_targets(output: &Path, report: Option<&Path>, input: Option<&Path>) -> Result<()> {
    let same = |a: &Path, b: &Path| matches!((fs::canonicalize(a), fs::canonicalize(b)), (Ok(a), Ok(b)) if a == b);
    if input.is_some_and(|input| same(input, output)) {
        return Err(Error::parameter("output", "a file other than the input", output.display()));
    }
    check_target("output", output)?;
    if let Some(report) = report {
        if input.is_some_and(|input| same(input, report)) {
            return Err(Error::parameter("report", "a file other than the input", report.display()));
        }
        if report == output || same(report, output) {
            return Err(Error::parameter("report", "a file other than the output", report.display()));
        }
        check_target("report", report)?;
    }
    Ok(())
}

pub(crate) fn check_target(name: &str, path: &Path) -> Result<()> {
    if path.is_dir() {
        return Err(Error::parameter(name, "the name of a file", format!("{}, a folder", path.display())));
    }
    if path.file_name().is_none() {
        return Err(Error::parameter(name, "the name of a file", format!("`{}`", path.display())));
    }
    let folder = folder_of(path);
    if !folder.is_dir() {
        let found = format!("{}, which is not there", folder.display());
        return Err(Error::parameter(name, "a file in an existing folder", found));
    }
    // The only sure test of whether a file can be made is to make one.
    let probe = beside(path, "probe");
    let outcome = fs::OpenOptions::new().write(true).create_new(true).open(&probe);
    let _ = fs::remove_file(&probe);
    match outcome {
        Ok(_) => Ok(()),
        Err(error) => Err(Error::parameter(
            name,
            "a file in a folder that can be written",
            format!("{}: {error}", folder.display()),
        )),
    }
}

pub(super) fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// A hidden name beside `path`, for this process alone.
fn beside(path: &Path, what: &str) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.{}.{what}", std::process::id()))
}

/// Writes a text beside `path` and renames it.
pub(crate) fn write_text(path: &Path, text: &str) -> Result<()> {
    write_bytes(path, text.as_bytes())
}

/// Writes bytes beside `path` and renames the file.
pub(super) fn write_bytes(path: &Path, bytes: &[u8]) -> Result<()> {
    let partial = beside(path, "partial");
    let outcome = fs::write(&partial, bytes).and_then(|()| fs::rename(&partial, path));
    outcome.map_err(|error| {
        let _ = fs::remove_file(&partial);
        Error::io(path, "write", error)
    })
}

/// Writes the h5ad; returns its size in bytes.
pub(super) fn write(done: &Clustered, config: &ClusterConfig, path: &Path, ctx: &Ctx) -> Result<u64> {
    let mut writer = AnnDataWriter::create(path, &WriteOptions { gzip: config.output.gzip })?;
    if config.output.normalized {
        writer.rows("X", &Local(&done.expression()?), ctx)?;
    }
    if config.output.counts {
        writer.rows("layers/counts", &Local(&done.counts), ctx)?;
    }
    writer.obs(&slots::obs(done)?)?;
    writer.var(&slots::var(done)?)?;
    let elements: [(&str, Vec<(String, Value)>); 3] =
        [("obsm", slots::obsm(done)), ("varm", slots::varm(done)), ("uns", slots::uns(done, config))];
    for (slot, members) in elements {
        for (name, value) in members {
            ctx.check()?;
            writer.value(&format!("{slot}/{name}"), &value)?;
        }
    }
    writer.csr("obsp/distances", &slots::distances(&done.neighbors), ctx)?;
    let graph = &done.graph;
    let connectivities =
        Csr::new(graph.n, graph.n, graph.indptr.clone(), graph.indices.clone(), graph.weights.clone())?;
    writer.csr("obsp/connectivities", &connectivities, ctx)?;
    ctx.check()?;
    writer.finish()?;
    Ok(fs::metadata(path).map_or(0, |meta| meta.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_checked_and_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::write(at("in.h5ad"), "in").unwrap();
        check_targets(&at("out.h5ad"), Some(&at("report.html")), Some(&at("in.h5ad"))).unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        let refused = |output: &Path, report: Option<&Path>| {
            check_targets(output, report, Some(&at("in.h5ad"))).unwrap_err().to_string()
        };
        assert!(refused(&at("in.h5ad"), None).contains("other than the input"));
        assert!(refused(&at("o"), Some(&at("in.h5ad"))).contains("other than the input"));
        assert!(refused(&at("o"), Some(&at("o"))).contains("other than the output"));
        assert!(refused(folder.path(), None).contains("a folder"));
        assert!(refused(&at("none/o"), None).contains("not there"));
        assert!(refused(&at("o"), Some(&at("none/r"))).contains("report"));
    }

    #[test]
    fn text_replaces_text() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("page.html");
        write_text(&path, "one").unwrap();
        write_text(&path, "two").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "two");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
