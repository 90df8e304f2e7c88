//! Results of stages kept in a folder, so that a run that was killed goes on from there.

use std::fs;
use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;
use zensaibo_core::{Error, Result};

use super::kept::{Kept, key};
use super::output::write_bytes;

/// The finished stages of a run. Each has a key made of its options, of those of the stages before it, and of the input: what
/// was made from anything else is made anew.
pub(super) struct Checkpoints {
    kept: Option<Kept>,
    key: String,
    /// Where another process keeps them: the stage that is looked at anew, whatever is kept.
    reading: Option<&'static str>,
}

impl Checkpoints {
    /// Those in a folder; without one nothing is kept. `input`: what the first stage reads, and what else decides it.
    ///
    /// # Errors
    /// [`Error::Parameter`] for a folder that holds other things, or into which another run is writing; [`Error::Io`].
    pub(super) fn open(folder: Option<&Path>, input: &(Vec<String>, Vec<&Path>)) -> Result<Self> {
        let kept = folder.map(|folder| Kept::open("checkpoints", folder)).transpose()?;
        let key = if kept.is_some() { key(&input.0, &input.1) } else { String::new() };
        Ok(Self { kept, key, reading: None })
    }

    /// Those that another process keeps, to be read alone, by a process that computes a part of the stage `anew`.
    pub(super) fn read(folder: &Path, input: &(Vec<String>, Vec<&Path>), anew: &'static str) -> Self {
        Self { kept: Some(Kept::read(folder)), key: key(&input.0, &input.1), reading: Some(anew) }
    }

    /// The result of a stage that begins with passes that processes share, from the folder or from `job`.
    ///
    /// # Errors
    /// As [`Checkpoints::stage`].
    pub(super) fn shared_stage<T: Serialize + DeserializeOwned>(
        &mut self,
        name: &str,
        options: &impl Serialize,
        job: impl FnOnce() -> Result<T>,
    ) -> Result<(T, bool)> {
        let Some(anew) = self.reading else { return self.stage(name, options, job) };
        self.depend(options)?;
        let found = if name == anew { None } else { self.found(name) };
        found.map_or_else(|| Ok((job()?, false)), |found| Ok((found, true)))
    }

    /// What is kept of a stage.
    fn found<T: DeserializeOwned>(&self, name: &str) -> Option<T> {
        let kept = self.kept.as_ref().filter(|kept| kept.has(name, &self.key))?;
        postcard::from_bytes(&fs::read(kept.path(&file_of(name))).ok()?).ok()
    }

    /// Options of a stage that is not kept itself.
    pub(super) fn depend(&mut self, options: &impl Serialize) -> Result<()> {
        if self.kept.is_some() {
            let text = serde_json::to_string(options).map_err(|error| Error::Internal(error.to_string()))?;
            self.key = key(&[std::mem::take(&mut self.key), text], &[]);
        }
        Ok(())
    }

    /// The result of a stage, from the folder or from `job`; and whether it came from the folder.
    ///
    /// # Errors
    /// What `job` returns; [`Error::Io`] when the result cannot be kept.
    pub(super) fn stage<T: Serialize + DeserializeOwned>(
        &mut self,
        name: &str,
        options: &impl Serialize,
        job: impl FnOnce() -> Result<T>,
    ) -> Result<(T, bool)> {
        self.depend(options)?;
        if let Some(found) = self.found(name) {
            return Ok((found, true));
        }
        let Some(kept) = &mut self.kept else { return Ok((job()?, false)) };
        let file = file_of(name);
        let path = kept.path(&file);
        if self.reading.is_some() {
            let expected = "`zensaibo merge` before it, which finds components, neighbours, clusters and the layout";
            return Err(Error::parameter("step", expected, format!("no {name} in {}", path.display())));
        }
        let found = job()?;
        let bytes = postcard::to_allocvec(&found).map_err(|error| Error::Internal(format!("{name}: {error}")))?;
        write_bytes(&path, &bytes)?;
        kept.note(name, &self.key, &[&file])?;
        Ok((found, false))
    }

    /// Removes what was kept: the run is over.
    pub(super) fn end(self) -> Result<()> {
        self.kept.filter(|_| self.reading.is_none()).map_or(Ok(()), Kept::clear)
    }
}

fn file_of(stage: &str) -> String {
    format!("{stage}.bin")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finished_stages_are_not_done_again_until_something_changes() {
        let folder = tempfile::tempdir().unwrap();
        let (input, place) = (folder.path().join("in"), folder.path().join("kept"));
        fs::write(&input, "one").unwrap();
        let run = |first: &str, second: &str| {
            let mut stages = Checkpoints::open(Some(&place), &(vec![], vec![&input])).unwrap();
            let a = stages.stage("a", &first, || Ok(vec![1.5f32, f32::NAN, -0.0])).unwrap();
            let bits: Vec<u32> = a.0.iter().map(|value| value.to_bits()).collect();
            assert_eq!(bits, [1.5f32.to_bits(), f32::NAN.to_bits(), (-0.0f32).to_bits()]);
            let b = stages.stage("b", &second, || Ok((7u32, "text".to_string()))).unwrap();
            assert_eq!(b.0, (7, "text".to_string()));
            (a.1, b.1)
        };
        assert_eq!(run("x", "y"), (false, false));
        assert_eq!(run("x", "y"), (true, true));
        assert_eq!(run("x", "z"), (true, false));
        // What comes after another first stage is another second one.
        assert_eq!(run("w", "z"), (false, false));
        fs::write(&input, "another").unwrap();
        assert_eq!(run("w", "z"), (false, false));
        // Damaged, of the same length or not.
        fs::write(place.join("a.bin"), "").unwrap();
        assert_eq!(run("w", "z"), (false, true));
        Checkpoints::open(Some(&place), &(vec![], vec![&input])).unwrap().end().unwrap();
        assert!(!place.exists());
    }

    #[test]
    fn without_a_folder_nothing_is_kept() {
        let mut stages = Checkpoints::open(None, &Default::default()).unwrap();
        assert_eq!(stages.stage("a", &1, || Ok(3u8)).unwrap(), (3, false));
        assert!(stages.stage("a", &1, || Err::<u8, _>(Error::Interrupted)).is_err());
        stages.end().unwrap();
    }
}
