"""linnaea predict: name new pictures, however many."""

import os
import sys
from collections.abc import Generator, Iterable
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
from cyclopts import Parameter

from linnaea.classifiers.contract import Classifier
from linnaea.classifiers.registry import saved_class
from linnaea.commands import ood, terminal
from linnaea.commands.answers import Answers, Format
from linnaea.commands.evaluating import temperature_of
from linnaea.commands.summary import PAGE, Summary
from linnaea.data.decoding import ValueRange, content_of, decode_picture, fit_picture
from linnaea.data.named import Named, NamedPictures
from linnaea.errors import DataError, LinnaeaError, RunError, SettingError
from linnaea.hashing import content_hash
from linnaea.machine import in_order, usable_cores
from linnaea.progress_bar import ProgressBar
from linnaea.runs.folder import NETWORK, RunFolder, place_of_page
from linnaea.text import command_line, option, plural

# Pictures that are answered at once, and pixels that are in memory meanwhile, those of the pictures that are
# read ahead included: a million pictures take no more memory than a thousand.
BLOCK, BLOCK_PIXELS = 64, 256 * 512**2
_AHEAD = 5  # pictures in work or waiting, for each thread that reads

AllAnswers = list[dict[str, Any]]
_LEAST_MARGIN = 8  # levels of 255 beyond what was learned from: less is the exposure of another day


class TakenAs(NamedTuple):
    """How a network takes a picture: side in pixels, colour, and the range of more than 8 bits.

    brightness: of the darkest and the brightest picture that it learned from; None in older runs.
    """

    size: int
    colour: bool
    value_range: ValueRange | None
    brightness: tuple[float, float] | None

    def remark(self, picture: np.ndarray) -> str | None:
        """Return "darker" or "brighter" of a decoded picture that is so by far than any learned from."""
        if self.brightness is None:
            return None
        low, high = self.brightness
        margin, mean = max(_LEAST_MARGIN, (high - low) / 4), float(picture.mean())
        return "darker" if mean < low - margin else "brighter" if mean > high + margin else None


class Read(NamedTuple):
    """A picture that was read, or not: the answer begun; the array for the network, None for an error.

    given: the class that its folder or a table gives it, None for none; content: the hash of its file, ""
    where nobody asks for it
    """

    named: Named
    answer: dict[str, Any]
    picture: np.ndarray | None = None
    given: str | None = None
    content: str = ""


def load(run: str | os.PathLike[str], device: str | None = None) -> Classifier:
    """Return the trained classifier of a run folder.

    >>> linnaea.load("runs/flowers").predict("rose.jpg")  # doctest: +SKIP
    array(['rose'], dtype='<U5')

    A FineTuneClassifier takes paths, a folder, or pictures; a perceptron takes rows of numbers, for which
    linnaea.predict(run, "rose.jpg") reads pictures as training did.

    run: str, Path or RunFolder
        The folder that `linnaea train` wrote, or what linnaea.train returned.
    device: str, optional
        Where a pretrained network computes: auto, cpu, cuda, cuda:1 or mps. Default: as in training, or
        auto where that device is not here.

    Its probabilities are those of the run: with the temperature that was fitted on the validation set.

    Raises RunError where it is no run folder, has no network in it, or another than the run trained: what
    was measured and guaranteed is of that one. SettingError for a device that is not here, and for a
    perceptron, which has none.
    """
    folder = RunFolder.open(run)
    model = str(folder.read_json("model.json").get("model"))
    cls = saved_class(model)
    if device is not None and not cls.takes_photographs:
        raise SettingError(f"The model {model} has no setting device.", f"Leave {option('device')} out.")
    classifier = cls.load(folder.path) if device is None else cls.load(folder.path, device)
    # Last: what is checked above is reported in more detail.
    for name in NETWORK:
        folder.refuse_changed(name)
    temperature = temperature_of(folder)
    if temperature is not None:
        classifier.temperature_ = temperature
    return classifier


def predict(
    run: Path,
    /,
    *pictures: str | Path,
    list: Annotated[Path | None, Parameter(allow_leading_hyphen=True)] = None,
    coverage: float | None = None,
    device: str | None = None,
    format: Format = "table",
    page: Path | None = None,
) -> AllAnswers:
    """Classify pictures with a trained network.

    Answers are written as they come, in the order of the names: whoever stops the command (Ctrl-C) keeps
    them, and memory does not grow with their number. If the pictures lie in folders that are called like the
    network's classes, or a table gives their labels, the score is reported at the end.

    A picture that resembles none of the classes is classified all the same, and marked as unfamiliar
    (out-of-distribution). So is about one in twenty of those that do belong to a class: that is the
    false-alarm rate of the threshold. Fewer than 59 validation pictures cannot guarantee so low a rate with
    confidence; what they can guarantee is then printed.

    A picture far darker or brighter than any that the network learned from is named: its numbers may be of
    another kind (0 to 1 instead of 0 to 255), or its exposure.

    A picture that cannot be read is reported as such and does not stop the others; the exit code is then 1.

    Parameters
    ----------
    run
        Run folder.
    pictures
        Picture files; folders, with all pictures inside, as train reads them; patterns ('new/**/*.jpg'),
        where ** is any folders.
    list
        List of pictures, or - for standard input: one name a line, or a CSV with the column path and perhaps
        label.
    coverage
        Coverage of prediction sets, such as 0.95: each picture is answered with the smallest set of classes
        that contains the true class this often, with 95 % confidence (split conformal prediction on the
        validation set).
    device
        Device that a pretrained network computes on: auto, cpu, cuda, cuda:1 or mps. Default: as in training.
    format
        Output format: table for people; csv, json, or jsonl (one answer a line) for programs.
    page
        Page with the pictures by predicted class, the least sure first, and unfamiliar ones apart; or a
        folder for it. Default: none.
    """
    folder = RunFolder.open(run)
    out = None if page is None else place_of_page(Path(page), PAGE)
    named = NamedPictures(pictures, list)
    sets = None if coverage is None else _fitted_sets(folder, coverage)
    # Before the first picture: what is damaged is told before a million were classified.
    metrics = folder.metrics()
    broken = [] if sets is None else _broken(metrics)
    classifier = load(run, device)
    taken_as = _taken_as(folder, classifier)
    ood_score = ood.load(folder)
    terminal.print_line("Data", *named.notes)
    classes = [str(name) for name in classifier.classes_]
    summary = Summary(folder, metrics, classes, ood_score, taken_as.brightness)
    if out is not None:
        summary.begin_page(out, taken_as.value_range, named.total)
    # Who called from Python gets the answers; a command's would only fill the memory.
    kept: AllAnswers = []
    columns = {
        "with_sets": sets is not None,
        "with_score": ood_score is not None,
        "with_light": taken_as.brightness is not None,
    }
    written = Answers(format, classes, **columns)
    try:
        with (
            written,
            # Rows on a terminal show how far the work is themselves.
            ProgressBar(
                "Predict", named.total, unit="pictures", shown=not sys.stdout.isatty(), patient=True
            ) as bar,
            closing(_read(named, taken_as, classifier.takes_photographs, summary)) as pictures_read,
        ):
            size = _block_size(taken_as)
            while block := [*islice(pictures_read, size)]:
                _answer(classifier, block, ood_score)
                answers = [each.answer for each in block]
                if sets is not None:
                    _add_sets(answers, sets)
                # Counted first: a signal that waits for the end of writing comes right after it.
                for each in block:
                    summary.add(each.answer, each.named, each.given, each.content)
                written.write(answers)
                bar.update(len(block))
                if command_line.get() is None:
                    kept += answers
    except (KeyboardInterrupt, BrokenPipeError) as error:
        if isinstance(error, KeyboardInterrupt):
            of = "" if named.total is None else f" of {named.total:,}"
            unit = plural(named.total or written.number, "picture")
            terminal.print_line("Stopped", f"after {written.number:,}{of} {unit}: their answers are written")
        summary.draw(stopped=True)
        raise
    if sets is not None:
        from linnaea.report.sentences import guarantee

        terminal.print_line("Sets", guarantee(sets.guarantee), *broken)
    terminal.print_line("Light", *summary.light())
    terminal.print_line("Alarms", *summary.alarms())
    terminal.print_line("Score", *summary.score.sentences())
    summary.draw()
    if format == "table":
        terminal.print_line("Next", *summary.next())
    summary.raise_unread()
    return kept


def _taken_as(folder: RunFolder, classifier: Any) -> TakenAs:
    """Return how the network takes a picture.

    Raises RunError where it does not go with the network, before a picture is read to that size.
    """
    pixels = folder.info.data.pixels
    if pixels is None:
        raise RunError(
            f"{folder.path / 'run.json'} does not record the size of the pictures.", "Train again."
        )
    low_high = None if pixels.brightness is None else (pixels.brightness[0], pixels.brightness[1])
    if classifier.takes_photographs:
        side, value_range = int(classifier.kept_side()), classifier.preprocessing_.value_range
        return TakenAs(side, True, value_range, low_high)
    if pixels.size is None or pixels.size**2 * (3 if pixels.colour else 1) != classifier.n_features_in_:
        shown = pixels.model_dump(include={"size", "colour"})
        raise RunError(
            f"{folder.path / 'run.json'} is not valid: data.pixels is {shown}, and the "
            f"network takes {classifier.n_features_in_:,} numbers a picture.",
            "Restore it, or train again.",
        )
    return TakenAs(pixels.size, pixels.colour, pixels.decoded_with, low_high)


def _fitted_sets(folder: RunFolder, coverage: float) -> Any:
    """Return the prediction sets of a run with this coverage.

    Raises RunError for a run without a validation set, DataError for one whose validation set is too small
    or whose table was edited.
    """
    from linnaea.evaluation.prediction_sets import PredictionSets
    from linnaea.runs.tables import is_there, read_table, split_of

    if not is_there(folder, "val"):
        raise RunError(
            f"{folder.path} has no predictions on a validation set, which prediction sets are fitted on.",
            f"Train with a validation set, or leave {option('coverage')} out.",
        )
    return PredictionSets.fit(read_table(folder, "val", split_of(folder)), coverage)


def _broken(metrics: dict[str, Any]) -> list[str]:
    """Return in a sentence that the run's sets covered less of its test set than guaranteed, or nothing."""
    from linnaea.report.sentences import broken_sets

    words = broken_sets(metrics)
    return [f"when this network was evaluated, {words}"] if words else []


def _add_sets(answers: list[dict[str, Any]], sets: Any) -> None:
    """Give each answer its "set": class names, the most probable first."""
    for answer in answers:
        if "error" not in answer:
            names, p = zip(*answer["probabilities"].items(), strict=True)
            members = sets.members(np.array([p]))[0]
            order = np.argsort(-np.array(p), kind="stable")
            answer["set"] = [names[c] for c in order if members[c]]


def _fit(taken_as: TakenAs) -> int:
    """Return how many pictures may be in memory at once."""
    return max(1, BLOCK_PIXELS // taken_as.size**2)


def _threads(taken_as: TakenAs) -> int:
    return max(1, min(usable_cores(), _fit(taken_as) // (2 * _AHEAD)))


def _block_size(taken_as: TakenAs) -> int:
    return max(1, min(BLOCK, _fit(taken_as) - _AHEAD * _threads(taken_as)))


def _read(
    named: Iterable[Named], taken_as: TakenAs, photographs: bool, summary: Summary
) -> Generator[Read, None, None]:
    """Yield the pictures in their order, read by threads a few ahead."""

    def read(picture: Named) -> Read:
        answer: dict[str, Any] = {"path": picture.name}
        given = summary.score.class_of(picture.within)
        try:
            content = content_of(picture.file)
            array = decode_picture(
                content,
                picture.file,
                shortest_side=taken_as.size if photographs else None,
                value_range=taken_as.value_range,
            )
        except LinnaeaError as error:
            return Read(picture, answer | {"error": str(error)})
        if remark := taken_as.remark(array):
            answer["brightness"] = remark
        if not photographs:
            array = fit_picture(array, taken_as.size, taken_as.colour).reshape(-1).astype(np.float32) / 255
        of_content = content_hash(content) if summary.has_page or given is not None else ""
        return Read(picture, answer, array, given, of_content)

    if _fit(taken_as) < 2 * _AHEAD:
        yield from map(read, named)
    else:
        yield from in_order(read, named, threads=_threads(taken_as))


def _answer(classifier: Any, block: list[Read], score: Any) -> None:
    """Complete the answers of the pictures that were read; score: the run's out-of-distribution score."""
    read = [each for each in block if each.picture is not None]
    if not read:
        return
    arrays: Any = [each.picture for each in read]
    X = arrays if classifier.takes_photographs else np.stack(arrays)
    if score is None:
        probabilities, ood_scores = classifier.predict_proba(X), None
    else:
        probabilities, ood_scores = ood.scored(classifier, X, score)
    if not np.isfinite(probabilities).all():
        raise DataError(
            "The network's output is not a number: its weights or settings are damaged.",
            "Restore weights.safetensors and model.json, or train again.",
        )
    for number, (each, row) in enumerate(zip(read, probabilities, strict=True)):
        answer = each.answer
        answer["predicted"] = str(classifier.classes_[row.argmax()])
        answer["probability"] = float(row.max())
        answer["probabilities"] = {
            str(name): float(p) for name, p in zip(classifier.classes_, row, strict=True)
        }
        if ood_scores is not None:
            answer["ood"] = bool(score.is_ood(ood_scores[number]))
            answer["ood_score"] = float(ood_scores[number])
