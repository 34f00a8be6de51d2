"""Label issues: which given labels are probably wrong, by networks that have not seen the pictures."""

import csv
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from linnaea import reading
from linnaea.errors import DataError
from linnaea.evaluation.predictions import Predictions

COLUMNS = ("path", "given", "suggested", "confidence")
"""The columns of label_issues.csv."""


@dataclass(frozen=True)
class LabelIssue:
    """One picture whose label is probably wrong.

    confidence: float
        The probability that the networks gave to the given label, 0..1; low for an error.
    """

    path: str
    given: str
    suggested: str
    confidence: float


def find_issues(predictions: Predictions) -> list[LabelIssue]:
    """Return the pictures whose labels are probably wrong, the most probable error first.

    predictions: out of fold, each picture predicted by a network that did not learn from it. Probabilities of
    pictures that were learned from would agree with their labels, wrong ones included.

    Through cleanlab (Northcutt, Jiang and Chuang 2021, J. Artif. Intell. Res. 70:1373-1411): every picture
    that is predicted as another class, ordered by the probability of its given label. The filters of
    confident learning are not used: with ten to forty pictures a class they pass over a third of the wrong
    labels (benchmarks/label_issues.py), and a person looks at the first of the list anyway.

    Raises DataError for an empty table, or a picture whose class training did not have.
    """
    from cleanlab.filter import find_label_issues

    if not len(predictions):
        raise DataError("The table holds no pictures.", "Label issues are found from folds: --folds 5.")
    given = predictions.true_index
    # One process: a picture costs microseconds, and starting others seconds.
    rows = find_label_issues(
        given,
        predictions.probabilities,
        return_indices_ranked_by="self_confidence",
        filter_by="predicted_neq_given",
        n_jobs=1,
    )
    others = predictions.probabilities.copy()
    others[np.arange(len(given)), given] = -1.0
    return [
        LabelIssue(
            path=predictions.paths[row],
            given=str(predictions.true[row]),
            suggested=predictions.classes[int(others[row].argmax())],
            confidence=float(predictions.probabilities[row, given[row]]),
        )
        for row in rows
    ]


def to_csv(issues: list[LabelIssue]) -> str:
    """Return label_issues.csv: path, given, suggested, confidence, the most probable error first."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(
        [issue.path, issue.given, issue.suggested, f"{issue.confidence:.6g}"] for issue in issues
    )
    return text.getvalue()


def read_csv(path: Path) -> list[LabelIssue]:
    """Read what to_csv wrote. Raises DataError for anything else."""
    try:
        text = reading.read_bytes(path, reading.MAX_TABLE).decode("utf-8")
        reader = csv.DictReader(io.StringIO(text, newline=""))
        if tuple(reader.fieldnames or ()) != COLUMNS:
            raise DataError(f"{path} does not have the columns {', '.join(COLUMNS)}.")
        return [
            LabelIssue(row["path"], row["given"], row["suggested"], float(row["confidence"]))
            for row in reader
        ]
    except (OSError, UnicodeDecodeError, csv.Error, TypeError, ValueError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{path} cannot be read ({error}).", "Train again with --folds.") from error
