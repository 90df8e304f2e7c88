"""What pycpd 2.0.0 gives for small clouds: `make.py FOLDER`, FOLDER holding pycpd (pip install --no-deps --target FOLDER pycpd)."""

import json
import sys
from pathlib import Path

import numpy as np


def clouds(dimensions: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    moving = rng.normal(size=(40, dimensions))
    angle = 0.4
    turn = np.eye(dimensions)
    turn[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    fixed = 1.3 * moving[:32] @ turn.T + 0.2 + 0.05 * rng.normal(size=(32, dimensions)) + 0.1 * np.sin(moving[:32])
    return moving, fixed


if __name__ == "__main__":
    sys.path.insert(0, sys.argv[1])
    from pycpd import AffineRegistration, DeformableRegistration, RigidRegistration

    out = []
    for dimensions in (2, 3):
        moving, fixed = clouds(dimensions)
        for kind, registration, extra in (
            ("similarity", RigidRegistration, {}),
            ("affine", AffineRegistration, {}),
            ("nonrigid", DeformableRegistration, {"beta": 1.5, "alpha": 0.7}),
        ):
            for outliers in (0.0, 0.2):
                for iterations in (7, 100):
                    found = registration(X=fixed, Y=moving, w=outliers, max_iterations=iterations, tolerance=1e-5, **extra)
                    placed, _ = found.register()
                    out.append(
                        {
                            "dimensions": dimensions, "kind": kind, "outliers": outliers, "max_iterations": iterations,
                            "iterations": found.iteration, "sigma2": float(found.sigma2), "placed": placed.tolist(),
                        }
                    )  # fmt: skip
    (Path(__file__).parent / "pycpd.json").write_text(json.dumps(out))
