"""Mistakes: pictures that the network misclassified, or nearly, kept in the run for its report."""

import io
from collections import Counter
from typing import Any

import numpy as np
from PIL import Image

from linnaea.commands import terminal
from linnaea.commands.study import Study
from linnaea.errors import DataError, WriteError
from linnaea.runs.folder import RunFolder

WRONG, DOUBTFUL = 36, 12
"""How many of the most confident mistakes, and least confident correct predictions, have heat maps."""

# Pixels of the longer side: a person must be able to tell who is right. Smaller ones are kept as they are.
SIDE, CELL_SIDE = 288, 64
A_CELL = 12
WORST_PAIRS = 20  # of which an example of either class is kept: 40 pictures at most
# What the pictures of a run may weigh, in bytes: base64 adds a third, and a page should stay under 5 MB.
SHOWN_BYTES, CELL_BYTES = {"mistakes": 1_500_000, "doubtful": 500_000}, 800_000
# Quality of a JPEG: of a photograph to be looked at, of a heat map (grey with a soft glow), of a cell.
_PHOTOGRAPH, _HEAT, _CELL = 80, 65, 70
# Okabe and Ito's vermilion and yellow: distinct with every colour vision, the hotter the lighter.
_WARM, _HOT = np.array([213, 94, 0], np.float32), np.array([240, 228, 66], np.float32)


def keep_mistakes(run: RunFolder, study: Study, classifier: Any, predictions: Any) -> None:
    """Keep thumbnails and heat maps, so that the report needs nothing but the run.

    mistakes/NNNNNN.jpg and .heat.jpg: the most confident mistakes; NNNNNN is the row in predictions.csv.
    doubtful/NNNNNN.jpg and .heat.jpg: the least confident correct predictions.
    cells/NNNNNN.jpg: smaller ones of mistakes, up to 12 for each pair of true and predicted class;
    and one right answer of each class of the most confused pairs, to compare them with. What is so small that
    its pixels are seen one by one is a .png.

    Heat maps are of the predicted class; run.json says how they were made ("heat_maps"). On a full disk none
    of these stays: the room is needed for what the run cannot do without.
    """
    try:
        _keep(run, study, classifier, predictions)
    except WriteError as error:
        run.clear_pictures()
        terminal.print_line("Pictures", f"none are shown in the report: {error.message}")


def _keep(run: RunFolder, study: Study, classifier: Any, predictions: Any) -> None:
    wrong = np.flatnonzero(predictions.predicted != predictions.true)
    right = np.setdiff1d(np.arange(len(predictions)), wrong)
    confidence = predictions.confidence
    shown = {
        "mistakes": wrong[np.argsort(-confidence[wrong], kind="stable")][:WRONG],
        "doubtful": right[np.argsort(confidence[right], kind="stable")][:DOUBTFUL],
    }
    opened, gone = _opened(study, np.concatenate([*shown.values()]).tolist())
    there = {name: np.array([row for row in rows if int(row) in opened], int) for name, rows in shown.items()}
    _keep_shown(run, there, opened, classifier, study, predictions)
    rows = [*_examples(predictions), *_rounds(wrong, predictions)]
    _keep_cells(run, study, opened, [row for row in rows if row not in gone])
    if gone:
        # The result stands: these pictures were evaluated before they went.
        terminal.print_line(
            "Pictures", f"{len(gone):,} cannot be shown in the report: {next(iter(gone.values()))}"
        )


def _opened(study: Study, rows: list[int]) -> tuple[dict[int, Image.Image], dict[int, str]]:
    """Return these pictures of the test set, and why some of them cannot be read any more."""
    opened, gone = {}, {}
    for row in rows:
        try:
            opened[row] = _picture(study, row)
        except DataError as error:
            gone[row] = error.message
    return opened, gone


def _keep_shown(
    run: RunFolder,
    shown: dict[str, np.ndarray],
    opened: dict[int, Image.Image],
    classifier: Any,
    study: Study,
    predictions: Any,
) -> None:
    from linnaea.classifiers.heatmaps import heat_maps, seen_box

    rows = np.array(list(opened), dtype=np.int64)
    maps = None
    if len(rows):
        maps = heat_maps(classifier, _seen(study, rows), predictions.probabilities[rows].argmax(axis=1))
    method = None
    if maps is not None:
        method = {"method": maps.method, "of": "predicted class", "places": list(maps.heat.shape[1:])}
        if maps.heat.shape[1:] == (1, 1):
            maps = None  # it is the same everywhere; the report says why there is none
    run.update_info(heat_maps=method)
    place = {int(row): number for number, row in enumerate(rows)}
    for folder, members in shown.items():
        room = SHOWN_BYTES[folder]
        for row in members.tolist():
            ending, content = _file(opened[row], _PHOTOGRAPH)
            files = {ending: content}
            if maps is not None:
                width, height = opened[row].size
                heat = maps.over(place[row], seen_box(classifier, height, width), height, width)
                ending, content = _file(glowing(opened[row], heat), _HEAT)
                files[f".heat{ending}"] = content
            room -= sum(map(len, files.values()))
            if room < 0:
                break
            for ending, content in files.items():
                run.write_bytes(f"{folder}/{row:06}{ending}", content)


def _keep_cells(run: RunFolder, study: Study, opened: dict[int, Image.Image], rows: list[int]) -> None:
    room = CELL_BYTES
    for row in rows:
        whole = opened.get(row) or _opened(study, [row])[0].get(row)
        if whole is None:
            continue
        picture = whole.copy()
        picture.thumbnail((CELL_SIDE, CELL_SIDE))
        files = (".jpg", _jpeg(picture, _CELL)), (".png", _png(picture))
        ending, content = min(files, key=lambda file: len(file[1]))
        room -= len(content)
        if room < 0:
            return
        run.write_bytes(f"cells/{row:06}{ending}", content)


def _examples(predictions: Any) -> list[int]:
    """Return the surest right answer for each class of the most confused pairs, as far as there is one."""
    from linnaea.evaluation.metrics import most_confused

    pairs = most_confused(predictions, WORST_PAIRS)
    right = predictions.predicted == predictions.true
    examples = []
    for name in dict.fromkeys(pair[side] for pair in pairs for side in ("predicted", "true")):
        rows = np.flatnonzero(right & (predictions.true == name))
        examples += rows[np.argsort(-predictions.confidence[rows], kind="stable")][:1].tolist()
    return examples


def _rounds(wrong: np.ndarray, predictions: Any) -> list[int]:
    """Return the rows for the confusion matrix: one of each cell, then a second …, surest first.

    So every cell has a picture before any has two, should there not be room for all.
    """
    seen: Counter[tuple[str, str]] = Counter()
    turns: list[tuple[int, int, int]] = []
    for row in wrong[np.argsort(-predictions.confidence[wrong], kind="stable")].tolist():
        cell = str(predictions.true[row]), str(predictions.predicted[row])
        turns.append((seen[cell], len(turns), row))
        seen[cell] += 1
    return [row for turn, _, row in sorted(turns) if turn < A_CELL]


def _picture(study: Study, row: int) -> Image.Image:
    """Return one picture of the test set, no larger than it is shown; decoded only where nobody kept it."""
    from linnaea.data.decoding import read_picture

    at = int(study.rows("test")[row])
    if study.dataset.pixels is not None:
        picture = Image.fromarray(study.dataset.pixels[at])
    elif study.photographs is not None:
        picture = Image.fromarray(study.photographs[at])
    else:
        file, known = study.dataset.files([at])[0], study.scan.hashes[at]
        value_range = study.dataset.value_range
        picture = Image.fromarray(read_picture(file, longest_side=SIDE, known=known, value_range=value_range))
    picture.thumbnail((SIDE, SIDE))
    return picture


def _seen(study: Study, rows: np.ndarray) -> Any:
    """Return these pictures of the test set as the classifier sees them."""
    X, _ = study.test
    return X[rows] if study.photographs is None else X.select(rows)


def glowing(picture: Image.Image, heat: np.ndarray) -> Image.Image:
    """Return the picture in grey with the heat (height, width), 0 to 1, laid over it in orange and yellow.

    Where the heat is NaN the network saw nothing: there the picture is darker.
    """
    unseen = np.isnan(heat)[..., None]
    heat = np.nan_to_num(heat)[..., None]
    grey = np.asarray(picture.convert("L"), np.float32)[..., None] * np.where(unseen, 0.4, 0.8)
    colour = _WARM + heat * (_HOT - _WARM)
    return Image.fromarray((grey + 0.75 * heat * (colour - grey)).round().astype(np.uint8))


def _file(picture: Image.Image, quality: int) -> tuple[str, bytes]:
    """Return the ending and the content of a file: JPEG, but for what is so small that pixels show."""
    return (".jpg", _jpeg(picture, quality)) if max(picture.size) > CELL_SIDE else (".png", _png(picture))


def _png(picture: Image.Image) -> bytes:
    return _saved(picture, "PNG", optimize=True)


def _jpeg(picture: Image.Image, quality: int) -> bytes:
    rgb = picture if picture.mode in ("L", "RGB") else picture.convert("RGB")
    return _saved(rgb, "JPEG", quality=quality, optimize=True)


def _saved(picture: Image.Image, kind: str, **options: Any) -> bytes:
    content = io.BytesIO()
    picture.save(content, format=kind, **options)
    return content.getvalue()
