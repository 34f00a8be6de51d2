"""The page of one run states what the run's files hold, alone, and bears whatever a run can be."""

import json
import re
from html.parser import HTMLParser

import pytest

from linnaea.errors import DataError, RunError
from linnaea.evaluation.intervals import wilson
from linnaea.evaluation.metrics import confusion, per_class
from linnaea.evaluation.predictions import Predictions
from linnaea.report.page import build_report

NBSP = "\u00a0"
# Elements that never close, in HTML's own list.
VOID = {"meta", "img", "br", "link", "input", "hr"}


class Page(HTMLParser):
    """The parts of a page that the tests ask about."""

    def __init__(self, html):
        super().__init__()
        self.html, self.texts, self.attributes, self.open, self.unbalanced = html, [], [], [], []
        self.tables, self.ids = [], []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.attributes += [(tag, *pair) for pair in attrs]
        self.ids += [value for key, value in attrs if key == "id"]
        if tag not in VOID:
            self.open.append(tag)
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")

    def handle_startendtag(self, tag, attrs):
        self.attributes += [(tag, *pair) for pair in attrs]

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.unbalanced.append(tag)

    def handle_data(self, data):
        if self.open and self.open[-1] in ("style", "script"):
            return
        self.texts.append(data)
        if "td" in self.open or "th" in self.open:
            self.tables[-1][-1][-1] += data

    @property
    def text(self):
        return re.sub(r"[ \n]+", " ", "".join(self.texts)).replace(NBSP, " ")

    def tags(self, name):
        return [a for a in self.attributes if a[0] == name]


@pytest.fixture
def page_of():
    def draw(run):
        path = build_report(run)
        assert path == run.path / "report.html"
        page = Page(path.read_text(encoding="utf-8"))
        assert not page.unbalanced, page.unbalanced
        assert not page.open
        assert len(page.ids) == len(set(page.ids)), "an id stands twice"
        return page

    return draw


def assert_alone(page):
    """No file, no host: every address is a fragment, a data URI or, in a comparison, a neighbour."""
    addresses = [
        v for _, key, v in page.attributes if key in ("src", "href", "srcset", "xlink:href", "action")
    ]
    addresses += re.findall(r"url\(([^)]*)\)", page.html)
    assert [a for a in addresses if not a.startswith(("#", "data:"))] == []
    assert "@import" not in page.html


def test_the_numbers_are_those_of_metrics_json(tmp_path, make_run, page_of):
    run = make_run(tmp_path / "two", n=2000)
    metrics = json.loads((run.path / "metrics.json").read_text())
    page = page_of(run)
    accuracy = metrics["accuracy"]
    share, low, high = (f"{accuracy[key] * 100:.1f}" for key in ("value", "low", "high"))
    assert (
        f"{share} % of 2,000 test pictures were classified correctly; with 95 % confidence the true "
        "rate lies between "
        f"{low} and {high} %." in page.text
    )
    assert f"{metrics['macro_auc']['value']:.4f}" in page.text
    assert f"{metrics['log_loss']['value']:.4f}" in page.text
    assert f"{metrics['macro_f1']['low']:.4f} to {metrics['macro_f1']['high']:.4f}" in page.text
    assert f"{metrics['top_5']['value'] * 100:.1f} %" in page.text


def test_the_tables_are_those_of_the_predictions(tmp_path, make_run, page_of):
    run = make_run(tmp_path / "two", n=500)
    table = Predictions.read_csv(run.path / "predictions.csv")
    page = page_of(run)
    matrix = next(rows for rows in page.tables if len(rows) == 11 and len(rows[0]) == 11)
    assert [[int(c.replace(",", "")) for c in row[1:]] for row in matrix[1:]] == confusion(table).tolist()
    classes = next(rows for rows in page.tables if rows[0][0] == "Class" and rows[0][2] == "Recall")
    # The worst first.
    ranked = sorted(per_class(table), key=lambda entry: (entry["recall"], entry["precision"]))
    for row, entry in zip(classes[1:], ranked, strict=True):
        assert int(row[1]) == entry["pictures"]
        low, high = wilson(round(entry["recall"] * entry["pictures"]), entry["pictures"])
        shown = f"{entry['recall'] * 100:.1f} %{low * 100:.0f} to {high * 100:.0f}"
        assert row[2].replace(NBSP, " ") == shown
        assert row[4] == f"{entry['f1']:.3f}"


def test_the_order_is_from_verdict_to_versions(tmp_path, make_run, page_of):
    page = page_of(make_run(tmp_path / "two", n=300))
    sections = [value for tag, key, value in page.attributes if (tag, key) == ("section", "id")]
    assert sections == [
        "result", "learning", "confusion", "mistakes", "classes", "trust", "data", "card", "made"
    ]  # fmt: skip
    for words in ("cross-entropy (nats)", "accuracy (%)", "epoch 33, chosen", "linnaea train mnist", "2.4.0"):
        assert words in page.text
    assert "Validation cross-entropy was lowest in the last epoch, 40" in page.text


@pytest.mark.parametrize(
    ("data", "applied"),
    [
        ({"source": "digits", "pixels": {"size": 28}}, set()),
        ({"source": "photos/", "root": "photos", "pixels": {"size": 256, "colour": True}}, {"layout"}),
        ({"source": "table.CSV", "root": "photos", "pixels": {"size": 256}}, set()),
        ({"source": "flowers102", "root": "cache", "pixels": {"size": 256}}, set()),
        (
            {"source": "photos/", "root": "photos", "pixels": {"value_range": [0, 4095]}},
            {"layout", "value_range"},
        ),
    ],
)
def test_settings_that_had_nothing_to_decide_on_are_left_out(tmp_path, make_run, page_of, data, applied):
    recipe = {"layout": "auto", "value_range": "auto", "epochs": 4, "solver": "adam", "momentum": 0.9}
    run = make_run(tmp_path / "run", n=100, recipe=recipe, data={**data, "classes": list("0123456789")})
    html = page_of(run).html
    listed = re.findall(r"<dt>(\w+)</dt>", html[html.index("<h3>Settings</h3>") :])
    assert {*listed} & {*recipe} == {"epochs", "solver"} | applied


def test_nothing_outside_the_page_is_asked_for(tmp_path, make_run, page_of):
    page = page_of(make_run(tmp_path / "two", n=300))
    assert_alone(page)
    policy = [
        v for tag, key, v in page.attributes if tag == "meta" and key == "content" and "default-src" in v
    ]
    assert policy == [
        "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:"
    ]


def test_every_chart_has_a_title_and_a_description(tmp_path, make_run, page_of):
    page = page_of(make_run(tmp_path / "two", n=300))
    charts = [v for tag, key, v in page.attributes if (tag, key) == ("svg", "aria-labelledby")]
    # The headline, two curves and coverage for three widths; reliability, a square, for two.
    assert len(charts) == 14
    assert all(ident in page.ids for pair in charts for ident in pair.split())
    assert "training: 10.0 % at epoch 0" in page.text


def test_names_from_the_run_are_text_and_never_markup(tmp_path, make_run, page_of):
    evil = ["<script>alert(1)</script>", "\"'><img src=x onerror=alert(2)>", "</svg>&amp;", "{{ 7 * 7 }}"]
    run = make_run(
        tmp_path / "<b>run & co",
        classes=evil,
        n=120,
        right=0.7,
        baselines={"<i>largest</i>": 0.3},
        command="linnaea train '<u>pictures</u>'",
        message="<script>no</script>",
        state="failed",
    )
    page = page_of(run)
    assert len(re.findall(r"<script", page.html)) == 1
    assert not page.tags("b") or "<b>run" not in page.html
    assert not [a for a in page.attributes if a[1] and a[1].startswith("on")]
    assert all(name in page.text for name in evil)
    assert "<i>largest</i>" in page.text
    assert_alone(page)


@pytest.mark.parametrize("classes", [2, 20, 102])
def test_any_number_of_classes(tmp_path, make_run, page_of, classes):
    names = [
        f"class {i} with a long name that goes on and on until sixty letters"[:60] for i in range(classes)
    ]
    page = page_of(make_run(tmp_path / "run", classes=names, n=classes * 12, right=0.8, pictures=3))
    assert any(len(rows) == classes + 1 for rows in page.tables)
    assert all(name in page.text for name in names)
    drawn = [v for tag, key, v in page.attributes if tag == "figure" and key == "id"]
    assert ("confusion-map" in drawn) == (classes > 20)


def test_a_beginning_alone_is_told_in_a_sentence(tmp_path, make_run, make_history, page_of):
    run = make_run(tmp_path / "run", n=60, history=make_history(0, validation=True))
    record = run.history()[0]
    page = page_of(run)
    said = (
        f"No epoch was trained: it classifies {100 * record['train_accuracy']:.1f} % of the training "
        f"pictures and {100 * record['val_accuracy']:.1f} % of the validation pictures correctly."
    )
    assert said in page.text.replace("\u00a0", " ")
    assert "accuracy-curve" not in page.ids
    assert not any(rows[0][0] == "Epoch" for rows in page.tables)


@pytest.mark.parametrize("epochs", [1, 2, 300])
def test_any_number_of_epochs(tmp_path, make_run, make_history, page_of, epochs):
    history = make_history(epochs, validation=epochs != 2, test=epochs == 1)
    page = page_of(make_run(tmp_path / "run", n=60, history=history))
    table = next(rows for rows in page.tables if rows[0][0] == "Epoch")
    assert len(table) == epochs + 2
    assert ("Validation" in table[0], "Test" in table[0]) == (epochs != 2, epochs == 1)


def test_no_mistake_and_no_baseline(tmp_path, make_run, page_of):
    page = page_of(make_run(tmp_path / "run", n=40, right=1.0, baselines={}))
    assert "100.0 % of 40 test pictures were classified correctly" in page.text
    assert "It made no mistake on these pictures." in page.text
    assert "mistakes" not in page.ids


def test_an_interrupted_run_shows_what_exists(tmp_path, make_run, make_history, page_of):
    run = make_run(
        tmp_path / "run",
        tested=False,
        history=make_history(12),
        state="interrupted",
        message="Stopped by Ctrl-C in epoch 13.",
    )
    page = page_of(run)
    assert (
        "This run was interrupted. Stopped by Ctrl-C in epoch 13. It had trained 12 of 40 epochs" in page.text
    )
    assert re.search(r"No test result: after epoch 12, 9\d\.\d % of the validation pictures", page.text)
    assert re.search("Validation accuracy (stopped improving after|was highest in the last) epoch", page.text)
    assert "confusion" not in page.ids


@pytest.mark.parametrize("state", ["running", "failed"])
def test_a_run_with_nothing_but_its_beginning(tmp_path, make_run, page_of, state):
    run = make_run(tmp_path / "run", tested=False, history=[])
    run.write_json("run.json", {"format_version": 1, "state": state})
    page = page_of(run)
    assert {"running": "This run has not finished.", "failed": "This run failed."}[state] in page.text
    assert "No test result: the test set has not been evaluated." in page.text


def test_a_loss_that_left_the_numbers_is_a_gap(tmp_path, make_run, make_history, page_of):
    history = make_history(3)
    history[-1]["train_loss"] = history[-1]["val_loss"] = None
    page = page_of(make_run(tmp_path / "run", n=40, history=history))
    table = [rows for rows in page.tables if rows[0][0] == "Epoch"][1]
    assert [row[0] for row in table[1:]] == ["0", "1", "2"]


def test_squared_error_is_called_so(tmp_path, make_run, page_of):
    page = page_of(make_run(tmp_path / "run", n=40, recipe={"loss": "squared_error"}))
    assert "Validation squared error" in page.text
    assert "cross-entropy (nats)" not in page.text


def test_a_photograph_is_smoothed_and_a_digit_is_not(tmp_path, make_run, page_of):
    page = page_of(make_run(tmp_path / "digits", n=300, pictures=2))
    # Each mistake stands below the headline, in the gallery and behind its cell of the matrix.
    assert sum(a == ("img", "class", "tiny") for a in page.attributes) == 6
    page = page_of(make_run(tmp_path / "photos", n=300, pictures=2, picture_size=140))
    assert not [a for a in page.attributes if a == ("img", "class", "tiny")]


def test_a_damaged_thumbnail_is_left_out_and_counted(tmp_path, make_run, page_of):
    run = make_run(tmp_path / "run", n=300, pictures=3)
    next(run.path.glob("mistakes/*.png")).write_bytes(b"not a picture")
    page = page_of(run)
    assert page.html.split('id="mistakes"')[1].count("<img") == 2
    assert (
        "One more is in the folder mistakes/: it did not fit on this page, or is not a picture." in page.text
    )


def test_a_damaged_file_is_named_and_the_old_page_stays(tmp_path, make_run):
    run = make_run(tmp_path / "run", n=30)
    before = build_report(run).read_bytes()
    (run.path / "metrics.json").write_text('{"accuracy": 0.9}')
    with pytest.raises(RunError) as refusal:
        build_report(run)
    assert str(refusal.value) == (
        f"{run.path / 'metrics.json'}: accuracy has no value. Make it again: linnaea evaluate {run.path}."
    )
    table = (run.path / "predictions.csv").read_bytes()
    (run.path / "predictions.csv").write_text("path,true,predicted,a,b\nx.png,a,a,0.9\n")
    with pytest.raises(DataError, match="line 2: expected 5 values, received 4"):
        build_report(run)
    (run.path / "history.jsonl").write_text("[1, 2]\n")
    (run.path / "predictions.csv").write_bytes(table)
    with pytest.raises(RunError, match=r"history\.jsonl, line 1 is not the record of an epoch"):
        build_report(run)
    assert (run.path / "report.html").read_bytes() == before


def test_a_large_test_set_makes_a_small_page(tmp_path, make_run):
    path = build_report(make_run(tmp_path / "mnist", n=21000, pictures=48))
    assert path.stat().st_size < 500_000


def test_the_worst_mistakes_stand_below_the_headline_and_lead_to_the_gallery(tmp_path, make_run, page_of):
    run = make_run(tmp_path / "run", n=300, right=0.8, pictures=12)
    page = page_of(run)
    strip = page.html.split('class="worst"')[1].split("</section>")[0]
    leads = re.findall(r'href="#(mistake-\d+)"', strip)
    assert len(leads) == 5
    assert leads == re.findall(r'<li id="(mistake-\d+)"', page.html)[:5]
    table = Predictions.read_csv(run.path / "predictions.csv")
    row = int(leads[0].partition("-")[2])
    assert f"<b>{table.true[row]}</b> classified as <b>{table.predicted[row]}</b>" in strip
    assert page.html.index('class="worst"') < page.html.index('id="result"')
