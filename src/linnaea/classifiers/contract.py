"""The contract of a classifier: what every kind of them can do.

scikit-learn's conventions: settings in __init__ and nothing else there, learned things end in an
underscore, fit returns self.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np

from linnaea.errors import LinnaeaError


@dataclass(frozen=True)
class EpochRecord:
    """What one epoch left: one line of history.jsonl.

    epoch: int
        0 is the network before training.
    seconds: float
        Of training; evaluation apart.
    learning_rate: float
        At the end of the epoch.
    train_loss, val_loss: float
        Mean over the pictures, in nats for cross-entropy. No validation set: None.
    train_accuracy, val_accuracy: float
        Between 0 and 1.
    """

    epoch: int
    seconds: float
    learning_rate: float
    train_loss: float
    train_accuracy: float
    val_loss: float | None = None
    val_accuracy: float | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return the record as plain values, in the order of history.jsonl."""
        return asdict(self)


OnEpoch = Callable[[EpochRecord, "Classifier"], None]

TrainingState = tuple[dict[str, np.ndarray], dict[str, Any]]
"""What exact resume needs: named arrays, and plain JSON values."""

# on_step(stage, done, total, seconds): stage is "" inside an epoch, else what is done ("probe"); done and
# total are pictures, seconds those since the stage began. Inside an epoch training_state() may be asked for,
# and an exception stops the training between two steps.
OnStep = Callable[[str, int, int, float], None]


class Classifier(Protocol):
    """What every classifier can do. Labels are class names (str) or anything numpy.unique can sort.

    Every classifier inherits from it: what has a body or a value here holds where a kind of classifier says
    nothing else, so that nobody needs to ask which kind it is.

    Classifiers of small pictures take X as float32 (n, features) in 0..1. Classifiers of photographs
    (takes_photographs) take X as a sequence of uint8 pictures (height, width, 3) of any sizes: more than
    kept_side() pixels on the shorter side would be of no use to them.
    """

    takes_photographs: ClassVar[bool] = False

    # What the logits are divided by before the softmax: 1.0 after fit, then what calibration found. A
    # squared-error perceptron has no logits in that sense; there it divides the log-probabilities.
    temperature_: float
    classes_: np.ndarray
    # Empty before fit, and after load.
    history_: Sequence[EpochRecord] = ()
    # The epoch whose weights the classifier holds.
    chosen_epoch_: int | None = None
    # "probe" or "fine-tuned", where the two were held against each other.
    kept_: str | None = None
    # The linear classifier on features of the network before fine-tuning; what was done with a budget.
    probe_: Any = None
    plan_: Any = None
    least_seconds_: float | None = None
    # What the next fit goes on from.
    _loaded_state: TrainingState | None = None

    def check_settings(self) -> None:
        """Raise SettingError for settings that fit would refuse, before any data is read."""

    def check_network(self) -> None:
        """Raise LinnaeaError where the network, with its first weights, cannot be had."""

    @property
    def compute_device(self) -> str | None:
        """What fit computes on, as torch names it: "cpu", "cuda:1", "mps"; None where that is not known."""
        return "cpu"

    def suited(self) -> dict[str, Any]:
        """Return the settings that are left to the classifier (None), at the values that it uses."""
        return {}

    def kept_side(self) -> int | None:
        """Return the shorter side, in pixels, beyond which detail is of no use; None: X has the one size."""
        return None

    def fit(
        self,
        X: Any,
        y: Any,
        *,
        validation_data: tuple[Any, Any] | None = None,
        sample_weight: np.ndarray | None = None,
        on_epoch: OnEpoch | None = None,
        on_step: OnStep | None = None,
    ) -> "Classifier":
        """Learn from X (n, features) and y (n,).

        Calls on_epoch(record, self) after each epoch, 0 included, and on_step after each step.
        """

    def predict(self, X: Any) -> np.ndarray:
        """Return the most probable class of each row or picture, (n,), one of classes_."""

    def predict_proba(self, X: Any) -> np.ndarray:
        """Return (n, classes) probabilities, each row summing to one, columns in the order of classes_.

        They obey temperature_ (Guo et al. 2017, arXiv:1706.04599); decision_function and evaluate do not.
        """

    def features(self, X: Any) -> np.ndarray:
        """Return what the last layer sees of each picture, float32 (n, width)."""

    def features_and_proba(self, X: Any, split: str = "") -> tuple[np.ndarray, np.ndarray]:
        """Return features(X) and predict_proba(X), with as little work as both take together.

        split: "train" or "val" where X is the whole of what fit was given; what it remembers is not computed
        again.
        """
        return self.features(X), self.predict_proba(X)

    def remembered(self, split: str) -> np.ndarray | None:
        """Return features() of what fit was given as "train" or "val"; None where that is not remembered."""
        return None

    def probe_proba(self, X: Any) -> np.ndarray:
        """Return the probabilities of the probe alone, (n, classes). Only where probe_ is not None."""
        raise LinnaeaError("This classifier has no probe.", "Ask where probe_ is not None.")

    def evaluate(self, X: Any, y: Any) -> tuple[float, float]:
        """Return the mean loss that training makes small (without penalties) and the accuracy on X, y."""

    def save(self, folder: Path) -> None:
        """Write weights.safetensors and model.json into folder."""

    @classmethod
    def load(cls, folder: Path) -> "Classifier":
        """Return the classifier that save wrote."""

    def describe(self) -> dict[str, Any]:
        """Return {"summary": one line, "parameters": count}, for the terminal and the report."""

    def training_state(self) -> TrainingState:
        """Return what exact resume needs, as copies. Asked for in on_epoch or on_step."""

    def load_training_state(self, arrays: dict[str, np.ndarray], values: dict[str, Any]) -> None:
        """Take back what training_state returned; the next fit, with the same settings and data, goes on.

        That fit raises DataError where the state is incomplete or belongs to another network.
        """
        self._loaded_state = arrays, values

    def _state_to_resume(self) -> TrainingState | None:
        """Return the state that was loaded, if any, for this fit only, even if it fails."""
        return self.__dict__.pop("_loaded_state", None)
