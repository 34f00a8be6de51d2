"""Facts: scikit-learn's numbers to 1e-9, exact binomial coverage, hand-worked tables."""

import json
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn import metrics as sk

from linnaea.errors import DataError
from linnaea.evaluation.abstention import WANTED
from linnaea.evaluation.intervals import class_mean_interval, wilson
from linnaea.evaluation.metrics import (
    RESAMPLES,
    compute_metrics,
    confusion,
    explained,
    most_confused,
    per_class,
)
from linnaea.evaluation.predictions import Predictions
from linnaea.evaluation.ranking import macro_auc, weighted_area


def table(true, probabilities, classes):
    true = np.asarray(true, dtype=str)
    return Predictions(
        paths=tuple(f"{row:05}.png" for row in range(len(true))),
        true=true,
        classes=tuple(classes),
        probabilities=np.asarray(probabilities, dtype=np.float64),
    )


def random_table(n, k, *, seed=0, absent=(), signal=2.0):
    """A table in which classes `absent` have no picture; every class may be predicted."""
    generator = np.random.default_rng(seed)
    names = [f"class {c:02}" for c in range(k)]
    true = generator.choice(np.setdiff1d(np.arange(k), absent), size=n)
    logits = generator.normal(size=(n, k))
    logits[np.arange(n), true] += signal
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return table(np.array(names)[true], probabilities, names)


CASES = {
    "ten classes": random_table(2000, 10),
    "two classes": random_table(300, 2),
    "absent classes": random_table(500, 8, absent=(0, 5)),
    "rare classes": random_table(40, 12, seed=3),
    "one picture": random_table(1, 3),
}


@pytest.mark.parametrize("predictions", CASES.values(), ids=CASES.keys())
def test_every_number_equals_scikit_learns(predictions):
    true, predicted, classes = predictions.true, predictions.predicted, list(predictions.classes)
    present = sorted(set(true))
    with warnings.catch_warnings():
        # It warns that classes without pictures were predicted, or that all pictures have one class.
        warnings.simplefilter("ignore")
        expected = {
            "accuracy": sk.accuracy_score(true, predicted),
            "balanced_accuracy": sk.balanced_accuracy_score(true, predicted),
            "macro_f1": sk.f1_score(true, predicted, labels=present, average="macro", zero_division=0),
            "mean_per_class_accuracy": sk.recall_score(true, predicted, labels=present, average="macro"),
            "log_loss": sk.log_loss(true, y_proba=predictions.probabilities, labels=classes),
            "brier": sk.brier_score_loss(
                true,
                predictions.probabilities if len(classes) > 2 else predictions.probabilities[:, 1],
                labels=classes,
                **({"pos_label": classes[1]} if len(classes) == 2 else {}),
            ),
        }
        for top, possible in (("top_3", 4 <= len(classes) <= 6), ("top_5", len(classes) >= 6)):
            if possible:
                expected[top] = sk.top_k_accuracy_score(
                    predictions.true_index,
                    predictions.probabilities,
                    k=int(top[-1]),
                    labels=range(len(classes)),
                )
    areas = [
        sk.roc_auc_score(true == name, predictions.probabilities[:, column])
        for column, name in enumerate(classes)
        if 0 < (true == name).sum() < len(true)
    ]
    expected["macro_auc"] = np.mean(areas) if areas else None

    computed = compute_metrics(predictions)

    assert set(computed) - set(expected) == {"ece", "ece_adaptive"}  # scikit-learn has neither
    assert {name: computed[name]["value"] for name in expected} == {
        name: None if value is None else pytest.approx(value, abs=1e-9) for name, value in expected.items()
    }
    assert computed["accuracy"]["pictures"] == len(predictions) == confusion(predictions).sum()


def test_macro_auc_equals_scikit_learns_own_macro_average():
    predictions = CASES["ten classes"]
    expected = sk.roc_auc_score(
        predictions.true, predictions.probabilities, multi_class="ovr", average="macro"
    )
    assert compute_metrics(predictions)["macro_auc"]["value"] == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("predictions", CASES.values(), ids=CASES.keys())
def test_per_class_and_confusion_equal_scikit_learns(predictions):
    classes = list(predictions.classes)
    np.testing.assert_array_equal(
        confusion(predictions), sk.confusion_matrix(predictions.true, predictions.predicted, labels=classes)
    )
    precision, recall, f1, pictures = sk.precision_recall_fscore_support(
        predictions.true, predictions.predicted, labels=classes, zero_division=np.nan
    )
    rows = per_class(predictions)
    assert [row["class"] for row in rows] == classes
    assert [row["pictures"] for row in rows] == pictures.tolist()
    for name, expected in (("precision", precision), ("recall", recall)):
        received = [np.nan if row[name] is None else row[name] for row in rows]
        np.testing.assert_allclose(received, expected, atol=1e-12)
    has_pictures = pictures > 0
    np.testing.assert_allclose(
        [row["f1"] for row, there in zip(rows, has_pictures, strict=True) if there], f1[has_pictures]
    )
    assert all(row["f1"] is None for row, there in zip(rows, has_pictures, strict=True) if not there)


@given(st.integers(2, 7), st.integers(1, 60), st.integers(0, 10_000))
@settings(max_examples=40, deadline=None)
def test_values_lie_within_their_intervals_and_the_table_is_json(k, n, seed):
    computed = compute_metrics(random_table(n, k, seed=seed))
    for name, metric in computed.items():
        if metric["low"] is not None:
            assert metric["low"] <= metric["high"]
            assert (
                name in ("balanced_accuracy", "mean_per_class_accuracy", "macro_f1")
                or metric["low"] <= metric["value"] <= metric["high"]
            )
    assert json.loads(json.dumps(computed, allow_nan=False)) == computed


@pytest.mark.parametrize("validated", [0, 10, 600])
def test_what_explains_the_metrics_is_json_and_changes_none_of_them(validated):
    predictions = random_table(40, 4, seed=1)
    validation = random_table(validated, 4, seed=2) if validated else None
    computed = compute_metrics(predictions, validation=validation, temperature=1.5)
    more = explained(computed, predictions, validation=validation, temperature=1.5)
    assert json.loads(json.dumps(more, allow_nan=False)) == more
    for name, metric in computed.items():
        assert {key: more[name][key] for key in metric} == metric
    assert explained(more, predictions, validation=validation, temperature=1.5) == more
    assert [row["class"] for row in more["accuracy"]["classes"]] == list(predictions.classes)
    if validation is not None:
        # Each is there, or says why it is not.
        assert ("reason" in more["set_coverage"]) == (more["set_coverage"]["value"] is None)
        assert ("reason" in more["answered"]) == (more["answered"]["value"] is None)
        assert [level["wanted"] for level in more["answered"]["levels"]] == list(WANTED)


def test_which_top_k_there_is():
    names = {k: set(compute_metrics(random_table(50, k))) & {"top_3", "top_5"} for k in range(2, 8)}
    assert names == {2: set(), 3: set(), 4: {"top_3"}, 5: {"top_3"}, 6: {"top_3", "top_5"}, 7: {"top_5"}}


def test_classes_whose_curve_does_not_exist_are_listed():
    assert compute_metrics(CASES["absent classes"])["macro_auc"]["left_out"] == ["class 00", "class 05"]
    alone = compute_metrics(CASES["one picture"])["macro_auc"]
    assert alone == {
        "value": None,
        "low": None,
        "high": None,
        "left_out": ["class 00", "class 01", "class 02"],
    }


def test_a_hand_worked_table():
    # Four pictures, three classes; the last is never true. Right: 1st and 3rd.
    p = [[0.5, 0.25, 0.25], [0.5, 0.25, 0.25], [0.125, 0.75, 0.125], [0.25, 0.25, 0.5]]
    predictions = table(["a", "b", "b", "a"], p, ["a", "b", "c"])
    computed = compute_metrics(predictions)
    assert computed["accuracy"]["value"] == 0.5
    assert computed["log_loss"]["value"] == pytest.approx(-np.log([0.5, 0.25, 0.75, 0.25]).mean())
    # recall: a 1/2, b 1/2. F1: a 2·1/(2+2), b 2·1/(2+1).
    assert computed["balanced_accuracy"]["value"] == 0.5
    assert computed["macro_f1"]["value"] == pytest.approx((1 / 2 + 2 / 3) / 2)
    # a: 0.5 and 0.25 against 0.5 and 0.125: (½ + 1 + 0 + 1)/4.
    # b: 0.25 and 0.75 against 0.25 and 0.25: (½ + ½ + 1 + 1)/4.
    assert computed["macro_auc"]["value"] == pytest.approx((2.5 / 4 + 3 / 4) / 2)
    np.testing.assert_array_equal(confusion(predictions), [[1, 0, 1], [1, 1, 0], [0, 0, 0]])
    assert most_confused(predictions) == [
        {"true": "a", "predicted": "c", "pictures": 1, "share": 0.5},
        {"true": "b", "predicted": "a", "pictures": 1, "share": 0.5},
    ]


def test_most_confused_pairs_come_first():
    predictions = CASES["ten classes"]
    pairs = most_confused(predictions, limit=3)
    counts = confusion(predictions)
    np.fill_diagonal(counts, 0)
    assert [pair["pictures"] for pair in pairs] == sorted(counts.ravel().tolist(), reverse=True)[:3]


def test_a_certain_mistake_costs_a_finite_log_loss_as_in_scikit_learn():
    predictions = table(["a", "b"], [[0.0, 1.0], [0.0, 1.0]], ["a", "b"])
    expected = sk.log_loss(predictions.true, y_proba=predictions.probabilities, labels=["a", "b"])
    assert compute_metrics(predictions)["log_loss"]["value"] == pytest.approx(expected, abs=1e-9)


def test_a_perfect_table_claims_no_certainty():
    predictions = table(["a"] * 20 + ["b"] * 20, [[1.0, 0.0]] * 20 + [[0.0, 1.0]] * 20, ["a", "b"])
    computed = compute_metrics(predictions)
    # Wilson (1927) with n successes of n: low = n / (n + z²).
    assert computed["accuracy"]["low"] == pytest.approx(40 / (40 + stats.norm.ppf(0.975) ** 2))
    assert (computed["accuracy"]["value"], computed["accuracy"]["high"]) == (1.0, 1.0)
    assert computed["balanced_accuracy"]["low"] == pytest.approx(computed["accuracy"]["low"])
    for name, best in {"macro_auc": 1, "macro_f1": 1, "brier": 0}.items():
        assert (computed[name]["value"], computed[name]["low"], computed[name]["high"]) == (best, None, None)


def test_a_mean_over_classes_at_the_end_of_its_scale_has_wilsons_interval():
    # All wrong: 20 of one class and 5 of another weigh as 2² / (1/20 + 1/5) = 16 pictures.
    predictions = table(["a"] * 20 + ["b"] * 5, [[0.0, 1.0]] * 20 + [[1.0, 0.0]] * 5, ["a", "b"])
    balanced = compute_metrics(predictions)["balanced_accuracy"]
    assert (balanced["low"], balanced["high"]) == pytest.approx(wilson(0, 16))
    assert balanced["value"] == 0.0
    # Two of three right in every class: some resample differs, and elsewhere nothing is changed.
    assert class_mean_interval(0.5, np.array([20, 5])) == (None, None)


def test_the_interval_of_a_perfect_mean_over_classes_covers_the_truth():
    # Of classes of 10, 20 and 40 pictures: the worst truth that a perfect table must not exclude.
    pictures = np.array([10, 20, 40])
    low, _ = class_mean_interval(1.0, pictures)
    assert (low**pictures).prod() < 0.05


def test_wilson_gives_a_published_interval():
    # Newcombe (1998), Stat. Med. 17:857-872, table I, method 3: 81 of 263 and 15 of 148.
    assert wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson(15, 148) == pytest.approx((0.0624, 0.1605), abs=5e-5)
    assert wilson(0, 20) == pytest.approx((0.0, 0.1611), abs=5e-5)


def test_wilson_covers_the_truth_as_often_as_it_says():
    n, p = 200, 0.9
    covers = np.array([low <= p <= high for low, high in (wilson(k, n) for k in range(n + 1))])
    exactly = stats.binom.pmf(np.arange(n + 1), n, p)[covers].sum()
    assert 0.93 <= exactly <= 0.97
    simulated = covers[np.random.default_rng(0).binomial(n, p, size=1000)].mean()
    assert 0.93 <= simulated <= 0.97


def test_the_intervals_of_auc_and_of_class_means_cover_the_truth():
    # The truth is the value over a very large test part; 200 small ones are drawn from the same source.
    large = compute_metrics(random_table(30_000, 4, seed=1, signal=1.5))
    truth = {
        name: large[name]["value"]
        for name in ("macro_auc", "macro_f1", "balanced_accuracy", "log_loss", "brier")
    }
    covered = dict.fromkeys(truth, 0)
    for seed in range(200):
        small = compute_metrics(random_table(200, 4, seed=100 + seed, signal=1.5))
        for name, value in truth.items():
            covered[name] += small[name]["low"] <= value <= small[name]["high"]
    # 95 % of 200, give or take three standard errors (1.5 % each) and the small sample's own error.
    assert all(0.90 <= count / 200 <= 0.99 for count in covered.values()), covered


def test_the_bootstrap_interval_of_a_binary_auc_is_nearly_delongs():
    # DeLong's variance by hand: V10 and V01 are the means of the comparison matrix's rows and columns.
    generator = np.random.default_rng(2)
    true = np.repeat([1, 0], [30, 50])
    scores = np.round(generator.normal(size=80) + true, 1)  # rounded, so that there are ties
    probability = 1 / (1 + np.exp(-scores))
    compared = np.heaviside(scores[:30, None] - scores[None, 30:], 0.5)
    area = compared.mean()
    error = np.sqrt(compared.mean(axis=1).var(ddof=1) / 30 + compared.mean(axis=0).var(ddof=1) / 50)
    half = stats.norm.ppf(0.975) * error / (area * (1 - area))
    expected = stats.logistic.cdf(np.log(area / (1 - area)) + np.array([-half, half]))
    value, low, high = macro_auc(true, np.stack([1 - probability, probability], axis=1), resamples=20_000)
    assert value == pytest.approx(area, abs=1e-12)
    assert (low, high) == pytest.approx(tuple(expected), abs=0.003)


def test_a_weighted_area_is_scikit_learns():
    generator = np.random.default_rng(3)
    inside, scores = generator.random(90) < 0.3, generator.normal(size=90).round(1)
    weights = generator.integers(0, 4, size=(90, 6)).astype(np.float32)
    expected = [sk.roc_auc_score(inside, scores, sample_weight=column) for column in weights.T]
    np.testing.assert_allclose(weighted_area(inside, scores, weights), expected, rtol=1e-6)


def test_the_bootstrap_depends_on_the_seed_alone():
    predictions = CASES["ten classes"]
    first, again, other = (compute_metrics(predictions, seed=seed)["macro_f1"] for seed in (0, 0, 1))
    assert first == again
    assert first["low"] != other["low"]
    assert RESAMPLES == 1000


def test_classes_with_few_pictures_have_no_interval_of_their_own():
    computed = compute_metrics(CASES["rare classes"])
    assert computed["macro_f1"]["low"] is computed["macro_auc"]["low"] is None
    fewest = int(np.unique(CASES["rare classes"].true, return_counts=True)[1].min())
    assert computed["macro_f1"]["fewest"] == computed["macro_auc"]["fewest"] == fewest < 5
    assert computed["accuracy"]["low"] is not None


def test_what_is_refused():
    with pytest.raises(DataError) as empty:
        compute_metrics(table([], np.zeros((0, 2)), ["a", "b"]))
    assert str(empty.value) == "The prediction table holds no pictures. Choose a split with a test set."
    with pytest.raises(DataError) as nan:
        compute_metrics(table(["a", "b"], [[0.5, 0.5], [np.nan, 0.5]], ["a", "b"]))
    assert str(nan.value) == (
        "1 of 2 pictures have a probability that is not a finite number (the first: 00001.png). "
        "Train again with a lower learning rate."
    )
    with pytest.raises(DataError) as unknown:
        compute_metrics(table(["a", "z", "y", "z"], [[0.5, 0.5]] * 4, ["a", "b"]))
    assert str(unknown.value) == (
        "3 pictures have a class that training did not have ('y', 'z'). "
        "Train again with these classes, or leave these pictures out."
    )
    with pytest.raises(DataError, match="names 'a' more than once"):
        table(["a"], [[0.5, 0.5]], ["a", "a"])
