//! Where an object lies.

use std::path::Path;

use zensaibo_core::{Error, Result};

/// The place of an object, or of a folder of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Address {
    /// A web server: scheme, host and path as they were given, and what stood after a question mark.
    Web {
        /// Up to the question mark.
        base: String,
        /// After it; may hold a signature, so it is never shown.
        query: Option<String>,
    },
    /// A bucket and a key in it, not encoded.
    S3 {
        /// The bucket.
        bucket: String,
        /// The key, without a slash at its ends.
        key: String,
    },
}

impl Address {
    /// Reads a URL. `pathlib` and its like make one slash of two; both are taken.
    ///
    /// # Errors
    /// [`Error::Parameter`] for a URL without host, or with a password.
    pub(crate) fn of(path: &Path) -> Result<Self> {
        let text = path.to_string_lossy();
        let refused = |expected: &str| Err(Error::parameter("URL", expected, &text));
        let (scheme, rest) = text.split_once(":/").unwrap_or(("", &text));
        let rest = rest.strip_prefix('/').unwrap_or(rest);
        let rest = rest.split('#').next().unwrap_or_default();
        let host = rest.split(['/', '?']).next().unwrap_or_default();
        if host.is_empty() {
            return refused("a URL with a host (or, after s3://, a bucket)");
        }
        if host.contains('@') {
            return Err(Error::parameter("URL", "a URL without user and password", "one with an @ before its path"));
        }
        let scheme = scheme.to_ascii_lowercase();
        match scheme.as_str() {
            "s3" => {
                let (bucket, key) = rest.split_once('/').unwrap_or((rest, ""));
                let sound = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
                if !bucket.chars().all(sound) {
                    return refused("s3://BUCKET/KEY");
                }
                Ok(Self::S3 { bucket: bucket.into(), key: key.trim_matches('/').into() })
            }
            "http" | "https" => {
                let (base, query) = match rest.split_once('?') {
                    Some((base, query)) => (base, Some(query.to_string())),
                    None => (rest, None),
                };
                // What no URL may hold as it is; everything else is taken as encoded.
                let mut clean = String::new();
                for byte in base.trim_end_matches('/').bytes() {
                    match byte {
                        b'!'..=b'~' if !b"\"<>\\^`{|}".contains(&byte) => clean.push(byte as char),
                        _ => clean.push_str(&format!("%{byte:02X}")),
                    }
                }
                Ok(Self::Web { base: format!("{scheme}://{clean}"), query })
            }
            _ => refused("a URL of http, https or s3"),
        }
    }

    /// What lies at `key` below it.
    pub(crate) fn join(&self, below: &str) -> Self {
        if below.is_empty() {
            return self.clone();
        }
        match self {
            Self::Web { base, query } => {
                Self::Web { base: format!("{base}/{}", encoded(below, true)), query: query.clone() }
            }
            Self::S3 { bucket, key } if key.is_empty() => Self::S3 { bucket: bucket.clone(), key: below.into() },
            Self::S3 { bucket, key } => Self::S3 { bucket: bucket.clone(), key: format!("{key}/{below}") },
        }
    }

    /// For messages: without what may be secret.
    pub(crate) fn shown(&self) -> String {
        match self {
            Self::Web { base, query: None } => base.clone(),
            Self::Web { base, query: Some(_) } => format!("{base}?..."),
            Self::S3 { bucket, key } => format!("s3://{bucket}/{key}"),
        }
    }
}

/// Percent-encodes all but the unreserved characters of RFC 3986 (and slashes, where they are kept).
pub(super) fn encoded(text: &str, keep_slashes: bool) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(byte as char),
            b'/' if keep_slashes => out.push('/'),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Address {
        Address::of(Path::new(text)).unwrap()
    }

    #[test]
    fn urls_are_taken_apart() {
        assert_eq!(of("https://host/a/b.zarr/").shown(), "https://host/a/b.zarr");
        assert_eq!(of("https:/host/a").shown(), "https://host/a");
        assert_eq!(of("HTTP://host:8080/a b?sig=secret#x").shown(), "http://host:8080/a%20b?...");
        let signed = of("https://host/a?sig=secret").join("obs/cell type");
        assert_eq!(
            signed,
            Address::Web { base: "https://host/a/obs/cell%20type".into(), query: Some("sig=secret".into()) }
        );
        assert_eq!(of("s3://bucket/a/b").join("X/c/0").shown(), "s3://bucket/a/b/X/c/0");
        assert_eq!(of("s3://bucket").join(".zgroup").shown(), "s3://bucket/.zgroup");
        for bad in ["https:///x", "s3://", "http://me:secret@host/x", "s3://buc ket/x", "ftp://host/x"] {
            let said = Address::of(Path::new(bad)).unwrap_err().to_string();
            assert!(said.contains("URL") && !said.contains("secret"), "{said}");
        }
    }
}
