//! One run of a recipe shared by many processes through a folder that all see: each computes its part of a step and leaves.

use std::fs::{self, File};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use zensaibo_core::exchange::{Exchange, Outbox, StoredBlocks, Turn};
use zensaibo_core::hvg::Flavor;
use zensaibo_core::matrix::{RowBlocks, Shared};
use zensaibo_core::{Ctx, Error, Result};
use zensaibo_io::{PartWriter, Parts, is_url, state_of_url, units_of_part};

use super::ClusterConfig;
use super::kept::key;
use super::output::write_text;

/// What a folder of parts is of.
const JOB: &str = "job.json";
/// How many counts of each input stay.
const ENTRIES: &str = "entries.json";

/// The part that a process computes: `part` (from 1) of `of`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Blocks {
    /// Which part, from 1.
    pub part: usize,
    /// Of how many.
    pub of: usize,
}

impl std::str::FromStr for Blocks {
    type Err = String;

    /// "2/5": the second part of five.
    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let numbers = text.split_once('/').and_then(|(part, of)| Some((part.parse().ok()?, of.parse().ok()?)));
        match numbers {
            Some((part, of)) if (1..=of).contains(&part) && of <= 100_000 => Ok(Self { part, of }),
            _ => Err("expected i/N with i from 1 to N, such as 2/5".into()),
        }
    }
}

/// The steps of `cluster` that can be shared out, in order, with these options.
///
/// # Errors
/// [`Error::Parameter`] for options out of range.
pub fn cluster_steps(config: &ClusterConfig) -> Result<Vec<String>> {
    config.validate()?;
    let totals = if config.normalize.exclude_highly_expressed { 3 } else { 1 };
    let variable = match config.hvg.flavor {
        Flavor::Seurat | Flavor::CellRanger => 1,
        Flavor::SeuratV3 | Flavor::SeuratV3Paper => 2,
        Flavor::PearsonResiduals => 3,
    };
    let passes = [("read", 1), ("qc", 1), ("genes", 1), ("filter", 1), ("normalize", totals), ("hvg", variable)];
    let steps = passes.into_iter().chain([("gather", 1), ("markers", 1)]);
    Ok(steps.flat_map(|(step, passes)| (1..=passes).map(move |pass| name_of(step, pass))).collect())
}

/// The steps of `detect` that can be shared out, in order.
pub fn detect_steps() -> Vec<String> {
    vec!["local-noise".into(), "detect-cells".into()]
}

/// The steps of `segment` that can be shared out, in order.
pub fn segment_steps() -> Vec<String> {
    ["nuclei-noise", "nuclei-divide", "nuclei-outline", "nuclei-measure"].map(String::from).into()
}

/// The steps of `count` that can be shared out.
pub fn count_steps() -> Vec<String> {
    vec!["place-cells".into()]
}

/// The first pass of a step has its name, a later one its number too.
fn name_of(step: &str, pass: usize) -> String {
    if pass == 1 { step.to_string() } else { format!("{step}-{pass}") }
}

/// What a process does of a shared run.
#[derive(Clone, Debug)]
pub(super) enum Role {
    /// Computes a part of a step.
    Part(String, Blocks),
    /// Takes the parts of all steps; stops before one that has none where it is named.
    Merge(Option<String>),
}

/// The folder of a shared run.
pub(super) struct Folder {
    place: PathBuf,
    role: Role,
    /// Step, and its passes so far. Without a step each pass has the name of what it does.
    at: Mutex<(String, usize)>,
}

#[derive(Serialize, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
struct Job {
    zensaibo: String,
    /// Options and the state of the input.
    key: String,
}

impl Folder {
    /// Opens the folder of a run, which is made where it is not there.
    ///
    /// # Errors
    /// [`Error::Parameter`] for a step that is none, and for a folder of another run or with other things; [`Error::Io`].
    pub(super) fn open(
        place: &Path,
        inputs: &[&Path],
        steps: &[String],
        options: &impl Serialize,
        role: Role,
    ) -> Result<Self> {
        let named = match &role {
            Role::Part(step, _) => Some(("step", step)),
            Role::Merge(until) => until.as_ref().map(|until| ("until", until)),
        };
        if let Some((name, step)) = named.filter(|(_, step)| !steps.contains(step)) {
            return Err(Error::parameter(name, format!("one of {}", steps.join(", ")), step));
        }
        for input in inputs {
            if is_url(input) {
                state_of_url(input)?;
                continue;
            }
            fs::metadata(input).map_err(|error| Error::io(input, "open", error))?;
        }
        let text = serde_json::to_string(options).map_err(|error| Error::Internal(error.to_string()))?;
        let job = Job { zensaibo: env!("CARGO_PKG_VERSION").into(), key: key(&[text, steps.join(" ")], inputs) };
        let path = place.join(JOB);
        if place.exists() && !path.exists() {
            let mut entries = fs::read_dir(place).map_err(|error| Error::io(place, "read", error))?;
            // Another process may be about to write the job, and workflow managers make the folders of outputs.
            let other = entries.find_map(|entry| {
                let name = entry.ok()?.file_name().to_string_lossy().into_owned();
                (!name.contains(JOB) && !["steps", "stages"].contains(&name.as_str())).then_some(name)
            });
            if let Some(other) = other {
                let found = format!("{} with {other}", place.display());
                return Err(Error::parameter("work", "a folder that is new, empty, or of this run", found));
            }
        }
        fs::create_dir_all(place).map_err(|error| Error::io(place, "make", error))?;
        if !path.exists() {
            write_text(&path, &serde_json::to_string_pretty(&job).unwrap_or_default())?;
        }
        let found = fs::read(&path).map_err(|error| Error::io(&path, "read", error))?;
        if serde_json::from_slice::<Job>(&found).ok() != Some(job) {
            let found =
                format!("{}, which is of other options, another input or an input that changed", place.display());
            return Err(Error::parameter("work", "a folder of the same run", found));
        }
        Ok(Self { place: place.to_path_buf(), role, at: Mutex::default() })
    }

    /// Where finished stages are kept that are not shared out.
    pub(super) fn stages(&self) -> PathBuf {
        self.place.join("stages")
    }

    /// Whether this process computes a part, rather than merging.
    pub(super) fn is_part(&self) -> bool {
        matches!(self.role, Role::Part(..))
    }

    /// The passes that follow are of this step.
    pub(super) fn step(&self, name: &str) {
        *self.at.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = (name.to_string(), 0);
    }

    /// The parts of a step, or what they kept, in order; which are missing where there are some, `None` where there is none.
    fn parts(&self, step: &str, kind: Kind) -> Result<Option<std::result::Result<Vec<PathBuf>, String>>> {
        let folder = self.place.join("steps").join(step);
        let mut found: Vec<Blocks> = match fs::read_dir(&folder) {
            Ok(entries) => {
                entries.flatten().filter_map(|entry| blocks_of(&entry.file_name().to_string_lossy(), kind)).collect()
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Error::io(&folder, "read", error)),
        };
        found.sort_unstable_by_key(|blocks| (blocks.of, blocks.part));
        // Parts of several numbers of parts may be there; the largest set that is whole serves as well as any.
        let sets: Vec<&[Blocks]> = found.chunk_by(|a, b| a.of == b.of).collect();
        if let Some(whole) = sets.iter().rev().find(|set| set.len() == set[0].of) {
            return Ok(Some(Ok(whole.iter().map(|&blocks| self.path(step, kind, blocks)).collect())));
        }
        Ok(sets.last().map(|set| {
            let missing = (1..=set[0].of).filter(|part| !set.iter().any(|blocks| blocks.part == *part));
            let missing: Vec<String> = missing.map(|part| format!("{part}/{}", set[0].of)).collect();
            let more = if missing.len() > 20 { format!(" and {} more", missing.len() - 20) } else { String::new() };
            Err(format!("no {} {}{more}", kind.name(), missing[..missing.len().min(20)].join(", ")))
        }))
    }

    fn lacking(&self, step: &str, found: Option<String>) -> Error {
        let expected = format!("all parts of step {step} (`zensaibo run-blocks {step} ... --blocks i/N`)");
        Error::format(&self.place, "steps", expected, found.unwrap_or_else(|| "none".into()))
    }

    fn path(&self, step: &str, kind: Kind, Blocks { part, of }: Blocks) -> PathBuf {
        self.place.join("steps").join(step).join(format!("{}-{part}-of-{of}", kind.name()))
    }

    fn compute(&self, step: &str, blocks: Blocks, units: usize, keeps: bool) -> Result<Turn<'_>> {
        let range: Range<usize> = units_of_part(units, blocks.part - 1, blocks.of);
        let kinds = if keeps { &[Kind::Part, Kind::Kept][..] } else { &[Kind::Part] };
        let path_of = |kind| self.path(step, kind, blocks);
        let is_whole = |path: &Path| path.exists() && Parts::in_files(&[path.to_path_buf()], range.len()).is_ok();
        // A part that is there was computed by an earlier run of the same command.
        if kinds.iter().all(|&kind| is_whole(&path_of(kind))) {
            return Err(Error::PartDone);
        }
        let part = Letter::new(path_of(Kind::Part))?;
        let kept = keeps.then(|| Letter::new(path_of(Kind::Kept))).transpose()?;
        Ok(Turn::Compute(range, Box::new(Letters { part, kept })))
    }
}

/// What a process leaves of a part.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// What all others merge.
    Part,
    /// What its units keep for later passes.
    Kept,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Part => "part",
            Self::Kept => "kept",
        }
    }
}

/// "part-2-of-5".
fn blocks_of(name: &str, kind: Kind) -> Option<Blocks> {
    let (part, of) = name.strip_prefix(kind.name())?.strip_prefix('-')?.split_once("-of-")?;
    format!("{part}/{of}").parse().ok()
}

/// The step of a pass where no step was named.
fn step_of(stage: &str) -> String {
    stage.replace(' ', "-")
}

impl Exchange for Folder {
    fn turn(&self, stage: &str, units: usize, keeps: bool, _: &Ctx) -> Result<Turn<'_>> {
        let step = {
            let mut at = self.at.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            at.1 += 1;
            if at.0.is_empty() { step_of(stage) } else { name_of(&at.0, at.1) }
        };
        if let Role::Part(wanted, blocks) = &self.role
            && *wanted == step
        {
            return self.compute(&step, *blocks, units, keeps);
        }
        match (self.parts(&step, Kind::Part)?, &self.role) {
            (Some(Ok(paths)), _) => Ok(Turn::Merge(Box::new(Parts::in_files(&paths, units)?))),
            (None, Role::Merge(Some(until))) if *until == step => Err(Error::PartDone),
            (found, _) => Err(self.lacking(&step, found.and_then(std::result::Result::err))),
        }
    }

    fn kept(&self, stage: &str, units: usize) -> Result<Box<dyn StoredBlocks>> {
        let step = step_of(stage);
        match self.parts(&step, Kind::Kept)? {
            Some(Ok(paths)) => Ok(Box::new(Parts::in_files(&paths, units)?)),
            found => Err(self.lacking(&step, found.and_then(std::result::Result::err))),
        }
    }
}

/// What a process hands over of a part.
struct Letters {
    part: Letter,
    kept: Option<Letter>,
}

impl Outbox for Letters {
    fn put(&mut self, unit: &[u8]) -> Result<()> {
        self.part.put(unit)
    }

    fn keep(&mut self, bytes: &[u8]) -> Result<()> {
        match &mut self.kept {
            Some(kept) => kept.put(bytes),
            None => Err(Error::Internal("a pass that keeps nothing kept something".into())),
        }
    }

    fn close(self: Box<Self>) -> Result<()> {
        // What it kept first: a part that others see is complete.
        if let Some(kept) = self.kept {
            kept.close()?;
        }
        self.part.close()
    }
}

/// A file that is written beside its name and renamed once it is whole.
struct Letter {
    writer: Option<PartWriter<File>>,
    partial: PathBuf,
    path: PathBuf,
}

impl Letter {
    fn new(path: PathBuf) -> Result<Self> {
        let io = |error| Error::io(&path, "write", error);
        fs::create_dir_all(path.parent().unwrap_or(Path::new("."))).map_err(io)?;
        // Processes on other machines may have the same number.
        let time = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |passed| passed.as_nanos());
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let partial = path.with_file_name(format!(".{name}.{}.{time}", std::process::id()));
        let writer = File::create_new(&partial).and_then(PartWriter::new).map_err(io)?;
        Ok(Self { writer: Some(writer), partial, path })
    }

    fn put(&mut self, unit: &[u8]) -> Result<()> {
        let Some(writer) = &mut self.writer else {
            return Err(Error::Internal("a part was closed before its end".into()));
        };
        writer.put(unit).map_err(|error| Error::io(&self.path, "write", error))
    }

    fn close(mut self) -> Result<()> {
        let Some(writer) = self.writer.take() else { return Ok(()) };
        let done =
            writer.finish().and_then(|file| file.sync_all()).and_then(|()| fs::rename(&self.partial, &self.path));
        done.map_err(|error| {
            let _ = fs::remove_file(&self.partial);
            Error::io(&self.path, "write", error)
        })
    }
}

impl Drop for Letter {
    fn drop(&mut self) {
        // Only where it was not closed.
        if self.writer.is_some() {
            let _ = fs::remove_file(&self.partial);
        }
    }
}

/// A run, shared through a folder or not.
#[derive(Clone, Default)]
pub(super) struct Sharing(pub(super) Option<Arc<Folder>>);

impl Sharing {
    /// The passes that follow are of this step.
    pub(super) fn step(&self, name: &str) {
        if let Some(folder) = &self.0 {
            folder.step(name);
        }
    }

    /// Whether this process computes a part, rather than the run or its end.
    pub(super) fn is_part(&self) -> bool {
        self.0.as_ref().is_some_and(|folder| folder.is_part())
    }

    /// Blocks of a step that this process is to read: its own of the step that it computes, none of one that it merges. `None` where
    /// nothing is shared.
    pub(super) fn blocks_of(&self, step: &str, n_blocks: usize) -> Option<Range<usize>> {
        Some(match &self.0.as_ref()?.role {
            Role::Part(own, Blocks { part, of }) if own == step => units_of_part(n_blocks, part - 1, *of),
            _ => 0..0,
        })
    }

    /// How many counts of each input stay, where another process has found out: files of which genes are left out are read for it.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub(super) fn entries(&self) -> Result<Option<Vec<usize>>> {
        let Some(folder) = &self.0 else { return Ok(None) };
        let path = folder.place.join(ENTRIES);
        match fs::read(&path) {
            Ok(text) => Ok(serde_json::from_slice(&text).ok()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::io(&path, "read", error)),
        }
    }

    /// Tells the others.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub(super) fn keep_entries(&self, entries: &[usize]) -> Result<()> {
        let Some(folder) = &self.0 else { return Ok(()) };
        let path = folder.place.join(ENTRIES);
        if path.exists() {
            return Ok(());
        }
        write_text(&path, &serde_json::to_string(entries).unwrap_or_default())
    }

    /// The rows, shared where the run is.
    pub(super) fn rows(&self, rows: Box<dyn RowBlocks + Send>) -> Box<dyn RowBlocks + Send> {
        match &self.0 {
            None => rows,
            Some(folder) => Box::new(Shared::new(Arc::<dyn RowBlocks + Send>::from(rows), folder.clone())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_read_as_they_are_meant() {
        assert_eq!("2/5".parse(), Ok(Blocks { part: 2, of: 5 }));
        for wrong in ["0/5", "6/5", "2", "a/b", "1/0", "1/1000000", "-1/2"] {
            assert!(wrong.parse::<Blocks>().is_err(), "{wrong}");
        }
        assert_eq!(blocks_of("part-3-of-4", Kind::Part), Some(Blocks { part: 3, of: 4 }));
        assert_eq!(blocks_of("kept-3-of-4", Kind::Kept), Some(Blocks { part: 3, of: 4 }));
        assert_eq!(blocks_of("kept-3-of-4", Kind::Part), None);
        assert_eq!(blocks_of(".part-3-of-4.77.1", Kind::Part), None);
    }

    #[test]
    fn a_folder_belongs_to_one_run() {
        let folder = tempfile::tempdir().unwrap();
        let (input, work) = (folder.path().join("in"), folder.path().join("work"));
        fs::write(&input, "counts").unwrap();
        let config = ClusterConfig::default();
        let open = |config: &ClusterConfig, step: &str| {
            let steps = cluster_steps(config)?;
            Folder::open(&work, &[&input], &steps, config, Role::Part(step.into(), Blocks { part: 1, of: 2 })).map(drop)
        };
        let said = |outcome: Result<()>| outcome.unwrap_err().to_string();
        assert!(said(open(&config, "umap")).contains("one of read, qc"));
        assert!(!work.exists());
        open(&config, "qc").unwrap();
        open(&config, "hvg").unwrap();
        let other = ClusterConfig {
            output: crate::recipe::OutputOptions { gzip: Some(3), ..Default::default() },
            ..config.clone()
        };
        assert!(said(open(&other, "qc")).contains("other options"));
        fs::write(&input, "other counts").unwrap();
        assert!(said(open(&config, "qc")).contains("input that changed"));
        fs::remove_file(work.join(JOB)).unwrap();
        fs::write(work.join("thesis.txt"), "mine").unwrap();
        assert!(said(open(&config, "qc")).contains("thesis.txt"));
    }
}
