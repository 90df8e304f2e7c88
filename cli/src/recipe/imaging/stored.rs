//! Registrations in folders: a scene of OME-NGFF 0.6 with the displacements as an OME-Zarr image within it.

use std::fs;
use std::path::Path;

use serde_json::{Value as Json, json};
use zensaibo_core::data::{Dtype, Frame, Region, VolumeBlocks as _, VolumeInfo, VolumeSink as _};
use zensaibo_core::{Ctx, DataFault, Error, Result};
use zensaibo_imaging::atlas::Atlas;
use zensaibo_imaging::blocks::read_as;
use zensaibo_imaging::register::Registration;
use zensaibo_imaging::transform::{Affine, Field};
use zensaibo_io::open_volume;
use zensaibo_io::volume::{OmeZarrOptions, OmeZarrWriter};

use crate::recipe::output::write_text;

/// Version of OME-NGFF whose words are used, and of what is said beside them.
const NGFF: &str = "0.6rc0";
const VERSION: u64 = 2;
/// Where the displacements lie.
const FIELD: &str = "coordinateTransformations/displacements";
/// The description of a Zarr group.
const TEXT: &str = "zarr.json";

/// Writes a registration into a folder, which is made beside and renamed; a registration that stood there is replaced.
///
/// # Errors
/// [`Error::Parameter`] for a folder that holds something else; [`Error::Io`].
pub fn save_registration(found: &Registration, folder: &Path, ctx: &Ctx) -> Result<()> {
    check_output(folder)?;
    let io = |error| Error::io(folder, "write", error);
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    let partial = folder.with_file_name(format!(".{name}.{}.partial", std::process::id()));
    let outcome = write(found, &partial, ctx).and_then(|()| {
        if !folder.exists() {
            return fs::rename(&partial, folder).map_err(io);
        }
        let old = folder.with_file_name(format!(".{name}.{}.old", std::process::id()));
        fs::rename(folder, &old).and_then(|()| fs::rename(&partial, folder)).map_err(io)?;
        fs::remove_dir_all(&old).map_err(io)
    });
    if outcome.is_err() {
        let _ = fs::remove_dir_all(&partial);
    }
    outcome
}

fn group(folder: &Path, attributes: &Json) -> Result<()> {
    let text = json!({ "zarr_format": 3, "node_type": "group", "attributes": attributes });
    let text = serde_json::to_string_pretty(&text).map_err(|error| Error::Internal(error.to_string()))?;
    write_text(&folder.join(TEXT), &(text + "\n"))
}

fn axes() -> Vec<Json> {
    ["z", "y", "x"].iter().map(|name| json!({ "name": name, "type": "space", "unit": "micrometer" })).collect()
}

fn write(found: &Registration, folder: &Path, ctx: &Ctx) -> Result<()> {
    let (field, place) = (&found.field, folder.join(FIELD));
    let above = place.parent().unwrap_or(folder);
    fs::create_dir_all(above).map_err(|error| Error::io(folder, "write", error))?;
    group(above, &json!({}))?;
    let mut info = VolumeInfo::plain("displacements", field.shape, Dtype::F32);
    info.shape[1] = 3;
    info.axes = "czyx".into();
    info.spacing = Some(field.spacing);
    let options = OmeZarrOptions { levels: Some(1), ..Default::default() };
    let writer = OmeZarrWriter::create(&place, &info, &options)?;
    for channel in 0..3 {
        let values: Vec<f32> = field.vectors.iter().map(|vector| vector[channel]).collect();
        let frame = Frame { time: 0, channel };
        writer.write(frame, &Region::whole(field.shape), bytemuck::cast_slice(&values))?;
    }
    writer.finish(ctx)?;
    // The array stays as it was written; its description is put into the words of the newer version.
    let [z, y, x] = field.spacing;
    let mut all = vec![json!({ "name": "c", "type": "displacement", "discrete": true })];
    all.extend(axes());
    let scale = json!({
        "type": "scale", "scale": [1.0, z, y, x], "input": { "path": "0" }, "output": { "name": "fixed" }
    });
    let image = json!({
        "name": "displacements",
        "coordinateSystems": [{ "name": "fixed", "axes": all }],
        "datasets": [{ "path": "0", "coordinateTransformations": [scale] }],
    });
    group(&place, &json!({ "ome": { "version": NGFF, "multiscales": [image] } }))?;
    let affine: Vec<Vec<f64>> =
        (0..3).map(|row| found.affine.matrix[row].into_iter().chain([found.affine.shift[row]]).collect()).collect();
    let systems: Vec<Json> = ["fixed", "moving"].iter().map(|name| json!({ "name": name, "axes": axes() })).collect();
    let scene = json!({
        "coordinateSystems": systems,
        "coordinateTransformations": [{
            "type": "sequence",
            "name": "fixed to moving",
            "input": { "name": "fixed" },
            "output": { "name": "moving" },
            "transformations": [
                { "type": "displacements", "path": FIELD, "interpolation": "linear" },
                { "type": "affine", "affine": affine },
            ],
        }],
    });
    let side = |(shape, spacing): ([usize; 3], [f64; 3])| json!({ "shape": shape, "spacing": spacing });
    let mut own = json!({
        "registration": VERSION,
        "fixed": side(found.fixed),
        "moving": side(found.moving),
        "quality": found.quality,
    });
    own["moving"]["origin"] = json!(found.moving_origin);
    group(folder, &json!({ "ome": { "version": NGFF, "scene": scene }, "zensaibo": own }))
}

/// Reads what [`save_registration`] wrote.
///
/// # Errors
/// [`Error::Io`]; [`Error::Format`] for a folder of another kind or version, or a damaged one.
pub fn load_registration(folder: &Path) -> Result<Registration> {
    let path = folder.join(TEXT);
    let bytes = fs::read(&path).map_err(|error| Error::io(&path, "read", error))?;
    let wrong = |found: String| {
        Error::format(&path, "file", format!("the description of a registration, version {VERSION}"), found)
    };
    let text: Json = serde_json::from_slice(&bytes).map_err(|error| wrong(error.to_string()))?;
    let own = &text["attributes"]["zensaibo"];
    if own["registration"] != json!(VERSION) {
        return Err(wrong(format!("version {}", own["registration"])));
    }
    fn read<T: serde::de::DeserializeOwned>(value: &Json) -> std::result::Result<T, String> {
        serde_json::from_value(value.clone()).map_err(|error| error.to_string())
    }
    let side = |name: &str| -> Result<([usize; 3], [f64; 3])> {
        let both = read(&own[name]["shape"]).and_then(|shape| Ok((shape, read(&own[name]["spacing"])?)));
        both.map_err(|error| wrong(format!("{name}: {error}")))
    };
    let steps = text["attributes"]["ome"]["scene"]["coordinateTransformations"][0]["transformations"].as_array();
    let step = |kind: &str| {
        let found = steps.and_then(|steps| steps.iter().find(|step| step["type"] == kind));
        found.ok_or_else(|| wrong(format!("no step of type {kind}")))
    };
    let rows: [[f64; 4]; 3] =
        read(&step("affine")?["affine"]).map_err(|error| wrong(format!("affine map: {error}")))?;
    let affine = Affine { matrix: rows.map(|row| [row[0], row[1], row[2]]), shift: rows.map(|row| row[3]) };
    let place: String =
        read(&step("displacements")?["path"]).map_err(|error| wrong(format!("displacements: {error}")))?;
    let volume = open_volume(&folder.join(&place))?;
    let (shape, channels) = (volume.info().space(), volume.info().shape[1]);
    let spacing = match volume.info().spacing {
        Some(spacing) if channels == 3 => spacing,
        spacing => {
            let found = format!("{channels} channels, spacing {spacing:?}");
            let what = folder.join(&place).display().to_string();
            return Err(Error::data(DataFault::Shape, what, "three channels and a spacing", found));
        }
    };
    let part = |channel| read_as::<f32>(&volume, Frame { time: 0, channel }, &Region::whole(shape));
    let [z, y, x] = [part(0)?.data, part(1)?.data, part(2)?.data];
    let vectors = (0..z.len()).map(|at| [z[at], y[at], x[at]]).collect();
    let field = Field::new(shape, spacing, vectors)?;
    let mut found = Registration::new(field, affine, side("fixed")?, side("moving")?)?;
    found.moving_origin = read(&own["moving"]["origin"]).map_err(|error| wrong(format!("moving: origin: {error}")))?;
    found.quality = read(&own["quality"]).map_err(|error| wrong(format!("quality: {error}")))?;
    Ok(found)
}

/// Refuses a folder that is there and holds no registration.
///
/// # Errors
/// [`Error::Parameter`].
pub(super) fn check_output(folder: &Path) -> Result<()> {
    let text: Option<Json> = fs::read(folder.join(TEXT)).ok().and_then(|text| serde_json::from_slice(&text).ok());
    if !folder.exists() || text.is_some_and(|text| text["attributes"]["zensaibo"]["registration"].is_u64()) {
        return Ok(());
    }
    let expected = "a folder that does not exist yet, or an earlier registration";
    Err(Error::parameter("output", expected, folder.display()))
}

/// Refuses a registration to another grid than that of an atlas.
///
/// # Errors
/// [`Error::Data`].
pub(super) fn check_atlas(found: &Registration, atlas: &Atlas) -> Result<()> {
    let grid = (atlas.structure.shape, atlas.spacing.um());
    let near = (0..3).all(|axis| (found.fixed.1[axis] / grid.1[axis] - 1.0).abs() < 1e-6);
    if found.fixed.0 == grid.0 && near {
        return Ok(());
    }
    let words = |(shape, um): ([usize; 3], [f64; 3])| format!("{shape:?} voxels of {um:?} um");
    let expected = format!("one to the grid of atlas {}, {}", atlas.name, words(grid));
    Err(Error::data(DataFault::Shape, "registration", expected, words(found.fixed)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registration_reads_back_to_the_last_bit() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("registration");
        let shape = [3, 4, 5];
        let vectors = (0..60).map(|at| [at as f32 * 0.1, -0.3, 1.0 / (at + 1) as f32]).collect();
        let affine =
            Affine { matrix: [[0.0, 1.1, 1.0 / 3.0], [0.9, 0.0, 0.0], [0.0, 0.1, 1.2]], shift: [0.1, -7.25, 1e-9] };
        let field = Field::new(shape, [39.0, 25.0, 25.0], vectors).unwrap();
        let mut made =
            Registration::new(field, affine, (shape, [39.0, 25.0, 25.0]), ([7, 8, 9], [5.0, 2.0, 2.0])).unwrap();
        made.moving_origin = [0.1, 0.0, -1.0 / 3.0];
        made.quality.correlation = 1.0 / 7.0;
        made.quality.warnings = vec!["look".into()];
        for _ in 0..2 {
            save_registration(&made, &path, &Ctx::quiet()).unwrap();
            let read = load_registration(&path).unwrap();
            assert_eq!(
                (&read.field, read.affine, read.fixed, read.moving),
                (&made.field, made.affine, made.fixed, made.moving)
            );
            assert_eq!((read.quality, read.moving_origin), (made.quality.clone(), made.moving_origin));
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        fs::write(path.join(TEXT), "{}").unwrap();
        assert!(load_registration(&path).unwrap_err().to_string().contains("zarr.json"));
        assert!(load_registration(folder.path()).unwrap_err().to_string().contains("zarr.json"));
    }
}
