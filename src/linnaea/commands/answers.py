"""Answers of predict, written as they come: a table for people, CSV or JSON for programs.

Whatever ends the command, what was written is whole: no half line, and a closed list of JSON.
"""

import sys
import textwrap
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Literal, Self

from rich.cells import cell_len

from linnaea import signals
from linnaea.commands import terminal
from linnaea.evaluation.predictions import columns_of
from linnaea.text import percent

Format = Literal["table", "csv", "json", "jsonl"]


class Answers:
    """Where answers are written to, begun with `with`.

    Which columns there are depends on the run and the options, not on the pictures.

    classes: of the network, in its order
    with_sets, with_score, with_light: whether answers have a set, an out-of-distribution score, a remark on
        their brightness
    number: how many answers are written
    """

    def __init__(
        self, format: Format, classes: Sequence[str], *, with_sets: bool, with_score: bool, with_light: bool
    ) -> None:
        self._format, self._classes = format, classes
        self._sets, self._score, self._light = with_sets, with_score, with_light
        self.number = 0
        self._begun = False
        self._widths: dict[str, int] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # A reader who has gone needs no end; before the first answer, an error is all that is said.
        gone = isinstance(error, BrokenPipeError)
        if not gone and (self._begun or error is None):
            self._print([], last=True)

    def write(self, answers: Sequence[dict[str, Any]]) -> None:
        """Print answers, {"path", "predicted", …} or {"path", "error"}, to the end of a line."""
        if answers:
            self._print(answers)

    def _print(self, answers: Sequence[dict[str, Any]], *, last: bool = False) -> None:
        # A signal waits until the lines are out.
        with signals.between_steps():
            getattr(self, f"_print_{self._format}")(answers, last)
            self._begun = True
            sys.stdout.flush()
            self.number += len(answers)

    def _print_json(self, answers: Sequence[dict[str, Any]], last: bool) -> None:
        text = ""
        for answer in answers:
            text += ",\n" if self._begun or text else "[\n"
            text += textwrap.indent(terminal.json_text(answer), "  ")
        if last:
            text = "\n]\n" if self._begun else "[]\n"
        print(text, end="")

    def _print_jsonl(self, answers: Sequence[dict[str, Any]], last: bool) -> None:
        print("".join(f"{terminal.json_text(answer, indent=None)}\n" for answer in answers), end="")

    def _print_csv(self, answers: Sequence[dict[str, Any]], last: bool) -> None:
        more = [*(["set"] if self._sets else []), *(["ood", "ood_score"] if self._score else [])]
        more += ["brightness"] if self._light else []
        header = ["path", "predicted", "probability", *more, *columns_of(self._classes), "error"]
        rows = [self._csv_row(answer) for answer in answers]
        terminal.print_csv(rows if self._begun else [header, *rows])

    def _csv_row(self, answer: dict[str, Any]) -> list[str]:
        probability = f"{answer['probability']:.9g}" if "probability" in answer else ""
        row = [answer["path"], answer.get("predicted", ""), probability]
        if self._sets:
            row.append(" | ".join(answer.get("set", [])))
        if self._score:
            known = "ood" in answer
            row.append(("yes" if answer["ood"] else "no") if known else "")
            row.append(f"{answer['ood_score']:.9g}" if known else "")
        if self._light:
            row.append(answer.get("brightness", ""))
        row += [f"{p:.9g}" for p in answer.get("probabilities", {}).values()] or [""] * len(self._classes)
        return [*row, answer.get("error", "")]

    def _print_table(self, answers: Sequence[dict[str, Any]], last: bool) -> None:
        if last and self._begun:
            return
        columns = {"path": "Picture", "predicted": "Predicted", "probability": "Probability", "next": "Next"}
        if self._sets:
            columns["next"] = "Prediction set"
        if self._score:
            columns["ood"] = "Unfamiliar?"
        rows = [_table_row(answer) for answer in answers]
        terminal.results.print(
            terminal.comparison_table(
                rows,
                columns,
                long=("next",),
                words=("predicted", "ood"),
                widths=self._widths,
                headed=not self._begun,
            )
        )
        if not self._begun:
            # Later rows stand below the first ones, as far as they fit there.
            self._widths = {
                key: max(cell_len(row[key]) for row in [*rows, columns]) for key in columns if key != "next"
            }


def _table_row(answer: dict[str, Any]) -> dict[str, str]:
    if "error" in answer:
        # The name stands before it.
        reason = answer["error"].removeprefix(answer["path"]).strip()
        return {
            "path": answer["path"],
            "predicted": "not read",
            "probability": "–",
            "next": reason,
            "ood": "",
        }
    likeliest = sorted(answer["probabilities"].items(), key=lambda pair: -pair[1])
    shown = likeliest[: len(answer["set"])] if "set" in answer else likeliest[1:3]
    return {
        "path": answer["path"],
        "predicted": answer["predicted"],
        "probability": percent(answer["probability"]),
        "next": ", ".join(f"{name} {percent(p)}" for name, p in shown),
        "ood": "yes" if answer.get("ood") else "",
    }
