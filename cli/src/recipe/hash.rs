//! SHA-256 of an input, so that a result says what it was made from.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use zensaibo_core::{Error, Result};
use zensaibo_io::{is_url, state_of_url};

/// Size in bytes and SHA-256 in hexadecimal of a file, or of the files of a folder.
///
/// For a folder it is the hash of what `sha256sum *` prints inside it in the C locale, so that
/// `cd folder && sha256sum * | sha256sum` gives the same; folders within it are left out. Of a Zarr store every file counts:
/// `cd folder && find . -type f | LC_ALL=C sort | xargs sha256sum | sha256sum`.
/// What is behind a URL is not read twice for it: it has none.
///
/// # Errors
/// [`Error::Io`] naming the file; whatever `check`, called per megabyte, returns.
pub(super) fn digest(path: &Path, check: &dyn Fn() -> Result<()>) -> Result<(u64, String)> {
    if is_url(path) {
        return state_of_url(path).map(|(bytes, _)| (bytes, String::new()));
    }
    if !path.is_dir() {
        return file_digest(path, check);
    }
    let store = ["zarr.json", ".zgroup"].iter().any(|mark| path.join(mark).is_file());
    let mut names = Vec::new();
    list(path, if store { "./" } else { "" }, store, &mut names)?;
    names.sort();
    let mut listing = Sha256::new();
    let mut bytes = 0;
    for name in names {
        let (size, hash) = file_digest(&path.join(&name), check)?;
        bytes += size;
        listing.update(format!("{hash}  {name}\n"));
    }
    Ok((bytes, hexadecimal(&listing.finalize())))
}

/// Bytes of several inputs, and the hash of a list of their hashes and paths as `sha256sum` prints it.
///
/// # Errors
/// As [`digest`].
pub(super) fn digest_of_all(paths: &[PathBuf], check: &dyn Fn() -> Result<()>) -> Result<(u64, String)> {
    let mut listing = Sha256::new();
    let mut bytes = 0;
    for path in paths {
        let (size, hash) = digest(path, check)?;
        bytes += size;
        listing.update(format!("{hash}  {}\n", path.display()));
    }
    Ok((bytes, hexadecimal(&listing.finalize())))
}

/// Names of the files of a folder, after `before`: all below it, or those right in it that no dot hides.
fn list(folder: &Path, before: &str, below: bool, names: &mut Vec<String>) -> Result<()> {
    let read = |error| Error::io(folder, "read", error);
    for entry in std::fs::read_dir(folder).map_err(read)? {
        let entry = entry.map_err(read)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if entry.path().is_file() {
            if below || !name.starts_with('.') {
                names.push(format!("{before}{name}"));
            }
        } else if below {
            list(&entry.path(), &format!("{before}{name}/"), below, names)?;
        }
    }
    Ok(())
}

fn file_digest(path: &Path, check: &dyn Fn() -> Result<()>) -> Result<(u64, String)> {
    let read = |error| Error::io(path, "read", error);
    let mut file = File::open(path).map_err(read)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0u8; 1 << 20];
    let mut size = 0;
    loop {
        check()?;
        let count = file.read(&mut buffer).map_err(read)?;
        if count == 0 {
            return Ok((size, hexadecimal(&hash.finalize())));
        }
        size += count as u64;
        hash.update(&buffer[..count]);
    }
}

/// Bytes as hexadecimal digits.
pub(super) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_hashes() {
        let folder = tempfile::tempdir().unwrap();
        let one = folder.path().join("a.txt");
        std::fs::write(&one, "abc").unwrap();
        // FIPS 180-2, appendix B.1.
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(digest(&one, &|| Ok(())).unwrap(), (3, abc.into()));
        std::fs::write(folder.path().join("b.txt"), "").unwrap();
        std::fs::create_dir(folder.path().join("c")).unwrap();
        let (size, hash) = digest(folder.path(), &|| Ok(())).unwrap();
        assert_eq!(size, 3);
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        let listing = format!("{abc}  a.txt\n{empty}  b.txt\n");
        assert_eq!(hash, hexadecimal(&Sha256::digest(listing)));
        assert!(digest(&folder.path().join("none"), &|| Ok(())).is_err());
        // A store counts whole.
        std::fs::write(folder.path().join(".zgroup"), "").unwrap();
        std::fs::write(folder.path().join("c").join("0"), "abc").unwrap();
        let listing = format!("{empty}  ./.zgroup\n{abc}  ./a.txt\n{empty}  ./b.txt\n{abc}  ./c/0\n");
        assert_eq!(digest(folder.path(), &|| Ok(())).unwrap(), (6, hexadecimal(&Sha256::digest(listing))));
    }
}
