"""Valid files, changed at random, through everything that reads files of strangers: make fuzz.

python -m tests.hostile.mutate 20000 [--first 0] tries mutations number 0 to 19,999. Each is made from its
number alone, so that one can be tried again: --first N with a count of 1. They run in child processes with
limits of memory and time: a crash in a decoder written in C ends the child, is counted, and the next goes on.
"""

import argparse
import collections
import io
import json
import multiprocessing
import resource
import tarfile
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from safetensors.numpy import save as tensor_bytes
from tests.hostile import corpus

from linnaea.classifiers.finetune.weights import read_weights
from linnaea.classifiers.perceptron.classifier import MLPClassifier
from linnaea.data import archives, decoding, headers, idx, tables
from linnaea.errors import LinnaeaError
from linnaea.evaluation.predictions import Predictions
from linnaea.runs.folder import RunFolder

SECONDS = 10.0  # that one small file may take; usual is a thousandth of it
MEMORY = 3 << 30  # bytes that a child may grow by
NUMBERS = [b"\0" * 4, b"\xff" * 4, b"\x7f\xff\xff\xff", b"\xff\xff\xff\x7f", b"\0\0\0\x80", b"\x80\0\0\0"]
TOKENS = [b"null", b"[]", b"{}", b"-1", b"1e999", b"true", b'"x"', b"[[[[", b"9" * 40, b"NaN", b"\\ud800"]


def mutated(content: bytes, draw: np.random.Generator) -> bytes:
    """Return content with one to eight changes: bytes, bits, numbers, runs; cut, repeated, removed, moved."""
    data = bytearray(content)
    # One change in half of the cases, two in a quarter …
    for _ in range(min(8, int(draw.geometric(0.5)))):
        size = len(data)
        if not size:
            break
        # Half of the changes hit the first 200 bytes, where headers are.
        at = int(draw.integers(0, size if draw.random() < 0.5 else min(size, 200)))
        length = int(draw.integers(1, 1 + min(64, size - at)))
        match int(draw.integers(0, 9)):
            case 0:
                data[at] = int(draw.integers(0, 256))
            case 1:
                data[at] ^= 1 << int(draw.integers(0, 8))
            case 2:
                data[at : at + 4] = NUMBERS[int(draw.integers(0, len(NUMBERS)))]
            case 3:
                del data[at : at + length]
            case 4:
                data[at:at] = data[at : at + length] * int(draw.integers(1, 5))
            case 5:
                data[at : at + length] = draw.bytes(length)
            case 6:
                data[at : at + length] = TOKENS[int(draw.integers(0, len(TOKENS)))]
            case 7 if draw.random() < 0.3:
                del data[at:]
            case _:
                data[at : at + length] = bytes(length)
    # Checksums hide most of a PNG's decoder from accidents, not from an attacker: half are made right again.
    return corpus.with_right_checksums(bytes(data)) if draw.random() < 0.5 else bytes(data)


def _picture(name: str) -> Callable[[bytes, Path], object]:
    def read(content: bytes, folder: Path) -> object:
        headers.header(content)
        array = decoding.decode_picture(content, name)
        for settings in ({"enough": 8}, {"shortest_side": 16}, {"longest_side": 16}):
            decoding.decode_picture(content, name, **settings)
        assert array.dtype == np.uint8
        assert array.ndim == 3
        assert array.shape[2] == 3
        (folder / "picture").write_bytes(content)
        return decoding.read_picture(folder / "picture")

    return read


def _saved_at(place: str, read: Callable[[Path], object]) -> Callable[[bytes, Path], object]:
    """Return a reader that puts the bytes at folder/place first."""

    def put_and_read(content: bytes, folder: Path) -> object:
        path = folder / place
        whole = path.read_bytes() if path.exists() else None
        path.write_bytes(content)
        try:
            return read(path)
        finally:
            if whole is None:
                path.unlink()
            else:
                path.write_bytes(whole)

    return put_and_read


def _extract(path: Path) -> object:
    with tempfile.TemporaryDirectory(dir=path.parent) as place:
        return archives.extract(path, "jpg", Path(place) / "out")


def _predict(path: Path) -> object:
    probabilities = MLPClassifier.load(path.parent).predict_proba(np.zeros((2, 6), np.float32))
    assert np.isfinite(probabilities).all()
    return probabilities


def seeds(folder: Path) -> list[tuple[str, bytes, Callable[[bytes, Path], object]]]:
    """Return (kind, a valid file, what reads it); the readers need a run and a model in folder."""
    X = np.random.default_rng(0).random((12, 6), dtype=np.float32)
    MLPClassifier((5,), epochs=1, random_state=0).fit(X, np.array(["a", "b", "ç"] * 4)).save(folder)
    info = {
        "format_version": 1,
        "state": "finished",
        "data": {"name": "x", "pixels": {"size": 28, "colour": False}, "splits": {"train": 8, "test": 4}},
        "recipe": {"epochs": 3},
    }
    (folder / "run.json").write_text(json.dumps(info))
    (folder / "a.png").write_bytes(corpus.encoded(corpus.photo(), "PNG"))
    state = io.BytesIO()
    torch.save({"a.weight": torch.ones(3, 2), "a.bias": torch.ones(3)}, state)
    table = b"path,true,predicted,cat,dog\na.png,cat,cat,0.75,0.25\nb.png,dog,cat,0.5,0.5\n"
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for name in ("jpg/a.jpg", "jpg/" + "long" * 40 + ".jpg"):
            member = tarfile.TarInfo(name)
            member.size = 5
            tar.addfile(member, io.BytesIO(b"first"))
    others: list[tuple[str, bytes, Callable[[bytes, Path], object]]] = [
        (
            "run.json",
            (folder / "run.json").read_bytes(),
            _saved_at("run.json", lambda p: RunFolder.open(p.parent)),
        ),
        ("model.json", (folder / "model.json").read_bytes(), _saved_at("model.json", _predict)),
        (
            "weights",
            (folder / "weights.safetensors").read_bytes(),
            _saved_at("weights.safetensors", _predict),
        ),
        (
            "safetensors",
            tensor_bytes({"a": np.ones((3, 2), np.float32)}),
            _saved_at("w.safetensors", read_weights),
        ),
        ("pth", state.getvalue(), _saved_at("w.pth", read_weights)),
        ("tar", archive.getvalue(), _saved_at("a.tar", _extract)),
        (
            "idx",
            bytes([0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0, 3, *range(12)]),
            _saved_at("i", idx.read_idx),
        ),
        ("predictions.csv", table, _saved_at("p.csv", Predictions.read_csv)),
        (
            "table.csv",
            b"path,label,split\na.png,cat,train\n./a.png,dog,test\n",
            _saved_at("t.csv", lambda p: tables.open_table(p, "t.csv")),
        ),
    ]
    found = [(name, content, _picture(name)) for name, content in corpus.valid().items()]
    return [*found, *others]


def _work(first: int, last: int, place: str, at: Any, answers: Any) -> None:
    """Try mutations first to last - 1 in this process; at.value is the one in work."""
    warnings.simplefilter("ignore")
    data = int(Path("/proc/self/status").read_text().split("VmData:")[1].split()[0]) * 1024
    resource.setrlimit(resource.RLIMIT_DATA, (data + MEMORY, data + MEMORY))
    folder = Path(place)
    files = seeds(folder)
    for number in range(first, last):
        at.value = number
        name, content, read = files[number % len(files)]
        changed = mutated(content, np.random.default_rng([0, number]))
        try:
            read(changed, folder)
            answers.put((number, name, "read", ""))
        except LinnaeaError:
            answers.put((number, name, "refused", ""))
        except BaseException as error:
            answers.put((number, name, "failed", f"{type(error).__name__}: {error}"[:300]))
    at.value = last


def run(first: int, count: int) -> collections.Counter[tuple[str, str]]:
    """Try count mutations, print each fault with its number; return how often each (kind, outcome) was."""
    context = multiprocessing.get_context("fork")
    outcomes: collections.Counter[tuple[str, str]] = collections.Counter()
    end, names = first + count, None
    while first < end:
        with tempfile.TemporaryDirectory() as place:
            at, answers = context.Value("q", first), context.SimpleQueue()
            child = context.Process(target=_work, args=(first, end, place, at, answers))
            child.start()
            since, number, told = time.monotonic(), first, first - 1
            while child.is_alive() or not answers.empty():
                if at.value != number:
                    since, number = time.monotonic(), at.value
                while not answers.empty():
                    told, name, outcome, reason = answers.get()
                    outcomes[name, outcome] += 1
                    if outcome == "failed":
                        print(f"mutation {told} ({name}): {reason}", flush=True)
                if time.monotonic() - since > SECONDS + (20 if number == first else 0):
                    child.kill()
                child.join(0.01)
            first = told + 1
            if first < end:
                names = names or [name for name, *_ in seeds(Path(place))]
                outcome = "hung" if child.exitcode == -9 else "crashed"
                name = names[first % len(names)]
                outcomes[name, outcome] += 1
                print(f"mutation {first} ({name}): {outcome}, exit code {child.exitcode}", flush=True)
                first += 1
    return outcomes


def main() -> int:
    """Print a table of what was tried, and return 1 where anything but reading or refusing happened."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("count", type=int, help="how many mutations")
    parser.add_argument("--first", type=int, default=0, help="number of the first")
    chosen = parser.parse_args()
    Image.init()
    outcomes = run(chosen.first, chosen.count)
    kinds = sorted({kind for kind, _ in outcomes})
    columns = ["read", "refused", "failed", "crashed", "hung"]
    print(f"{'kind':<20}" + "".join(f"{column:>9}" for column in columns))
    for kind in kinds:
        print(f"{kind:<20}" + "".join(f"{outcomes[kind, column]:>9,}" for column in columns))
    sums = [sum(outcomes[kind, column] for kind in kinds) for column in columns]
    print(f"{'together':<20}" + "".join(f"{number:>9,}" for number in sums))
    return int(any(sums[2:]))


if __name__ == "__main__":
    raise SystemExit(main())
