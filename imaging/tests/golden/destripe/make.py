"""Makes the golden files of `filters::destripe`: planes with stripes, and what wavelet and Fourier filtering leave of them.

Pinned: python 3.11, numpy 2.4.6, PyWavelets 1.9.0. Run as it stands: python make.py. Files are float32, little-endian, in C order; sizes
and parameters stand in `CASES` here and in `destripe/tests.rs`.

The reference works as Munch et al. (Optics Express 17, 8567, 2009) describe it, by PyWavelets' transform and numpy's FFT: at each level the
coefficients that are sharp across the stripes and smooth along them are multiplied, in Fourier space along the stripes, by
1 - exp(-k^2 / (2 s^2)).
"""

from pathlib import Path

import numpy as np
import pywt

HERE = Path(__file__).parent
#: Height, width, vanishing moments, levels, s.
CASES = [(48, 64, 3, 3, 2.5), (37, 53, 1, 5, 1.0), (60, 45, 7, 1, 6.0)]


def reference(image: np.ndarray, moments: int, levels: int, s: float) -> np.ndarray:
    wavelet = f"db{moments}"
    sizes, details = [], []
    coarse = image
    for _ in range(levels):
        sizes.append(coarse.shape)
        coarse, (edges, stripes, other) = pywt.dwt2(coarse, wavelet, mode="symmetric")
        spectrum = np.fft.fft(stripes, axis=0)
        k = np.fft.fftfreq(len(stripes), 1 / len(stripes))
        spectrum *= (1 - np.exp(-(k**2) / (2 * s * s)))[:, None]
        details.append((edges, np.fft.ifft(spectrum, axis=0).real, other))
    for size, detail in zip(sizes[::-1], details[::-1], strict=True):
        coarse = pywt.idwt2((coarse, detail), wavelet, mode="symmetric")[: size[0], : size[1]]
    return coarse


if __name__ == "__main__":
    random = np.random.default_rng(0)
    for case, (height, width, moments, levels, s) in enumerate(CASES):
        image = random.normal(100, 5, (height, width)) + random.normal(0, 20, width) + 30 * np.sin(np.arange(height) / 9)[:, None]
        image = image.astype("<f4")
        image.tofile(HERE / f"image_{case}.f32")
        reference(image.astype(float), moments, levels, s).astype("<f4").tofile(HERE / f"expected_{case}.f32")
