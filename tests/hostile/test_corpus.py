"""Hostile files through the real commands: nothing stops, each refused file is named with its reason."""

import contextlib
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.hostile import corpus
from tests.hostile.conftest import Commands, whole_pictures

from linnaea.cli import main
from linnaea.data import decoding
from linnaea.data.decoding import Allowance
from linnaea.data.problems import UNUSABLE
from linnaea.errors import printable

BOUND = 3 << 30
"""Bytes that any command may grow by while it decodes, as docs/reliability.md states it."""


@pytest.fixture(scope="module")
def hostile_files(hostile_folder: tuple[Path, dict[str, str]]) -> dict[str, str]:
    return hostile_folder[1]


def unharmful(text: str) -> bool:
    """Tell text that a terminal prints as it stands."""
    return printable(text) == text


def test_the_corpus_is_large_enough(hostile_files: dict[str, str]) -> None:
    assert len(corpus.readable()) >= 50
    assert len(hostile_files) >= 40


def test_check_train_and_predict_go_through_the_corpus(
    hostile_folder: tuple[Path, dict[str, str]], tmp_path: Path, commands: Commands
) -> None:
    root, refused = hostile_folder
    names = sorted(path.name for path in (root / "odd").iterdir() if not path.is_dir())
    run, files = str(tmp_path / "run"), [str(root / "odd" / name) for name in names]
    check, train, as_json, as_table = commands(
        ["check", str(root), "--format", "json"],
        ["train", str(root), "--hidden", "4", "--epochs", "1", "--size", "8", "--out", run],
        ["predict", run, *files, "--format", "json"],
        ["predict", run, *files],
        growth=BOUND,
    )
    problems = json.loads(check["out"])
    told = {path: p["message"] for p in problems if p["kind"] in UNUSABLE for path in p["paths"]}
    assert told.keys() == refused.keys()
    assert [path for path, reason in refused.items() if reason not in told[path]] == []
    assert (check["code"], train["code"]) == (0, 0)
    assert f"{len(refused)} pictures left out as unreadable" in train["err"]

    # A prediction for every whole picture, a reason for every other, in the order asked for; exit code 1.
    answers = json.loads(as_json["out"])
    assert [Path(answer["path"]).name for answer in answers] == names
    assert {f"odd/{Path(a['path']).name}" for a in answers if "error" in a} == refused.keys()
    assert as_json["code"] == as_table["code"] == 1
    for out in (check, train, as_json, as_table):
        assert unharmful(out["out"])
        assert unharmful(out["err"])
    page = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert "<b>bright</b>" not in page
    assert "&lt;b&gt;bright" in page
    assert "<script>alert" not in page


@pytest.mark.parametrize(
    "settings",
    [
        ["--model", "test_efficientnet", "--weights", "none", "--size", "32", "--epochs", "1"],
        ["--model", "keras", "--hidden", "4", "--size", "8", "--epochs", "1"],
    ],
    ids=["fine-tuned", "keras"],
)
def test_every_kind_of_network_learns_from_the_corpus_and_names_it(
    hostile_folder: tuple[Path, dict[str, str]],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    settings: list[str],
) -> None:
    root, refused = hostile_folder
    files = sorted(str(path) for path in (root / "odd").iterdir() if not path.is_dir())
    run = tmp_path / "run"
    assert main(["train", str(root), *settings, "--out", str(run)]) == 0
    told = capsys.readouterr().err
    assert f"{len(refused)} pictures left out as unreadable" in told
    assert main(["predict", str(run), *files, "--format", "json"]) == 1
    answers, errors = capsys.readouterr()
    wrong = {f"odd/{Path(answer['path']).name}" for answer in json.loads(answers) if "error" in answer}
    assert wrong == refused.keys()
    assert unharmful(told + answers + errors)


def test_decoding_stays_below_its_bound(tmp_path: Path, commands: Commands) -> None:
    # 27 instead of 179 million pixels at once, and as much less memory: 16 bytes for each, and 3 for each
    # pixel that one of the four threads holds decoded. That only one is decoded at a time is the next test's:
    # two that happened to be at their largest at different moments would not be noticed here.
    pixels, root = 27_000_000, tmp_path / "photos"
    whole_pictures(root / "dark", 0)
    whole_pictures(root / "bright", 200)
    for number, colour in enumerate((6, 2, 6)):
        (root / "dark" / f"bomb {number}.png").write_bytes(
            corpus.flat_png(5000, 5000 + number, colour=colour)
        )
    (check,) = commands(["check", str(root), "--format", "json"], growth=(16 + 4 * 3) * pixels, pixels=pixels)
    assert [p for p in json.loads(check["out"]) if p["kind"] == "unreadable"] == []


def test_pictures_that_are_too_large_together_are_decoded_one_after_the_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    flat = corpus.flat_png(600, 500)
    meeting, prepared, met = threading.Barrier(2), decoding._prepared, []

    def wait_for_another(*picture: Any) -> Any:
        # Decoding that another thread's can join, if it is let in: it has half a second for that.
        with contextlib.suppress(threading.BrokenBarrierError):
            meeting.wait(0.5)
            met.append(True)
        return prepared(*picture)

    def decode(_: int) -> tuple[int, ...]:
        return decoding.decode_picture(flat, "flat.png").shape

    monkeypatch.setattr(decoding, "_prepared", wait_for_another)
    for allowed, together in ((600 * 500 * 3 // 2, False), (600 * 500 * 2, True)):
        meeting.reset()
        met.clear()
        monkeypatch.setattr(decoding, "_ALLOWANCE", Allowance(allowed))
        with ThreadPoolExecutor(2) as pool:
            assert list(pool.map(decode, range(2))) == [(500, 600, 3)] * 2
        assert bool(met) == together


def test_no_more_pixels_are_in_work_than_allowed() -> None:
    allowance, in_work, most = Allowance(100), [], []

    def decode(pixels: int) -> None:
        with allowance.taken(pixels):
            in_work.append(pixels)
            most.append(sum(in_work))
            in_work.remove(pixels)

    sizes = np.random.default_rng(0).integers(1, 100, 300).tolist()
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(decode, sizes))
        # One that is larger than all that is allowed goes alone instead of waiting for ever.
        pool.submit(decode, 150).result(timeout=5)
    assert max(most[:-1]) <= 100
