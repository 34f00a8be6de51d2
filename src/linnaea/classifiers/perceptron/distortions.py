"""Elastic and affine distortion of small square grey pictures (Simard, Steinkraus and Platt 2003).

Each picture is read at displaced positions: a smooth random field (elastic) on top of a random rotation,
scaling, shear and shift about its centre (affine). Strengths are those the literature on MNIST uses
(Simard 2003; Cireşan et al. 2010).
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from linnaea.errors import DataError

# Pictures distorted at a time: the arrays on the way stay in the cache.
SLICE = 100


@dataclass(frozen=True)
class Strengths:
    """How far pictures are bent. All draws are uniform between minus and plus the strength.

    elastic: float
        Typical displacement is elastic / (2·sqrt(3·π)·sigma) pixels: white noise of this height, smoothed.
    sigma: float
        Standard deviation of the smoothing Gaussian, in pixels.
    rotation: float
        In degrees.
    scale, shear: float
        As fractions of the picture's side; the two axes are scaled apart.
    shift: float
        In pixels.
    """

    elastic: float = 36.0
    sigma: float = 5.0
    rotation: float = 10.0
    scale: float = 0.12
    shear: float = 0.1
    shift: float = 1.5


DIGITS = Strengths()


def distort(
    x: np.ndarray, rng: np.random.Generator, strengths: Strengths = DIGITS, out: np.ndarray | None = None
) -> np.ndarray:
    """Return distorted copies of the rows of x (n, side·side), or write them to out, which may be x itself.

    Outside a picture there is 0. All of it is computed in float32.
    """
    side = side_of(x.shape[1])
    out = np.empty_like(x) if out is None else out
    for start in range(0, len(x), SLICE):
        pictures = x[start : start + SLICE].reshape(-1, side, side)
        rows, columns = _positions(len(pictures), side, rng, strengths)
        out[start : start + SLICE] = _sample(pictures, rows, columns).reshape(len(pictures), -1)
    return out


def side_of(features: int) -> int:
    """Return the side of a square grey picture. Raises DataError where the features make none."""
    side = math.isqrt(features)
    if side * side != features:
        raise DataError(
            f"augment='digits' bends square grey pictures; {features} features make none.",
            "Set augment=None.",
        )
    return side


def _positions(n: int, side: int, rng: np.random.Generator, strengths: Strengths) -> np.ndarray:
    """Return where each pixel is read from, (2, n, side, side): rows and columns, in pixels, float32."""
    smooth = _gaussian(side, strengths.sigma)
    noise = rng.random((2, n, side, side), dtype=np.float32)
    noise -= 0.5
    noise *= 2 * strengths.elastic
    # Separable: one Gaussian matrix on either side smooths rows and columns.
    positions = np.matmul(np.matmul(smooth, noise), smooth.T, out=noise)
    matrices, shifts = _affine(n, rng, strengths)
    centre = (side - 1) / 2
    offset = np.arange(side, dtype=np.float32) - np.float32(centre)
    for axis in (0, 1):
        # position = centre + shift + M·(pixel - centre): a part from the rows, a part from the columns.
        from_rows = matrices[:, axis, 0, None] * offset + (shifts[:, axis, None] + np.float32(centre))
        from_columns = matrices[:, axis, 1, None] * offset
        positions[axis] += from_rows[:, :, None]
        positions[axis] += from_columns[:, None, :]
    return positions


def _affine(n: int, rng: np.random.Generator, strengths: Strengths) -> tuple[np.ndarray, np.ndarray]:
    """Return random matrices (n, 2, 2) and shifts (n, 2), float32."""
    u = rng.uniform(-1, 1, (n, 6)).astype(np.float32)
    angle = np.deg2rad(strengths.rotation) * u[:, 0]
    cosine, sine = np.cos(angle), np.sin(angle)
    scale_rows, scale_columns = 1 + strengths.scale * u[:, 1], 1 + strengths.scale * u[:, 2]
    shear = strengths.shear * u[:, 3]
    # rotation · [[scale_rows, 0], [shear, scale_columns]]
    matrices = np.empty((n, 2, 2), np.float32)
    matrices[:, 0, 0] = cosine * scale_rows - sine * shear
    matrices[:, 0, 1] = -sine * scale_columns
    matrices[:, 1, 0] = sine * scale_rows + cosine * shear
    matrices[:, 1, 1] = cosine * scale_columns
    return matrices, np.float32(strengths.shift) * u[:, 4:]


@lru_cache(maxsize=8)
def _gaussian(side: int, sigma: float) -> np.ndarray:
    """Return the matrix (side, side) that smooths along one axis; sigma in pixels."""
    distance = np.arange(side)[:, None] - np.arange(side)[None, :]
    # Not divided by each row's own sum: noise beyond the edge counts as zero, as in Simard's convolution.
    weights = np.exp(-0.5 * (distance / sigma) ** 2) / (sigma * np.sqrt(2 * np.pi))
    return weights.astype(np.float32)


def _sample(pictures: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Return the pictures read at fractional positions, bilinear, zero outside; overwrites the positions."""
    n, side, _ = pictures.shape
    wide = side + 2
    # A frame of zeros makes every position inside it: no test per pixel.
    padded = np.zeros((n, wide, wide), np.float32)
    padded[:, 1:-1, 1:-1] = pictures
    for positions in (rows, columns):
        positions += 1
        # Just below the last row, so that the neighbour at +1 exists.
        np.clip(positions, 0, np.nextafter(np.float32(wide - 1), np.float32(0)), out=positions)
    top, left = (
        rows.astype(np.int32),
        columns.astype(np.int32),
    )  # positions are not negative: truncation is floor
    rows -= top
    columns -= left
    index = top
    index *= wide
    index += left
    index += np.arange(n, dtype=np.int32)[:, None, None] * (wide * wide)
    flat = padded.reshape(-1)

    def along_row(first: int) -> np.ndarray:
        # The two neighbours in one row, mixed by the fraction of the column.
        a = np.take(flat[first:], index, mode="clip")
        b = np.take(flat[first + 1 :], index, mode="clip")
        b -= a
        b *= columns
        b += a
        return b

    upper, lower = along_row(0), along_row(wide)
    lower -= upper
    lower *= rows
    lower += upper
    return lower
