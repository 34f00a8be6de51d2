"""How often prediction sets for 95 % hold the truth, over validation and test parts drawn again and again.

`python -m benchmarks.coverage RUN ...`: a run's validation and test pictures, none of which its network
learned from, are put together and divided anew at random, into parts as large as they were; sets are fitted
on one and judged on the other. So it shows what chance does to one network, and where the run's own division
stands among those that chance makes. (The temperature and the epoch stay those of the run.) Without a RUN it
trains a perceptron on the 5,000 digits that come with a dependency.
"""

import sys
import tempfile
from pathlib import Path

import numpy as np
from scipy.stats import binom

from linnaea.evaluation.prediction_sets import PredictionSets
from linnaea.evaluation.predictions import Predictions
from linnaea.runs.folder import RunFolder
from linnaea.runs.tables import read_table, split_of

DIVISIONS = 1000
WANTED = 0.95


def held(validation: Predictions, test: Predictions) -> float:
    """Return the share of test pictures whose truth is in the set that validation made."""
    members = PredictionSets.fit(validation, WANTED).members(test.probabilities)
    return float(members[np.arange(len(test)), test.true_index].mean())


def divided(validation: Predictions, test: Predictions) -> np.ndarray:
    """Return `held` (DIVISIONS,) of random divisions of both parts' pictures."""
    paths = np.array([*validation.paths, *test.paths])
    true = np.concatenate([validation.true, test.true])
    probabilities = np.concatenate([validation.probabilities, test.probabilities])

    def part(rows: np.ndarray) -> Predictions:
        return Predictions(tuple(paths[rows]), true[rows], test.classes, probabilities[rows])

    found = np.empty(DIVISIONS)
    generator = np.random.default_rng(0)
    for number in range(DIVISIONS):
        order = generator.permutation(len(paths))
        found[number] = held(part(order[: len(validation)]), part(order[len(validation) :]))
    return found


def main() -> None:
    """Print a row for each run."""
    print(
        f"{'percent':28} {'val':>6} {'test':>6} {'own':>6} {'mean':>6} {'least of 95 in 100':>19} "
        f"{'kept':>6} {'lower than own':>15}"
    )
    with tempfile.TemporaryDirectory() as temporary:
        runs = [Path(name) for name in sys.argv[1:] if Path(name).is_dir()]
        if not runs:
            from linnaea.cli import main as linnaea

            runs = [Path(temporary) / "digits"]
            if linnaea(["train", "digits", "--out", str(runs[0])]) != 0:
                return
        for path in runs:
            run = RunFolder.open(path)
            split = split_of(run)
            validation, test = read_table(run, "val", split), read_table(run, "test", split)
            own, found = held(validation, test), divided(validation, test)
            # What the judged part alone may lose by chance, two-sided 95 %.
            least = binom.ppf(0.025, len(test), WANTED) / len(test)
            print(
                f"{path.name:28} {len(validation):6,} {len(test):6,} {100 * own:6.1f} "
                f"{100 * found.mean():6.2f} {100 * np.quantile(found, 0.05):19.1f} "
                f"{100 * (found >= least).mean():6.1f} {100 * (found < own).mean():15.1f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
