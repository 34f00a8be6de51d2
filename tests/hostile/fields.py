"""Fields of model.json, changed at random, through the loader that commands use.

python -m tests.hostile.fields 3000 [--first 0] tries changes number 0 to 2,999, each made from its number
alone, on the perceptron, the Keras network and the fine-tuned network of tests/data/golden in turn.
"""

import argparse
import collections
import copy
import gzip
import json
import resource
import shutil
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np

import linnaea
from linnaea.errors import LinnaeaError

GOLDEN = Path(__file__).parents[1] / "data" / "golden" / "v1"
KINDS = ("perceptron", "keras", "finetune")
MEMORY = 3 << 30  # bytes that the process may grow by
VALUES: list[Any] = [
    *(None, True, False, 0, 1, -1, 2, 32, 4096, 16_384, 100_000, 10**9, 10**30, -(10**30)),
    *(0.5, -0.5, 1e-300, 1e300, 1e999, float("nan")),
    *("", "x", "32", "../../x", "relu", "float32", "a" * 20_000),
    *([], {}, [[]], [None], [1, 2, 3], [10**9] * 4, [-1], ["a"] * 3, [0.5, "x", None], [[1, 2], [3, 4]]),
    *({"a": 1}, {"": {"": []}}),
]


def unpacked(kind: str, folder: Path) -> dict[str, Any]:
    """Put a golden run of this kind into folder, its weights unpacked; return its model.json."""
    source = GOLDEN / kind
    for name in ("run.json", "model.json"):
        shutil.copyfile(source / name, folder / name)
    packed = (source / "weights.safetensors.gz").read_bytes()
    (folder / "weights.safetensors").write_bytes(gzip.decompress(packed))
    return json.loads((folder / "model.json").read_text())


def places(value: Any) -> list[tuple[Any, Any]]:
    """Return (container, key) of every field, all the way down."""
    items: list[Any] = []
    if isinstance(value, (dict, list)):
        for key in range(len(value)) if isinstance(value, list) else list(value):
            items += [(value, key), *places(value[key])]
    return items


def changed(model: dict[str, Any], draw: np.random.Generator) -> dict[str, Any]:
    """Return a copy with one to four fields removed, added, exchanged, or of another value."""
    model = copy.deepcopy(model)
    for _ in range(min(4, int(draw.geometric(0.6)))):
        found = places(model)
        if not found:
            break
        container, key = found[int(draw.integers(len(found)))]
        value = copy.deepcopy(VALUES[int(draw.integers(len(VALUES)))])
        match int(draw.integers(6)):
            case 0:
                del container[key]
            case 1:
                other, there = found[int(draw.integers(len(found)))]
                container[key] = copy.deepcopy(other[there])
            case 2 if isinstance(container, dict):
                container["unknown"] = value
            case 3 if isinstance(container[key], (int, float)):
                container[key] = container[key] * [-1, 1000, 1e-6, 10**12][int(draw.integers(4))]
            case _:
                container[key] = value
    return model


def attempt(folder: Path, model: Any) -> str:
    """Return "read" or "refused": what the loader, and the network that it made, say to this model.json.

    Raises whatever else happens.
    """
    (folder / "model.json").write_text(json.dumps(model))
    try:
        classifier = linnaea.load(folder)
        if classifier.takes_photographs:
            X: Any = [np.zeros((40, 36, 3), np.uint8)]
        else:
            X = np.zeros((1, classifier.n_features_in_), np.float32)
        assert classifier.predict_proba(X).shape == (1, len(classifier.classes_))
        assert classifier.describe()["summary"]
    except LinnaeaError as error:
        told = str(error)
    else:
        return "read"
    # In words: one line of them, and not without end.
    assert 20 < len(told) < 2000, told[:200]
    assert "\n" not in told
    return "refused"


def main() -> int:
    """Print what came of each kind, and each change that ended in anything but reading or refusing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("count", type=int, help="how many changes")
    parser.add_argument("--first", type=int, default=0, help="number of the first")
    chosen = parser.parse_args()
    warnings.simplefilter("ignore")
    outcomes: collections.Counter[tuple[str, str]] = collections.Counter()
    with tempfile.TemporaryDirectory() as place:
        models = {}
        for kind in KINDS:
            (Path(place) / kind).mkdir()
            models[kind] = unpacked(kind, Path(place) / kind)
            # What is imported on first use is no growth.
            assert attempt(Path(place) / kind, models[kind]) == "read"
        data = int(Path("/proc/self/status").read_text().split("VmData:")[1].split()[0]) * 1024
        resource.setrlimit(resource.RLIMIT_DATA, (data + MEMORY, data + MEMORY))
        for number in range(chosen.first, chosen.first + chosen.count):
            kind = KINDS[number % len(KINDS)]
            model = changed(models[kind], np.random.default_rng([0, number]))
            try:
                outcomes[kind, attempt(Path(place) / kind, model)] += 1
            except Exception as error:
                outcomes[kind, "failed"] += 1
                print(f"change {number} ({kind}): {type(error).__name__}: {error}"[:400], flush=True)
    for kind in KINDS:
        print(kind, {outcome: outcomes[kind, outcome] for outcome in ("read", "refused", "failed")})
    return int(any(outcomes[kind, "failed"] for kind in KINDS))


if __name__ == "__main__":
    raise SystemExit(main())
