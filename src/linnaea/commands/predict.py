"""linnaea predict: name new pictures."""

from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
from cyclopts import Parameter

from linnaea.classifiers.registry import saved_class
from linnaea.commands import ood, terminal
from linnaea.commands.evaluating import temperature_of
from linnaea.data.decoding import ValueRange
from linnaea.errors import DataError, LinnaeaError, RunError
from linnaea.evaluation.predictions import columns_of
from linnaea.runs.folder import NETWORK, RunFolder
from linnaea.text import counted, listed, option, percent, plural

# Pictures in memory at once, and their pixels: a long list, or one of large pictures, must not fill the
# memory.
BLOCK, BLOCK_PIXELS = 256, 256 * 512**2
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


def load(run: str | Path) -> Any:
    """Return the trained classifier of a run folder.

    run: str or Path
        The folder that `linnaea train` wrote.

    Its probabilities are those of the run: with the temperature that was fitted on the validation set.

    Raises RunError where it is no run folder, has no network in it, or another than the run trained: what
    was measured and guaranteed is of that one.
    """
    folder = RunFolder.open(run)
    model = folder.read_json("model.json").get("model")
    classifier = saved_class(str(model)).load(folder.path)
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
    *pictures: Annotated[Path, Parameter(required=True)],
    coverage: float | None = None,
    format: Literal["table", "csv", "json"] = "table",
) -> list[dict[str, Any]]:
    """Classify pictures with a trained network.

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
        Picture files.
    coverage
        Coverage of prediction sets, such as 0.95: each picture is answered with the smallest set of classes
        that contains the true class this often, with 95 % confidence (split conformal prediction on the
        validation set).
    format
        Output format: table for people; csv or json for programs.
    """
    folder = RunFolder.open(run)
    sets = None if coverage is None else _fitted_sets(folder, coverage)
    broken = [] if sets is None else _broken(folder)
    classifier = load(run)
    taken_as = _taken_as(folder, classifier)
    score = ood.load(folder)
    answers: list[dict[str, Any]] = []
    block = max(1, min(BLOCK, BLOCK_PIXELS // taken_as.size**2))
    for start in range(0, len(pictures), block):
        answers += _answer(classifier, pictures[start : start + block], taken_as, score)
    if sets is not None:
        _add_sets(answers, sets)
    classes = [str(name) for name in classifier.classes_]
    _show(answers, format, classes, with_sets=sets is not None, with_score=score is not None)
    if sets is not None:
        from linnaea.report.sentences import guarantee

        terminal.print_line("Sets", guarantee(sets.guarantee), *broken)
    if unusual := [answer["path"] for answer in answers if "brightness" in answer]:
        terminal.print_line("Light", _of_light(unusual, taken_as))
    unread = sum("error" in answer for answer in answers)
    if score is not None and unread < len(answers):
        terminal.print_line("Alarms", *_of_alarms(folder, score, answers))
    if format == "table":
        terminal.print_line("Next", *_next(folder, answers))
    if unread:
        of = counted(len(answers), "picture")
        raise LinnaeaError(f"{unread} of {of} could not be read.", "See the reasons above.")
    return answers


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


def _broken(folder: RunFolder) -> list[str]:
    """Return in a sentence that the run's sets covered less of its test set than guaranteed, or nothing."""
    from linnaea.report.sentences import broken_sets

    words = broken_sets(folder.metrics())
    return [f"when this network was evaluated, {words}"] if words else []


def _of_alarms(folder: RunFolder, score: Any, answers: list[dict[str, Any]]) -> list[str]:
    """Return in sentences how reliable the warning of unfamiliar pictures is; nothing where it is."""
    from linnaea.report.sentences import false_alarms, shortfall

    words = [f"of unfamiliar pictures (out-of-distribution), {short}"] if (short := shortfall(score)) else []
    # Who was not warned need not hear that the warning comes too often.
    if any(answer.get("ood") for answer in answers) and (alarms := false_alarms(folder.metrics())):
        words.append(f"when this network was evaluated, {alarms}")
    return words


def _of_light(unusual: list[str], taken_as: TakenAs) -> str:
    low, high = taken_as.brightness or (0.0, 0.0)
    verb = plural(len(unusual), "is", "are")
    return (
        f"{counted(len(unusual), 'picture')} {verb} far darker or brighter than any that the network learned "
        f"from, whose mean level is {low:.0f} to {high:.0f} of 255 ({listed(unusual, 3)}): stored in other "
        "numbers, perhaps, or taken in another light"
    )


def _next(folder: RunFolder, answers: list[dict[str, Any]]) -> list[str]:
    """Return which answers a person should look at, in a sentence, or nothing."""
    read = [answer for answer in answers if "error" not in answer]
    threshold = folder.metrics().get("answered", {}).get("threshold")
    unsure = [threshold is not None and answer["probability"] < threshold for answer in read]
    unfamiliar = [bool(answer.get("ood")) for answer in read]
    number = sum(map(any, zip(unsure, unfamiliar, strict=True)))
    if not number:
        return []
    why = ["unfamiliar"] if any(unfamiliar) else []
    if any(unsure):
        why.append(f"below the confidence threshold of {percent(threshold)}")
    of = counted(len(read), "answer")
    return [f"look at {number:,} of {of} yourself: {plural(number, 'it is', 'they are')} {' or '.join(why)}"]


def _add_sets(answers: list[dict[str, Any]], sets: Any) -> None:
    """Give each answer its "set": class names, the most probable first."""
    for answer in answers:
        if "error" not in answer:
            names, p = zip(*answer["probabilities"].items(), strict=True)
            members = sets.members(np.array([p]))[0]
            order = np.argsort(-np.array(p), kind="stable")
            answer["set"] = [names[c] for c in order if members[c]]


def _answer(classifier: Any, paths: tuple[Path, ...], taken_as: TakenAs, score: Any) -> list[dict[str, Any]]:
    """Return one answer a path, in order: a prediction, or {"path", "error"}."""
    from linnaea.data.decoding import fit_picture, read_picture

    photographs = classifier.takes_photographs
    side, colour, value_range = taken_as.size, taken_as.colour, taken_as.value_range
    answers: list[dict[str, Any]] = []
    readable: list[np.ndarray] = []
    for path in paths:
        answer: dict[str, Any] = {"path": str(path)}
        try:
            picture = read_picture(path, shortest_side=side if photographs else None, value_range=value_range)
            if remark := taken_as.remark(picture):
                answer["brightness"] = remark
            if not photographs:
                picture = fit_picture(picture, side, colour).reshape(-1).astype(np.float32) / 255
            readable.append(picture)
        except LinnaeaError as error:
            answer["error"] = str(error)
        answers.append(answer)
    if readable:
        X = readable if photographs else np.stack(readable)
        if score is None:
            probabilities, ood_scores = classifier.predict_proba(X), None
        else:
            probabilities, ood_scores = ood.scored(classifier, X, score)
        if not np.isfinite(probabilities).all():
            raise DataError(
                "The network's output is not a number: its weights or settings are damaged.",
                "Restore weights.safetensors and model.json, or train again.",
            )
        read = [answer for answer in answers if "error" not in answer]
        for number, (answer, row) in enumerate(zip(read, probabilities, strict=True)):
            answer["predicted"] = str(classifier.classes_[row.argmax()])
            answer["probability"] = float(row.max())
            answer["probabilities"] = {
                str(name): float(p) for name, p in zip(classifier.classes_, row, strict=True)
            }
            if ood_scores is not None:
                answer["ood"] = bool(score.is_ood(ood_scores[number]))
                answer["ood_score"] = float(ood_scores[number])
    return answers


def _show(
    answers: list[dict[str, Any]], format: str, classes: list[str], *, with_sets: bool, with_score: bool
) -> None:
    """Print the answers; which columns there are depends on the run and the options, not on the pictures."""
    if format == "json":
        terminal.print_json(answers)
        return
    if format == "csv":
        more = [*(["set"] if with_sets else []), *(["ood", "ood_score"] if with_score else [])]
        table = [["path", "predicted", "probability", *more, *columns_of(classes), "error"]]
        for answer in answers:
            row = [f"{p:.9g}" for p in answer.get("probabilities", {}).values()] or [""] * len(classes)
            cells = [
                answer.get("predicted", ""),
                f"{answer['probability']:.9g}" if "probability" in answer else "",
            ]
            if with_sets:
                cells.append(" | ".join(answer.get("set", [])))
            if with_score:
                cells += _ood_cells(answer)
            table.append([answer["path"], *cells, *row, answer.get("error", "")])
        terminal.print_csv(table)
        return
    rows = [_table_row(answer) for answer in answers]
    columns = {"path": "Picture", "predicted": "Predicted", "probability": "Probability", "next": "Next"}
    if with_sets:
        columns["next"] = "Prediction set"
    if with_score:
        columns["ood"] = "Unfamiliar?"
    terminal.results.print(terminal.comparison_table(rows, columns, long=("next",)))
    for answer in answers:
        if "error" in answer:
            terminal.print_line("Unread", answer["error"])


def _ood_cells(answer: dict[str, Any]) -> list[str]:
    if "ood" not in answer:
        return ["", ""]
    return ["yes" if answer["ood"] else "no", f"{answer['ood_score']:.9g}"]


def _table_row(answer: dict[str, Any]) -> dict[str, str]:
    if "error" in answer:
        return {"path": answer["path"], "predicted": "not read", "probability": "–", "next": "", "ood": ""}
    likeliest = sorted(answer["probabilities"].items(), key=lambda pair: -pair[1])
    shown = likeliest[: len(answer["set"])] if "set" in answer else likeliest[1:3]
    return {
        "path": answer["path"],
        "predicted": answer["predicted"],
        "probability": percent(answer["probability"]),
        "next": ", ".join(f"{name} {percent(p)}" for name, p in shown),
        "ood": "yes" if answer.get("ood") else "",
    }
