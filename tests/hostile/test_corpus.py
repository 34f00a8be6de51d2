"""Hostile files through the real commands: nothing stops, each refused file is named with its reason."""

import json
from pathlib import Path

import numpy as np
import pytest
from tests.hostile import corpus
from tests.hostile.conftest import Commands, whole_pictures

from linnaea.data.allowance import Allowance
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
    told = {path: p["message"] for p in problems if p["severity"] == "error" for path in p["paths"]}
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


def test_decoding_stays_below_its_bound_whatever_the_threads(tmp_path: Path, commands: Commands) -> None:
    # 27 instead of 179 million pixels at once, and as much less memory: 16 bytes for each, and 3 for each
    # pixel that one of the four threads holds decoded.
    pixels, root = 27_000_000, tmp_path / "photos"
    whole_pictures(root / "dark", 0)
    whole_pictures(root / "bright", 200)
    for number, colour in enumerate((6, 2, 6)):
        (root / "dark" / f"bomb {number}.png").write_bytes(
            corpus.flat_png(5000, 5000 + number, colour=colour)
        )
    (check,) = commands(["check", str(root), "--format", "json"], growth=(16 + 4 * 3) * pixels, pixels=pixels)
    assert [p for p in json.loads(check["out"]) if p["severity"] == "error"] == []


def test_no_more_pixels_are_in_work_than_allowed() -> None:
    from concurrent.futures import ThreadPoolExecutor

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
