"""Writes small OME-Zarr images and arrays with zarr-python into the folder given, and `index.json` with what a reader
must find in them. Run by the tests of the io crate; needs numpy and zarr.
"""

import json
import sys
from pathlib import Path

import numpy as np
import zarr
from zarr.codecs import BloscCodec, GzipCodec, ZstdCodec

out = Path(sys.argv[1])
rng = np.random.default_rng(5)
index = []
UNITS = {"t": "second", "z": "micrometer", "y": "micrometer", "x": "micrometer"}


def expect(name, array, axes, *, spacing=None, step=None, channels=(), origin=None, level=None, open=None, orientation=None):
    array = np.ascontiguousarray(array)
    (out / f"{name.replace('/', '_')}.raw").write_bytes(array.astype(array.dtype.newbyteorder("=")).tobytes())
    index.append(
        dict(name=name, shape=array.shape, dtype=array.dtype.name, axes=axes, spacing=spacing, step=step, channels=list(channels),
             origin=origin, level=level, open=open, orientation=orientation)
    )


def five(array, axes):
    """(t, c, z, y, x) of an array with some of those axes, in any order."""
    order = [axes.index(axis) for axis in "tczyx" if axis in axes]
    array = array.transpose(order)
    return array[tuple(slice(None) if axis in axes else None for axis in "tczyx")]


def noise(shape, dtype):
    dtype = np.dtype(dtype)
    if dtype.kind == "f":
        return rng.normal(size=shape).astype(dtype)
    if dtype.kind == "b":
        return rng.random(shape) < 0.3
    return rng.integers(0, min(np.iinfo(dtype).max, 1000), shape).astype(dtype)


def space(axes, scale):
    return [{"name": a, "type": {"t": "time", "c": "channel"}.get(a, "space"), **({"unit": UNITS[a]} if a in UNITS else {})} for a in axes]


def image(name, version, axes, array, scale, *, shift=None, omero=None, wide=None, extra=None, **how):
    """Two levels; `wide` is a transformation of the whole image."""
    root = zarr.open_group(str(out / name), mode="w", zarr_format=2 if version == "0.4" else 3)
    names = {} if version == "0.4" else {"dimension_names": list(axes)}
    small = array[tuple(slice(None, None, 2) if axis in "yx" else slice(None) for axis in axes)]
    datasets = []
    for level, (data, factor) in enumerate([(array, 1), (small, 2)]):
        node = root.create_array(str(level), data=data, **names, **how)
        del node
        step = [s * (factor if axis in "yx" else 1) for s, axis in zip(scale, axes)]
        steps = [{"type": "scale", "scale": step}]
        if shift:
            steps.append({"type": "translation", "translation": shift})
        datasets.append({"path": str(level), "coordinateTransformations": steps})
    multiscale = {"axes": space(axes, scale), "datasets": datasets, "name": name}
    if wide:
        multiscale["coordinateTransformations"] = wide
    block = {"multiscales": [multiscale]}
    if omero:
        block["omero"] = {"channels": [{"label": label} for label in omero]}
    block.update(extra or {})
    if version == "0.4":
        multiscale["version"] = "0.4"
        root.attrs.update(block)
    else:
        root.attrs.update({"ome": {"version": version, **block}})
    return small


array = noise((2, 3, 9, 25, 33), "u2")
axes, scale = "tczyx", [30.0, 1.0, 2.0, 0.5, 0.25]
small = image("v04.zarr", "0.4", axes, array, scale, omero="abc", shift=[0, 0, 10.0, 20.0, 30.0], chunks=(1, 1, 4, 8, 16))
expect("v04.zarr", array, axes, spacing=[2, 0.5, 0.25], step=30.0, channels="abc", origin=[10, 20, 30])
expect("v04_level1", small, axes, spacing=[2, 1.0, 0.5], step=30.0, channels="abc", origin=[10, 20, 30], level=1, open="v04.zarr")
small = image("v05.zarr", "0.5", axes, array, scale, omero="abc", chunks=(1, 2, 4, 8, 16), shards=(1, 2, 8, 24, 32))
expect("v05.zarr", array, axes, spacing=[2, 0.5, 0.25], step=30.0, channels="abc")
expect("v05_level1", small, axes, spacing=[2, 1.0, 0.5], step=30.0, channels="abc", level=1, open="v05.zarr")
image("wide.zarr", "0.5", "zyx", array[0, 0], [1.0, 1.0, 1.0], wide=[{"type": "scale", "scale": [4.0, 2.0, 2.0]}])
expect("wide.zarr", array[0, 0][None, None], "zyx", spacing=[4, 2, 2])
image("flat.zarr", "0.5", "cyx", array[0, :, 0], [1.0, 0.5, 0.5])
expect("flat.zarr", five(array[0, :, 0], "cyx"), "cyx", spacing=[0.5, 0.5, 0.5])
turned = np.ascontiguousarray(array[0].transpose(3, 1, 0, 2))
image("turned.zarr", "0.5", "xzcy", turned, [0.25, 2.0, 1.0, 0.5], chunks=(7, 4, 2, 5))
expect("turned.zarr", five(turned, "xzcy"), "czyx", spacing=[2, 0.5, 0.25])

# every type and codec; what was never written is the fill value
for kind in ["b1", "u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f2", "f4", "f8"]:
    array = noise((5, 11, 13), kind)
    zarr.create_array(str(out / f"type_{kind}"), data=array, chunks=(2, 4, 8), dimension_names=list("zyx"))
    expect(f"type_{kind}", array[None, None], "zyx")
codecs = {"blosc": BloscCodec(cname="lz4", shuffle="bitshuffle"), "gzip": GzipCodec(), "zstd": ZstdCodec(checksum=True), "none": None}
array = noise((5, 40, 43), "u2")
for name, codec in codecs.items():
    zarr.create_array(str(out / f"codec_{name}"), data=array, chunks=(2, 16, 16), shards=(4, 32, 48), compressors=codec)
    expect(f"codec_{name}", array[None, None], "zyx")
import numcodecs
for name, codec in {"blosc": numcodecs.Blosc("zstd", 3, 1), "zlib": numcodecs.Zlib(), "gzip": numcodecs.GZip(), "zstd": numcodecs.Zstd(), "none": None}.items():
    for kind in ["<u2", ">u2", "<f4"]:
        data = array.astype(kind)
        label = f"v2_{name}_{kind[1:]}_{'big' if kind[0] == '>' else 'little'}"
        zarr.create_array(str(out / label), data=data, chunks=(2, 16, 16), compressors=codec, zarr_format=2)
        expect(label, data[None, None], "zyx")
node = zarr.create_array(str(out / "fill"), shape=(8, 20, 20), chunks=(4, 8, 8), dtype="i2", fill_value=-7)
node[:3, :5, :5] = 3
expect("fill", node[:][None, None], "zyx")

# 0.6: systems of coordinates
for name, steps in {
    "v06": {"type": "sequence", "transformations": [{"type": "scale", "scale": [2.0, 0.5, 0.5]}, {"type": "translation", "translation": [1.0, 2.0, 3.0]}]},
    "v06_identity": {"type": "identity"},
}.items():
    root = zarr.open_group(str(out / f"{name}.zarr"), mode="w")
    root.create_array("s0", data=array, dimension_names=list("zyx"))
    sides = {"z": "anterior-to-posterior", "y": "superior-to-inferior", "x": "right-to-left"}
    own = [{**axis, "orientation": {"type": "anatomical", "value": sides[axis["name"]]}} for axis in space("zyx", None)]
    root.attrs["ome"] = {"version": "0.6rc0", "multiscales": [{
        "coordinateSystems": [{"name": "world", "axes": space("zyx", None)}, {"name": "physical", "axes": own}],
        "datasets": [{"path": "s0", "coordinateTransformations": [{**steps, "input": {"path": "s0"}, "output": {"name": "physical"}}]}],
        "coordinateTransformations": [{"type": "affine", "affine": [[1, 0, 0, 0]], "input": {"name": "physical"}, "output": {"name": "world"}}],
    }]}
    plain = name.endswith("identity")
    expect(f"{name}.zarr", array[None, None], "zyx", spacing=[1, 1, 1] if plain else [2, 0.5, 0.5], origin=None if plain else [1, 2, 3], orientation="asr")



def system(name, axes, kind="space", unit="micrometer"):
    kinds = {"t": ("time", "millisecond"), "c": ("channel", None)} if kind == "space" else {}
    described = [(axis, *kinds.get(axis, (kind, unit))) for axis in axes]
    return {"name": name, "axes": [{"name": a, "type": k, **({"unit": u} if u else {})} for a, k, u in described]}


def v06(name, arrays, systems, steps, wide=(), **parameters):
    """An image of 0.6rc0: `steps` lead from each level to the last of the systems; `parameters` are arrays beside them."""
    root = zarr.open_group(str(out / name), mode="w")
    for level, data in enumerate(arrays):
        root.create_array(f"s{level}", data=data, dimension_names=[a["name"] for a in systems[-1]["axes"]])
    for key, values in parameters.items():
        root.create_array(f"coordinateTransformations/{key}", data=np.array(values))
    home = {"name": systems[-1]["name"]}
    datasets = [{"path": f"s{i}", "coordinateTransformations": [{**step, "input": {"path": f"s{i}"}, "output": home}]} for i, step in enumerate(steps)]
    wide = [{**step, "input": home, "output": {"name": to}} for step, to in wide]
    root.attrs["ome"] = {"version": "0.6rc0", "multiscales": [
        {"name": name, "coordinateSystems": systems, "datasets": datasets, **({"coordinateTransformations": wide} if wide else {})}]}


# The specification's own images: three levels along five axes; a system beyond the intrinsic one; one of array indices.
array = noise((2, 3, 8, 12, 16), "u2")
levels = [array, array[..., ::2, ::2, ::2], array[..., ::4, ::4, ::4]]
v06("example.zarr", levels, [system("intrinsic", "tczyx")], [{"type": "scale", "scale": [0.1, 1.0, s, s, s]} for s in (0.5, 1.0, 2.0)])
for level, um in enumerate((0.5, 1.0, 2.0)):
    expect(f"example_{level}", levels[level], "tczyx", spacing=[um] * 3, step=1e-4, level=level, open="example.zarr")
plane = noise((20, 30), "u1")
v06("further.zarr", [plane], [system("physical", "yx"), system("intrinsic", "yx")], [{"type": "scale", "scale": [1, 1]}],
    [({"type": "scale", "scale": [10, 10]}, "physical")])
expect("further.zarr", five(plane, "yx"), "yx", spacing=[1, 1, 1])
indices = system("indices", ["dim_0", "dim_1"], "array", None)
v06("indices.zarr", [plane], [system("physical", "yx"), indices], [{"type": "identity"}], [({"type": "scale", "scale": [0.236, 0.236]}, "physical")])
expect("indices.zarr", five(plane, "yx"), "yx", spacing=[0.236] * 3)
v06("indices_alone.zarr", [plane], [indices], [{"type": "identity"}])
expect("indices_alone.zarr", five(plane, "yx"), "yx")
# Maps that move no axis off the others, however they are written; names that are free, of types that are not.
volume = noise((5, 11, 13), "u2")
free = [system("bent", "zyx"), system("home", "zyx")]
steps = {
    "map_affine": {"type": "affine", "affine": [[2, 0, 0, 7], [0, 0.5, 0, 8], [0, 0, 0.25, 9]]},
    "map_stored": {"type": "affine", "path": "coordinateTransformations/affine"},
    "map_parts": {"type": "byDimension", "transformations": [
        {"inputAxes": [0], "outputAxes": [0], "transformation": {"type": "affine", "affine": [[2, 7]]}},
        {"inputAxes": [1, 2], "outputAxes": [1, 2], "transformation": {"type": "sequence", "transformations": [
            {"type": "scale", "scale": [0.5, 0.25]}, {"type": "translation", "translation": [8, 9]}]}}]},
}
for name, step in steps.items():
    v06(f"{name}.zarr", [volume], free, [step], [({"type": "displacements", "path": "coordinateTransformations/field"}, "bent")],
        affine=[[2.0, 0, 0, 7], [0, 0.5, 0, 8], [0, 0, 0.25, 9]])
    expect(f"{name}.zarr", volume[None, None], "zyx", spacing=[2, 0.5, 0.25], origin=[7, 8, 9])
order = {"type": "sequence", "transformations": [{"type": "scale", "scale": [2, 0.5, 0.25]}, {"type": "mapAxis", "mapAxis": [2, 0, 1]}]}
v06("map_order.zarr", [volume], [system("home", "zyx")], [order])
expect("map_order.zarr", volume.transpose(2, 0, 1)[None, None], "zyx", spacing=[0.25, 2, 0.5])
named = {"name": "home", "axes": [{"name": "frame", "type": "time", "unit": "second"}, {"name": "stain", "type": "channel"}, *system("", "ZYX")["axes"]]}
v06("names.zarr", [array], [named], [{"type": "scale", "scale": [3, 1, 2, 1, 1]}])
expect("names.zarr", array, "tczyx", spacing=[2, 1, 1], step=3.0)

(out / "index.json").write_text(json.dumps(index))

# what is no single image
root = zarr.open_group(str(out / "plate.zarr"), mode="w")
root.attrs["ome"] = {"version": "0.5", "plate": {"wells": [{"path": "A/1"}, {"path": "B/2"}]}}
for well in ["A/1", "B/2"]:
    root.create_group(well).attrs["ome"] = {"version": "0.5", "well": {"images": [{"path": "0"}, {"path": "1"}]}}
# maps that a spacing cannot say
turn = [[1, 0, 0], [0, 0.8, -0.6], [0, 0.6, 0.8]]
for name, step in {
    "affine": {"type": "affine", "affine": []},
    "sheared": {"type": "affine", "affine": [[2, 0, 0, 7], [0, 0.5, 0.1, 8], [0, 0, 0.25, 9]]},
    "turned_stored": {"type": "rotation", "path": "coordinateTransformations/turn"},
    "mirrored": {"type": "scale", "scale": [2, 1, -1]},
    "bent": {"type": "displacements", "path": "coordinateTransformations/turn"},
    "no_parameters": {"type": "rotation", "path": "coordinateTransformations/none"},
}.items():
    v06(f"{name}.zarr", [volume], [system("home", "zyx")], [step], turn=turn)
v06("indices_turned.zarr", [plane], [system("physical", "yx"), indices], [{"type": "identity"}], [({"type": "rotation", "rotation": [[0.8, -0.6], [0.6, 0.8]]}, "physical")])
v06("indices_many.zarr", [array[0]], [system("indices", ["dim_0", "dim_1", "dim_2", "dim_3"], "array", None)], [{"type": "identity"}])
v06("twice.zarr", [plane], [system("home", "yx")], [{"type": "identity"}])
root = zarr.open_group(str(out / "twice.zarr"), mode="a")
ome = root.attrs["ome"]
ome["multiscales"][0]["datasets"][0]["coordinateTransformations"] *= 2
root.attrs["ome"] = ome
# the specification's scene of tiles, and one of no image
root = zarr.open_group(str(out / "scene.zarr"), mode="w")
root.attrs["ome"] = {"version": "0.6rc0", "scene": {"coordinateSystems": [system("world", "yx")], "coordinateTransformations": [
    {"type": "translation", "translation": by, "name": f"tile_{i} to world", "input": {"path": f"tile_{i}", "name": "physical"}, "output": {"name": "world"}}
    for i, by in enumerate([[0, 0], [0, 348], [276, 0], [276, 348]])]}}
v06("scene.zarr/tile_1", [plane], [system("physical", "yx")], [{"type": "scale", "scale": [2, 2]}])
root = zarr.open_group(str(out / "scene_alone.zarr"), mode="w")
root.attrs["ome"] = {"version": "0.6rc0", "scene": {"coordinateTransformations": [{"type": "identity", "input": {"name": "a"}, "output": {"name": "b"}}]}}
zarr.create_array(str(out / "four"), data=noise((2, 3, 4, 5), "u1"))
zarr.create_array(str(out / "text"), data=np.array(["a", "b"], "U3"))
