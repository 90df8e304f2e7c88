"""Writes small TIFF volumes with tifffile into the folder given, and `index.json` with what a reader must find in them.

Run by the tests of the io crate; needs numpy and tifffile.
"""

import json
import sys
from pathlib import Path

import numpy as np
import tifffile

out = Path(sys.argv[1])
rng = np.random.default_rng(7)
index = []


def expect(name, array, axes, *, spacing=None, step=None, channels=(), chunk=None):
    """`array` is (t, c, z, y, x)."""
    array = np.ascontiguousarray(array)
    assert array.ndim == 5
    (out / f"{name}.raw").write_bytes(array.tobytes())
    index.append(
        dict(name=name, shape=array.shape, dtype=array.dtype.name, axes=axes, spacing=spacing, step=step,
             channels=list(channels))
    )


def noise(shape, dtype="u2"):
    dtype = np.dtype(dtype)
    if dtype.kind == "f":
        return rng.normal(size=shape).astype(dtype)
    high = min(np.iinfo(dtype).max, 2**40)
    return (rng.integers(0, 50, shape) + np.arange(shape[-1]) * (high // 500)).astype(dtype)


def smooth(shape, dtype="u2"):
    return np.cumsum(noise(shape, "f8"), -1).__mul__(20).astype("i8").astype(dtype)


stack = noise((5, 37, 53))
five = stack[None, None]

tifffile.imwrite(out / "plain.tif", stack)
expect("plain.tif", five, "zyx")
tifffile.imwrite(out / "one.tif", stack[0], metadata=None)
expect("one.tif", five[:, :, :1], "yx")
tifffile.imwrite(out / "big.tif", stack, bigtiff=True, metadata=None)
expect("big.tif", five, "zyx")
tifffile.imwrite(out / "big_endian.tif", stack, byteorder=">", metadata=None)
expect("big_endian.tif", five, "zyx")
tifffile.imwrite(out / "big_endian_big.tif", stack, byteorder=">", bigtiff=True, metadata=None, compression="zlib", predictor=2)
expect("big_endian_big.tif", five, "zyx")
for kind in ["u1", "i1", "i2", "u4", "i4", "u8", "i8", "f2", "f4", "f8"]:
    array = noise((3, 20, 31), kind)
    tifffile.imwrite(out / f"type_{kind}.tif", array, metadata=None, photometric="minisblack")
    expect(f"type_{kind}.tif", array[None, None], "zyx")
for compression in ["zlib", "zstd", "lzw", "packbits"]:
    for predictor in [False, True]:
        if compression == "packbits" and predictor:
            continue
        for rows, tile in [(7, None), (None, (16, 32))]:
            name = f"{compression}_{int(predictor)}_{'tiles' if tile else 'strips'}.tif"
            array = smooth((4, 37, 53))
            tifffile.imwrite(out / name, array, compression=compression, predictor=predictor, rowsperstrip=rows, tile=tile, metadata=None, photometric="minisblack")
            expect(name, array[None, None], "zyx")
for byteorder in "<>":
    array = smooth((2, 33, 40), "f4")
    name = f"float_predictor_{'big' if byteorder == '>' else 'little'}.tif"
    tifffile.imwrite(out / name, array, compression="zlib", predictor=True, byteorder=byteorder, metadata=None)
    expect(name, array[None, None], "zyx")
tifffile.imwrite(out / "tiles.tif", stack, tile=(16, 16), metadata=None)
expect("tiles.tif", five, "zyx")

rgb = noise((3, 21, 30, 3), "u1")
tifffile.imwrite(out / "rgb.tif", rgb, photometric="rgb", metadata=None)
expect("rgb.tif", rgb.transpose(3, 0, 1, 2)[None], "czyx")
tifffile.imwrite(out / "rgb_lzw.tif", rgb, photometric="rgb", metadata=None, compression="lzw", rowsperstrip=4)
expect("rgb_lzw.tif", rgb.transpose(3, 0, 1, 2)[None], "czyx")
apart = rgb.transpose(0, 3, 1, 2)
tifffile.imwrite(out / "rgb_apart.tif", apart, photometric="rgb", planarconfig="separate", metadata=None)
expect("rgb_apart.tif", rgb.transpose(3, 0, 1, 2)[None], "czyx")

# tifffile's own description
tifffile.imwrite(out / "shaped_axes.tif", noise((2, 3, 4, 9, 11)), metadata={"axes": "TZCYX"})
array = tifffile.imread(out / "shaped_axes.tif")
expect("shaped_axes.tif", array.transpose(0, 2, 1, 3, 4), "tczyx")
tifffile.imwrite(out / "truncated_shape.tif", stack, truncate=True)
expect("truncated_shape.tif", five, "zyx")

# ImageJ: channels run fastest, then slices, then frames
hyper = noise((2, 4, 3, 19, 23))
tifffile.imwrite(
    out / "imagej.tif", hyper, imagej=True, resolution=(1 / 0.5, 1 / 0.25),
    metadata={"axes": "TZCYX", "spacing": 2.5, "unit": "um", "finterval": 30.0},
)
expect("imagej.tif", hyper.transpose(0, 2, 1, 3, 4), "tczyx", spacing=[2.5, 0.25, 0.5], step=30.0)
tifffile.imwrite(
    out / "imagej_one_page.tif", hyper, imagej=True, truncate=True, resolution=(2000, 2000),
    metadata={"axes": "TZCYX", "spacing": 0.0025, "unit": "mm"},
)
expect("imagej_one_page.tif", hyper.transpose(0, 2, 1, 3, 4), "tczyx", spacing=[2.5, 0.5, 0.5])
tifffile.imwrite(out / "imagej_pixels.tif", stack, imagej=True, metadata={"axes": "ZYX"})
expect("imagej_pixels.tif", five, "zyx")

# OME
sizes = {"PhysicalSizeX": 0.4, "PhysicalSizeY": 400, "PhysicalSizeYUnit": "nm", "PhysicalSizeZ": 0.002, "PhysicalSizeZUnit": "mm"}
tifffile.imwrite(
    out / "ome.ome.tif", hyper, ome=True, compression="zlib", tile=(16, 16),
    metadata={"axes": "TZCYX", "Channel": {"Name": ["a", "b", "c"]}, "TimeIncrement": 1.5, "TimeIncrementUnit": "min", **sizes},
)
expect("ome.ome.tif", hyper.transpose(0, 2, 1, 3, 4), "tczyx", spacing=[2.0, 0.4, 0.4], step=90.0, channels="abc")
for axes in ["TCZYX", "CTZYX", "ZTCYX", "CZTYX", "ZCTYX"]:
    array = noise(tuple({"T": 2, "C": 3, "Z": 4, "Y": 9, "X": 11}[axis] for axis in axes))
    name = f"ome_{axes}.ome.tif"
    tifffile.imwrite(out / name, array, ome=True, metadata={"axes": axes})
    expect(name, array.transpose([axes.index(axis) for axis in "TCZYX"]), "tczyx")
array = noise((4, 40, 48))
with tifffile.TiffWriter(out / "ome_pyramid.ome.tif", ome=True) as writer:
    writer.write(array, subifds=1, tile=(16, 16), metadata={"axes": "ZYX"})
    writer.write(array[:, ::2, ::2], subfiletype=1, tile=(16, 16))
expect("ome_pyramid.ome.tif", array[None, None], "zyx")
array = noise((3, 21, 30, 3), "u1")
tifffile.imwrite(out / "ome_rgb.ome.tif", array, ome=True, photometric="rgb", metadata={"axes": "ZYXS"})
expect("ome_rgb.ome.tif", array.transpose(3, 0, 1, 2)[None], "czyx")

# folders
folder = out / "planes"
folder.mkdir()
many = noise((12, 17, 19))
for z, plane in enumerate(many):
    tifffile.imwrite(folder / f"slice_Z{z + 1}.tif", plane, metadata=None)
(folder / "notes.txt").write_text("beside")
expect("planes", many[None, None], "zyx")
folder = out / "planes_channels"
folder.mkdir()
many = noise((2, 2, 3, 17, 19))
for t in range(2):
    for c in range(2):
        for z in range(3):
            tifffile.imwrite(folder / f"brain1_t{t}_ch{c:02}_z{z:04}.tiff", many[t, c, z], metadata=None, compression="zlib")
expect("planes_channels", many, "tczyx")

(out / "index.json").write_text(json.dumps(index))
