"""What stands before a score: a network that is not worth using, a test set that tells little."""

import numpy as np
import pytest
from tests.report.test_formatting import facts

from linnaea.evaluation import baselines
from linnaea.report import next_steps, sections
from linnaea.report.caveats import caveats, is_worth_using, of_several
from linnaea.report.formatting import NBSP

LINEAR, PROBE, LARGEST = "a linear classifier on the pixels", "the probe alone", "always the largest class"
COUNTS = {"a": {"train": 5}, "b": {"train": 9}, "c": {"train": 9}}


def beside(said, **of_baselines):
    """Return a run whose baselines have the pictures right that are marked x; _ for a blank in a name."""
    right = np.array([pair[0] == pair[1] for pair in said.split()])
    marks = {name.replace("_", " "): np.array(list(row)) == "x" for name, row in of_baselines.items()}
    return facts(
        said,
        data={"classes": ["a", "b", "c"], "per_class": COUNTS, "protocol": "70/30 stratified, seed 0"},
        baselines={name: float(row.mean()) for name, row in marks.items()},
        baseline_differences={name: baselines.difference(right, row, None) for name, row in marks.items()},
    )


def told(run):
    return {caveat.title.replace(NBSP, " "): caveat.text.replace(NBSP, " ") for caveat in caveats(run)}


def test_five_pictures_tell_little_and_the_interval_says_how_little():
    found = told(beside("aa bb cc aa bb"))
    assert found == {
        "5 test pictures cannot tell 57 % from 100 %.": (
            "The true accuracy may be anything from 57 % to 100 %, with 95 % confidence. Collect 70 test "
            "pictures or more, or use folds=5, which tests each picture once."
        )
    }
    assert sections.remark(beside("aa bb cc aa bb")).replace(NBSP, " ") == (
        "It made no mistake on these pictures; so few do not rule out that it is wrong on 43 % of new ones."
    )


def test_hundred_pictures_that_are_right_are_no_matter():
    run = beside(" ".join(["aa bb cc"] * 40))
    assert told(run) == {}
    assert sections.remark(run) == "It made no mistake on these pictures."


def test_few_pictures_cannot_tell_a_network_from_one_answer_either():
    found = told(beside("aa bb bb bb bb", always_the_largest_class=" xxxx"))
    (text,) = found.values()
    assert "Always answering ‘b’ may be as good." in text
    assert is_worth_using(beside("aa bb bb bb bb", always_the_largest_class=" xxxx"))


@pytest.mark.parametrize(("right", "how"), [(20, "is no"), (22, "is not shown to be")])
def test_a_network_that_is_no_better_than_one_answer(right, how):
    said = " ".join(["bb"] * right + ["ba"] * (40 - right) + ["ab"] * 60)
    run = beside(said, always_the_largest_class="x" * 21 + " " * 79)
    found = told(run)
    assert f"this network for {right}.0 %" in found[f"This network {how} better than always answering ‘b’."]
    # What was not shown is not shown to be false.
    assert is_worth_using(run) is (right > 21)
    use = next_steps.next_steps(run)[0].advice[0]
    assert use.text.startswith("Not for decisions yet" if right > 21 else "Not yet")
    assert bool(use.command) is (right > 21)


@pytest.mark.parametrize(
    ("name", "title"),
    [
        (LINEAR, "A linear classifier on the pixels does better: this network is not worth using."),
        (f"{LINEAR} of 2,000 pictures", "A linear classifier on the pixels does better: this network"),
        (PROBE, "Fine-tuning made this network worse than its probe."),
    ],
)
def test_a_network_clearly_below_a_baseline_is_not_worth_using(name, title):
    said = " ".join(["aa"] * 70 + ["ab"] * 30)
    run = beside(said, **{name: "x" * 85 + " " * 15})
    ((found, text),) = told(run).items()
    assert found.startswith(title)
    assert "85.0 % of the test pictures correctly, this network 70.0 %: " in text
    assert not is_worth_using(run)
    assert next_steps.next_steps(run)[0].advice[0].text.startswith("Not yet")
    assert not any("predict" in line for line in next_steps.lines_after_training(run, "run"))


def test_a_lower_accuracy_that_may_be_chance_is_no_matter():
    run = beside(" ".join(["aa"] * 70 + ["ab"] * 30), **{LINEAR: "x" * 73 + " " * 27})
    assert told(run) == {}
    assert is_worth_using(run)


def test_a_run_that_did_not_record_its_pairs_is_held_against_the_accuracies():
    said = " ".join(["aa"] * 70 + ["ab"] * 30)
    assert "not worth using" in " ".join(told(facts(said, baselines={LINEAR: 0.91})))
    assert told(facts(said, baselines={LINEAR: 0.75})) == {}


def test_a_class_that_is_never_recognised_is_named():
    (caveat,) = caveats(beside(" ".join(["aa"] * 100 + ["bc"] * 5 + ["cc"] * 30)))
    assert caveat.title == "‘b’ is never recognised."
    assert caveat.text.startswith(
        "None of its 5 test pictures was classified correctly. Look whether its labels"
    )
    assert caveat.names == ("b: 0 of 5 right, most often taken for c",)
    # Four that are wrong may be chance, and are few.
    assert caveats(beside(" ".join(["aa"] * 100 + ["bc"] * 4 + ["cc"] * 30))) == []


def test_a_network_that_only_ever_gives_one_of_its_answers_is_called_so():
    found = told(beside(" ".join(["aa"] * 60 + ["ba"] * 20 + ["ca"] * 20)))
    assert found["‘b’ and ‘c’ are never recognised."].startswith(
        "None of their test pictures was classified correctly. The network only ever answers ‘a’."
    )
    # Where that one answer is the baseline, the warning of it says so already.
    same = beside(" ".join(["bb"] * 60 + ["ab"] * 40), always_the_largest_class="x" * 60 + " " * 40)
    assert list(told(same)) == ["This network is no better than always answering ‘b’."]


def test_the_answer_that_a_poor_network_mostly_gives_is_named():
    run = beside(
        " ".join(["bb"] * 20 + ["ab"] * 40 + ["aa"] * 40), always_the_largest_class="x" * 60 + " " * 40
    )
    assert "It answers ‘b’ for 60 of 100." in " ".join(told(run).values())
    same = beside(" ".join(["bb"] * 60 + ["ab"] * 10 + ["aa"] * 30), **{LINEAR: "x" * 100})
    # Most pictures are of that class.
    assert "It answers" not in " ".join(told(same).values())


def test_sets_that_cover_less_than_they_are_for_are_no_promise():
    run = beside(" ".join(["aa bb cc"] * 40))
    sets = {"value": 0.889, "low": 0.83, "high": 0.931, "wanted": 0.95, "p_value": 0.2}
    run.metrics["set_coverage"] = sets
    ((title, text),) = told(run).items()
    assert title == "Its prediction sets for 95 % contain the truth less often."
    assert "the true class of 88.9 % of the test pictures (95 %: 83.0 to 93.1 %)" in text
    run.metrics["set_coverage"] = {**sets, "high": 0.951}
    assert caveats(run) == []


def test_one_of_several_runs_points_to_them_all():
    run = facts("aa bb", one_of={"kind": "folds", "number": 1, "of": 5, "group": "x"})
    assert "or go by the page of all runs together." in caveats(run)[0].text


def test_several_runs_have_each_kind_of_caveat_once():
    few, fewer, many = (beside(" ".join(["aa bb cc"] * n)) for n in (2, 1, 40))
    (caveat,) = of_several([("one", few), ("two", fewer), ("three", many)])
    assert caveat.title == "one and two: too few test pictures to tell how accurate this is."
    assert [name.partition(" cannot")[0].replace(NBSP, " ") for name in caveat.names] == [
        "one: 6 test pictures", "two: 3 test pictures"
    ]  # fmt: skip
    (alike,) = of_several([("one", few), ("two", few)])
    assert alike.title == "All runs: too few test pictures to tell how accurate this is."
    assert (alike.text, alike.names) == (caveats(few)[0].text, ())
    assert of_several([("three", many)]) == []
