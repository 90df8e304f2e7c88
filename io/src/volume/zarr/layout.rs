//! The metadata that is written: arrays, groups, multiscales.

use std::fs;
use std::path::Path;

use serde_json::{Value as Json, json};
use zensaibo_core::data::{Dtype, VolumeInfo};
use zensaibo_core::{Error, Result};

use super::pyramid::LevelPlan;
use super::write::{Compression, NgffVersion, OmeZarrOptions};

/// Writes a JSON document.
pub(super) fn put(path: &Path, document: &Json) -> Result<()> {
    let text = serde_json::to_string_pretty(document).map_err(|error| Error::Internal(error.to_string()))?;
    fs::write(path, text + "\n").map_err(|error| Error::io(path, "write", error))
}

/// Writes the metadata of a group.
pub(super) fn put_group(folder: &Path, version: NgffVersion, attributes: Json) -> Result<()> {
    match version {
        NgffVersion::V05 => {
            put(&folder.join("zarr.json"), &json!({ "zarr_format": 3, "node_type": "group", "attributes": attributes }))
        }
        NgffVersion::V04 => {
            put(&folder.join(".zgroup"), &json!({ "zarr_format": 2 }))?;
            put(&folder.join(".zattrs"), &attributes)
        }
    }
}

/// Lengths along the axes that a volume has, from those along (t, c, z, y, x).
pub(super) fn along<T: Copy>(axes: &str, all: [T; 5]) -> Vec<T> {
    axes.chars().filter_map(|axis| "tczyx".find(axis)).map(|at| all[at]).collect()
}

/// Metadata of the array of one level.
pub(super) fn array(
    info: &VolumeInfo,
    space: [usize; 3],
    chunk: [usize; 3],
    shard: [usize; 3],
    options: &OmeZarrOptions,
) -> Json {
    let five = |space: [usize; 3], t: usize, c: usize| along(&info.axes, [t, c, space[0], space[1], space[2]]);
    let shape = five(space, info.shape[0], info.shape[1]);
    let size = info.dtype.size();
    let fill = match info.dtype {
        Dtype::Bool => json!(false),
        Dtype::F16 | Dtype::F32 | Dtype::F64 => json!(0.0),
        _ => json!(0),
    };
    if options.version == NgffVersion::V04 {
        let letter = match info.dtype {
            Dtype::Bool => "b",
            Dtype::U8 | Dtype::U16 | Dtype::U32 | Dtype::U64 => "u",
            Dtype::I8 | Dtype::I16 | Dtype::I32 | Dtype::I64 => "i",
            Dtype::F16 | Dtype::F32 | Dtype::F64 => "f",
        };
        let order = if size == 1 { "|" } else { "<" };
        let compressor = match options.compression {
            Compression::BloscZstd => {
                json!({ "id": "blosc", "cname": "zstd", "clevel": options.level, "shuffle": 1, "blocksize": 0 })
            }
            Compression::Zstd => json!({ "id": "zstd", "level": options.level }),
            Compression::None => Json::Null,
        };
        return json!({
            "zarr_format": 2, "shape": shape, "chunks": five(chunk, 1, 1), "dtype": format!("{order}{letter}{size}"),
            "compressor": compressor, "fill_value": fill, "order": "C", "filters": Json::Null, "dimension_separator": "/",
        });
    }
    let mut codecs = vec![if size == 1 {
        json!({ "name": "bytes" })
    } else {
        json!({ "name": "bytes", "configuration": { "endian": "little" } })
    }];
    match options.compression {
        Compression::BloscZstd => codecs.push(json!({ "name": "blosc", "configuration": {
            "cname": "zstd", "clevel": options.level, "shuffle": if size == 1 { "noshuffle" } else { "shuffle" },
            "typesize": size, "blocksize": 0,
        } })),
        Compression::Zstd => {
            codecs.push(json!({ "name": "zstd", "configuration": { "level": options.level, "checksum": false } }));
        }
        Compression::None => {}
    }
    let sharded = json!([{ "name": "sharding_indexed", "configuration": {
        "chunk_shape": five(chunk, 1, 1), "codecs": codecs, "index_location": "end",
        "index_codecs": [{ "name": "bytes", "configuration": { "endian": "little" } }, { "name": "crc32c" }],
    } }]);
    let names: Vec<String> = info.axes.chars().map(String::from).collect();
    json!({
        "zarr_format": 3, "node_type": "array", "shape": shape, "data_type": info.dtype.name(),
        "chunk_grid": { "name": "regular", "configuration": { "chunk_shape": five(shard, 1, 1) } },
        "chunk_key_encoding": { "name": "default", "configuration": { "separator": "/" } },
        "fill_value": fill, "codecs": if shard == chunk { json!(codecs) } else { sharded },
        "attributes": {}, "dimension_names": names,
    })
}

/// The attributes of an image, or of a label image.
pub(super) fn attributes(
    name: &str,
    info: &VolumeInfo,
    levels: &[LevelPlan],
    options: &OmeZarrOptions,
    label: bool,
) -> Json {
    let axes: Vec<Json> = info
        .axes
        .chars()
        .map(|axis| match axis {
            't' if info.time_step.is_some() => json!({ "name": "t", "type": "time", "unit": "second" }),
            't' => json!({ "name": "t", "type": "time" }),
            'c' => json!({ "name": "c", "type": "channel" }),
            axis if info.spacing.is_some() => {
                json!({ "name": axis.to_string(), "type": "space", "unit": "micrometer" })
            }
            axis => json!({ "name": axis.to_string(), "type": "space" }),
        })
        .collect();
    let spacing = super::image::spaced(info);
    let step = info.time_step.unwrap_or(1.0);
    let datasets: Vec<Json> = levels
        .iter()
        .enumerate()
        .map(|(at, level)| {
            let scale: [f64; 3] = std::array::from_fn(|axis| spacing[axis] * level.factor[axis] as f64);
            // The centre of the first voxel moves as voxels grow.
            let shift: [f64; 3] =
                std::array::from_fn(|axis| info.origin[axis] + (level.factor[axis] as f64 - 1.0) / 2.0 * spacing[axis]);
            let mut steps =
                vec![json!({ "type": "scale", "scale": along(&info.axes, [step, 1.0, scale[0], scale[1], scale[2]]) })];
            if shift != [0.0; 3] {
                let by = along(&info.axes, [0.0, 0.0, shift[0], shift[1], shift[2]]);
                steps.push(json!({ "type": "translation", "translation": by }));
            }
            json!({ "path": at.to_string(), "coordinateTransformations": steps })
        })
        .collect();
    let old = options.version == NgffVersion::V04;
    let mut multiscale = json!({ "name": name, "axes": axes, "datasets": datasets });
    if levels.len() > 1 {
        multiscale["type"] = json!(options.downsample.name());
    }
    let mut block = json!({ "multiscales": [Json::Null] });
    if old {
        multiscale["version"] = json!("0.4");
    } else {
        block["version"] = json!("0.5");
    }
    block["multiscales"][0] = multiscale;
    if label {
        block["image-label"] = json!({ "source": { "image": "../../" } });
        if old {
            block["image-label"]["version"] = json!("0.4");
        }
    }
    if !info.channels.is_empty() && !label {
        let (low, high) = match info.dtype {
            Dtype::U8 => (0.0, 255.0),
            Dtype::U16 => (0.0, 65_535.0),
            Dtype::I8 => (-128.0, 127.0),
            Dtype::I16 => (-32_768.0, 32_767.0),
            Dtype::U32 | Dtype::U64 => (0.0, f64::from(u32::MAX)),
            Dtype::I32 | Dtype::I64 => (f64::from(i32::MIN), f64::from(i32::MAX)),
            _ => (0.0, 1.0),
        };
        let colours = ["00FF00", "FF00FF", "00FFFF", "FFFF00", "FF0000", "0000FF"];
        let only = info.channels.len() == 1;
        let channels: Vec<Json> = info
            .channels
            .iter()
            .enumerate()
            .map(|(at, name)| {
                let colour = if only { "FFFFFF" } else { colours[at % colours.len()] };
                let window = json!({ "min": low, "max": high, "start": low, "end": high });
                json!({ "label": name, "color": colour, "active": true, "window": window })
            })
            .collect();
        block["omero"] = json!({ "channels": channels });
        if old {
            block["omero"]["version"] = json!("0.4");
        }
    }
    let mut attributes = if old { block } else { json!({ "ome": block }) };
    if let Some(orientation) = info.orientation {
        attributes["zensaibo"] = json!({ "orientation": orientation.to_string() });
    }
    attributes
}
