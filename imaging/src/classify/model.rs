//! A classifier as a small text.

use std::sync::OnceLock;

use serde::{Deserialize, Serialize};
use zensaibo_core::{DataFault, Error, Result};

use super::Trees;
use crate::detect::feature_names;

/// What the text calls itself.
const FORMAT: &str = "zensaibo cell classifier";
/// Raised when features change their meaning.
const VERSION: u32 = 2;

/// How a classifier did on groups that its trees had not seen.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Validation {
    /// Groups left out in turn.
    pub groups: usize,
    /// Annotated cells.
    pub cells: usize,
    /// Share of the found cells that are true, at the chosen score.
    pub precision: f64,
    /// Share of the true cells that are found.
    pub recall: f64,
    /// Harmonic mean of both.
    pub f1: f64,
    /// Farthest that a found and a true centre may lie apart, in micrometres.
    pub radius: f64,
}

/// Decides which candidates are cells.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CellClassifier {
    format: String,
    version: u32,
    features: Vec<String>,
    spacing: [f64; 3],
    soma_diameter: f64,
    elongation: f64,
    gate: f32,
    min_score: f32,
    validation: Validation,
    trees: Trees,
}

impl CellClassifier {
    pub(super) fn new(
        spacing: [f64; 3],
        [soma_diameter, elongation]: [f64; 2],
        gate: f32,
        min_score: f32,
        validation: Validation,
        trees: Trees,
    ) -> Self {
        let features = feature_names();
        Self {
            format: FORMAT.into(),
            version: VERSION,
            features,
            spacing,
            soma_diameter,
            elongation,
            gate,
            min_score,
            validation,
            trees,
        }
    }

    /// The classifier that comes with the program, trained by `datasets/train_cell_classifier.py`.
    ///
    /// # Errors
    /// None that a released program meets: the text is checked by a test.
    pub fn default_model() -> Result<&'static Self> {
        static MODEL: OnceLock<std::result::Result<CellClassifier, String>> = OnceLock::new();
        MODEL
            .get_or_init(|| {
                Self::from_json("the classifier of the program", include_str!("default.json"))
                    .map_err(|e| e.to_string())
            })
            .as_ref()
            .map_err(|message| Error::Internal(message.clone()))
    }

    /// A classifier from its text; `name` is for messages.
    ///
    /// # Errors
    /// [`Error::Data`] for a text of another kind or version, or with features that this program does not compute.
    pub fn from_json(name: &str, text: &str) -> Result<Self> {
        let wrong =
            |expected: String, found: String| Error::data(DataFault::Invalid, name.to_string(), expected, found);
        let model: Self =
            serde_json::from_str(text).map_err(|error| wrong("a cell classifier as JSON".into(), error.to_string()))?;
        if model.format != FORMAT || model.version != VERSION {
            return Err(wrong(
                format!("{FORMAT}, version {VERSION}"),
                format!("{}, version {}", model.format, model.version),
            ));
        }
        let names = feature_names();
        if model.features != names {
            return Err(wrong(format!("{} features: {}", names.len(), names.join(", ")), model.features.join(", ")));
        }
        if !model.trees.check(names.len()) || !model.gate.is_finite() || !model.min_score.is_finite() {
            return Err(wrong("whole trees".into(), "nodes or features that are not there".into()));
        }
        crate::detect::check_elongation(model.elongation)?;
        Ok(model)
    }

    /// The text.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Probability that a candidate with these features is a cell (of classes that weigh the same).
    pub(crate) fn score(&self, features: &[f32]) -> f32 {
        self.trees.probability(features)
    }

    /// Candidates that stand out less than this, in local noise, are no cells.
    pub fn gate(&self) -> f32 {
        self.gate
    }

    /// The score from which on a candidate counts as a cell.
    pub fn min_score(&self) -> f32 {
        self.min_score
    }

    /// Micrometres per voxel (z, y, x) of the volumes it was trained on.
    pub fn spacing(&self) -> [f64; 3] {
        self.spacing
    }

    /// Soma diameter in micrometres that it was trained with.
    pub fn soma_diameter(&self) -> f64 {
        self.soma_diameter
    }

    /// How many times longer along z than across cells looked in training.
    pub fn elongation(&self) -> f64 {
        self.elongation
    }

    /// How it did on groups that it had not seen.
    pub fn validation(&self) -> &Validation {
        &self.validation
    }
}
