import numpy as np
import pytest

from linnaea.evaluation.intervals import wilson
from linnaea.evaluation.learning_curve import Step, forecast, points, power_law, tells


def steps_with(errors: dict[int, int], m: int = 1000) -> tuple[list[Step], np.ndarray]:
    """Return steps that are wrong on so many of m pictures of two classes, and sure of everything."""
    targets = np.arange(m) % 2
    steps = []
    for pictures, wrong in errors.items():
        said = np.where(np.arange(m) < wrong, 1 - targets, targets)
        steps.append(Step(pictures / max(errors), pictures, np.eye(2)[said]))
    return steps, targets


def test_an_exact_power_law_is_found():
    numbers = np.array([100.0, 250, 500, 1000])
    errors = np.stack([3 * numbers**-0.5, 0.2 * numbers**-0.1, 0.2 + 0 * numbers, numbers / 5000])
    weights = np.random.default_rng(0).uniform(1, 9, errors.shape)
    # The last rises: more pictures are not expected to do harm.
    assert power_law(numbers, errors, weights) == pytest.approx([0.5, 0.1, 0, 0])


def test_the_weighted_slope_is_that_of_numpy():
    generator = np.random.default_rng(1)
    numbers, errors = np.array([10.0, 25, 50, 100]), np.array([0.5, 0.31, 0.3, 0.15])
    weights = generator.uniform(1, 9, 4)
    slope = np.polyfit(np.log(numbers), np.log(errors), 1, w=np.sqrt(weights))[0]
    assert power_law(numbers, errors[None], weights[None])[0] == pytest.approx(-slope)


def test_one_number_of_pictures_has_no_slope():
    with pytest.raises(ValueError, match="two different numbers"):
        power_law(np.array([24.0, 24.0]), np.full((1, 2), 0.5), np.ones((1, 2)))


def test_twice_the_pictures_halve_an_error_that_falls_as_one_over_their_number():
    steps, targets = steps_with({100: 800, 200: 400, 400: 200, 800: 100})
    ahead = forecast(steps, targets, ["a", "b"])
    assert ahead["pictures"] == 1600
    assert ahead["exponent"] == pytest.approx(1, abs=0.01)
    assert ahead["accuracy"] == pytest.approx(0.95, abs=0.001)
    assert 0.93 < ahead["low"] < 0.95 < ahead["high"] < 0.97


def test_the_points_have_wilsons_interval():
    steps, targets = steps_with({10: 30, 100: 10}, m=100)
    first, last = points(steps, targets)
    assert (first["share"], first["pictures"], first["accuracy"]) == (0.1, 10, 0.7)
    # Wilson's interval of 90 of 100 (Brown, Cai and DasGupta 2001): 0.826 to 0.945.
    assert (round(last["low"], 3), round(last["high"], 3)) == (0.826, 0.945)


def test_without_a_mistake_nothing_is_left_to_gain():
    steps, targets = steps_with({10: 0, 20: 0})
    ahead = forecast(steps, targets, ["a", "b"])
    assert (ahead["accuracy"], ahead["classes"]) == (1, [])
    assert (ahead["low"], ahead["high"]) == wilson(len(targets), len(targets))


def test_the_class_that_was_helped_most_is_named_first():
    targets = np.arange(90) % 3
    steps = []
    for number, sure in ((100, [0.3, 0.3, 0.9]), (200, [0.5, 0.31, 0.9]), (400, [0.7, 0.32, 0.9])):
        true = np.array(sure)[targets]
        probabilities = np.repeat(((1 - true) / 2)[:, None], 3, axis=1)
        probabilities[np.arange(90), targets] = true
        steps.append(Step(number / 400, number, probabilities))
    ahead = forecast(steps, targets, ["learns", "stays hard", "known"])
    first = ahead["classes"][0]
    assert first["class"] == "learns"
    assert first["now"] == pytest.approx(0.7)
    assert 0.75 < first["then"] < 0.85


def sure_of(*curves: list[float]) -> tuple[list[Step], np.ndarray]:
    """Return steps at 100, 200, … pictures, each class judged by 30 and given so much probability."""
    classes, numbers = len(curves), 100 * 2 ** np.arange(len(curves[0]))
    targets = np.arange(30 * classes) % classes
    steps = []
    for number, sure in zip(numbers.tolist(), np.array(curves).T, strict=True):
        probabilities = np.repeat((1 - sure[targets])[:, None] / (classes - 1), classes, axis=1)
        probabilities[np.arange(len(targets)), targets] = sure[targets]
        steps.append(Step(number / numbers[-1], number, probabilities))
    return steps, targets


def test_a_class_whose_own_curve_did_not_rise_is_not_named_whatever_the_others_gain():
    steps, targets = sure_of([0.2, 0.4, 0.7], [0.1, 0.1, 0.1], [0.6, 0.5, 0.4])
    ahead = forecast(steps, targets, ["rises", "stays", "falls"])
    assert ahead["accuracy"] > points(steps, targets)[-1]["accuracy"]
    assert [entry["class"] for entry in ahead["classes"]] == ["rises"]


def test_no_class_is_named_where_nothing_is_gained():
    # As many mistakes as ever, though one class is ever surer of what it says.
    steps, targets = sure_of([0.6, 0.7, 0.8], [0.4, 0.4, 0.4])
    ahead = forecast(steps, targets, ["surer", "always wrong"])
    assert ahead["accuracy"] == points(steps, targets)[-1]["accuracy"] == 0.5
    assert ahead["classes"] == []


@pytest.mark.parametrize(
    ("errors", "m", "says"),
    [
        # The last one or two mistakes of 28 pictures are luck: there may be much to gain, or nothing.
        ({20: 4, 50: 3, 100: 2, 200: 2}, 28, False),
        ({20: 0, 50: 0}, 28, False),
        # The same shares of 2,800 pictures, and no mistake in as many.
        ({20: 400, 50: 300, 100: 200, 200: 200}, 2800, True),
        ({20: 20, 50: 20}, 2800, True),
        ({20: 0, 50: 0}, 2800, True),
    ],
)
def test_few_pictures_cannot_tell_what_more_would_bring(errors, m, says):
    steps, targets = steps_with(errors, m)
    ahead = forecast(steps, targets, ["a", "b"])
    assert tells(ahead["gain_low"], ahead["gain_high"]) is says
    now = points(steps, targets)[-1]["accuracy"]
    assert ahead["gain_low"] <= ahead["accuracy"] - now <= ahead["gain_high"]


def test_without_a_mistake_the_gain_is_half_of_those_that_there_may_be():
    steps, targets = steps_with({10: 0, 20: 0}, m=28)
    ahead = forecast(steps, targets, ["a", "b"])
    # Wilson's interval of 28 of 28 begins at 28 / (28 + 1.96²) = 0.879.
    assert (ahead["gain_low"], round(ahead["gain_high"], 4)) == (0, round((1 - 0.8794) / 2, 4))


def test_no_class_is_named_where_the_gain_is_not_certain():
    steps, targets = sure_of([0.2, 0.4, 0.7], [0.6, 0.7, 0.8])
    few = np.array([0, 1, 2, 3])
    steps = [Step(step.share, step.pictures, step.probabilities[few]) for step in steps]
    ahead = forecast(steps, targets[few], ["rises", "rises too"])
    assert not tells(ahead["gain_low"], ahead["gain_high"])
    assert ahead["classes"] == []
