"""Metadata of OME-Zarr images and labels that the schemas of OME-NGFF 0.4 and 0.5, and ome-zarr-models, accept.

    python make.py        # writes attributes.json beside itself

Made with ngff-zarr 0.50.0 (which carries the JSON schemas), jsonschema 4.26.0, ome-zarr-models 1.7 and zarr 3.1.6. What is
checked is what zensaibo writes for the array of `test_im_ome_zarr.py`; the test then holds zensaibo to it where these packages
are not installed.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

import ngff_zarr
import zarr
from ome_zarr_models import v04, v05

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parents[1]))

from test_im_ome_zarr import NODES, attributes, write_all  # noqa: E402

golden = {}
for version, models in (("0.4", v04), ("0.5", v05)):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "brain.ome.zarr"
        write_all(path, version)
        found = {node: attributes(path / node) for node in NODES}
        for node, block in found.items():
            if node != "labels":
                ngff_zarr.validate(block, version=version, model="image")
            if node.startswith("labels/"):
                ngff_zarr.validate(block, version=version, model="label")
        models.Image.from_zarr(zarr.open_group(path, mode="r"))
        models.ImageLabel.from_zarr(zarr.open_group(path / "labels" / "cells", mode="r"))
        golden[version] = found
(HERE / "attributes.json").write_text(json.dumps(golden, indent=1) + "\n")
