"""The three matrix products of a dense layer, in place, through SciPy's BLAS.

All through one library: NumPy and SciPy each bring an OpenBLAS with threads of its own, and threads of one
that spin while the other computes cost a factor of ten and more on a small machine.

Weights are kept (outputs, inputs): with that layout OpenBLAS is some percent faster over the three together.

BLAS counts columns first, so each row-major array goes in as its transposed view and the products are written
the other way round: (x·wᵀ)ᵀ = w·xᵀ. `out` must be contiguous and of the same type as the factors, or SciPy
would silently work on a copy; every caller here owns its buffers.
"""

from collections.abc import Callable

import numpy as np
from scipy.linalg.blas import dgemm, sgemm


def product(x: np.ndarray, w: np.ndarray, out: np.ndarray) -> np.ndarray:
    """out ← x·wᵀ, for x (n, inputs), w (outputs, inputs), out (n, outputs)."""
    _gemm(out)(1.0, w.T, x.T, 0.0, out.T, 1, 0, 1)
    return out


def product_back(delta: np.ndarray, w: np.ndarray, out: np.ndarray) -> np.ndarray:
    """out ← delta·w, for delta (n, outputs), w (outputs, inputs), out (n, inputs)."""
    _gemm(out)(1.0, w.T, delta.T, 0.0, out.T, 0, 0, 1)
    return out


def accumulate(delta: np.ndarray, x: np.ndarray, into: np.ndarray, scale: float, keep: float) -> None:
    """into ← keep·into + scale·deltaᵀ·x, for delta (n, outputs), x (n, inputs), into (outputs, inputs)."""
    _gemm(into)(scale, x.T, delta.T, keep, into.T, 0, 1, 1)


def _gemm(out: np.ndarray) -> Callable[..., np.ndarray]:
    return sgemm if out.dtype == np.float32 else dgemm
