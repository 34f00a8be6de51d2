"""The same picture more than once: byte for byte, or resized, recompressed, cropped, mirrored, brightened.

Perceptual hashes of several views (Zauner 2010, pHash) propose pairs of pictures; only these are looked at.
Hashes alone flag pictures that are only composed alike, a bright flower in the middle of a green ground. So a
pair is aligned (see likeness): where its edges coincide it shows one scene, and where nothing stands out from
what is left over, it is one picture.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from linnaea.data.dataset import Dataset
from linnaea.data.groups import joined, numbered
from linnaea.data.likeness import align, change, forget
from linnaea.data.problems import Problem
from linnaea.text import counted, listed, option

if TYPE_CHECKING:
    from scipy.cluster.hierarchy import DisjointSet

NEAR, EXACT, OFF = COPIES = ("near", "exact", "off")
"""What may count as a copy: near duplicates as well, equal files only, nothing."""

SMALLEST = 64
"""Shorter side in pixels below which pictures are compared byte for byte only: two digits 3 in 28 x 28 pixels
are as alike as a photograph and its copy."""

# Bits of 64 that may differ for a pair to be looked at. Of 150 flowers cropped by up to 5 % at random, all
# are within 10, and 4 of 100,000 pairs of different flowers; at 12 these would be 33.
_NEAR_BITS = 10
# Correlation from which two pictures show one scene. Copies of those flowers, cropped by up to 5 %, reached
# 0.89 or more; of 1,469 pairs of different flowers within 14 bits the most alike 0.39.
_ALIKE = 0.75
# Change from which two pictures of one scene are two. Of photographs, 0.2 to 2.4 is left by compression,
# crops, blur, contrast and brightness; an ellipse of a quarter of the width makes 10 or more, a visible spot
# of 4 % or a caption 4 or more.
_CHANGED = 3.0
# A pair takes 3 ms, of one scene 6. Of data in which more pairs look alike (scans, X-rays), the nearest are
# compared.
_MOST_COMPARED = 20_000
# So often a picture is compared within its scene: the frames of a camera do not take the square of their
# number. A copy is among the nearest.
_MOST_IN_A_SCENE = 5
# Frames of one scene in which nothing changes that can be seen so small are as alike as copies. They are
# taken for frames from so many different pictures on …
_MANY = 5
_LARGE = 0.2  # … if they are more than this share of all pictures, a whole class, or several classes
_SOME = 3  # … or from so many on, if a scene shows nothing else as often, and so many different pictures
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


def near_copies(hashes: np.ndarray, thumbnails: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return for each picture the first near duplicate of it, and the first of its scene: int (n,) each.

    A pair that others have joined is not compared, so that the frames of a film do not take the square of
    their number.

    hashes: ndarray of uint64, (n, 8), as view_hashes gives them
    thumbnails: ndarray of uint8, (n, 64, 64), grey
    """
    from scipy.cluster.hierarchy import DisjointSet
    from threadpoolctl import threadpool_limits

    copies, scenes = DisjointSet(range(len(hashes))), DisjointSet(range(len(hashes)))
    compared = 0
    in_scene = [0] * len(hashes)
    candidates = _candidates(hashes).tolist()
    # The matrices are so small that threads would wait for one another.
    with threadpool_limits(1, user_api="blas"):
        for first, second in candidates:
            if compared == _MOST_COMPARED:
                break
            enough = min(in_scene[first], in_scene[second]) >= _MOST_IN_A_SCENE
            if copies.connected(first, second) or (enough and scenes.connected(first, second)):
                continue
            compared += 1
            pair = align(thumbnails[first], thumbnails[second])
            if pair.likeness < _ALIKE:
                continue
            in_scene[first] += 1
            in_scene[second] += 1
            scenes.merge(first, second)
            if change(pair) < _CHANGED:
                copies.merge(first, second)
    forget()
    return _firsts(copies), _firsts(scenes)


def _firsts(alike: "DisjointSet") -> np.ndarray:
    firsts = np.arange(len(alike))
    for subset in alike.subsets():
        firsts[list(subset)] = min(subset)
    return firsts


def find_copies(
    dataset: Dataset,
    hashes: Sequence[str],
    small: Mapping[int, tuple[np.ndarray, np.ndarray]],
    counts: str = NEAR,
) -> tuple[np.ndarray, np.ndarray, list[Problem]]:
    """Return which pictures are the same, which show one scene, and what is wrong with that.

    hashes: of each picture's content; "" for one that cannot be used, which is nobody's copy.
    small: row → (view_hashes, thumbnail of uint8 (64, 64)) of each picture that can be compared.
    counts: what counts as a copy, one of COPIES.

    Returns (copies, scenes, problems): int64 (n,), equal for pictures that are the same; the same for
    pictures of one scene, copies among them; one problem or two for each group of either.
    """
    apart = np.arange(len(dataset))
    if counts == OFF:
        return apart, apart, []
    exact = numbered(hashes)
    first = set(np.unique(exact, return_index=True)[1].tolist())
    # Of a picture that is there several times, one is compared with the others.
    rows = [row for row in small if row in first] if counts == NEAR else []
    near, scene = apart.copy(), apart.copy()
    if rows:
        views, thumbnails = (np.stack([small[row][which] for row in rows]) for which in (0, 1))
        near[rows], scene[rows] = (np.array(rows)[firsts] for firsts in near_copies(views, thumbnails))
    scenes = joined(len(dataset), [exact, scene])
    near = _captioned(dataset, near, scene, joined(len(dataset), [exact, near]), scenes)
    frames = _frames(dataset, hashes, small, joined(len(dataset), [exact, near]), scenes)
    near[frames] = frames
    copies = joined(len(dataset), [exact, near])
    problems = [problem for group in _together(copies) for problem in _copy_problems(dataset, hashes, group)]
    problems += [
        _scene_problem(dataset, group) for group in _together(scenes) if len(np.unique(copies[group])) > 1
    ]
    if len(rows) > MOST_WITH_VIEWS:
        message = (
            "Near duplicates were searched among whole pictures and their mirror images, not among crops: "
            f"there are {len(rows):,} different pictures, and crops are compared up to {MOST_WITH_VIEWS:,}."
        )
        problems.append(Problem("crops_not_searched", "note", (), message))
    return copies, scenes, problems


def _together(ids: np.ndarray) -> list[list[int]]:
    """Return the rows of each group of two or more, in the order of their first rows."""
    groups: dict[int, list[int]] = defaultdict(list)
    for row, number in enumerate(ids.tolist()):
        groups[number].append(row)
    return [group for group in groups.values() if len(group) > 1]


def _captioned(
    dataset: Dataset, near: np.ndarray, scene: np.ndarray, copies: np.ndarray, scenes: np.ndarray
) -> np.ndarray:
    """Return near, where two pictures of one class are copies if no other picture shows their scene.

    Published photographs are found with and without a caption. Where the data show scenes, in three pictures
    or more, such a pair is a scene that was seen twice.
    """
    groups = _together(scenes)
    kinds = [len(np.unique(copies[group])) for group in groups]
    near = near.copy()
    if max(kinds, default=0) < _SOME:
        for group in groups:
            if len(set(dataset.labels[group].tolist())) == 1:
                near[group] = scene[group]
    return near


def _frames(
    dataset: Dataset,
    hashes: Sequence[str],
    small: Mapping[int, tuple[np.ndarray, np.ndarray]],
    copies: np.ndarray,
    scenes: np.ndarray,
) -> np.ndarray:
    """Return the rows of near duplicates that are frames of a scene: so many are they, or so different is it.

    What fills a class or a good part of the data set, or stands in several classes time and again, is how
    the pictures were taken: one background, in which nothing could be seen to change. Elsewhere a scene's
    background is what it shows most often; pictures with the same thing in front of it are copies.
    """
    # How many different pictures are known of a scene.
    kinds = {int(scenes[group[0]]): len(np.unique(copies[group])) for group in _together(scenes)}
    pictures = len(set(filter(None, hashes)))
    in_class = Counter(dataset.labels.tolist())
    of_scene: dict[int, list[tuple[int, list[int]]]] = defaultdict(list)
    for group in _together(copies):
        of_scene[int(scenes[group[0]])].append((len({hashes[row] for row in group}), group))
    frames: list[int] = []
    for scene, groups in of_scene.items():
        groups.sort(key=lambda one: -one[0])
        most, background = groups[0]
        # Of two that are seen equally often, neither is the background.
        clear = all(different < most for different, _ in groups[1:])
        for different, group in groups:
            if different < _SOME:
                break
            of_class = Counter(dataset.labels[group].tolist())
            many = different >= _MANY and (
                (clear and group is background and different > _LARGE * pictures)
                or any(of_class[name] == in_class[name] for name in of_class)
                or sum(number >= _SOME for number in of_class.values()) > 1
            )
            if many or (clear and kinds[scene] >= _SOME and _one_picture(small, group, background)):
                frames += group
    return np.array(frames, dtype=np.int64)


def _one_picture(
    small: Mapping[int, tuple[np.ndarray, np.ndarray]], first: list[int], second: list[int]
) -> bool:
    return first is second or change(align(small[first[0]][1], small[second[0]][1])) < _CHANGED


def _scene_problem(dataset: Dataset, rows: list[int]) -> Problem:
    paths, labels, splits = _described(dataset, rows)
    message = f"{len(rows):,} pictures show one scene: {listed(paths)}"
    if len(labels) > 1:
        message += f"; of {counted(len(labels), 'class', 'classes')} ({listed(labels)})"
    if len(splits) > 1:
        message += f"; in different sets ({listed(splits)})"
    offer = (
        "To know how well a network does in new scenes, keep each scene in one set "
        f"({option('group_column')} or {option('group_pattern')})."
    )
    return Problem("same_scene", "note", paths, f"{message}. {offer}")


def _described(dataset: Dataset, rows: list[int]) -> tuple[tuple[str, ...], list[str], list[str]]:
    """Return the paths, the labels and the given sets of these rows, each sorted."""
    paths = tuple(sorted(dataset.paths[row] for row in rows))
    labels = sorted({str(dataset.labels[row]) for row in rows})
    held = {str(dataset.splits[row]) for row in rows} if dataset.splits is not None else set()
    return paths, labels, sorted(filter(None, held))


def _copy_problems(dataset: Dataset, hashes: Sequence[str], rows: list[int]) -> list[Problem]:
    """Return what is wrong with copies of one picture: a leak, a doubtful label, both, or just copies."""
    paths, labels, splits = _described(dataset, rows)
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
