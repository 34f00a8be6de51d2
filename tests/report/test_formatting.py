"""Sentences at the numbers where they break: none, one, two."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from linnaea.commands.pipeline import show_result
from linnaea.evaluation.comparison import compare
from linnaea.evaluation.metrics import compute_metrics, explained
from linnaea.evaluation.predictions import Predictions
from linnaea.report import card, formatting, sections, sentences
from linnaea.report.facts import RunFacts
from linnaea.runs.folder import RunFolder
from linnaea.runs.schema import RunInfo

CLASSES = ("a", "b", "c")


def facts(said, **info):
    """Return a run whose test pictures are "true said" pairs, such as "aa ab"."""
    pairs = said.split()
    rows = [[0.8 if name == pair[1] else 0.1 for name in CLASSES] for pair in pairs]
    paths = tuple(f"{number}.png" for number in range(len(pairs)))
    table = Predictions(paths, np.array([pair[0] for pair in pairs]), CLASSES, np.array(rows))
    return RunFacts(
        Path("run"), RunInfo.model_validate(info), [], explained(compute_metrics(table), table), table
    )


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        (" ".join(["aa bb"] * 10), "It made no mistake on these pictures."),
        ("aa ab", "It made 1 mistake: it classified ‘a’ as ‘b’."),
        ("ab ab bc", "It made 3 mistakes."),
    ],
)
def test_mistakes(said, sentence):
    assert sections.remark(facts(said)).replace(formatting.NBSP, " ") == sentence


@pytest.mark.parametrize(
    ("accuracy", "tested", "sentence"),
    [
        (1.0, 1, "The only test picture was classified correctly."),
        (0.0, 1, "The only test picture was classified incorrectly."),
        (0.5, 2, "50.0 % of 2 test pictures were classified correctly."),
        (0.0, 2, "0.0 % of 2 test pictures were classified correctly."),
    ],
)
def test_verdict(accuracy, tested, sentence):
    assert str(formatting.verdict(accuracy, None, tested)).replace(formatting.NBSP, " ") == sentence


def test_pictures_that_leak_are_no_part_of_what_the_headline_is_sure_of():
    run = facts(" ".join(["aa bb cc"] * 10), leaks={"pictures": ["1.png", "2.png"], "n": 2})
    run.metrics["accuracy_without_leaks"] = {"value": 0.75, "low": 0.6, "high": 0.86}
    assert (
        sections.verdict(run)
        .sure.replace(formatting.NBSP, " ")
        .startswith(
            "Without the 2 that leak into training, 75.0 % of 28. With 95 % confidence the true rate lies"
        )
    )
    assert sections.verdict(facts("aa bb")).sure.startswith("With 95")


@pytest.mark.parametrize(("number", "said"), [(0, "never"), (1, "once"), (2, "twice"), (1234, "1,234 times")])
def test_times(number, said):
    assert formatting.times(number) == said


@pytest.mark.parametrize(
    ("epochs", "trained", "said"),
    [(1, 1, "1 of 1 epoch;"), (2, 1, "1 of 2 epochs;"), (None, 1, "1 epoch;"), (None, 2, "2 epochs;")],
)
def test_how_far_a_run_came(epochs, trained, said):
    history = [{"epoch": epoch} for epoch in range(trained + 1)]
    info = RunInfo(state="failed", recipe={"epochs": epochs})
    run = RunFacts(Path("run"), info, history, {}, None)
    assert f"It had trained {said}" in sections.banner(run).text.replace(formatting.NBSP, " ")


@pytest.mark.parametrize(
    ("counts", "each", "uneven"),
    [
        ((1, 1, 1), "1 training picture per class.", None),
        ((2, 2, 2), "2 training pictures per class.", None),
        (
            (1, 9, 9),
            "1 to 9 training pictures per class.",
            "One class had far fewer training pictures than others: a (1).",
        ),
        (
            (1, 3, 9),
            "1 to 9 training pictures per class.",
            "Some classes had far fewer training pictures than others: a (1) and b (3).",
        ),
    ],
)
def test_the_card_counts_training_pictures(counts, each, uneven):
    per_class = {name: {"train": number} for name, number in zip(CLASSES, counts, strict=True)}
    splits = {"train": sum(counts)}
    run = facts("aa bb", data={"splits": splits, "classes": list(CLASSES), "per_class": per_class})
    told = [s.replace(formatting.NBSP, " ") for _, part in card.model_card(run) for s in part]
    assert each in told
    assert [s for s in told if "far fewer" in s] == ([uneven] if uneven else [])
    assert "c has no test picture: nothing is known about it." in told


def test_one_picture_can_show_no_difference():
    table = facts("ab").predictions
    assert sentences.difference(compare(table, table), "x", "y") == "no significant difference on 1 picture"


@pytest.mark.parametrize(("number", "tested"), [(1, "1 test picture"), (2, "2 test pictures")])
def test_the_terminal_says_of_how_many_pictures(number, tested, tmp_path, capsys):
    run = RunFolder.create(tmp_path / "run")
    run.update_info(
        data={"splits": {"test": number}, "classes": ["a", "b"]}, baselines={"always the largest class": 0.5}
    )
    run.write_json("metrics.json", {"accuracy": {"value": 1.0, "low": 0.2, "high": 1.0}})
    show_result(run)
    told = " ".join(capsys.readouterr().err.split())
    assert told.startswith(f"Result 100.0 % of {tested} right (95 %: 20.0 to 100.0) always the largest class")


@pytest.mark.parametrize(
    ("pictures", "value", "written"),
    [(5, 0.97123, "0.97"), (119, 0.97123, "0.971"), (21000, 0.971234, "0.97123"), (None, 0.971234, "0.97123"),
     (12, 0.000138, "< 0.01"), (12, 0.0, "0.00")],
)  # fmt: skip
def test_a_number_has_no_more_decimals_than_its_pictures_bear(pictures, value, written):
    meaning = formatting.meaning_of("macro_auc")
    meaning = replace(meaning, decimals=formatting.decimals_of(meaning, pictures))
    assert formatting.metric_text(meaning, value).replace(formatting.NBSP, " ") == written
