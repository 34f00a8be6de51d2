"""The page of several runs ranks what can be ranked, and says plainly what cannot."""

import re
from pathlib import Path

import pytest

from linnaea.errors import DataError, UsageError
from linnaea.evaluation.comparison import compare
from linnaea.evaluation.predictions import Predictions
from linnaea.report.comparison import build_comparison, distinct_names
from linnaea.report.groups import compare_groups
from linnaea.report.page import build_report
from linnaea.report.sentences import chance, difference
from linnaea.runs.repeated import RunGroup


def text_of(html):
    html = re.sub(r"<(style|script)>.*?</\1>", "", html, flags=re.S)
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", "", html))


def test_one_row_a_run_with_links_that_lead_there(tmp_path, make_run):
    runs = [
        make_run(tmp_path / "runs" / name, n=400, right=right)
        for name, right in (("one", 0.9), ("t wo", 0.97))
    ]
    build_report(runs[0])
    out = build_comparison(runs, tmp_path / "pages" / "comparison.html", title="Two networks")
    html = out.read_text(encoding="utf-8")
    links = re.findall(r'<a href="([^"#]*)"', html)
    assert links == ["../runs/one/report.html", "../runs/t%20wo"]
    accuracy = runs[1].read_json("metrics.json")["accuracy"]
    assert f"{accuracy['value'] * 100:.2f}\u00a0%" in html
    assert f"{accuracy['low'] * 100:.2f}–{accuracy['high'] * 100:.2f}" in html
    assert html.count("(best)") >= 3
    assert "<span>Two networks</span>" in html
    assert re.search(r"<h1>t wo classified [\d.]+\u00a0% of 400\u00a0test pictures correctly, ", html)


def test_the_sentence_is_that_of_mcnemars_comparison(tmp_path, make_run):
    runs = [
        make_run(tmp_path / name, n=600, right=r, seed=s) for name, r, s in (("a", 0.8, 0), ("b", 0.95, 1))
    ]
    result = compare(*(Predictions.read_csv(run.path / "predictions.csv") for run in runs))
    text = text_of(build_comparison(runs, tmp_path / "c.html").read_text())
    assert difference(result, "a", "b") in text
    assert f"Only A was correct {result.only_a} times, only B {result.only_b} times" in text
    assert "correctly, significantly more than the other" in text


def test_runs_tested_on_other_pictures_are_not_ranked(tmp_path, make_run):
    runs = [make_run(tmp_path / "a", n=300), make_run(tmp_path / "b", n=200)]
    html = build_comparison(runs, tmp_path / "c.html").read_text()
    # Once is enough.
    assert html.count("on the same pictures") == 1
    assert "100 (pictures/000200.png" in text_of(html)
    # Time is still comparable: both runs were made on one machine. Equal times are both the best.
    assert "metric" not in re.findall(r"<b>[^<]*<span class=\"unseen\"> \(best\)", html)


def test_reported_numbers_have_their_column(tmp_path, make_run):
    runs = [make_run(tmp_path / name, n=200) for name in ("one", "best")]
    reference = {"one": {"accuracy": 0.9454, "source": "the original report"}}
    text = text_of(build_comparison(runs, tmp_path / "c.html", reference=reference).read_text())
    assert "94.54\u00a0%" in text or "94.54 %" in text
    assert "Reported: the original report." in text
    assert "Reported" not in text_of(build_comparison(runs, tmp_path / "d.html").read_text())


def test_curves_say_which_part_they_are_of(tmp_path, make_run, make_history):
    both = [
        make_run(tmp_path / "a", n=80),
        make_run(tmp_path / "b", n=80, history=make_history(5, validation=False)),
    ]
    text = text_of(build_comparison(both, tmp_path / "c.html").read_text())
    assert "Highest training accuracy: A, " in text
    assert "Not every run has a validation set, so the curves show the training set." in text
    text = text_of(build_comparison(both[:1], tmp_path / "d.html").read_text())
    assert "Lowest validation cross-entropy: 0.1" in text


def test_runs_without_an_epoch_are_told_as_such_and_not_drawn(tmp_path, make_run, make_history):
    runs = [make_run(tmp_path / name, history=make_history(0)) for name in ("a", "b", "c")]
    page = text_of(build_comparison(runs, tmp_path / "c.html").read_text())
    assert "None of these runs was trained for an epoch: there are no curves to draw." in page
    assert "validation accuracy" not in page


def test_losses_of_two_kinds_do_not_share_a_graph(tmp_path, make_run):
    runs = [make_run(tmp_path / "a", n=80), make_run(tmp_path / "b", n=80, recipe={"loss": "squared_error"})]
    text = text_of(build_comparison(runs, tmp_path / "c.html").read_text())
    assert "Lowest validation cross-entropy: 0.1" in text
    assert "Lowest validation squared error: 0.1" in text


def test_one_run_and_eight_and_more(tmp_path, make_run, make_history):
    history = make_history(3)
    runs = [make_run(tmp_path / f"run{i}", n=60, seed=i, pictures=0, history=history) for i in range(9)]
    assert "1 run" in text_of(build_comparison(runs[:1], tmp_path / "one.html").read_text()).replace(
        "\u00a0", " "
    )
    text = text_of(build_comparison(runs, tmp_path / "nine.html").read_text())
    assert "The other 28 pairs" in text  # 36 pairs, 8 of them with the most accurate run


def test_an_unfinished_run_stands_beside_finished_ones(tmp_path, make_run):
    runs = [make_run(tmp_path / "a", n=80), make_run(tmp_path / "b", tested=False, state="interrupted")]
    text = text_of(build_comparison(runs, tmp_path / "c.html").read_text())
    assert "· interrupted" in text


def test_no_run_is_refused():
    with pytest.raises(UsageError) as refusal:
        build_comparison([], Path("c.html"))
    assert str(refusal.value) == "There is no run to compare. Name one run folder or more."


def test_names_are_as_long_as_needed_to_differ(tmp_path):
    assert distinct_names([tmp_path / "x/two", tmp_path / "y/two", tmp_path / "one"]) == [
        "x/two",
        "y/two",
        "one",
    ]
    assert distinct_names([tmp_path / "two", tmp_path / "two"]) == ["two", "two (2)"]


@pytest.mark.parametrize(
    ("p_value", "words"),
    [
        (1.0, "two equally good classifiers would differ by this much or more in most tests (McNemar p = 1)"),
        (
            0.004,
            "two equally good classifiers would differ by this much or more once in 250 tests "
            "(McNemar p = 0.004)",
        ),
        (
            1e-9,
            "two equally good classifiers would differ by this much or more less than once in 10,000 tests "
            "(McNemar p < 0.0001)",
        ),
    ],
)
def test_chance_in_words(p_value, words):
    assert chance(p_value).replace("\u00a0", " ") == words


def repeats(folder, make_run, seeds, missing=()):
    """Repeats of one recipe on one test set, whose answers depend on the seed alone; missing: untested."""
    group = RunGroup.begin(folder, "repeats")
    numbers = range(1, len(seeds) + 1)
    for number, seed in zip(numbers, seeds, strict=True):
        right = 0.5 + 0.1 * seed
        make_run(folder / str(number), n=200, right=right, tested=seed not in missing, recipe={"seed": seed})
    group.update_info(runs=[str(number) for number in numbers], asked=len(seeds), state="finished")
    return group


def test_repeats_are_compared_seed_by_seed_whichever_are_missing(tmp_path, make_run):
    a = repeats(tmp_path / "a", make_run, [0, 1, 2, 3], missing=[3])
    b = repeats(tmp_path / "b", make_run, [3, 2, 1, 0], missing=[0])
    result = compare_groups(a, b)
    # The same seed gave the same answers; in any other order the differences would be tens of points.
    assert (result.n, result.difference, result.deviation) == (2, 0, 0)


def test_repeats_of_other_seeds_are_compared_in_their_order(tmp_path, make_run):
    a = repeats(tmp_path / "a", make_run, [0, 1])
    b = repeats(tmp_path / "b", make_run, [2, 3])
    assert compare_groups(a, b).difference == pytest.approx(-0.2, abs=0.05)


def test_common_pictures_are_what_everything_is_judged_on(tmp_path, make_run):
    runs = [make_run(tmp_path / "a", n=300, right=0.7), make_run(tmp_path / "b", n=200, right=0.9, seed=1)]
    tables = [Predictions.read_csv(run.path / "predictions.csv") for run in runs]
    of_a = float((tables[0].predicted == tables[0].true)[:200].mean())
    assert of_a != runs[0].read_json("metrics.json")["accuracy"]["value"]
    text = text_of(build_comparison(runs, tmp_path / "c.html", common=True).read_text()).replace(
        "\u00a0", " "
    )
    assert "Everything here is of the 200 pictures that all of these runs were tested on." in text
    assert f"{100 * of_a:.2f} %" in text
    assert f"{100 * runs[0].read_json('metrics.json')['accuracy']['value']:.2f} %" not in text
    assert "b classified 90.00 % of 200 test pictures correctly, significantly more than the other" in text
    assert "not all runs were tested on the same pictures" not in text
    compared = compare(*tables, common=True)
    assert f"b is better by {100 * -compared.difference:.1f} points" in text
    assert "pictures that both were tested on" not in text


def test_no_picture_that_all_were_tested_on_is_refused(tmp_path, make_run):
    runs = [make_run(tmp_path / "a", n=60), make_run(tmp_path / "b", n=60)]
    table = (runs[1].path / "predictions.csv").read_text()
    runs[1].write_text("predictions.csv", table.replace("pictures/", "others/"))
    with pytest.raises(DataError, match="no picture in common"):
        build_comparison(runs, tmp_path / "c.html", common=True)


@pytest.mark.parametrize(
    ("rights", "title"),
    [
        ([0.6, 0.95], "b is better by "),
        ([0.9, 0.9], "No significant difference on 400 pictures"),
        ([0.6, 0.9, 0.9], "2 of 3 differences are larger than chance explains"),
        ([0.9, 0.9, 0.9], "None of the 3 differences is larger than chance explains"),
    ],
)
def test_differences_are_drawn_once_with_one_interval_each(tmp_path, make_run, rights, title):
    runs = [
        make_run(tmp_path / name, n=400, right=right, pictures=0)
        for name, right in zip("abc", rights, strict=False)
    ]
    html = build_comparison(runs, tmp_path / "c.html").read_text()
    pairs = len(rights) * (len(rights) - 1) // 2
    figure = html.split('id="differences"')[1].split("</figure>")[0]
    heading = re.search("<h3>(.*?)</h3>", figure)[1].replace("\u00a0", " ")
    assert heading.startswith(title)
    assert figure.count("A − B") >= 1
    assert "bootstrap" not in html
    texts = re.findall(r">[A-C] − [A-C]  [a-c] − [a-c]<", figure)
    assert len(texts) == 3 * pairs  # once for each width
