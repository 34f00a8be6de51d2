"""The same picture more than once: byte for byte, or resized, recompressed, cropped, mirrored, brightened.

Perceptual hashes of several views (Zauner 2010, pHash) propose pairs of pictures; what a pair has in common
is then measured on small copies, brought into line: the correlation of their gradients, each over its
neighbours'. Hashes alone flag pictures that are only composed alike, a bright flower in the middle of a green
ground, and one strong outline would rule plain gradients; fine edges everywhere do not coincide by chance.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import cache

import numpy as np
from PIL import Image

from linnaea.data.dataset import Dataset
from linnaea.data.groups import joined, numbered
from linnaea.data.problems import Problem
from linnaea.text import listed

THUMBNAIL = 64
"""Side of the small grey copies that are compared, in pixels, whatever the shape of the picture."""

SMALLEST = 64
"""Shorter side in pixels below which pictures are compared byte for byte only: two digits 3 in 28 x 28 pixels
are as alike as a photograph and its copy."""

# Bits of 64 that may differ for a pair to be looked at. Of 150 flowers cropped by up to 5 % at random, all
# are within 10, and 4 of 100,000 pairs of different flowers; at 12 these would be 33.
_NEAR_BITS = 10
# Correlation from which two pictures are the same. Copies of those flowers, cropped by up to 5 %, reached
# 0.89 or more; of 1,469 pairs of different flowers within 14 bits the most alike 0.39.
_SAME = 0.75
# A pair takes 3 ms. Of data in which more pairs look alike (scans, X-rays), the nearest are compared.
_MOST_COMPARED = 20_000
MOST_WITH_VIEWS = 40_000
"""Up to so many pictures crops are looked for: every view is compared with every picture, in some 20 s."""
_BLOCK = 4_000_000  # distances held at a time: 32 MB as uint64

# What is left of a picture that was cropped by 5 %: left, upper, right, lower as shares of its sides.
_VIEWS = (
    (0.0, 0.0, 1.0, 1.0),
    (0.025, 0.025, 0.975, 0.975),
    (0.05, 0.05, 0.95, 0.95),
    (0.0, 0.0, 0.95, 0.95),
    (0.05, 0.0, 1.0, 0.95),
    (0.0, 0.05, 0.95, 1.0),
    (0.05, 0.05, 1.0, 1.0),
)
# The same for one side alone, as pairs are aligned: every combination of two is tried.
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


def view_hashes(thumbnail: Image.Image) -> np.ndarray:
    """Return the 64-bit perceptual hashes (pHash) of a picture's views.

    thumbnail: a grey Pillow image of THUMBNAIL x THUMBNAIL pixels.

    Returns ndarray of uint64, (8,): the whole picture, six crops of it, the whole picture mirrored.
    """
    import imagehash

    side = thumbnail.width
    boxes = [tuple(side * edge for edge in view) for view in _VIEWS]
    views = [thumbnail.resize((32, 32), Image.Resampling.BILINEAR, box=box) for box in boxes]  # type: ignore[arg-type]
    views.append(views[0].transpose(Image.Transpose.FLIP_LEFT_RIGHT))
    bits = np.stack([imagehash.phash(view).hash.ravel() for view in views])
    return np.packbits(bits, axis=1).view(np.uint64).ravel()


def near_copies(hashes: np.ndarray, thumbnails: np.ndarray) -> np.ndarray:
    """Return for each picture the first that it is the same as, but for the changes named above: int (n,).

    A pair that others have joined is not compared, so that the frames of a film do not take the square of
    their number.

    hashes: ndarray of uint64, (n, 8), as view_hashes gives them
    thumbnails: ndarray of uint8, (n, 64, 64), grey
    """
    from scipy.cluster.hierarchy import DisjointSet

    alike = DisjointSet(range(len(hashes)))
    compared = 0
    for first, second in _candidates(hashes).tolist():
        if compared == _MOST_COMPARED:
            break
        if not alike.connected(first, second):
            compared += 1
            if likeness(thumbnails[first], thumbnails[second]) >= _SAME:
                alike.merge(first, second)
    same = np.arange(len(hashes))
    for subset in alike.subsets():
        same[list(subset)] = min(subset)
    return same


def likeness(first: np.ndarray, second: np.ndarray) -> float:
    """Return how well the edges of two grey thumbnails (64, 64) coincide once they are aligned: -1 to 1.

    Either may be a crop of the other, or of its mirror image: the best of all is what counts.
    """
    best = 0.0
    for whole, part in ((first, second), (second, first)):
        views = _unit_gradients(_crops(whole))
        for seen in (part, part[:, ::-1]):
            # The first crop is the whole.
            best = max(best, float((views @ _unit_gradients(_crops(seen)[:1])[0]).max()))
    return best


def find_copies(
    dataset: Dataset, hashes: Sequence[str], small: Mapping[int, tuple[np.ndarray, np.ndarray]]
) -> tuple[np.ndarray, list[Problem]]:
    """Return which pictures are the same, and what is wrong with that.

    hashes: of each picture's content; "" for one that cannot be used, which is nobody's copy.
    small: row → (view_hashes, thumbnail of uint8 (64, 64)) of each picture that can be compared.

    Returns (ids, problems): int64 (n,), equal for pictures that are the same; one problem or two for each
    group of them.
    """
    exact = numbered(hashes)
    first = set(np.unique(exact, return_index=True)[1].tolist())
    # Of a picture that is there several times, one is compared with the others.
    rows = [row for row in small if row in first]
    near = np.arange(len(dataset))
    if rows:
        views, thumbnails = (np.stack([small[row][which] for row in rows]) for which in (0, 1))
        near[rows] = np.array(rows)[near_copies(views, thumbnails)]
    ids = joined(len(dataset), [exact, near])
    groups: dict[int, list[int]] = defaultdict(list)
    for row, number in enumerate(ids.tolist()):
        groups[number].append(row)
    problems = [
        problem
        for group in groups.values()
        if len(group) > 1
        for problem in _copy_problems(dataset, hashes, group)
    ]
    if len(rows) > MOST_WITH_VIEWS:
        message = (
            "Near copies were searched among whole pictures and their mirror images, not among crops: "
            f"there are {len(rows):,} different pictures, and crops are compared up to {MOST_WITH_VIEWS:,}."
        )
        problems.append(Problem("crops_not_searched", "note", (), message))
    return ids, problems


def _copy_problems(dataset: Dataset, hashes: Sequence[str], rows: list[int]) -> list[Problem]:
    """Return what is wrong with copies of one picture: a leak, a doubtful label, both, or just copies."""
    paths = tuple(sorted(dataset.paths[row] for row in rows))
    labels = sorted({str(dataset.labels[row]) for row in rows})
    held = {str(dataset.splits[row]) for row in rows} if dataset.splits is not None else set()
    splits = sorted(filter(None, held))
    exact = len({hashes[row] for row in rows}) == 1
    kind = "exact_duplicate" if exact else "near_duplicate"
    same = "are the same, byte for byte" if exact else "are the same picture, nearly"
    message = f"{len(rows)} pictures {same}: {listed(paths)}"
    problems = []
    if len(splits) > 1:
        # Whoever knows a test picture already is not tested by it.
        severity = "error" if "test" in splits else "warning"
        leak = f"{message}; they lie in different sets ({listed(splits)})."
        problems.append(Problem(f"{kind}_across_splits", severity, paths, leak))
    if len(labels) > 1:
        doubt = f"{message}; their labels differ ({listed(labels)})."
        problems.append(Problem(f"{kind}_across_classes", "warning", paths, doubt))
    return problems or [Problem(kind, "warning", paths, f"{message}.")]


def _candidates(hashes: np.ndarray) -> np.ndarray:
    """Return the pairs whose hashes are near, (m, 2) with first < second, the nearest first."""
    count = len(hashes)
    views = len(_VIEWS) if count <= MOST_WITH_VIEWS else 1
    # The mirrored whole stands last: a crop of one is compared with the other and with its mirror image.
    targets = (np.ascontiguousarray(hashes[:, 0]), np.ascontiguousarray(hashes[:, -1]))
    rows_at_once = max(1, _BLOCK // max(count, 1))
    near = []
    for view in range(views):
        for start in range(0, count, rows_at_once):
            block = hashes[start : start + rows_at_once, view, None]
            for target in targets:
                bits = np.bitwise_count(block ^ target)
                first, second = np.nonzero(bits <= _NEAR_BITS)
                near.append(np.stack([start + first, second, bits[first, second]], axis=1))
    pairs = np.concatenate(near) if near else np.zeros((0, 3), np.int64)
    pairs = pairs[pairs[:, 0] != pairs[:, 1]]
    pairs[:, :2].sort(axis=1)
    # Of the several ways in which a pair is near, the nearest: unique keeps the first.
    pairs = pairs[np.argsort(pairs[:, 2], kind="stable")]
    _, kept = np.unique(pairs[:, :2], axis=0, return_index=True)
    return pairs[np.sort(kept), :2]


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
