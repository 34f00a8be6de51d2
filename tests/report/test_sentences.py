"""What the numbers of an evaluation say, in words: by hand-worked numbers."""

from types import SimpleNamespace

import pytest

from linnaea.evaluation.ood import guaranteed_rate
from linnaea.report import sentences
from linnaea.runs.repeated import summary
from linnaea.runs.schema import GroupInfo, Reuse

SETS = {"value": 0.9, "wanted": 0.95, "p_value": 1e-7}
ALARMS = {"value": 22 / 53, "wanted": 1 / 12, "p_value": 0.0062, "split": "validation"}


def test_a_sentence_begins_large_and_ends():
    assert sentences.sentence("of 3 pictures") == "Of 3 pictures."
    assert sentences.sentence(None) == sentences.sentence("") == ""


def test_sets_that_are_too_small_for_harder_pictures():
    assert sentences.broken_sets({"set_coverage": SETS}) == (
        "its prediction sets for 95 % contained the true class for only 90.0 % of the test pictures; if the "
        "test pictures were like the validation pictures, so few would be expected in less than 0.1 % of "
        "cases. The validation set, which prediction sets and thresholds are based on, was probably easier: "
        "for new pictures, too, they may hold less often than guaranteed"
    )
    for harmless in (SETS | {"value": 0.96}, SETS | {"p_value": 0.03}, {"value": 0.9, "wanted": 0.95}, {}):
        assert sentences.broken_sets({"set_coverage": harmless}) is None
    assert sentences.broken_sets({}) is None


def test_false_alarms_that_come_too_often():
    assert sentences.false_alarms({"outliers": ALARMS}) == (
        "it flagged 41.5 % of the test pictures, all of known classes, as unfamiliar (out-of-distribution), "
        "instead of at most 8.33 %; if the test pictures were like the validation pictures, so many would be "
        "expected in 0.6 % of cases. Expect as many false alarms for new pictures"
    )
    # One that was evaluated before there were such values has no p_value.
    for harmless in (ALARMS | {"p_value": 0.1}, {"value": 0.4, "wanted": 0.05}, {}):
        assert sentences.false_alarms({"outliers": harmless}) is None


def test_calibration_before_and_after():
    ece = {"value": 0.012, "by_chance_high": 0.02, "pictures": 2000}
    assert sentences.calibration_error({"ece": ece, "ece_before": {"value": 0.11, "temperature": 2.0}}) == (
        "its stated probabilities are off by 1.2 points on average (11.0 before temperature scaling), no "
        "more than expected by chance with 2,000 pictures"
    )
    untempered = {"ece": {"value": 0.03}, "ece_before": {"value": 0.03, "temperature": 1}}
    assert sentences.calibration_error(untempered) == (
        "its stated probabilities are off by 3.0 points on average"
    )
    assert sentences.calibration_error({"accuracy": {"value": 1.0}}) is None


def test_groups_where_they_matter():
    accuracy = {"pictures": 600, "groups": 60, "independent": 120.4}
    assert sentences.in_groups({"accuracy": accuracy}) == (
        "its 600 test pictures belong to 60 groups, and predictions within a group tend to be right or wrong "
        "together; the intervals therefore count them as 120 independent pictures"
    )
    assert sentences.in_groups({"accuracy": accuracy | {"independent": 590}}) is None
    assert sentences.in_groups({}) is None
    assert sentences.remarks({"accuracy": accuracy}) == [sentences.in_groups({"accuracy": accuracy})]


@pytest.mark.parametrize(
    ("numbers", "words"),
    [
        (
            {"confidence": 0.96, "mean_coverage": 0.961, "pictures": 1020, "independent": 1020},
            "contain the true class at least 95 % of the time, with 95 % confidence, and 96.1 % of the time "
            "on average (they are based on 1,020 validation pictures)",
        ),
        (  # 1 - 0.95^19 = 62.3 %
            {"confidence": 0.623, "mean_coverage": 0.95, "pictures": 19, "independent": 19},
            "contain the true class at least 95 % of the time on average over many trainings; that these do "
            "is 62 % sure: they are based on 19 validation pictures, and 95 % confidence would take 59",
        ),
        (
            {"confidence": 0.623, "mean_coverage": 0.95, "pictures": 190, "independent": 19},
            "contain the true class at least 95 % of the time on average over many trainings; that these do "
            "is 62 % sure: they are based on 190 validation pictures, which carry as much information as 19 "
            "independent pictures, and 95 % confidence would take 59",
        ),
    ],
)
def test_what_sets_guarantee(numbers, words):
    assert sentences.guarantee({"coverage": 0.95, **numbers}) == words


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        (
            {"code": "too_few", "wanted": 0.95, "pictures": 18, "independent": 18, "needed": 19},
            "a guarantee of 95 % takes 19 validation pictures, and there are only 18",
        ),
        (
            {"code": "too_few", "wanted": 0.95, "pictures": 240, "independent": 12, "needed": 19},
            "a guarantee of 95 % takes 19 independent validation pictures, and there are only 12",
        ),
        (
            {"code": "too_hard", "wanted": 0.8},
            "the validation set is too small, or too hard, to guarantee 80 % correct answers",
        ),
        (  # cut, not rounded; as older runs call it
            {"code": "too_good", "right": 9, "pictures": 9, "promised": 0.7169},
            "without one, 9 of 9 validation pictures are classified correctly already, which guarantees at "
            "least 71.6 % correct answers",
        ),
        (
            {"code": "too_good", "right": 9, "pictures": 9, "guaranteed": 0.7169},
            "without one, 9 of 9 validation pictures are classified correctly already, which guarantees at "
            "least 71.6 % correct answers",
        ),
    ],
)
def test_why_there_is_no_guarantee(reason, words):
    assert sentences.why_none(reason) == words


def test_a_guarantee_of_false_alarms_that_is_not_the_one_asked_for():
    def score(number, *, sure, least):
        guaranteed = guaranteed_rate(0.05, number)
        numbers = {"asked": 0.05, "guaranteed": guaranteed, "pictures": number, "independent": number}
        return SimpleNamespace(**numbers, split="validation", is_sure=sure, surely_guaranteed=least)

    assert sentences.shortfall(score(300, sure=True, least=0.05)) == ""
    assert sentences.shortfall(score(3, sure=False, least=0.6316)) == (
        "at most 25 % false alarms are guaranteed on average, and at most 63.2 % with 95 % confidence, based "
        "on 3 validation pictures; 5 % would take 59"
    )
    assert sentences.shortfall(score(300, sure=False, least=0.0759)) == (
        "at most 5 % false alarms are guaranteed on average, and at most 7.59 % with 95 % confidence, based "
        "on 300 validation pictures"
    )


@pytest.mark.parametrize(
    ("earlier", "words"),
    [
        (None, "Earlier evaluations on this test set could not be counted."),
        (0, "This is the first run on this computer that was evaluated on this test set."),
        (
            1,
            "Other runs were evaluated once on this test set before: if that score influenced this run, the "
            "score is optimistic.",
        ),
        (
            1200,
            "Other runs were evaluated 1,200 times on this test set before: if those scores influenced this "
            "run, the score is optimistic.",
        ),
    ],
)
def test_how_often_the_test_set_was_evaluated_before(earlier, words):
    assert sentences.earlier_evaluations(Reuse(earlier=earlier)) == words
    assert sentences.earlier_evaluations(None) == ""


@pytest.mark.parametrize(
    ("judged", "state", "accuracies", "words"),
    [
        (0, "failed", [], "0 of 3 runs were evaluated: failed."),
        (
            1,
            "interrupted",
            [0.9],
            "1 of 3 runs was evaluated: interrupted. The spread needs at least two runs.",
        ),
        (
            3,
            "finished",
            [0.9, 0.91, 0.92],
            "The accuracies lie between 90.00 and 92.00\u00a0%; their standard deviation is 1.00 points.",
        ),
    ],
)
def test_a_group_says_how_many_of_its_runs_were_evaluated(judged, state, accuracies, words):
    metrics = summary([{"accuracy": {"value": value}} for value in accuracies])
    info = GroupInfo.model_validate({"judged": judged, "asked": 3, "state": state, "metrics": metrics})
    assert sentences.spread(info, []) == words
    lost = sentences.spread(info, ["2"])
    assert "Of 3 runs, 2 is missing." in lost


def test_runs_that_are_equal_have_no_most_accurate_one():
    assert sentences.lead_over(1, ["b"], equal=True) == (
        ", and it is not shown which is the most accurate: b may be as good"
    )
    assert sentences.lead_over(1, ["b"]) == ", the highest accuracy, but not significantly higher than b"
