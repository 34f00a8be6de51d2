"""A run with all that later stages leave: pictures of cells, heat maps, trust, leaks, earlier evaluations."""

import io
import json
import re
import shutil
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from linnaea.errors import RunError
from linnaea.evaluation.calibration import fit_temperature, tempered
from linnaea.evaluation.intervals import wilson
from linnaea.evaluation.metrics import compute_metrics, confusion
from linnaea.evaluation.predictions import Predictions
from linnaea.files import write_bytes
from linnaea.report.card import model_card
from linnaea.report.caveats import caveats
from linnaea.report.confusions import columns_in_order
from linnaea.report.facts import read_run
from linnaea.report.figures import headline_figure
from linnaea.report.learning_curve import learning_curve_section
from linnaea.report.page import _heat_note, build_report
from linnaea.report.trust import trust_section
from linnaea.runs.folder import RunFolder
from linnaea.runs.schema import Forecast, HeatMapInfo

NBSP = "\u00a0"
CLASSES = tuple("abcdef")


def photograph(seed, side, kind="PNG"):
    """Noise: no picture of this size takes more bytes."""
    pixels = np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, kind)
    return content.getvalue()


def leave_everything(run, *, shown=30, cells=None):
    """Write what the stages after training leave, from the run's own predictions. Returns the test table."""
    table = Predictions.read_csv(run.path / "predictions.csv")
    half = len(table) // 2
    validation = Predictions(table.paths[:half], table.true[:half], table.classes, table.probabilities[:half])
    heat = fit_temperature(validation)
    validation = replace(validation, probabilities=tempered(validation.probabilities, heat))
    table = replace(table, probabilities=tempered(table.probabilities, heat))
    run.write_text("validation.csv", validation.to_csv())
    run.write_text("predictions.csv", table.to_csv())
    run.write_json("calibration.json", {"temperature": heat, "pictures": half, "split": "validation"})
    leaked = list(table.paths[:3])
    run.write_json(
        "metrics.json",
        compute_metrics(table, validation=validation, temperature=heat, leaked=leaked),
    )
    wrong = np.flatnonzero(table.predicted != table.true)
    right = np.flatnonzero(table.predicted == table.true)
    for folder, rows in (
        ("mistakes", wrong[np.argsort(-table.confidence[wrong])][:shown]),
        ("doubtful", right[np.argsort(table.confidence[right])][:12]),
    ):
        for row in rows:
            for end in (".png", ".heat.png"):
                write_bytes(run.path / folder / f"{row:06d}{end}", photograph(int(row), 80))
    for row in wrong[:cells]:
        write_bytes(run.path / "cells" / f"{row:06d}.jpg", photograph(int(row), 32, "JPEG"))
    run.update_info(
        probe_folds={"value": 0.9, "low": 0.87, "high": 0.925, "pictures": 400},
        heat_maps={"method": "Grad-CAM", "of": "predicted class"},
        leaks={"pictures": leaked, "n": 3, "validation": 0},
        test_reuse={"earlier": 2, "runs": ["runs/one", "runs/two"], "test_set": "x"},
        git={"commit": "0123456789abcdef0123456789abcdef01234567", "dirty": True},
        threads={"blas": 2, "torch": 1},
        chosen={"epoch": "validation accuracy", "none of the classes": "validation", "test part": "nothing"},
        learning_curve=[
            {"share": 0.5, "pictures": 500, "accuracy": 0.80, "low": 0.77, "high": 0.83},
            {"share": 1.0, "pictures": 1000, "accuracy": 0.90, "low": 0.87, "high": 0.93},
        ],
        learning_forecast={
            "pictures": 2000, "accuracy": 0.95, "low": 0.94, "high": 0.97, "of": "probe",
            "judged_on": "validation", "judged": 300,
            "classes": [{"class": "b", "now": 0.5, "then": 0.75}],
        },
    )  # fmt: skip
    return table


@pytest.fixture(scope="module")
def full(tmp_path_factory, make_run):
    run = make_run(tmp_path_factory.mktemp("full") / "run", classes=CLASSES, n=600, right=0.85, pictures=0)
    table = leave_everything(run)
    run.write_json("check.json", {"problems": [
        {"kind": "near_duplicate", "severity": "warning", "paths": ["x.png", "y.png"], "message": "x is y."},
        {"kind": "unreadable", "severity": "error", "paths": ["z.png"], "message": "z.png is cut short."},
        {"kind": "near_duplicate", "severity": "warning", "paths": ["v.png", "w.png"], "message": "v is w."},
        {"kind": "imbalance", "severity": "note", "paths": [], "message":
            "a has ten times as many pictures as b."},
        {"kind": "of_a_later_version", "severity": "note", "message": "Something else."},
    ]})  # fmt: skip
    html = build_report(run).read_text(encoding="utf-8")
    words = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", "", html.split("<main>")[1])).replace("&nbsp;", " ")
    return run, table, html, words.replace(NBSP, " ")


def test_the_threshold_for_answering_is_told_as_metrics_json_has_it(tmp_path, make_run):
    run = make_run(tmp_path / "run", classes=CLASSES, n=6000, right=0.85, pictures=0)
    table = Predictions.read_csv(run.path / "predictions.csv")
    # Mistakes that doubt themselves: there is something to choose by.
    wrong = (table.predicted != table.true)[:, None]
    doubtful = np.where(wrong, 0.4 * table.probabilities + 0.6 / len(CLASSES), table.probabilities)
    run.write_text("predictions.csv", replace(table, probabilities=doubtful).to_csv())
    leave_everything(run)
    metrics = json.loads((run.path / "metrics.json").read_text())
    html = build_report(run).read_text(encoding="utf-8")
    words = " ".join(re.sub(r"<[^>]+>", " ", html).replace("&nbsp;", " ").replace(NBSP, " ").split())
    threshold = f"{100 * metrics['answered']['threshold']:.1f} %"
    assert (
        "For 90 % correct answers, the confidence threshold from the validation set is "
        f"{threshold}: {metrics['answered']['value'] * 100:.1f} % of the test pictures reach it, and "
        f"{metrics['accuracy_answered']['value'] * 100:.1f} % of those were classified correctly" in words
    )
    assert f"90 % {threshold}" in words


def test_each_cell_of_mistakes_opens_its_pictures_and_no_other(full):
    _, table, html, _ = full
    order = columns_in_order(table.classes, confusion(table)).tolist()
    columns = {table.classes[column]: place for place, column in enumerate(order)}
    cells = dict(re.findall(r'<div popover id="cell-(\d+-\d+)"(.*?)</div>', html, re.DOTALL))
    expected = {}
    for path, true, said in zip(table.paths, table.true, table.predicted, strict=True):
        if true != said:
            expected.setdefault(f"{columns[true]}-{columns[said]}", set()).add(path)
    assert cells.keys() == expected.keys()
    for ident, paths in expected.items():
        shown = set(re.findall(r'alt="([^"]+)"', cells[ident].partition("For comparison")[0]))
        assert shown <= paths
        assert len(shown) == min(len(paths), 12)
        assert html.count(f'popovertarget="cell-{ident}"') == 3  # in the matrix, in the list, to close


def test_a_cell_shows_what_its_pictures_were_taken_for(full):
    _, table, html, _ = full
    cells = re.findall(r'<div popover id="cell-\d+-(\d+)"(.*?)</div>', html, re.DOTALL)
    order = columns_in_order(table.classes, confusion(table))
    right = table.predicted == table.true
    compared = 0
    for column, cell in cells:
        name = table.classes[order[int(column)]]
        example = re.findall(r'alt="([^"]+)"', cell.partition("For comparison")[2])
        assert example == [] or f"For comparison, {name} classified correctly:" in cell
        for path in example:
            row = table.paths.index(path)
            assert right[row]
            assert table.true[row] == name
        compared += len(example)
    # The run keeps right answers of some classes only: the twelve least certain.
    kept = {str(table.true[int(file.name[:6])]) for file in (full[0].path / "doubtful").glob("??????.png")}
    assert compared == sum(table.classes[order[int(column)]] in kept for column, _ in cells) > 0


def test_what_a_threshold_gave_has_its_interval(tmp_path, make_run):
    run = make_run(tmp_path / "run", classes=CLASSES, n=300, right=0.98, pictures=0)
    run.write_text("validation.csv", (run.path / "predictions.csv").read_text())
    facts = read_run(run)
    right = facts.predictions.predicted == facts.predictions.true
    section = trust_section(facts)
    # At 90 % every picture is answered.
    low, high = (f"{100 * end:.1f}" for end in wilson(int(right.sum()), 300))
    _, _, answered, accuracy = (cell.replace(NBSP, " ") for cell in section.thresholds[0])
    assert accuracy == f"{100 * right.mean():.1f} % ({low} to {high} %)"
    assert answered == "100.0 %"


@pytest.mark.parametrize(("p_value", "told"), [(0.0002, "less than 0.1 %"), (0.0241, "2.4 %"), (0.025, "")])
def test_sets_that_broke_their_guarantee_are_told_of_beside_the_score(full, p_value, told):
    facts = read_run(full[0])
    entry = facts.metrics["set_coverage"] | {"value": 0.928, "p_value": p_value}
    facts = replace(
        facts,
        metrics=facts.metrics | {"set_coverage": entry},
        info=facts.info.model_copy(update={"leaks": facts.info.leaks.model_copy(update={"validation": 2})}),
    )
    titles = {caveat.title: caveat.text for caveat in caveats(facts)}
    warned = titles.get("The validation set was probably easier than the test set.", "")
    assert (f"so few would be expected in {told} of cases" in warned) is bool(told)
    copied = (
        f"2{NBSP}validation pictures have a duplicate, or a picture of the same group, in the training set."
    )
    assert warned.endswith(copied) is bool(told)
    assert ("This guarantee was probably missed here" in trust_section(facts).sets) is bool(told)
    failures = dict(model_card(facts))["Known weaknesses"]
    assert any("may hold less often than guaranteed" in sentence for sentence in failures) is bool(told)


@pytest.mark.parametrize(("p_value", "told"), [(0.0002, "less than 0.1 %"), (0.025, "")])
def test_too_many_false_alarms_are_told_of_on_the_card(full, p_value, told):
    facts = read_run(full[0])
    entry = {"value": 0.415, "wanted": 0.05, "p_value": p_value, "split": "validation"}
    facts = replace(facts, metrics=facts.metrics | {"outliers": entry}, outliers={"asked": 0.05})
    failures = " ".join(dict(model_card(facts))["Known weaknesses"]).replace(NBSP, " ")
    assert ("There are too many false alarms: it flagged 41.5 % of the test pictures" in failures) is bool(
        told
    )
    assert (f"so many would be expected in {told} of cases" in failures) is bool(told)


def test_the_page_of_problems_is_linked_where_there_is_one(full):
    run, _, html, _ = full
    assert "check.html" not in html
    (run.path / "check.html").write_text("")
    assert '<a href="check.html">check.html</a>' in build_report(run).read_text(encoding="utf-8")


def test_mistakes_and_doubtful_answers_have_their_heat_maps(full):
    _, table, html, words = full
    mistakes = html.split('id="mistakes"')[1].split("</section>")[0]
    doubtful = html.split('id="doubtful"')[1].split("</section>")[0]
    assert mistakes.count('alt="Heat map of') == 30
    assert doubtful.count('alt="Heat map of') == 12
    assert "The heat map beside each (Grad-CAM) highlights" in words
    right = table.predicted == table.true
    least = table.paths[int(np.flatnonzero(right)[table.confidence[right].argmin()])]
    assert re.search(r'alt="([^"]+)"', doubtful)[1] == least


@pytest.mark.parametrize(("places", "told"), [([3, 3], True), ([7, 7], False), (None, False)])
def test_a_coarse_heat_map_is_called_one(full, places, told):
    facts = read_run(full[0])
    maps = HeatMapInfo(method="Grad-CAM", places=places)
    facts = replace(facts, info=facts.info.model_copy(update={"heat_maps": maps}))
    coarse = " For pictures of this size it has 3 × 3 cells, so it shows a region and no details."
    assert _heat_note(facts).replace(NBSP, " ").endswith(coarse) is told


@pytest.mark.parametrize(
    ("maps", "told"),
    [
        # An earlier version kept maps of a single cell, which are the same everywhere.
        (
            {"method": "Grad-CAM", "places": [1, 1]},
            "for pictures of this size the last map of the network is",
        ),
        (None, "this network has no map of a picture to draw them from."),
    ],
)
def test_why_there_are_no_heat_maps_is_said_once(full, tmp_path, maps, told):
    path = tmp_path / "run"
    shutil.copytree(full[0].path, path)
    if maps is None:
        for picture in path.glob("*/*.heat.png"):
            picture.unlink()
    run = RunFolder.open(path)
    run.update_info(heat_maps=maps)
    run.flush()
    html = build_report(run).read_text()
    assert html.count(f"There are no heat maps: {told}") == 1
    assert "Heat map of" not in html


def test_a_probe_that_is_the_result_is_no_baseline(full):
    facts = read_run(full[0])
    baselines = {"the probe alone": 0.8, "always the largest class": 0.4}
    for kept, shown in (("fine-tuned", True), ("probe", False)):
        info = facts.info.model_copy(update={"baselines": baselines, "kept": kept})
        figure = headline_figure(replace(facts, info=info), "80 %")
        assert ("the probe alone" in figure.svg) is shown
        assert "always the largest class" in figure.svg


def test_leaks_and_earlier_evaluations_stand_before_the_result(full):
    run, _, html, words = full
    clean = json.loads((run.path / "metrics.json").read_text())["accuracy_without_leaks"]["value"]
    assert "Test pictures leak into training. 3 test pictures have a duplicate" in words
    assert f"Without them, {clean * 100:.1f} % were classified correctly" in words
    assert "Other runs evaluated this test set twice before." in words
    assert "runs/two" in words
    assert "Other runs were evaluated twice on this test set before" in words
    assert html.index("Test pictures leak into training.") < html.index('id="result"')
    assert "0.5 % of the test pictures leak" in words


def test_probabilities_are_judged_as_metrics_json_has_them(full):
    run, _, _, words = full
    metrics = json.loads((run.path / "metrics.json").read_text())
    assert f"off by {metrics['ece']['value'] * 100:.1f} points on average" in words
    assert (
        "No confidence threshold was chosen: the validation set is too small, or too hard, to guarantee"
        in words
    )
    assert (
        f"contained the true class for {metrics['set_coverage']['value'] * 100:.1f} % of the test pictures"
        in words
    )
    # Beta(292, 9): of 300 validation pictures the 292nd score is the threshold; P(Binomial(300, 0.95) >= 291)
    # is 6.5 %.
    assert (
        "Such sets contain the true class at least 95 % of the time, with 95 % confidence, and 97.0 % of the "
        "time on average (they are based on 300 validation pictures)." in words
    )
    assert "Correct before temperature scaling" in words


def test_the_learning_curve_says_what_more_pictures_would_buy(full):
    _, _, html, words = full
    assert '<a href="#learning-curve">The learning curve</a>' in html
    assert (
        "From 500 to 1,000 training pictures the accuracy changed by +10.0 points, from 80.0 % to 90.0 %. If "
        "the error continues to fall as it has, twice as many pictures would give about 95.0 %, 5.0 points "
        "more (95 %: 94.0 to 97.0 %)."
    ) in words
    assert (
        "The linear probe, not the fine-tuned network, trained on subsets of the training set, evaluated "
        "on 300 validation pictures."
    ) in words
    assert "More pictures of these classes would probably help most: b" in words


def test_the_probe_over_folds_stands_beside_the_test_score(full):
    _, _, html, words = full
    assert (
        "The linear probe alone, cross-validated over the 400 pictures outside the test set, classifies "
        "90.0 % correctly (95 %: 87.0 to 92.5)."
    ) in words
    assert "cross-validated" in html.split('id="result"')[1].split("</section>")[0]


def test_a_curve_that_has_levelled_off_names_no_class(full):
    facts = read_run(full[0])
    level = {"accuracy": 0.9, "low": 0.87, "high": 0.92, "classes": [{"class": "b", "now": 0.5, "then": 0.5}]}
    forecast = facts.info.learning_forecast.model_dump(by_alias=True) | level
    facts.info.learning_forecast = Forecast.model_validate(forecast)
    section = learning_curve_section(facts)
    assert section.classes == ""
    assert section.outlook.replace(NBSP, " ").endswith(
        "More pictures have hardly lowered the error: twice as many would give about 90.0 %, no more than "
        "now (95 %: 87.0 to 92.0 %)."
    )


def test_a_curve_that_few_pictures_evaluate_makes_no_forecast(full):
    facts = read_run(full[0])
    few = {"gain_low": 0.0, "gain_high": 0.06, "evaluated": 28, "evaluated_on": "folds"}
    forecast = facts.info.learning_forecast.model_dump(by_alias=True) | few
    facts.info.learning_forecast = Forecast.model_validate(forecast)
    section = learning_curve_section(facts)
    assert section.outlook.replace(NBSP, " ") == (
        "From 500 to 1,000 training pictures the accuracy changed by +10.0 points, from 80.0 % to 90.0 %. "
        "28 pictures cannot tell what more would bring: twice as many to learn from could raise the accuracy "
        "by anything from 0.0 to 6.0 points."
    )
    assert section.classes == ""
    caption = section.figure.caption.replace(NBSP, " ")
    assert "cross-validated over the 28 pictures outside the test set" in caption
    assert "forecast" not in caption


def test_the_commit_and_the_threads_stand_among_the_facts(full):
    _, _, html, _ = full
    made = html.split('id="made"')[1]
    assert "<dt>Git commit</dt><dd>0123456789ab, with changes that were not committed</dd>" in made
    assert "<dt>Threads</dt><dd>BLAS 2, torch 1</dd>" in made
    assert made.count("<dt>Threads</dt>") == 1


def test_problems_are_counted_by_kind_the_gravest_first(full):
    _, _, html, _ = full
    table = html.split('class="numbers problems"')[1].split("</table>")[0]
    rows = [re.sub(r"(?:<[^>]+>)+", "|", row).strip("|\n") for row in table.split("<tr>")[2:]]
    assert rows == [
        "Cannot be read|error|1|z.png is cut short.",
        "Near duplicates|warning|4|x is y. |And 1 more of this kind.",
        "Unequal classes|note|–|a has ten times as many pictures as b.",
        "Of a later version|note|–|Something else.",
    ]


def test_an_older_run_leaves_out_what_it_does_not_have(tmp_path, make_run):
    html = build_report(make_run(tmp_path / "run", n=200)).read_text(encoding="utf-8")
    for word in (
        'id="doubtful"',
        'id="learning-curve"',
        "has already been used",
        "leaks",
        "Data problems",
        "How choices were made",
    ):
        assert word not in html.split("<main>")[1]


def test_a_check_that_is_no_check_is_refused(tmp_path, make_run):
    run = make_run(tmp_path / "run", n=30)
    run.write_json("check.json", {"problems": "none"})
    with pytest.raises(RunError) as refusal:
        build_report(run)
    assert str(refusal.value) == (
        f"{run.path / 'check.json'} holds no list of problems. Make it again: linnaea check."
    )


def test_two_thousand_pictures_and_a_thousand_mistakes_make_less_than_five_megabytes(tmp_path, make_run):
    names = [f"class {i}" for i in range(102)]
    run = make_run(tmp_path / "run", classes=names, n=2000, right=0.5, pictures=0)
    leave_everything(run, shown=48)
    assert len(list(run.path.glob("cells/*.jpg"))) > 900
    assert build_report(run).stat().st_size < 5_000_000
