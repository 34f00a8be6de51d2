"""The three matrix products of a dense layer, in place, through SciPy's BLAS.

All through one library: NumPy and SciPy each bring an OpenBLAS with threads of its own, and threads of one
that spin while the other computes cost a factor of ten and more on a small machine.

BLAS counts columns first, so each row-major array goes in as its transposed view and the products are written
the other way round: (x·w)ᵀ = wᵀ·xᵀ. `out` must be contiguous and of the same type as the factors, or
SciPy would silently work on a copy; every caller here owns its buffers.
"""

from collections.abc import Callable

import numpy as np
from scipy.linalg.blas import dgemm, sgemm


def product(x: np.ndarray, w: np.ndarray, out: np.ndarray) -> np.ndarray:
    """out ← x·w, for x (n, inputs), w (inputs, outputs)."""
    _gemm(out)(1.0, w.T, x.T, 0.0, out.T, 0, 0, 1)
    return out


def product_transposed(delta: np.ndarray, w: np.ndarray, out: np.ndarray) -> np.ndarray:
    """out ← delta·wᵀ, for delta (n, outputs), w (inputs, outputs)."""
    _gemm(out)(1.0, w.T, delta.T, 0.0, out.T, 1, 0, 1)
    return out


def accumulate(x: np.ndarray, delta: np.ndarray, into: np.ndarray, scale: float, keep: float) -> None:
    """into ← keep·into + scale·xᵀ·delta, for x (n, rows), delta (n, columns), into (rows, columns)."""
    _gemm(into)(scale, delta.T, x.T, keep, into.T, 0, 1, 1)


def _gemm(out: np.ndarray) -> Callable[..., np.ndarray]:
    return sgemm if out.dtype == np.float32 else dgemm
