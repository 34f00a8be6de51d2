"""Two pictures brought into line: how alike they are, and where they differ.

What a pair has in common is measured on small grey copies: the correlation of their gradients, each over its
neighbours'. One strong outline would rule plain gradients; fine edges everywhere do not coincide by chance.

A shared background has edges everywhere as well. What distinguishes a copy from another picture of the same
scene is where they differ: a copy differs a little everywhere, by its compression and its light; in a scene,
something came, went or was exchanged in one place. So the pair is registered to a fraction of a pixel, with a
curve from the tones of one to those of the other (Lucas and Kanade 1981, weighted as by Tukey so that what
differs pulls at nothing), and what is left over is measured against the rest of the picture.
"""

from dataclasses import dataclass
from functools import cache, lru_cache

import numpy as np

THUMBNAIL = 64
"""Side of the small grey copies that are compared, in pixels, whatever the shape of the picture."""

# What is left of one side of a picture that was cropped, as pairs are aligned: every combination of two is
# tried.
_SPANS = (
    (0, 1),
    (0, 0.975),
    (0.025, 1),
    (0.025, 0.975),
    (0, 0.95),
    (0.05, 1),
    (0.05, 0.95),
    (0, 0.9),
    (0.1, 1),
)
_ALIGNED = 32  # pixels a side of the copies that are correlated
_NEIGHBOURS = 5  # pixels a side of the square whose gradients a gradient is measured against
# Least strength of such a square, as a share of the picture's: noise in an even sky is not blown up.
_FAINT = 0.1

_SMOOTHED = 0.8  # pixels of a Gaussian over both thumbnails, so that they can be shifted by less than a pixel
# Rounds of the registration, by the levels of grey that each may be wrong for want of those after it.
_DOUBTS = (8.0, 6.0, 4.0, 3.0, 2.0, 1.5, 1.0)
_FARTHEST = 2.5  # pixels that it may move any corner from where the correlation put it
# Levels from which white and to which black may have been cut off: a copy that was made brighter lost what
# was beyond.
_WHITE, _BLACK = 240, 12
_QUIET = 1.5  # levels of grey: least noise that what differs is measured against
_DISPLACED = 0.3  # pixels by which an edge of both may be displaced or softened once they are registered
# Side of the square in which a difference stands out, in pixels: colours that a brighter copy cut off, one by
# one, make a whole region differ by a little.
_REGION = 15
_MARGIN = 2  # pixels at each border that may come from outside of the other picture
_CENTRE = (THUMBNAIL - 1) / 2
_HALF = THUMBNAIL / 2


@dataclass(frozen=True, eq=False)
class Aligned:
    """Two thumbnails brought into line: `part` is `whole`, cropped to these shares of its sides.

    likeness: float
        How well their edges coincide, -1 to 1.
    whole, part: ndarray of uint8, (64, 64)
        The two, `part` mirrored where that fits better.
    rows, columns: (float, float)
        What of the height and the width of `whole` is seen in `part`.
    """

    likeness: float
    whole: np.ndarray
    part: np.ndarray
    rows: tuple[float, float]
    columns: tuple[float, float]


def align(first: np.ndarray, second: np.ndarray) -> Aligned:
    """Return two grey thumbnails, uint8 (64, 64), as they coincide best.

    Either may be a crop of the other, or of its mirror image: the best of all is what counts.
    """
    best = Aligned(0.0, first, second, (0, 1), (0, 1))
    for whole, other in ((first, second), (second, first)):
        views = _views(whole.tobytes())[0]
        for part, edges in zip((other, other[:, ::-1]), _views(other.tobytes())[1], strict=True):
            alike = views @ edges
            crop = int(alike.argmax())
            if alike[crop] > best.likeness:
                rows, columns = (_SPANS[span] for span in divmod(crop, len(_SPANS)))
                best = Aligned(float(alike[crop]), whole, part, rows, columns)
    return best


@lru_cache(128)
def _views(thumbnail: bytes) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray]]:
    """Return the unit gradients of all crops of a thumbnail, and those of the whole and of its mirror image.

    A frame of a scene is compared with hundreds of others; 0.6 MB are kept for each.
    """
    whole = np.frombuffer(thumbnail, np.uint8).reshape(THUMBNAIL, THUMBNAIL)
    # The first crop is the whole.
    itself, mirrored = (_unit_gradients(_crops(part)[:1])[0] for part in (whole, whole[:, ::-1]))
    return _unit_gradients(_crops(whole)), (itself, mirrored)


def forget() -> None:
    """Give back the memory of what thumbnails were compared by."""
    _views.cache_clear()


def change(pair: Aligned) -> float:
    """Return how much two aligned thumbnails differ in the place where they differ most.

    In units of what light, compression and a displacement by a fraction of a pixel leave over: the mean over
    3 x 3 of the thumbnails' pixels, a twentieth of the width of the picture.
    """
    from scipy.ndimage import uniform_filter

    left_over, sharpness, inside, noise = _registered(pair)
    around = uniform_filter(left_over * inside, _REGION) / np.maximum(
        uniform_filter(inside.astype(np.float64), _REGION), 0.2
    )
    stands_out = (left_over - around) * inside
    allowed = np.hypot(max(noise, _QUIET), _DISPLACED * sharpness)
    return float(np.abs(uniform_filter(stands_out / allowed, 3)).max())


def _registered(pair: Aligned) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """Return what a pair differs by once it is registered and its tones are matched, all (64, 64).

    Returns (left_over, sharpness, inside, noise): the difference in levels of grey; how strong an edge both
    have there or a pixel beside it, in levels a pixel; whether `whole` has the place at all; the usual
    difference, robustly.
    """
    from scipy.ndimage import affine_transform, gaussian_filter, maximum_filter

    whole, part = (
        gaussian_filter(picture.astype(np.float64), _SMOOTHED, mode="nearest")
        for picture in (pair.whole, pair.part)
    )
    down, right = ((np.mgrid[:THUMBNAIL, :THUMBNAIL] - _CENTRE) / _HALF).reshape(2, -1)
    # Where a place of `part` lies in `whole`: the centre, and what a step to the border adds, in pixels.
    spans = (pair.rows, pair.columns)
    centre = np.array([(low + high) / 2 * THUMBNAIL - 0.5 for low, high in spans])
    reach = np.diag([(high - low) * _HALF for low, high in spans])
    begun = np.column_stack([centre, reach])
    place = begun.copy()
    middle, spread = whole.mean(), max(whole.std(), 1.0)
    inside = np.zeros((THUMBNAIL, THUMBNAIL), bool)
    inside[_MARGIN:-_MARGIN, _MARGIN:-_MARGIN] = True
    weights = inside.astype(np.float64)
    for doubt in _DOUBTS:
        last = doubt == _DOUBTS[-1]
        matrix = place[:, 1:] / _HALF
        offset = place[:, 0] - matrix @ [_CENTRE, _CENTRE]
        moved = affine_transform(whole, matrix, offset, order=1, mode="nearest")
        slopes = np.stack(np.gradient(moved))
        tone = (moved.ravel() - middle) / spread
        columns = [np.ones_like(tone), tone, tone**2]
        if not last:
            columns += [slope.ravel() * along for slope in slopes for along in (1, down, right)]
        basis = np.stack(columns)
        # The last of them, with the registration done, matches the tones alone.
        for _ in range(3 if last else 1):
            weighted = basis * weights.ravel()
            normal = weighted @ basis.T
            # A hair of ridge: an even picture does not say where it lies.
            normal += np.diag(1e-6 * np.diag(normal) + 1e-6)
            found = np.linalg.solve(normal, weighted @ part.ravel())
            left_over = _unexplained((part.ravel() - found @ basis).reshape(part.shape), moved, part)
            noise = 1.4826 * float(np.median(np.abs(left_over[inside])))
            weights = np.clip(1 - (left_over / (4.7 * max(noise, doubt))) ** 2, 0, 1) ** 2 * inside
            weights[left_over == 0] = 0
        if not last:
            # A level of `part` for each of `whole`, by which the slopes were taken.
            gain = max(found[1] / spread, 0.2)
            place += found[3:].reshape(2, 3) / gain
            place = begun + np.clip(place - begun, -_FARTHEST, _FARTHEST)
    corners = place[:, 0, None] + place[:, 1:] @ np.stack([down, right])
    seen = ((corners >= 1) & (corners <= THUMBNAIL - 2)).all(axis=0).reshape(part.shape)
    edges = [maximum_filter(np.hypot(*across), 3) for across in (slopes, np.gradient(part))]
    sharpness = np.minimum(*edges)
    return left_over, sharpness, inside & seen, noise


def _unexplained(difference: np.ndarray, whole: np.ndarray, part: np.ndarray) -> np.ndarray:
    """Return the difference of `part` from what `whole` lets expect; 0 where a cut-off tone excuses it.

    What is white may have been brighter, and what is black darker, before it was cut off.
    """
    excused = ((whole >= _WHITE) | (part <= _BLACK)) & (difference > 0)
    excused |= ((whole <= _BLACK) | (part >= _WHITE)) & (difference < 0)
    return np.where(excused, 0.0, difference)


@cache
def _sampling() -> np.ndarray:
    """Return the matrix that resamples a line of a thumbnail: _ALIGNED pixels of each span, in a column.

    A triangle filter as wide as a target pixel, as Pillow's bilinear resize.
    """
    centres = np.arange(THUMBNAIL) + 0.5
    rows = []
    for low, high in _SPANS:
        step = (high - low) * THUMBNAIL / _ALIGNED
        targets = low * THUMBNAIL + (np.arange(_ALIGNED) + 0.5) * step
        weights = np.clip(1 - np.abs(centres - targets[:, None]) / step, 0, None)
        rows.append(weights / weights.sum(axis=1, keepdims=True))
    return np.concatenate(rows).astype(np.float32)


def _crops(thumbnail: np.ndarray) -> np.ndarray:
    """Return every crop of a thumbnail, (81, _ALIGNED, _ALIGNED) float32; the first is the whole."""
    spans = len(_SPANS)
    resampled = _sampling() @ thumbnail.astype(np.float32) @ _sampling().T
    tiles = resampled.reshape(spans, _ALIGNED, spans, _ALIGNED).swapaxes(1, 2)
    return tiles.reshape(spans * spans, _ALIGNED, _ALIGNED)


def _unit_gradients(pictures: np.ndarray) -> np.ndarray:
    """Return horizontal and vertical differences as one row a picture, of mean 0 and length 1.

    Each is divided by the strength of its neighbourhood first, so that no single outline outweighs the rest.
    An even picture has none, and is like nothing: its row is zero.
    """
    from scipy.ndimage import uniform_filter

    across = pictures[:, 1:, 1:] - pictures[:, 1:, :-1]
    down = pictures[:, 1:, 1:] - pictures[:, :-1, 1:]
    power = across**2 + down**2
    around = uniform_filter(power, size=(0, _NEIGHBOURS, _NEIGHBOURS), mode="nearest")
    # 1: a level of grey, below which a difference is rounding. The filter's running sums may fall below 0.
    strength = np.sqrt(np.maximum(around, 0) + _FAINT**2 * power.mean(axis=(1, 2), keepdims=True) + 1)
    rows = np.concatenate(
        [(across / strength).reshape(len(pictures), -1), (down / strength).reshape(len(pictures), -1)], axis=1
    )
    rows -= rows.mean(axis=1, keepdims=True)
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.divide(rows, length, out=np.zeros_like(rows), where=length > 1e-3)
