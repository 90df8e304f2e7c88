"""Writes normal.tsv and student.tsv: logarithms of tail probabilities to 17 digits.

Python 3.11, mpmath 1.3.0. Run in this folder: python make.py
"""

import mpmath as mp

mp.mp.dps = 60


def student(t, df):
    t, df = mp.mpf(t), mp.mpf(df)
    x = df / (df + t * t)
    return mp.log(mp.betainc(df / 2, mp.mpf(1) / 2, 0, x, regularized=True))


def normal(z):
    return mp.log(mp.erfc(mp.mpf(z) / mp.sqrt(2)))


if __name__ == "__main__":
    with open("normal.tsv", "w") as out:
        for z in [1e-9, 0.01, 0.5, 1, 2.5, 4.99, 5.01, 6, 8.3, 12, 20, 37.5, 39, 60, 250, 1e4]:
            out.write(f"{z!r}\t{mp.nstr(normal(z), 17)}\n")
    with open("student.tsv", "w") as out:
        for df in [0.7, 1.3, 2, 5.5, 17.25, 39.9, 40.1, 333.3, 4096.5, 98765.4]:
            for t in [1e-6, 0.02, 0.7, 1.7, 1.74, 2.1, 3.9, 9.5, 38.0, 77.7, 240.0, 1500.0]:
                out.write(f"{t!r}\t{df!r}\t{mp.nstr(student(t, df), 17)}\n")
