"""What a picture looks like at a glance, and which pictures stand out: blank, dark, blurred, odd."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import PurePath

import numpy as np
from PIL import Image

from linnaea.data.duplicates import SMALLEST, view_hashes
from linnaea.data.headers import Header, header
from linnaea.data.likeness import THUMBNAIL
from linnaea.data.problems import Problem
from linnaea.text import counted, listed, option

ENOUGH = 192
"""Shorter side in pixels at which a picture is measured: blur is measured against this size."""

# Of 255 levels of grey, on the thumbnail. The darkest 1 % and brightest 5 % of 4,080 flowers lie far inside.
_BLANK = 10  # between the 1st and the 99th percentile
_DARK = 60  # the 99th percentile: of the flowers, 69 or more
_BRIGHT = 225  # the 5th percentile: of the flowers, 155 or less
_GREY = 2.0  # mean difference between the strongest and the weakest of R, G, B: of the flowers, 2.8 or more
# Edges this soft: a Gaussian blur of 3 pixels on a photograph of 500, or more. Flowers have 0.47 or more.
_BLURRED = 0.40
_ODD_SIZE = 4  # times smaller or larger than half of the pictures
_ODD_ASPECT = 3  # the longer side over the shorter
# Drawn on one even ground with few colours, as a sign "image not found" is: so much of it is of one colour,
# and so few others there are, counted in 32 levels of each of R, G, B. 510 flowers have 227
# or more; of 506 pieces of waste on a white board some have 40, but none of these is half of one colour.
_EVEN = 0.5
_FEW_COLOURS = 60
_EVEN_GREY = 0.8  # grey pictures have 32 colours at most, and a microscope's may be black by half
_MOST_BLANK = 0.2  # of a class: beyond that, something reads its pictures wrongly, or made them wrongly
_USUAL = 0.2  # a share of all pictures from which a trait is how they were made, and nobody's fault

_FAMILIES = {"MPO": "JPEG", "DIB": "BMP", "AVIF": "HEIF"}

# Kinds that are odd among others only: what most pictures share makes none of them odd.
_UNUSUAL = ("grey", "odd_aspect", "odd_size", "placeholder")

# Kind → severity, and what the problem says of the pictures: "is" or "are" comes before.
_TRAITS = {
    "blank": ("warning", "of one even colour"),
    "placeholder": ("warning", 'a few colours on an even ground, as a sign "image not found" is'),
    "dark": ("warning", "nearly black"),
    "bright": ("warning", "nearly white"),
    "blurred": ("warning", "blurred: not one edge is sharp"),
    "odd_size": ("note", f"{_ODD_SIZE} times smaller or larger than most"),
    "odd_aspect": (
        "note",
        f"{_ODD_ASPECT} times as long as wide, or more; a network's crop shows a part of it",
    ),
    "grey": (
        "note",
        "grey among pictures in colour; where one class has them all, the network may learn that instead",
    ),
    "wrong_extension": ("note", "of another format than the file's ending says; read by its content"),
    "orientation": ("note", "turned by an orientation tag (EXIF); read upright"),
}


@dataclass(frozen=True)
class PictureStatistics:
    """One picture at a glance.

    header: Header
        What its file says of it.
    low, dark, high: float
        1st, 5th and 99th percentile of its grey levels, 0 to 255.
    colour: float
        Mean difference between the strongest and the weakest of R, G and B.
    brightness: float
        Mean of its levels, 0 to 255.
    even: float
        Share of its pixels in the most frequent of its colours.
    colours: int
        How many colours it has, in 32 levels of each of R, G and B.
    softness: float
        Change of the gradient over the gradient, on the strongest edges: small where edges are wide.
    small: (ndarray of uint64, (8,); ndarray of uint8, (64, 64)) or None
        duplicates.view_hashes and the grey thumbnail that they are of; None for pictures too small or too
        even to be compared.
    """

    header: Header
    low: float
    dark: float
    high: float
    colour: float
    brightness: float
    even: float
    colours: int
    softness: float
    small: tuple[np.ndarray, np.ndarray] | None = field(default=None, repr=False)

    @property
    def shorter(self) -> int:
        """Shorter side of the picture in its file, in pixels."""
        return min(self.header.width, self.header.height)


def picture_statistics(content: bytes, picture: np.ndarray) -> PictureStatistics:
    """Return what a picture looks like, in numbers.

    content: bytes
        Its file.
    picture: ndarray of uint8, (height, width, 3)
        Decoded, at any size; blur is measured where the shorter side has ENOUGH pixels, or at its own size
        where it has fewer.
    """
    head = header(content)
    image = Image.fromarray(picture)
    small = image.resize((THUMBNAIL, THUMBNAIL), Image.Resampling.BILINEAR, reducing_gap=3.0)
    colours = np.asarray(small).astype(np.int16)
    grey = small.convert("L")
    thumbnail = np.asarray(grey)
    counts = np.unique(_coarse(colours), return_counts=True)[1]
    low, dark, high = (float(level) for level in np.percentile(thumbnail, (1, 5, 99)))
    # What was kept for training may be smaller than the file.
    comparable = min(picture.shape[:2]) >= SMALLEST and high - low >= _BLANK
    return PictureStatistics(
        header=head,
        low=low,
        dark=dark,
        high=high,
        colour=float((colours.max(axis=2) - colours.min(axis=2)).mean()),
        brightness=float(colours.mean()),
        even=float(counts.max() / counts.sum()),
        colours=len(counts),
        softness=_softness(image) if comparable else np.inf,
        small=(view_hashes(grey), thumbnail) if comparable else None,
    )


def _coarse(colours: np.ndarray) -> np.ndarray:
    """Return a number for each of the colours (height, width, 3), of 32 levels of each of R, G and B."""
    red, green, blue = (colours[..., channel] >> 3 for channel in range(3))
    return red << 10 | green << 5 | blue


def quality_problems(
    paths: Sequence[str], labels: Sequence[str], statistics: Sequence[PictureStatistics]
) -> list[Problem]:
    """Return one problem for each trait by which pictures stand out.

    labels, statistics: of each of paths.

    Blank pictures are an error where they are more than a fifth of a class, and else a warning. Any other
    trait that a fifth of all pictures share (night shots, drawings on white) is reported as a note: it is
    how they were made. A few grey pictures among colour are reported, colour among grey not.
    """
    if not statistics:
        return []
    by_kind: dict[str, list[str]] = {kind: [] for kind in _TRAITS}
    usual = float(np.median([each.shorter for each in statistics]))
    for path, each in zip(paths, statistics, strict=True):
        for kind in _traits(path, each, usual):
            by_kind[kind].append(path)
    common = {kind for kind in _UNUSUAL if len(by_kind[kind]) > _USUAL * len(statistics)}
    problems = _blank_pictures(by_kind.pop("blank"), paths, labels)
    sizes = {
        path: (each.header.width, each.header.height) for path, each in zip(paths, statistics, strict=True)
    }
    problems += [
        _stands_out(kind, named, len(statistics), sizes if kind in ("odd_size", "odd_aspect") else None)
        for kind, named in by_kind.items()
        if named and kind not in common
    ]
    small = [path for path, each in zip(paths, statistics, strict=True) if each.shorter < SMALLEST]
    if small:
        problems.append(_small_pictures(len(small), () if len(small) == len(statistics) else small))
    return problems


def _traits(path: str, each: PictureStatistics, usual: float) -> list[str]:
    head = each.header
    longer, shorter = max(head.width, head.height), each.shorter
    blank = each.high - each.low < _BLANK
    even = _EVEN if each.colour >= _GREY else _EVEN_GREY
    held = {
        "blank": blank,
        "placeholder": not blank and each.even >= even and each.colours <= _FEW_COLOURS,
        "dark": not blank and each.high < _DARK,
        "bright": not blank and each.dark > _BRIGHT,
        "blurred": each.softness < _BLURRED,
        "odd_size": shorter * _ODD_SIZE <= usual or shorter >= usual * _ODD_SIZE,
        "odd_aspect": longer >= _ODD_ASPECT * shorter,
        "grey": not blank and each.colour < _GREY,
        "wrong_extension": _wrong_extension(path, head.format),
        "orientation": head.orientation != 1,
    }
    return [kind for kind, holds in held.items() if holds]


def _small_pictures(number: int, paths: Sequence[str] = ()) -> Problem:
    """Return the note that so many pictures are compared byte for byte only; no paths: all of them."""
    message = (
        f"{counted(number, 'picture')} {'is' if number == 1 else 'are'} under {SMALLEST} pixels; only exact "
        "duplicates are searched among them: small pictures of different things can look like copies."
    )
    return Problem("small_pictures", "note", tuple(paths), message)


def _wrong_extension(path: str, actual: str) -> bool:
    claimed = Image.registered_extensions().get(PurePath(path).suffix.lower())
    # An ending that no format claims says nothing wrong.
    return claimed is not None and _FAMILIES.get(claimed, claimed) != _FAMILIES.get(actual, actual)


def _softness(image: Image.Image) -> float:
    """Return the Laplacian over the gradient on the 5 % strongest edges; infinity where there is no edge.

    For an edge blurred by a Gaussian of sigma pixels it falls as 1/sigma, whatever the contrast; photographs
    with a soft background keep some sharp edges, and those are what is measured.
    """
    grey = image.convert("L")
    if min(grey.size) > ENOUGH:
        scale = ENOUGH / min(grey.size)
        size = (round(grey.width * scale), round(grey.height * scale))
        grey = grey.resize(size, Image.Resampling.BILINEAR, reducing_gap=3.0)
    levels = np.asarray(grey).astype(np.float32)
    middle, left, right = levels[1:-1, 1:-1], levels[1:-1, :-2], levels[1:-1, 2:]
    above, below = levels[:-2, 1:-1], levels[2:, 1:-1]
    gradient = np.hypot(right - left, below - above) / 2
    laplacian = np.abs(left + right + above + below - 4 * middle)
    edges = gradient >= np.percentile(gradient, 95)
    strength = float(gradient[edges].mean())
    return float(laplacian[edges].mean()) / strength if strength > 0 else np.inf


def pixel_problems(paths: Sequence[str], labels: Sequence[str], pixels: np.ndarray) -> list[Problem]:
    """Return what is wrong with pictures in memory, uint8 (n, height, width[, 3]): even ones, small ones."""
    if not len(pixels):
        return []
    inside = tuple(range(1, pixels.ndim))
    even = pixels.max(axis=inside).astype(np.int16) - pixels.min(axis=inside) < _BLANK
    named = [paths[row] for row in np.flatnonzero(even).tolist()]
    problems = _blank_pictures(named, paths, labels)
    if min(pixels.shape[1:3]) < SMALLEST:
        problems.append(_small_pictures(len(pixels)))
    return problems


def _blank_pictures(blank: Sequence[str], paths: Sequence[str], labels: Sequence[str]) -> list[Problem]:
    """Return one error for the classes with too many blank pictures, and one warning for those of others."""
    class_of = dict(zip(paths, labels, strict=True))
    all_of, blank_of = Counter(labels), Counter(class_of[path] for path in blank)
    worst = {name for name, number in blank_of.items() if number > _MOST_BLANK * all_of[name]}
    others = [path for path in blank if class_of[path] not in worst]
    problems = [_stands_out("blank", others, len(paths))] if others else []
    if worst:
        named = [path for path in blank if class_of[path] in worst]
        shares = [f"{blank_of[name]:,} of {all_of[name]:,} of '{name}'" for name in sorted(worst)]
        verb = "is" if len(named) == 1 else "are"
        message = (
            f"{counted(len(named), 'picture')} {verb} {_TRAITS['blank'][1]}: {listed(shares, 3)} "
            f"({listed(named, 3)}). A network learns nothing from them: look at the files, and, if their "
            f"numbers have more than 8 bits, name their lowest and highest with {option('value_range')}."
        )
        problems.insert(0, Problem("blank", "error", tuple(named), message))
    return problems


def _stands_out(
    kind: str, named: list[str], pictures: int, sizes: dict[str, tuple[int, int]] | None = None
) -> Problem:
    """Return the problem of these pictures; sizes: of all of them, width and height, where they say why."""
    severity, trait = _TRAITS[kind]
    # What many share is how they were made (night shots, drawings on white), and nobody's fault.
    severity = "note" if len(named) > _USUAL * pictures and kind != "blank" else severity
    verb = "is" if len(named) == 1 else "are"
    examples = listed(named, 3)
    if sizes is not None:
        examples = listed([f"{path} with {_size(sizes[path])} pixels" for path in named], 3)
        most, number = Counter(sizes.values()).most_common(1)[0]
        usual = f"most have {_size(most)}" if 2 * number > len(sizes) else _middle(list(sizes.values()))
        examples += f"; {usual}"
    message = f"{counted(len(named), 'picture')} {verb} {trait} ({examples})."
    return Problem(kind, severity, tuple(named), message)


def _middle(sizes: list[tuple[int, int]]) -> str:
    """Return what half of the pictures have, in words."""
    return f"half have a shorter side of {round(float(np.median([min(size) for size in sizes]))):,} or more"


def _size(size: tuple[int, int]) -> str:
    return f"{size[0]:,} x {size[1]:,}"
