//! One error type for all crates, sorted by who must act.
//!
//! Every message names the thing (parameter, file, key), what was found and what was expected. The Python
//! layer maps each variant, and each [`DataFault`], to a class of its own.

use std::path::PathBuf;

/// Result of every fallible function in zensaibo.
pub type Result<T> = std::result::Result<T, Error>;

/// What is wrong with a matrix or a table that was handed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub enum DataFault {
    /// Values below zero where counts are required.
    Negative,
    /// NaN or infinity.
    NotFinite,
    /// Values that are not whole numbers where raw counts are required.
    NotCounts,
    /// No rows, no columns, or nothing stored.
    Empty,
    /// Names that must be unique are not.
    DuplicateNames,
    /// Lengths or dimensions that do not agree.
    Shape,
    /// A group with too few members for what is asked.
    TooFew,
    /// Anything else that makes the input unusable, such as indices out of range.
    Invalid,
}

/// Everything that can go wrong, by who must act on it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A parameter is outside its range or contradicts another. The caller must change it.
    #[error("parameter `{name}`: expected {expected}, found {found}")]
    Parameter {
        /// Name of the parameter as the caller wrote it.
        name: String,
        /// The allowed range.
        expected: String,
        /// The value given.
        found: String,
    },
    /// The data cannot be used for what was asked. The caller must clean or choose other data.
    #[error("{what}: expected {expected}, found {found}")]
    Data {
        /// Which fault, for mapping to an exception class.
        fault: DataFault,
        /// Name of the matrix, column or file.
        what: String,
        /// What it should be.
        expected: String,
        /// What it is, with the first offending place.
        found: String,
    },
    /// A key that is not there.
    #[error("key `{key}` not found in {container}; present: {present}")]
    Key {
        /// The key asked for.
        key: String,
        /// Where it was looked for.
        container: String,
        /// What is there instead.
        present: String,
    },
    /// A file whose content is not what its format promises.
    #[error("{}: {key}: expected {expected}, found {found}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// The place inside it (group, data set, line).
        key: String,
        /// What the format asks for.
        expected: String,
        /// What is there.
        found: String,
    },
    /// The operating system refused.
    #[error("{}: cannot {action}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What was being done ("read", "write", ...).
        action: String,
        /// The system's reason.
        source: std::io::Error,
    },
    /// An iteration stopped short of its tolerance.
    #[error("{what} did not converge in {iterations} iterations (reached {reached:.3e}, asked {asked:.3e})")]
    NotConverged {
        /// The algorithm.
        what: String,
        /// Iterations done.
        iterations: usize,
        /// Tolerance reached.
        reached: f64,
        /// Tolerance asked.
        asked: f64,
    },
    /// A result that the data do not bear out.
    #[error("{what} is not to be trusted: {}", reasons.join("; "))]
    NotTrustworthy {
        /// What was computed.
        what: String,
        /// Why.
        reasons: Vec<String>,
    },
    /// More memory or size than a stated limit.
    #[error("{what}: needs {needed}, the limit is {limit}")]
    Limit {
        /// What would exceed.
        what: String,
        /// What it needs.
        needed: String,
        /// The limit.
        limit: String,
    },
    /// The user asked to stop. Nothing was written.
    #[error("interrupted; nothing was written")]
    Interrupted,
    /// A process that shares a matrix with others computed its part of a pass and has nothing more to do until all parts
    /// are there. No fault.
    #[error("this part is done; the others are waited for")]
    PartDone,
    /// A defect of zensaibo itself, never the user's.
    #[error("internal error: {0}; please report it")]
    Internal(String),
}

impl Error {
    /// A [`Error::Parameter`].
    pub fn parameter(name: impl Into<String>, expected: impl Into<String>, found: impl ToString) -> Self {
        Self::Parameter { name: name.into(), expected: expected.into(), found: found.to_string() }
    }

    /// A [`Error::Data`].
    pub fn data(fault: DataFault, what: impl Into<String>, expected: impl Into<String>, found: impl ToString) -> Self {
        Self::Data { fault, what: what.into(), expected: expected.into(), found: found.to_string() }
    }

    /// A [`Error::Key`]; lists at most 20 of the names that are present.
    pub fn key<S: AsRef<str>>(
        key: impl Into<String>,
        container: impl Into<String>,
        present: impl IntoIterator<Item = S>,
    ) -> Self {
        let names: Vec<String> = present.into_iter().map(|s| s.as_ref().to_string()).collect();
        let mut list = names.iter().take(20).cloned().collect::<Vec<_>>().join(", ");
        if names.len() > 20 {
            list.push_str(&format!(", ... ({} in all)", names.len()));
        }
        if names.is_empty() {
            list.push_str("(nothing)");
        }
        Self::Key { key: key.into(), container: container.into(), present: list }
    }

    /// A [`Error::Format`].
    pub fn format(
        path: impl Into<PathBuf>,
        key: impl Into<String>,
        expected: impl Into<String>,
        found: impl ToString,
    ) -> Self {
        Self::Format { path: path.into(), key: key.into(), expected: expected.into(), found: found.to_string() }
    }

    /// A [`Error::Io`].
    pub fn io(path: impl Into<PathBuf>, action: impl Into<String>, source: std::io::Error) -> Self {
        Self::Io { path: path.into(), action: action.into(), source }
    }
}

impl From<zensaibo_linalg::Failure> for Error {
    /// Faults of dense linear algebra. Algorithms check their input first, so a shape is a defect of ours.
    fn from(failure: zensaibo_linalg::Failure) -> Self {
        use zensaibo_linalg::Failure;
        match failure {
            Failure::NotFinite { what, row, column, value } => {
                Self::data(DataFault::NotFinite, what, "finite values", format!("{value} at ({row}, {column})"))
            }
            Failure::Singular { what, pivot } => {
                let found = format!("a singular one (pivot {pivot})");
                Self::data(DataFault::Invalid, what, "a system with one solution", found)
            }
            Failure::NotConverged { what } => {
                Self::NotConverged { what: what.into(), iterations: 0, reached: f64::NAN, asked: f64::EPSILON }
            }
            shape @ Failure::Shape { .. } => Self::Internal(shape.to_string()),
        }
    }
}
