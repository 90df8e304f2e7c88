//! Genes of several files by name: which the joined matrix has, and which column of it each file's column becomes.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::Path;
use std::str::FromStr;

use zensaibo_core::{DataFault, Error, Result};

use crate::h5::listed;
use crate::table::first_repeated;

/// Marks a column that the joined matrix does not have.
pub(super) const DROPPED: u32 = u32::MAX;

/// Which genes a joined matrix has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Join {
    /// Those of all files, in the order of the first.
    #[default]
    Inner,
    /// Those of any file, sorted by name; what a file does not have is zero in its cells.
    Outer,
}

impl FromStr for Join {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "inner" => Ok(Self::Inner),
            "outer" => Ok(Self::Outer),
            other => Err(Error::parameter("join", "inner or outer", other)),
        }
    }
}

/// Genes of a joined matrix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinedGenes {
    /// Their names.
    pub names: Vec<String>,
    /// For each file the new column of each of its columns (`u32::MAX` for those that are left out); none where all columns
    /// stay what they are.
    pub columns: Vec<Option<Vec<u32>>>,
}

/// Joins the genes of files, each given by its path and the names of its genes.
///
/// # Errors
/// [`Error::Data`] where no gene is in all files, or where a name occurs twice in a file and the files differ (which of
/// the two is meant cannot be told).
pub fn join_genes(files: &[(&Path, &[String])], join: Join) -> Result<JoinedGenes> {
    let Some((first_path, first)) = files.first() else {
        return Err(Error::parameter("paths", "at least one file", "none"));
    };
    if files.iter().all(|(_, names)| names == first) {
        return Ok(JoinedGenes { names: first.to_vec(), columns: vec![None; files.len()] });
    }
    for (path, names) in files {
        if let Some(name) = first_repeated(names) {
            let expected = "gene names that occur once, to be joined by name with those of the other files";
            let what = format!("{}: genes", path.display());
            return Err(Error::data(DataFault::DuplicateNames, what, expected, format!("{name} twice")));
        }
    }
    let names: Vec<String> = match join {
        Join::Inner => {
            let mut common: HashSet<&str> = first.iter().map(String::as_str).collect();
            for (path, names) in &files[1..] {
                let own: HashSet<&str> = names.iter().map(String::as_str).collect();
                common.retain(|name| own.contains(name));
                if common.is_empty() {
                    let shown = |names: &[String]| listed(&names[..names.len().min(3)]);
                    let found = format!(
                        "none of the genes left after {} (such as {}) among those of {} (such as {})",
                        first_path.display(),
                        shown(first),
                        path.display(),
                        shown(names)
                    );
                    let expected = "genes that all files have (or join=\"outer\")";
                    return Err(Error::data(DataFault::Empty, "genes of the files", expected, found));
                }
            }
            first.iter().filter(|name| common.contains(name.as_str())).cloned().collect()
        }
        Join::Outer => {
            let all: BTreeSet<&str> = files.iter().flat_map(|(_, names)| names.iter().map(String::as_str)).collect();
            all.into_iter().map(String::from).collect()
        }
    };
    let place: HashMap<&str, u32> = names.iter().map(String::as_str).zip(0..).collect();
    let columns = files
        .iter()
        .map(|(_, own)| {
            let same = own.len() == names.len() && *own == names.as_slice();
            (!same).then(|| own.iter().map(|name| place.get(name.as_str()).copied().unwrap_or(DROPPED)).collect())
        })
        .collect();
    Ok(JoinedGenes { names, columns })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Vec<String> {
        text.split_whitespace().map(String::from).collect()
    }

    fn join(files: &[&str], join: Join) -> Result<JoinedGenes> {
        let own: Vec<Vec<String>> = files.iter().map(|text| names(text)).collect();
        let paths = ["a.h5ad", "b.h5ad", "c.h5ad"].map(Path::new);
        let files: Vec<(&Path, &[String])> = paths.into_iter().zip(own.iter().map(Vec::as_slice)).collect();
        join_genes(&files, join)
    }

    #[test]
    fn genes_by_hand() {
        let inner = join(&["d a c b", "b x d c"], Join::Inner).unwrap();
        assert_eq!(inner.names, names("d c b"));
        assert_eq!(inner.columns, [Some(vec![0, DROPPED, 1, 2]), Some(vec![2, DROPPED, 0, 1])]);
        let outer = join(&["d a", "b d", "a b d"], Join::Outer).unwrap();
        assert_eq!(outer.names, names("a b d"));
        assert_eq!(outer.columns, [Some(vec![2, 0]), Some(vec![1, 2]), None]);
        // The same genes everywhere stay as they are, repeated or not.
        for how in [Join::Inner, Join::Outer] {
            let same = join(&["b a b", "b a b"], how).unwrap();
            assert_eq!((same.names, same.columns), (names("b a b"), vec![None, None]));
        }
    }

    #[test]
    fn what_cannot_be_joined_is_named() {
        let error = join(&["a b", "b c", "c d"], Join::Inner).unwrap_err().to_string();
        assert!(error.contains("c.h5ad") && error.contains("such as c, d"), "{error}");
        for how in [Join::Inner, Join::Outer] {
            let error = join(&["a b", "b c b"], how).unwrap_err();
            assert!(matches!(&error, Error::Data { fault: DataFault::DuplicateNames, .. }), "{error}");
            assert!(error.to_string().contains("b.h5ad: genes") && error.to_string().contains("b twice"), "{error}");
        }
        assert!("left".parse::<Join>().unwrap_err().to_string().contains("inner or outer"));
        assert!(join(&[], Join::Inner).is_err());
    }
}
