"""What the JSON of a run or a group from elsewhere may hold: a wrong value is refused by its key."""

import json

import pytest

from linnaea.errors import RunError
from linnaea.runs.folder import RunFolder
from linnaea.runs.repeated import RunGroup
from linnaea.runs.schema import check_calibration, check_metrics

WRONG = [
    ("rewinds", 3, "rewinds is 3 (Input should be a valid list)"),
    ("rewinds", [3], "rewinds.0 is 3"),
    ("rewinds", [{"to_epoch": 1}], "rewinds.0.learning_rate is {'to_epoch': 1} (Field required)"),
    ("rewinds", [{"to_epoch": 1, "learning_rate": "slow"}], "rewinds.0.learning_rate is 'slow'"),
    ("rewinds", [{"to_epoch": 1, "learning_rate": -1}], "rewinds.0.learning_rate is -1"),
    ("resumed", {"at": "noon"}, "resumed is {'at': 'noon'}"),
    ("resumed", [{"epoch": "last"}], "resumed.0.epoch is 'last'"),
    ("opened", "bars", "opened is 'bars'"),
    ("opened", {"data": ["bars"]}, "opened.data is ['bars']"),
    ("opened", {"data_dir": 3}, "opened.data_dir is 3"),
    ("opened", {"strict": "yes"}, "opened.strict is 'yes'"),
    ("threads", {"torch": "many"}, "threads.torch is 'many'"),
    ("threads", {"torch": 0}, "threads.torch is 0"),
    ("threads", {"blas": 10**6}, "threads.blas is 1000000"),
    ("hardware", {"threads": -1}, "hardware.threads is -1"),
    ("data", {"split_hash": 5}, "data.split_hash is 5"),
    ("data", {"pictures": 2.5}, "data.pictures is 2.5"),
    ("phases", {"train": {"seconds": "1"}}, "phases.train.seconds is '1'"),
    ("network", {"parameters": -4}, "network.parameters is -4"),
    ("plan", {"train_from": "all", "epochs": -1, "views": 1}, "plan.epochs is -1"),
    ("leaks", {"pictures": "all"}, "leaks.pictures is 'all'"),
    ("test_reuse", {"earlier": "often"}, "test_reuse.earlier is 'often'"),
    ("learning_curve", {}, "learning_curve is {}"),
    ("chosen", {"epoch": 4}, "chosen.epoch is 4"),
    ("chosen_epoch", "last", "chosen_epoch is 'last'"),
    ("started", 5, "started is 5"),
    ("baselines", {"the probe alone": "good"}, "baselines.the probe alone is 'good'"),
]


@pytest.mark.parametrize(("key", "value", "told"), WRONG)
def test_a_run_with_a_value_of_another_kind_is_refused_in_one_sentence(tmp_path, key, value, told):
    (tmp_path / "run.json").write_text(json.dumps({"format_version": 1, key: value}))
    with pytest.raises(RunError) as refusal:
        RunFolder.open(tmp_path)
    sentence = str(refusal.value)
    assert sentence.startswith(f"{tmp_path / 'run.json'} is not valid: {told}")
    assert sentence.endswith("). Restore it, or train again.")


def test_what_json_calls_no_number_is_refused(tmp_path):
    (tmp_path / "run.json").write_text('{"format_version": 1, "phases": {"train": {"seconds": NaN}}}')
    with pytest.raises(RunError, match=r"phases\.train\.seconds is nan \(Input should be a finite number\)"):
        RunFolder.open(tmp_path)


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("metrics", {"accuracy": {"mean": "high"}}, "metrics.accuracy.mean is 'high'"),
        ("metrics", {"accuracy": 0.9}, "metrics.accuracy is 0.9"),
        ("evaluated", "all", "evaluated is 'all'"),
        ("asked", -1, "asked is -1"),
        ("opened", [], "opened is []"),
        ("data", {"name": 3}, "data.name is 3"),
        ("classes", "ab", "classes is 'ab'"),
    ],
)
def test_a_group_with_a_value_of_another_kind_is_refused_in_one_sentence(tmp_path, key, value, told):
    (tmp_path / "repeats.json").write_text(json.dumps({"format_version": 1, key: value}))
    with pytest.raises(RunError) as refusal:
        RunGroup.open_group(tmp_path)
    assert str(refusal.value).startswith(f"{tmp_path / 'repeats.json'} is not valid: {told}")


@pytest.mark.parametrize("version", [True, 0, -1, "1", None, 2])
def test_a_group_of_another_format_is_refused(tmp_path, version):
    (tmp_path / "folds.json").write_text(json.dumps({"format_version": version}))
    with pytest.raises(RunError, match=f"was written in format {version}; this version reads up to 1"):
        RunGroup.open_group(tmp_path)


def test_a_metric_that_is_no_number_is_named(tmp_path):
    path = tmp_path / "metrics.json"
    check_metrics(
        path, {"accuracy": {"value": None, "wanted": 0.9}, "ece": {"value": 1, "temperature": 2.5}}, ""
    )
    with pytest.raises(RunError) as refusal:
        check_metrics(path, {"ece": {"value": [1]}}, "Mend it.")
    assert str(refusal.value) == (
        f"{path} is not valid: metrics.ece.value is [1] (Input should be a valid number). Mend it."
    )


@pytest.mark.parametrize(
    ("key", "value"), [("value", -0.1), ("wanted", 2), ("p_value", -3), ("p_value", 7), ("p_value", "low")]
)
def test_a_metric_that_cannot_be_is_named(tmp_path, key, value):
    path = tmp_path / "metrics.json"
    with pytest.raises(RunError, match=f"metrics.set_coverage.{key} is {value!r} "):
        check_metrics(path, {"set_coverage": {"value": 0.9} | {key: value}}, "")


@pytest.mark.parametrize("found", [{"pictures": "x"}, {"temperature": "hot"}, {"prediction_sets": 3}])
def test_a_calibration_that_cannot_be_is_named(tmp_path, found):
    (key, value), path = *found.items(), tmp_path / "calibration.json"
    check_calibration(path, {"temperature": 1.2, "pictures": 20, "prediction_sets": None}, "")
    with pytest.raises(RunError) as refusal:
        check_calibration(path, found, "Mend it.")
    assert str(refusal.value).startswith(f"{path} is not valid: {key} is {value!r} ")
    assert refusal.value.cure == "Mend it."


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("[1]", "it is [1] (Input should be"),
        ('{"epoch": "last"}', "epoch is 'last'"),
        ('{"epoch": -1}', "epoch is -1"),
        ('{"epoch": 1, "val_loss": "small"}', "val_loss is 'small'"),
        ('{"epoch": 1, "train_accuracy": NaN}', "train_accuracy is nan"),
    ],
)
def test_a_line_of_the_history_that_is_no_epochs_is_named(tmp_path, line, told):
    (tmp_path / "history.jsonl").write_text('{"epoch": 0, "val_loss": null}\n' + line + "\n")
    with pytest.raises(RunError) as refusal:
        RunFolder(tmp_path).history()
    assert str(refusal.value).startswith(
        f"{tmp_path / 'history.jsonl'}, line 2 is not the record of an epoch: {told}"
    )


def test_what_older_runs_call_looks_and_suspects_is_read(tmp_path):
    (tmp_path / "run.json").write_text('{"format_version": 1, "looks": {"earlier": 3}}')
    assert RunFolder.open(tmp_path).info.test_reuse.earlier == 3
    (tmp_path / "folds.json").write_text('{"format_version": 1, "suspects": 7}')
    assert RunGroup.open_group(tmp_path).info.label_issues == 7


def test_an_older_run_calls_its_sets_parts(tmp_path):
    (tmp_path / "run.json").write_text('{"format_version": 1, "data": {"parts": {"train": 8, "test": 4}}}')
    assert RunFolder.open(tmp_path).info.data.splits == {"train": 8, "test": 4}
