//! Cells as columns, and into files: Parquet, CSV, h5ad, cellfinder's XML.

use std::path::Path;

use serde_json::{Value as Json, json};
use zensaibo_core::{Error, Result};
use zensaibo_imaging::detect::Cells;
use zensaibo_imaging::space::Spacing;
use zensaibo_io::{
    AnnDataWriter, Column, Columns, Table, Value, Values, WriteOptions, read_columns, write_columns, write_markers,
};

/// How results are written, by the ending of the name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target {
    Table,
    AnnData,
    Markers,
}

/// What the ending of a name stands for, among those that `allowed` lists.
pub(super) fn target(name: &str, path: &Path, allowed: &[&str]) -> Result<Target> {
    let ending = path.extension().and_then(|end| end.to_str()).unwrap_or_default().to_lowercase();
    let known = allowed.contains(&ending.as_str());
    match ending.as_str() {
        "parquet" | "csv" if known => Ok(Target::Table),
        "h5ad" if known => Ok(Target::AnnData),
        "xml" if known => Ok(Target::Markers),
        _ => {
            let list: Vec<String> = allowed.iter().map(|ending| format!(".{ending}")).collect();
            Err(Error::parameter(name, format!("a name ending in {}", list.join(", ")), path.display()))
        }
    }
}

/// A table of cells, with what AnnData needs beside its columns.
pub(super) struct Rows {
    /// As `obs` has them; places are not among them unless the caller's `obs` has them too.
    pub(super) columns: Vec<(String, Column)>,
    /// Names of the rows.
    pub(super) names: Vec<String>,
    /// (z, y, x) in micrometres from the origin of the volume.
    pub(super) places: Vec<[f64; 3]>,
    /// Values beside the table, by name: one column each in X.
    pub(super) values: Vec<(String, Vec<f32>)>,
    /// Members of `uns`.
    pub(super) said: Vec<(String, Json)>,
    /// Name of an atlas, and places (z, y, x) in it.
    pub(super) atlas: Option<(String, Vec<[f64; 3]>)>,
    /// Micrometres per voxel.
    pub(super) spacing: Spacing,
}

impl Rows {
    /// Detected cells.
    pub(super) fn detected(cells: &Cells, origin: [f64; 3], spacing: Spacing, said: Vec<(String, Json)>) -> Self {
        let label: Vec<u32> = (1..=cells.len() as u32).collect();
        let floats = |values: &[f32]| Column::Numbers(values.to_vec().into());
        Self {
            names: label.iter().map(u32::to_string).collect(),
            columns: vec![
                ("label".into(), Column::Numbers(label.into())),
                ("score".into(), floats(&cells.score)),
                ("volume".into(), floats(&cells.volume)),
                ("radius".into(), floats(&cells.radius)),
                ("mean_intensity".into(), floats(&cells.mean)),
                ("peak_intensity".into(), floats(&cells.peak)),
                ("background".into(), floats(&cells.background)),
                ("noise".into(), floats(&cells.noise)),
                ("edge".into(), Column::Numbers(cells.edge.clone().into())),
            ],
            places: cells.centre.iter().map(|place| std::array::from_fn(|a| place[a] + origin[a])).collect(),
            values: Vec::new(),
            said,
            atlas: None,
            spacing,
        }
    }

    /// Cells that [`Rows::write`] left in a table.
    ///
    /// # Errors
    /// As [`read_columns`]; [`Error::Data`] for a table without places.
    pub(super) fn read(path: &Path, spacing: Spacing) -> Result<Self> {
        let table = read_columns(path)?;
        let [z, y, x] = [table.numbers(path, "z")?, table.numbers(path, "y")?, table.numbers(path, "x")?];
        let said = table.metadata.iter().filter(|(name, _)| name != "unit" && name != "spacing");
        Ok(Self {
            names: (1..=z.len()).map(|label| label.to_string()).collect(),
            places: (0..z.len()).map(|row| [z[row], y[row], x[row]]).collect(),
            values: Vec::new(),
            said: said.filter_map(|(name, text)| Some((name.clone(), serde_json::from_str(text).ok()?))).collect(),
            columns: table.columns.into_iter().filter(|(name, _)| !["z", "y", "x"].contains(&name.as_str())).collect(),
            atlas: None,
            spacing,
        })
    }

    /// A column as f32; nothing where it is not there.
    pub(super) fn floats(&self, name: &str) -> Vec<f32> {
        match self.columns.iter().find(|(present, _)| present == name) {
            Some((_, Column::Numbers(values))) => values.to_f64().into_iter().map(|value| value as f32).collect(),
            _ => Vec::new(),
        }
    }

    /// Writes them; cells of cellfinder in voxels of `centres`, which begin at the first voxel.
    pub(super) fn write(&self, path: &Path, target: Target, centres: &[[f64; 3]]) -> Result<()> {
        match target {
            Target::Table => write_columns(path, &self.table()),
            Target::AnnData => self.write_anndata(path),
            Target::Markers => {
                let voxels: Vec<[f64; 3]> = centres.iter().map(|&place| self.spacing.point_voxels(place)).collect();
                write_markers(path, &voxels)
            }
        }
    }

    fn table(&self) -> Columns {
        let mut columns = self.columns.clone();
        for (axis, name) in ["z", "y", "x"].into_iter().enumerate() {
            columns.retain(|(present, _)| present != name);
            let values: Vec<f64> = self.places.iter().map(|place| place[axis]).collect();
            columns.push((name.into(), Column::Numbers(values.into())));
        }
        if let Some((_, places)) = &self.atlas {
            for (axis, name) in ["z", "y", "x"].into_iter().enumerate() {
                columns.push(numbers(
                    &format!("atlas_{name}"),
                    places.iter().map(|place| place[axis]).collect::<Vec<f64>>(),
                ));
            }
        }
        let mut metadata = vec![
            ("unit".to_string(), "micrometer".to_string()),
            ("spacing".to_string(), json!(self.spacing.um()).to_string()),
        ];
        metadata.extend(self.said.iter().map(|(name, value)| (name.clone(), value.to_string())));
        Columns { columns, metadata }
    }

    fn write_anndata(&self, path: &Path) -> Result<()> {
        let mut writer = AnnDataWriter::create(path, &WriteOptions::default())?;
        if !self.values.is_empty() {
            let (rows, width) = (self.names.len(), self.values.len());
            let flat: Vec<f32> = (0..rows * width).map(|at| self.values[at % width].1[at / width]).collect();
            writer.value("X", &Value::matrix(rows, width, flat))?;
        }
        writer.obs(&Table { index_name: None, index: self.names.clone(), columns: self.columns.clone() })?;
        writer.var(&Table::of_names(self.values.iter().map(|(name, _)| name.clone()).collect()))?;
        let spatial: Vec<f64> = self.places.iter().flat_map(|&[z, y, x]| [x, y, z]).collect();
        writer.value("obsm/spatial", &Value::matrix(self.places.len(), 3, spatial))?;
        let space = json!({ "name": "sample", "unit": "micrometer", "axes": "xyz" });
        writer.value("uns/spatial_space", &stored(&space))?;
        if let Some((name, places)) = &self.atlas {
            let flat: Vec<f64> = places.iter().flat_map(|&[z, y, x]| [x, y, z]).collect();
            writer.value("obsm/spatial_atlas", &Value::matrix(places.len(), 3, flat))?;
            let space = json!({ "name": name, "unit": "micrometer", "axes": "xyz" });
            writer.value("uns/spatial_atlas_space", &stored(&space))?;
        }
        for (name, value) in &self.said {
            writer.value(&format!("uns/{name}"), &stored(value))?;
        }
        writer.finish()
    }
}

/// Provenance of one step, as Python's `record` writes it: unset options are the text "None".
pub(super) fn provenance(step: &str, options: Json) -> (String, Json) {
    let options = match options {
        Json::Object(fields) => Json::Object(
            fields
                .into_iter()
                .map(|(name, value)| (name, if value.is_null() { json!("None") } else { value }))
                .collect(),
        ),
        other => other,
    };
    ("zensaibo".into(), json!({ step: { "version": env!("CARGO_PKG_VERSION"), "options": options } }))
}

/// JSON as h5ad holds it.
fn stored(value: &Json) -> Value {
    match value {
        Json::Null => Value::text("None"),
        Json::Bool(flag) => Value::flag(*flag),
        Json::Number(number) => match number.as_i64() {
            Some(whole) => Value::int(whole),
            None => Value::float(number.as_f64().unwrap_or(f64::NAN)),
        },
        Json::String(text) => Value::text(text.clone()),
        Json::Array(items) => {
            let whole: Option<Vec<i64>> = items.iter().map(Json::as_i64).collect();
            let numbers: Option<Vec<f64>> = items.iter().map(Json::as_f64).collect();
            match (whole, numbers) {
                (Some(whole), _) => Value::vector(whole),
                (None, Some(numbers)) => Value::vector(numbers),
                _ => Value::texts(items.iter().map(|item| item.as_str().map_or(item.to_string(), String::from))),
            }
        }
        Json::Object(fields) => Value::dict(fields.iter().map(|(name, value)| (name.clone(), stored(value)))),
    }
}

/// A column of numbers.
pub(super) fn numbers(name: &str, values: impl Into<Values>) -> (String, Column) {
    (name.to_string(), Column::Numbers(values.into()))
}
