"""Valid files of every format, changed at random: read, or refused with a sentence; never anything else."""

import contextlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.hostile import corpus, mutate

from linnaea.errors import LinnaeaError

pytestmark = pytest.mark.filterwarnings("ignore")
EXAMPLES = 25


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("mutations")


@pytest.fixture(scope="module")
def files(place: Path) -> dict[str, tuple]:
    return {name: (content, read) for name, content, read in mutate.seeds(place)}


NAMES = [*corpus.valid(), "run.json", "model.json", "weights", "safetensors", "pth", "tar", "idx"]
NAMES += ["predictions.csv", "table.csv"]


@pytest.mark.parametrize("name", NAMES)
def test_a_changed_file_is_read_or_refused(files: dict[str, tuple], place: Path, name: str) -> None:
    content, read = files[name]

    @settings(max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(
        changes=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.binary(max_size=8)), max_size=4),
        keep=st.one_of(st.just(1.0), st.floats(0, 1)),
    )
    def changed(changes: list[tuple[float, bytes]], keep: float) -> None:
        data = bytearray(content[: int(len(content) * keep)])
        for where, value in changes:
            at = int(where * len(data))
            data[at : at + len(value)] = value
        # Refused with a sentence: the one other thing that may happen.
        with contextlib.suppress(LinnaeaError):
            read(corpus.with_right_checksums(bytes(data)), place)

    changed()


def test_a_mutation_is_the_same_whenever_it_is_made_again() -> None:
    content = corpus.valid()["jpeg.jpg"]
    made = [[mutate.mutated(content, np.random.default_rng([0, n])) for n in range(20)] for _ in range(2)]
    assert made[0] == made[1]
    assert len({*made[0], content}) > 15


def test_the_harness_counts_each_mutation_and_finds_no_fault() -> None:
    outcomes = mutate.run(0, 80)
    assert sum(outcomes.values()) == 80
    assert {outcome for _, outcome in outcomes} <= {"read", "refused"}
