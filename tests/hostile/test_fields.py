"""A model.json whose fields are missing, of another kind, huge or negative: read, or refused in words."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.hostile import fields

from linnaea.cli import main

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.mark.parametrize("kind", fields.KINDS)
def test_a_changed_field_is_read_or_refused(kind: str, tmp_path: Path) -> None:
    if kind == "keras":
        pytest.importorskip("keras")
    model = fields.unpacked(kind, tmp_path)
    assert fields.attempt(tmp_path, model) == "read"

    @settings(max_examples=12, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(number=st.integers(0, 2**32))
    def changed(number: int) -> None:
        fields.attempt(tmp_path, fields.changed(model, np.random.default_rng([0, number])))

    changed()


@pytest.mark.parametrize("kind", fields.KINDS)
def test_every_field_may_be_missing(kind: str, tmp_path: Path) -> None:
    if kind == "keras":
        pytest.importorskip("keras")
    model = fields.unpacked(kind, tmp_path)
    # "parameters" are settings: what is not told takes its default. The rest are one another's context.
    optional = {"temperature"}
    for key in model:
        outcome = fields.attempt(tmp_path, {name: value for name, value in model.items() if name != key})
        assert outcome == ("read" if key in optional else "refused"), key


@pytest.mark.parametrize(
    ("metrics", "told"),
    [
        ({}, ""),
        ({"accuracy": {"value": 0.5}}, ""),
        ({"accuracy": []}, "metrics.json: accuracy has no value."),
        ({"accuracy": {"value": "x"}}, "metrics.json is not valid: metrics.accuracy.value is 'x' ("),
    ],
)
def test_metrics_of_another_kind_are_compared_or_refused(
    metrics: dict[str, Any], told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = [str(tmp_path / name) for name in "ab"]
    for run in runs:
        shutil.copytree(fields.GOLDEN / "perceptron", run)
        (Path(run) / "metrics.json").write_text(json.dumps(metrics))
    code = main(["compare", *runs, "--out", str(tmp_path / "page.html")])
    shown = capsys.readouterr().err
    assert "unexpected" not in shown
    assert (code, told in shown) == (1 if told else 0, True)
