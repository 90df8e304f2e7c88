"""Flat-field of the images of `test_im_flatfield.tiles()` by the reference implementation of BaSiC.

Made with basicpy 1.2.0, jax and jaxlib 0.4.23, hyperactive 4.5.0, gradient-free-optimizers 1.3.0, numpy 1.26.4, Python 3.11, in an
environment of its own: `python make.py`. Writes flatfield.npy (float32, 90 x 110, mean 1).
"""

import sys
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent


def main() -> None:
    from basicpy import BaSiC

    # The images of the test, which imports nothing but numpy for them.
    source = (HERE.parents[1] / "test_im_flatfield.py").read_text()
    space: dict = {"np": np}
    start, end = source.index("SIZE ="), source.index("@pytest.fixture")
    exec(source[start:end], space)
    images, _ = space["tiles"]()
    model = BaSiC(get_darkfield=False, smoothness_flatfield=1.0)
    model.fit(images)
    field = np.asarray(model.flatfield, np.float64)
    truth = space["vignette"]()
    print("basicpy: root mean square error", np.sqrt(((field / field.mean() - truth) ** 2).mean()), file=sys.stderr)
    np.save(HERE / "flatfield.npy", (field / field.mean()).astype(np.float32))


if __name__ == "__main__":
    main()
