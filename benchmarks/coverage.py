"""The coverage of prediction sets for 95 %, over many random splits into validation and test set.

`python -m benchmarks.coverage RUN ...`: a run's validation and test pictures, none of which its network
learned from, are joined and split anew at random into sets of the same sizes. Prediction sets are fitted on
one and evaluated on the other. This shows the effect of chance on one network, and how the run's own split
compares with random ones. (The temperature and the epoch stay those of the run.) Without a RUN it trains a
perceptron on the 5,000 digits that come with a dependency.
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

SPLITS = 1000
WANTED = 0.95


def coverage(validation: Predictions, test: Predictions) -> float:
    """Return the share of test pictures whose set, fitted on validation, contains the true class."""
    members = PredictionSets.fit(validation, WANTED).members(test.probabilities)
    return float(members[np.arange(len(test)), test.true_index].mean())


def redrawn(validation: Predictions, test: Predictions) -> np.ndarray:
    """Return the coverage (SPLITS,) of random splits of the pictures of both sets."""
    paths = np.array([*validation.paths, *test.paths])
    true = np.concatenate([validation.true, test.true])
    probabilities = np.concatenate([validation.probabilities, test.probabilities])

    def table(rows: np.ndarray) -> Predictions:
        return Predictions(tuple(paths[rows]), true[rows], test.classes, probabilities[rows])

    coverages = np.empty(SPLITS)
    generator = np.random.default_rng(0)
    for number in range(SPLITS):
        order = generator.permutation(len(paths))
        coverages[number] = coverage(table(order[: len(validation)]), table(order[len(validation) :]))
    return coverages


def main() -> None:
    """Print one row per run."""
    print(
        f"{'percent':28} {'val':>6} {'test':>6} {'own':>6} {'mean':>6} {'least of 95 in 100':>19} "
        f"{'held':>6} {'lower than own':>15}"
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
            own, coverages = coverage(validation, test), redrawn(validation, test)
            # The lowest coverage that chance in the test set alone explains, two-sided 95 %.
            least = binom.ppf(0.025, len(test), WANTED) / len(test)
            print(
                f"{path.name:28} {len(validation):6,} {len(test):6,} {100 * own:6.1f} "
                f"{100 * coverages.mean():6.2f} {100 * np.quantile(coverages, 0.05):19.1f} "
                f"{100 * (coverages >= least).mean():6.1f} {100 * (coverages < own).mean():15.1f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
