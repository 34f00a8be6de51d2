import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from linnaea.runs import provenance
from linnaea.runs.folder import RunFolder
from linnaea.runs.test_reuse import count


@pytest.fixture
def make_run(tmp_path, monkeypatch):
    monkeypatch.setenv("LINNAEA_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)

    def make(name, started="2026-01-01T10:00:00+00:00"):
        run = RunFolder.create(tmp_path / "runs" / name, overwrite=True)
        run.update_info(started=started)
        monkeypatch.setattr(provenance, "now", lambda: "2026-01-02T11:12:13+00:00")
        run.flush()
        return run

    return make


def test_runs_on_the_same_test_part_are_counted(make_run):
    counts = [count(make_run(name), ["h1", "h2"]).earlier for name in "abc"]
    assert counts == [0, 1, 2]
    run = make_run("d")
    # Another order is the same test set, another picture is another one.
    assert count(run, ["h2", "h1"]).runs == [f"runs/{name}, 2026-01-02 11:12 UTC" for name in "abc"]
    assert run.info.test_reuse.earlier == 3
    assert count(make_run("e"), ["h1", "h3"]).earlier == 0


def test_one_network_is_one_look_and_a_run_made_anew_another(make_run):
    run = make_run("a")
    assert [count(run, ["h"]).earlier for _ in range(3)] == [0, 0, 0]
    assert len(run.info.test_reuse.own) == 1
    again = make_run("a", started="2026-01-02T10:00:00+00:00")
    assert count(again, ["h"]).earlier == 1


def test_a_network_that_was_trained_on_is_another_look_of_its_run(make_run):
    run = make_run("a")
    for epoch in (3, 5):
        run.append_history({"epoch": epoch, "train_loss": 1.0})
        run.write_bytes("weights.safetensors", bytes([epoch]))
        looks = count(run, ["h"])
    assert [opening.epoch for opening in looks.own] == [3, 5]
    assert looks.earlier == 0
    assert count(make_run("b"), ["h"]).earlier == 2


def test_a_training_that_went_on_and_kept_the_same_epoch_is_another_look(make_run):
    run = make_run("a")
    run.write_bytes("weights.safetensors", b"the best epoch, before the stop and after it")
    for epoch in (11, 25):
        run.append_history({"epoch": epoch, "train_loss": 1.0})
        looks = count(run, ["h"])
    assert [opening.epoch for opening in looks.own] == [11, 25]
    assert count(make_run("b"), ["h"]).earlier == 2


def test_runs_that_end_together_are_all_counted(make_run):
    runs = [make_run(str(number)) for number in range(8)]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda run: count(run, ["h"]).earlier, runs))
    assert sorted(found) == list(range(8))


@pytest.mark.parametrize("damage", ["{", "[]", '{"looks": [1]}'])
def test_a_damaged_ledger_stops_nothing_and_is_kept(make_run, tmp_path, damage):
    test_set = count(make_run("a"), ["h"]).test_set
    ledger = tmp_path / "cache" / "looks" / f"{test_set}.json"
    assert len(json.loads(ledger.read_text())["looks"]) == 1
    ledger.write_text(damage)
    found = count(make_run("b"), ["h"])
    assert (found.earlier, found.runs, found.test_set, len(found.own)) == (None, [], test_set, 1)
    assert ledger.read_text() == damage


def test_a_cache_that_cannot_be_written_stops_nothing(make_run, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("LINNAEA_CACHE", str(tmp_path / "file"))
    assert count(make_run("a"), ["h"]).earlier is None
