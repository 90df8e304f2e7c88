//! From Rust errors to Python classes, one to one.

use pyo3::create_exception;
use pyo3::exceptions::{PyException, PyKeyboardInterrupt};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyType;
use zensaibo_core::{DataFault, Error};

create_exception!(zensaibo, ZensaiboError, PyException, "Base of all errors that zensaibo raises itself.");
create_exception!(
    zensaibo,
    PartDone,
    PyException,
    "A part of a shared pass is done. No fault; `zensaibo.dist` takes it."
);

/// The classes that are also one of Python's own (two bases, which `create_exception!` cannot say).
/// (name, Python's base, what it means)
const CLASSES: [(&str, &str, &str); 15] = [
    ("ParameterError", "ValueError", "A parameter is outside its range or contradicts another."),
    ("DataError", "ValueError", "The data cannot be used for what was asked."),
    ("NegativeValuesError", "DataError", "Values below zero where counts are required."),
    ("NonFiniteError", "DataError", "NaN or infinity in the data."),
    ("NotCountsError", "DataError", "Fractional values where raw counts are required."),
    ("EmptyDataError", "DataError", "No cells, no genes, or nothing stored."),
    ("DuplicateNamesError", "DataError", "Names that must be unique are not."),
    ("ShapeError", "DataError", "Lengths or dimensions that do not agree."),
    ("TooFewError", "DataError", "A group with too few members for what was asked."),
    ("MissingKeyError", "KeyError", "A key, column or layer that is not there."),
    ("FormatError", "ValueError", "A file whose content is not what its format promises."),
    ("FileError", "OSError", "The operating system refused to read or write."),
    ("LimitError", "MemoryError", "More memory or size than a stated limit."),
    ("NotConvergedError", "RuntimeError", "An iteration stopped short of its tolerance."),
    ("NotTrustworthyError", "RuntimeError", "A result that there is reason not to trust, such as a registration."),
];

static MADE: PyOnceLock<Vec<Py<PyType>>> = PyOnceLock::new();

fn classes(py: Python<'_>) -> PyResult<&Vec<Py<PyType>>> {
    MADE.get_or_try_init(py, || {
        let builtins = py.import("builtins")?;
        let base = py.get_type::<ZensaiboError>();
        let mut made: Vec<Py<PyType>> = Vec::new();
        for (name, parent, doc) in CLASSES {
            let own = CLASSES.iter().position(|(other, ..)| *other == parent).map(|at| made[at].bind(py).clone());
            let bases = match own {
                Some(parent) => (parent,).into_pyobject(py)?.into_any(),
                None => (base.clone(), builtins.getattr(parent)?).into_pyobject(py)?.into_any(),
            };
            let body = pyo3::types::PyDict::new(py);
            body.set_item("__doc__", doc)?;
            body.set_item("__module__", "zensaibo.errors")?;
            // KeyError prints the repr of its argument; a sentence should read as one.
            if name == "MissingKeyError" {
                body.set_item("__str__", py.eval(c"lambda self: str(self.args[0]) if self.args else ''", None, None)?)?;
            }
            let class = py.get_type::<PyType>().call1((name, bases, body))?;
            made.push(class.cast_into::<PyType>()?.unbind());
        }
        Ok(made)
    })
}

fn class<'py>(py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyType>> {
    let at = CLASSES.iter().position(|(other, ..)| *other == name).unwrap_or(0);
    Ok(classes(py)?[at].bind(py).clone())
}

/// The Python exception for a Rust error.
pub(crate) fn to_python(py: Python<'_>, error: Error) -> PyErr {
    let message = error.to_string();
    let name = match &error {
        Error::PartDone => return PartDone::new_err(message),
        Error::Interrupted => return PyKeyboardInterrupt::new_err(message),
        Error::Parameter { .. } => "ParameterError",
        Error::Data { fault, .. } => match fault {
            DataFault::Negative => "NegativeValuesError",
            DataFault::NotFinite => "NonFiniteError",
            DataFault::NotCounts => "NotCountsError",
            DataFault::Empty => "EmptyDataError",
            DataFault::DuplicateNames => "DuplicateNamesError",
            DataFault::Shape => "ShapeError",
            DataFault::TooFew => "TooFewError",
            DataFault::Invalid => "DataError",
        },
        Error::Key { .. } => "MissingKeyError",
        Error::Format { .. } => "FormatError",
        Error::Io { .. } => "FileError",
        Error::Limit { .. } => "LimitError",
        Error::NotConverged { .. } => "NotConvergedError",
        Error::NotTrustworthy { .. } => "NotTrustworthyError",
        Error::Internal(_) => return ZensaiboError::new_err(message),
    };
    match class(py, name) {
        Ok(class) => {
            if let Error::Io { source, path, .. } = &error
                && let Some(code) = source.raw_os_error()
            {
                // OSError(errno, message, filename) lets callers test `errno` and pick subclasses.
                return PyErr::from_type(class, (code, message, path.display().to_string()));
            }
            PyErr::from_type(class, (message,))
        }
        Err(failure) => failure,
    }
}

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = module.py();
    module.add("ZensaiboError", py.get_type::<ZensaiboError>())?;
    module.add("PartDone", py.get_type::<PartDone>())?;
    for ((name, ..), class) in CLASSES.iter().zip(classes(py)?) {
        module.add(*name, class.bind(py))?;
    }
    Ok(())
}
