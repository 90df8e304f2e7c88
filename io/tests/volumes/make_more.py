"""Writes small volumes in HDF5 (Imaris, BDV, plain), N5, NIfTI, NRRD and npy into the folder given, and `index.json` with
what a reader must find in them. Run by the tests of the io crate; needs numpy and h5py.
"""

import gzip
import json
import struct
import sys
from pathlib import Path

import h5py
import numpy as np

out = Path(sys.argv[1])
rng = np.random.default_rng(3)
index = []


def expect(name, array, axes, *, spacing=None, step=None, channels=(), origin=None, level=None, open=None, orientation=None):
    array = np.ascontiguousarray(array)
    assert array.ndim == 5
    (out / f"{name.replace('/', '_')}.raw").write_bytes(array.astype(array.dtype.newbyteorder("=")).tobytes())
    index.append(
        dict(name=name, shape=array.shape, dtype=array.dtype.name, axes=axes, spacing=spacing, step=step, channels=list(channels),
             origin=origin, level=level, open=open, orientation=orientation)
    )


def noise(shape, dtype="u2"):
    dtype = np.dtype(dtype)
    if dtype.kind == "f":
        return rng.normal(size=shape).astype(dtype)
    return rng.integers(0, min(np.iinfo(dtype).max, 60000), shape).astype(dtype)


five = noise((2, 3, 9, 21, 33))
stack = five[0, 0]

# Imaris: padded arrays, attributes as arrays of letters
letters = lambda text: np.array(list(text), "S1")
with h5py.File(out / "im.ims", "w") as f:
    image = f.create_group("DataSetInfo/Image")
    for k, (name, n, extent) in enumerate(zip("XYZ", (33, 21, 9), (33 * 0.5, 21 * 0.5, 9 * 2.0))):
        image.attrs[name] = letters(str(n))
        image.attrs[f"ExtMin{k}"] = letters("10.0")
        image.attrs[f"ExtMax{k}"] = letters(str(10.0 + extent))
    image.attrs["Unit"] = letters("um")
    for c in range(3):
        f.create_group(f"DataSetInfo/Channel {c}").attrs["Name"] = letters(f"stain {c}")
    for level in range(2):
        for t in range(2):
            for c in range(3):
                data = five[t, c] if level == 0 else five[t, c][:, ::2, ::2]
                padded = np.zeros([-(-n // 8) * 8 for n in data.shape], "u2")
                padded[tuple(slice(n) for n in data.shape)] = data
                group = f.create_group(f"DataSet/ResolutionLevel {level}/TimePoint {t}/Channel {c}")
                for name, n in zip("ZYX", data.shape):
                    group.attrs[f"ImageSize{name}"] = letters(str(n))
                group.create_dataset("Data", data=padded, chunks=(8, 8, 16 if level == 0 else 8), compression="gzip")
names = [f"stain {c}" for c in range(3)]
expect("im.ims", five, "tczyx", spacing=[2, 0.5, 0.5], channels=names, origin=[11.0, 10.25, 10.25])
expect("im_level1", five[..., ::2, ::2], "tczyx", spacing=[2, 10.5 / 11, 16.5 / 17], channels=names,
       origin=[11.0, 10 + 10.5 / 22, 10 + 16.5 / 34], level=1, open="im.ims")

# BDV
setups = "".join(
    f"<ViewSetup><id>{c}</id><name>chan{c}</name><size>33 21 9</size><voxelSize><unit>nm</unit><size>500 500 2000</size></voxelSize>"
    f"<attributes><illumination>0</illumination><channel>{c}</channel><tile>0</tile><angle>0</angle></attributes></ViewSetup>" for c in range(3)
)
xml = lambda loader: (
    '<?xml version="1.0" encoding="UTF-8"?><SpimData version="0.2"><BasePath type="relative">.</BasePath><SequenceDescription>'
    f'{loader}<ViewSetups>{setups}</ViewSetups><Timepoints type="range"><first>0</first><last>1</last></Timepoints>'
    "</SequenceDescription><ViewRegistrations/></SpimData>"
)
with h5py.File(out / "bdv.h5", "w") as f:
    for c in range(3):
        f[f"s{c:02}/resolutions"] = np.array([[1, 1, 1], [2, 2, 1]], "f8")
        f[f"s{c:02}/subdivisions"] = np.array([[16, 8, 4], [16, 8, 4]], "i4")
        for t in range(2):
            f.create_dataset(f"t{t:05}/s{c:02}/0/cells", data=five[t, c].view("i2"), chunks=(4, 8, 16), compression="gzip")
            f.create_dataset(f"t{t:05}/s{c:02}/1/cells", data=five[t, c][:, ::2, ::2].view("i2"), chunks=(4, 8, 16), compression="gzip")
(out / "bdv.xml").write_text(xml('<ImageLoader format="bdv.hdf5"><hdf5 type="relative">bdv.h5</hdf5></ImageLoader>'))
names = ["chan0", "chan1", "chan2"]
for name in ["bdv.h5", "bdv.xml"]:
    expect(name, five, "tczyx", spacing=[2, 0.5, 0.5], channels=names)
expect("bdv_level1", five[..., ::2, ::2], "tczyx", spacing=[2, 1, 1], channels=names, level=1, open="bdv.xml")

# N5
CODES = {"raw": lambda b: b, "gzip": gzip.compress}
import numcodecs
CODES["zstd"] = numcodecs.Zstd().encode
CODES["blosc"] = numcodecs.Blosc("lz4", shuffle=1).encode


def n5(folder, array, block, kind="gzip", **more):
    """Block lengths in numpy order."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "attributes.json").write_text(json.dumps(
        {"dimensions": array.shape[::-1], "blockSize": block[::-1], "dataType": array.dtype.name, "compression": {"type": kind}, **more}))
    for at in np.ndindex(*[-(-n // b) for n, b in zip(array.shape, block)]):
        part = array[tuple(slice(i * b, i * b + b) for i, b in zip(at, block))]
        if not part.any():
            continue
        place = folder.joinpath(*[str(i) for i in at[::-1]])
        place.parent.mkdir(parents=True, exist_ok=True)
        head = struct.pack(f">HH{part.ndim}I", 0, part.ndim, *part.shape[::-1])
        place.write_bytes(head + CODES[kind](np.ascontiguousarray(part).astype(part.dtype.newbyteorder(">")).tobytes()))


for kind in CODES:
    n5(out / f"n5_{kind}", stack, (4, 8, 16), kind, resolution=[0.5, 0.5, 2.0], units=["um", "um", "um"])
    expect(f"n5_{kind}", stack[None, None], "zyx", spacing=[2, 0.5, 0.5])
for kind in ["u1", "i4", "u8", "f4", "f8"]:
    array = noise((5, 11, 13), kind)
    array[:2, :4] = 0
    n5(out / f"n5_{kind}", array, (2, 4, 8))
    expect(f"n5_{kind}", array[None, None], "zyx")
n5(out / "n5_axes", five[0], (2, 4, 8, 16), axes=["x", "y", "z", "c"])
expect("n5_axes", five[:1], "czyx")
root = out / "pyramid.n5"
n5(root / "s0", stack, (4, 8, 16), pixelResolution={"dimensions": [0.5, 0.5, 2.0], "unit": "um"})
n5(root / "s1", stack[:, ::2, ::2], (4, 8, 16), pixelResolution={"dimensions": [1, 1, 2.0], "unit": "um"})
(root / "attributes.json").write_text(json.dumps({"n5": "2.0.0"}))
expect("pyramid.n5", stack[None, None], "zyx", spacing=[2, 0.5, 0.5])
expect("pyramid_level1", stack[None, None, :, ::2, ::2], "zyx", spacing=[2, 1, 1], level=1, open="pyramid.n5")
root = out / "views.n5"
for c in range(3):
    for t in range(2):
        n5(root / f"setup{c}/timepoint{t}/s0", five[t, c], (4, 8, 16))
(root / "attributes.json").write_text(json.dumps({"n5": "2.0.0"}))
(out / "views.xml").write_text(xml('<ImageLoader format="bdv.n5"><n5 type="relative">views.n5</n5></ImageLoader>'))
for name in ["views.n5", "views.xml"]:
    expect(name, five, "tczyx", spacing=[2, 0.5, 0.5], channels=names)

# plain HDF5: every layout and filter
import hdf5plugin
for name, how in {
    "whole": {}, "chunks": dict(chunks=(4, 8, 16)), "gzip": dict(chunks=(4, 8, 16), compression="gzip", shuffle=True, fletcher32=True),
    "lzf": dict(chunks=(4, 8, 16), compression="lzf"), "zstd": dict(chunks=(4, 8, 16), **hdf5plugin.Zstd()),
}.items():
    with h5py.File(out / f"{name}.h5", "w") as f:
        f.create_dataset("exported/data", data=stack, **how)
    expect(f"{name}.h5", stack[None, None], "zyx")
with h5py.File(out / "big_endian.h5", "w") as f:
    f.create_dataset("data", data=stack.astype(">u2"), chunks=(4, 8, 16))
expect("big_endian.h5", stack[None, None], "zyx")
with h5py.File(out / "fill.h5", "w") as f:
    f.create_dataset("data", shape=(9, 20, 20), dtype="i2", chunks=(4, 8, 8), fillvalue=-3)[:3, :4, :4] = 5
    expect("fill.h5", f["data"][:][None, None], "zyx")

# npy
np.save(out / "c.npy", stack)
expect("c.npy", stack[None, None], "zyx")
np.save(out / "fortran.npy", np.asfortranarray(stack))
expect("fortran.npy", stack[None, None], "zyx")
np.save(out / "big.npy", stack.astype(">u2"))
expect("big.npy", stack[None, None], "zyx")
np.save(out / "flat.npy", noise((20, 30), "f4"))
expect("flat.npy", np.load(out / "flat.npy")[None, None, None], "yx")


# NIfTI by hand, from its specification
def nifti(name, array, code, *, pixdim=(0.5, 0.5, 2.0), units=3, slope=1.0, shift=0.0, affine=None, quatern=None, order="<", step=0.0):
    """`array` is (t, z, y, x)."""
    head = bytearray(352)
    put = lambda at, form, *values: struct.pack_into(order + form, head, at, *values)
    t, z, y, x = array.shape
    put(0, "i", 348)
    put(40, "8h", 4 if t > 1 else 3, x, y, z, t, 1, 1, 1)
    put(70, "hh", code, array.dtype.itemsize * 8)
    put(76, "8f", 1.0, *pixdim, step, 0, 0, 0)
    put(108, "fff", 352.0, slope, shift)
    head[123] = units
    if affine:
        put(254, "h", 1)
        put(280, "12f", *np.ravel(affine))
    if quatern:
        put(252, "h", 1)
        put(256, "3f", *quatern)
    head[344:348] = b"n+1\0"
    data = bytes(head) + array.astype(array.dtype.newbyteorder(order)).tobytes()
    (out / name).write_bytes(gzip.compress(data) if name.endswith("gz") else data)


ras = [[0.5, 0, 0, 0], [0, 0.5, 0, 0], [0, 0, 2, 0]]
nifti("ras.nii", stack[None], 512, affine=ras)
expect("ras.nii", stack[None, None], "zyx", spacing=[2, 0.5, 0.5], orientation="ipl")
nifti("turned.nii.gz", stack[None], 512, affine=[[0, 0, -2, 0], [0, -0.5, 0, 0], [0.5, 0, 0, 0]], pixdim=(0.0005, 0.0005, 0.002), units=2)
expect("turned.nii.gz", stack[None, None], "zyx", spacing=[2, 0.5, 0.5], orientation="rai")
nifti("quatern.nii", stack[None], 512, quatern=(0.0, 0.0, 1.0), order=">")
expect("quatern.nii", stack[None, None], "zyx", spacing=[2, 0.5, 0.5], orientation="iar")
movie = noise((3, 4, 5, 6), "i2")
nifti("movie.nii", movie, 4, units=3 + 8, step=2.5)
expect("movie.nii", movie[:, None], "tzyx", spacing=[2, 0.5, 0.5], step=2.5)
nifti("unknown.nii", stack[None], 512, units=0)
expect("unknown.nii", stack[None, None], "zyx")
nifti("scaled.nii", noise((1, 4, 5, 6), "u1"), 2, slope=0.5, shift=-3.0)
data = np.frombuffer((out / "scaled.nii").read_bytes()[352:], "u1").reshape(1, 1, 4, 5, 6)
expect("scaled.nii", (data * 0.5 - 3.0).astype("f4"), "zyx", spacing=[2, 0.5, 0.5])


# NRRD by hand
def nrrd(name, header, data, detached=None):
    text = "NRRD0004\n# by hand\n" + "\n".join(header)
    if detached:
        (out / name).write_text(text + f"\ndata file: {detached}\n")
        (out / detached).write_bytes(data)
    else:
        (out / name).write_bytes(text.encode() + b"\n\n" + data)


lengths = "sizes: 33 21 9"
base = ["type: unsigned short", "dimension: 3", lengths, "endian: little"]
nrrd("raw.nrrd", base + ["encoding: raw", 'spacings: 0.5 0.5 2', 'units: "um" "um" "um"'], stack.tobytes())
expect("raw.nrrd", stack[None, None], "zyx", spacing=[2, 0.5, 0.5])
space = ["space: left-posterior-superior", "space directions: (0.0005,0,0) (0,-0.0005,0) (0,0,0.002)", 'space units: "mm" "mm" "mm"']
nrrd("packed.nrrd", base + ["encoding: gzip", *space], gzip.compress(stack.tobytes()))
expect("packed.nrrd", stack[None, None], "zyx", spacing=[2, 0.5, 0.5], orientation="ipr")
nrrd("apart.nhdr", base[:3] + ["endian: big", "encoding: raw", space[0], space[1]], stack.astype(">u2").tobytes(), detached="apart.bin")
expect("apart.nhdr", stack[None, None], "zyx", orientation="ipr")
colours = noise((4, 5, 6, 3), "u1")
nrrd("colours.nrrd", ["type: uchar", "dimension: 4", "sizes: 3 6 5 4", "encoding: raw", "kinds: RGB-color domain domain domain"], colours.tobytes())
index_name = "colours.nrrd"
expect(index_name, colours.transpose(3, 0, 1, 2)[None], "czyx")

(out / "index.json").write_text(json.dumps(index))
with h5py.File(out / "two.h5", "w") as f:
    f["a"] = stack
    f["b"] = stack
np.save(out / "four.npy", five[0])
tiles = xml('<ImageLoader format="bdv.hdf5"><hdf5 type="relative">bdv.h5</hdf5></ImageLoader>').replace("<tile>0</tile>", "<tile>1</tile>", 1)
(out / "tiles.xml").write_text(tiles)
