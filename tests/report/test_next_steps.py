"""What to do now stands below the headline, and comes from the run's own numbers."""

from dataclasses import replace

from tests.report.test_formatting import facts

from linnaea.report.formatting import NBSP
from linnaea.report.next_steps import after_comparison, after_repeats, lines_after_training, next_steps


def steps(run):
    return {
        step.title: [advice.text.replace(NBSP, " ") for advice in step.advice] for step in next_steps(run)
    }


def test_the_worst_pair_is_named_with_its_numbers():
    run = facts(" ".join(["aa"] * 57 + ["ab"] * 3 + ["bb"] * 40))
    assert steps(run)["Make it better"][0] == "‘a’ was taken for ‘b’ in 3 of 60 test pictures."
    look, use = lines_after_training(run, "runs/x")
    assert look == "look at it (‘a’ was taken for ‘b’ in 3 of 60 test pictures): linnaea open runs/x"
    assert use == "classify new pictures: linnaea predict runs/x PICTURE"


def test_two_mistakes_that_are_each_other_turned_round_are_alike():
    assert steps(facts("ab ba cc"))["Make it better"][0] == "‘a’ and ‘b’ were taken for each other."
    assert steps(facts("ab bc cc"))["Make it better"][0] == "No two of its 2 mistakes are alike."


def test_labels_of_confident_mistakes_are_doubted():
    run = facts("ab bb")
    run.metrics["accuracy"]["sure_mistakes"] = 2
    assert (
        "2 mistakes have a probability of 90 % or more: are their labels right?"
        in steps(run)["Make it better"]
    )


def test_more_pictures_are_advised_by_the_forecast_alone():
    points = [{"pictures": 50, "accuracy": 0.7}, {"pictures": 100, "accuracy": 0.8}]

    def advice(**ahead):
        run = facts("aa bb", learning_curve=points, learning_forecast={"pictures": 200, **ahead})
        return " ".join(steps(run)["Make it better"])

    gaining = [{"class": "b", "now": 0.6, "then": 0.7}, {"class": "c", "now": 0.6, "then": 0.6}]
    more = "Twice as many training pictures would bring about 5.0 points, above all of b."
    assert more in advice(accuracy=0.85, classes=gaining)
    assert "More pictures would hardly help." in advice(accuracy=0.8)
    # An interval from a loss to a gain says neither.
    unknown = "The learning curve rests on too few pictures to tell whether more would help."
    for accuracy in (0.8, 0.85):
        assert unknown in advice(accuracy=accuracy, low=0.78, high=1.0, classes=gaining)
    assert more in advice(accuracy=0.85, low=0.82, high=0.88, classes=gaining)
    assert "was not measured" in " ".join(steps(facts("aa bb"))["Make it better"])


def test_what_was_not_tested_is_not_trusted():
    few = steps(facts("aa bb"))["Do not trust it for"]
    assert few == [
        "Single classes: with 1 test picture each, the recall of a and b is uncertain by more than 40 "
        "points.",
        "Pictures from cameras, places or times that are not in its test set.",
    ]
    many = steps(facts(" ".join(["aa", "bb", "cc"] * 20)))["Do not trust it for"]
    assert len([line for line in many if "test pictures" in line]) == 0
    rare = steps(facts(" ".join(["aa", "bb"] * 20 + ["cc"])))["Do not trust it for"]
    assert rare[0] == (
        "Single classes: with 1 test picture, the recall of c is uncertain by more than 40 points."
    )
    each = steps(facts(" ".join(["aa ab bb cc"] * 12)))["Do not trust it for"]
    assert each == ["Pictures from cameras, places or times that are not in its test set."]


def test_folds_name_the_command_that_trains_on_all_pictures():
    typed = "linnaea train 'my pictures' --epochs 0 --folds 3 --out r/folds --seed=1"
    run = replace(facts(" ".join(["aa bb cc"] * 40), command=typed), folds=3)
    again, one = next_steps(run)[0].advice
    assert again.text == "The folds measure the recipe. For use, train once more without folds:"
    assert again.command == "linnaea train 'my pictures' --epochs 0 --seed=1"
    assert (one.text, one.command) == ("Or take the network of one fold:", "linnaea predict run PICTURE")
    from_python = replace(facts("aa bb"), folds=3)
    assert next_steps(from_python)[0].advice[0].text.endswith("without folds, on all pictures.")


def test_what_few_pictures_show_is_not_offered_for_decisions():
    run = facts("aa bb cc ab")
    assert steps(run)["Use it"] == ["Not for decisions yet: see the warning above. To try it:"]
    assert lines_after_training(run, "runs/x")[-1] == "to try it: linnaea predict runs/x PICTURE"


def test_use_names_the_score_to_count_on_and_a_simpler_way_that_may_do_as_well():
    good = " ".join(["aa", "bb"] * 100)
    assert steps(facts(good))["Use it"][0] == "Classify new pictures:"
    name = "a linear classifier on the pixels"
    apart = {"difference": 0.0, "low": -0.03, "high": 0.03, "p_value": 1.0}
    level = facts(good, baselines={name: 1.0}, baseline_differences={name: apart})
    assert steps(level)["Use it"][0] == (
        "Classify new pictures; a linear classifier on the pixels may do it as well:"
    )
    ahead = {"difference": 0.2, "low": 0.1, "high": 0.3, "p_value": 0.001}
    better = facts(good, baselines={name: 0.8}, baseline_differences={name: ahead})
    assert steps(better)["Use it"][0] == "Classify new pictures:"
    leaking = facts(good, leaks={"pictures": ["1.png"], "n": 1})
    leaking.metrics["accuracy_without_leaks"] = {"value": 0.9, "low": 0.85, "high": 0.94}
    assert steps(leaking)["Use it"][0] == "Classify new pictures, and count on 90.0 %, not on 100.0 %:"


def test_a_comparison_says_which_run_to_use():
    def advice(level=(), *, best=None, same_test=True):
        of = best or facts(" ".join(["aa bb cc"] * 20))
        (step,) = after_comparison(("one", of), level, same_test=same_test)
        return step.advice[0].text

    small = facts(" ".join(["aa bb cc"] * 20), network={"parameters": 10})
    assert advice() == "Classify new pictures with one:"
    costs_least = "Which of one and two is the best is not shown: take the one that costs least, here two:"
    assert advice([("two", small)]) == costs_least
    assert advice(same_test=False).startswith("Compare them with common=True")
    worse = facts(" ".join(["aa ab"] * 50), baselines={"a linear classifier on the pixels": 0.9})
    assert advice(best=worse).startswith("Not yet")
    (repeats,) = after_repeats([small, small])
    assert repeats.advice[0].text.startswith("They differ by chance alone, so take any of them")
    (repeats,) = after_repeats([small, worse])
    assert repeats.advice[0].text.startswith("Not yet")
    assert after_repeats([]) == []
