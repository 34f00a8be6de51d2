"""Every setting, declared once: its type, default, range, choices and help, and which models have it.

From here come the recipe and its checks, the options of `linnaea train`, the list of `linnaea settings`,
docs/settings.md, and what the classifiers accept. To add a setting, add it here, and as a parameter of the
classifier that has it.
"""

import math
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any, Literal

from linnaea.errors import SettingError, did_you_mean
from linnaea.text import command_line

MLP, KERAS, PRETRAINED = "mlp", "keras", "pretrained"
PERCEPTRONS = (MLP, KERAS)
MODELS = (MLP, KERAS, PRETRAINED)
"""The kinds of model; every pretrained network has the same settings."""
MAX_SIDE = 2048
"""The largest side, in pixels, of the square that a network may ask for: twice that of timm's largest.

A picture is resized to twice as much at most before its middle is cut out: 48 MiB as uint8."""

Kind = Literal["integer", "number", "seconds", "switch", "choice", "text", "units", "class weights"]


@dataclass(frozen=True, eq=False)
class Setting:
    """One setting, as everybody sees it.

    What differs between the kinds of model (default, low, choices) is a dict from each of them.

    name: str
        In recipes, in run.json and, with dashes, as an option.
    models: tuple of str
        The kinds of model that have it.
    scope: str
        "classifier"; "run": of the data or the run, whether the classifier has it, too, or not; "python": a
        parameter of the classifier that is no setting of a recipe.
    default: Any
        None where there is none, or where it is found for the data or the network.
    low, above, high, below: float
        Bounds: low and high are allowed, above and below are not.
    choices: tuple of str
        The allowed words.
    pattern, expected: str
        A regular expression that the whole text must match, and what it allows in words.
    off: Any
        What a recipe writes where Python writes None: there, None means that nobody asked.
    parameter: str
        The classifier's parameter, where scikit-learn's convention has another name.
    option: bool
        Whether `linnaea train --help` shows it.
    planned: bool
        Whether the plan of a budget decides it.
    fixed_by_rerun: bool
        Whether `linnaea rerun` sets it itself, so that it may differ between a run and its repetition.
    late: bool
        Whether the default takes effect only once the data are known: a recipe leaves it open.
    help: str
        A noun phrase, and perhaps a sentence.
    """

    name: str
    kind: Kind
    models: tuple[str, ...] = MODELS
    scope: Literal["classifier", "run", "python"] = "classifier"
    default: Any = None
    low: Any = None
    above: float | None = None
    high: float | None = None
    below: float | None = None
    choices: Any = ()
    pattern: str = ""
    expected: str = ""
    off: Any = None
    parameter: str = ""
    option: bool = False
    planned: bool = False
    fixed_by_rerun: bool = False
    late: bool = False
    help: str = ""

    def default_of(self, model: str) -> Any:
        """Return the default for this kind of model."""
        return _of(self.default, model)

    def choices_of(self, model: str | None) -> tuple[str, ...]:
        """Return the allowed words for this kind of model; None: in a recipe, whatever its model."""
        if model is not None:
            return tuple(_of(self.choices, model))
        every = self.choices.values() if isinstance(self.choices, dict) else [self.choices]
        off = [self.off] if isinstance(self.off, str) else []
        return tuple(dict.fromkeys([*off, *(word for words in every for word in words)]))

    def allowed(self, model: str | None = None) -> str:
        """Return in words what this kind of model allows, or, None, a recipe: "an integer of 1 or more"."""
        if self.expected:
            return self.expected
        if choices := self.choices_of(model):
            return "one of " + ", ".join(choices)
        if model is None and self.kind in _IN_A_RECIPE:
            return _IN_A_RECIPE[self.kind]
        return _KINDS[self.kind] + self._range(model)

    def _range(self, model: str | None) -> str:
        low = self._low(model)
        if self.above is not None:
            start, to = f" above {self.above:,}", " and"
        elif low is not None and self.high is None and self.below is None:
            return f" of {low:,} or more"
        else:
            start, to = "" if low is None else f" from {low:,}", " to"
        if self.high is not None:
            return f"{start}{to}{' at most' * (to == ' and')} {self.high:,}"
        return start if self.below is None else f"{start}{to} below {self.below:,}"

    def _low(self, model: str | None) -> Any:
        if model is None and isinstance(self.low, dict):
            return min(self.low.values())
        return _of(self.low, model)

    def check(self, value: Any, model: str | None = None, *, name: str = "") -> None:
        """Raise SettingError for a value that this kind of model does not take, or, None, a recipe.

        name: what the setting is called in the message.
        """
        can_be_none = model is not None and (self.off is not None or self.default_of(model) is None)
        if (value is None and can_be_none) or self._accepts(value, model):
            return
        name, received = name or self.name, _shortened(value)
        python = command_line.get() is None
        if self.kind == "units" and isinstance(value, tuple) and not python:
            received = ",".join(map(str, value))
        if self.kind == "choice":
            words = self.choices_of(model)
            raise SettingError(f"{name} {received} is not known.", did_you_mean(str(value)[:100], words))
        # In a shell an option that is left out means the same.
        two = "(500, 500)" if python else "500,500"
        none = "None or " if can_be_none and python and self.kind != "class weights" else ""
        raise SettingError(
            f"{name} must be {none}{self.allowed(model)}; received {received}.",
            f"Give the units of each hidden layer, {two} for two layers." if self.kind == "units" else "",
        )

    def _accepts(self, value: Any, model: str | None) -> bool:
        match self.kind:
            case "choice":
                return isinstance(value, str) and value in self.choices_of(model)
            case "text":
                text = os.fspath(value) if isinstance(value, os.PathLike) else value
                return isinstance(text, str) and (not self.pattern or bool(re.fullmatch(self.pattern, text)))
            case "switch":
                return isinstance(value, bool) or type(value).__name__ == "bool"  # NumPy's, too
            case "units":
                sizes = (value,) if isinstance(value, Integral) else value
                return _is_sequence(sizes) and all(_is_integer(size) and int(size) >= 1 for size in sizes)
            case "class weights":
                named = isinstance(value, str) and value == "balanced"
                return named or (model is not None and isinstance(value, dict))
            case "integer":
                return _is_integer(value) and self._within(value, model)
        return _is_number(value) and self._within(float(value), model)

    def _within(self, value: Any, model: str | None) -> bool:
        low = self._low(model)
        return (
            (low is None or value >= low)
            and (self.above is None or value > self.above)
            and (self.high is None or value <= self.high)
            and (self.below is None or value < self.below)
        )

    def read(self, value: Any) -> Any:
        """Return what a shell, TOML, JSON or Python wrote into a recipe, as a value of the setting's kind.

        None stays what it is: nobody asked. Raises SettingError for a value that no kind of model accepts.
        """
        if value is None:
            return None
        try:
            parsed = _PARSERS.get(self.kind, _same)(value)
        except (KeyError, TypeError, ValueError):
            parsed = value
        self.check(parsed)
        return parsed

    @property
    def parameter_name(self) -> str:
        """The name of the classifier's parameter."""
        return self.parameter or self.name

    @property
    def unasked(self) -> Any:
        """What a recipe holds that does not name the setting: None leaves it to the model, or to the data."""
        settled = self.scope == "run" and not self.late and not isinstance(self.default, dict)
        return self.default if settled else None

    def as_parameter(self, value: Any) -> Any:
        """Return what a classifier is given for the value of a recipe."""
        return None if self.off is not None and value == self.off else value

    def as_recorded(self, value: Any) -> Any:
        """Return what a recipe says for the value of a classifier's parameter."""
        return self.off if value is None else value


_KINDS = {
    "integer": "an integer",
    "number": "a number",
    "seconds": "a number of seconds",
    "switch": "true or false",
    "text": "text",
    "units": "integers of 1 or more",
    "class weights": "None, 'balanced' or a dict",
}
_IN_A_RECIPE = {"seconds": "a length of time, such as 90s, 10m or 2h", "class weights": "balanced"}


def _of(value: Any, model: str | None) -> Any:
    return value.get(model) if isinstance(value, dict) else value


def _is_integer(value: Any) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    try:
        return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)
    except OverflowError:  # an integer beyond all floats
        return False


def _is_sequence(value: Any) -> bool:
    return not isinstance(value, (str, bytes, dict)) and isinstance(value, Iterable)


def _shortened(value: Any) -> str:
    shown = repr(value)
    return shown if len(shown) <= 200 else f"{shown[:200]}…"


# Reading text: what a shell hands over, and what people write into a recipe.

_UNITS = {"h": 3600, "m": 60, "s": 1}
_NUMBER = re.compile(r"\d+(\.\d+)?")
_LENGTH = re.compile("".join(rf"((?P<{unit}>{_NUMBER.pattern}){unit})?" for unit in _UNITS))
_SWITCHES = {"true": True, "yes": True, "on": True, "1": True}
_SWITCHES |= {"false": False, "no": False, "off": False, "0": False}


def parse_duration(text: str | float) -> float:
    """Return the seconds in "90s", "10m", "2h", "1h30m", or in a plain number of seconds.

    Raises ValueError for anything else, and for nothing at all.
    """
    written = str(text).lower().replace(" ", "")
    # A number without a unit is seconds, but only alone: 1h30 could be meant either way.
    parts = _LENGTH.fullmatch(f"{written}s" if _NUMBER.fullmatch(written) else written)
    seconds = 0.0
    if parts is not None:
        seconds = sum(float(parts[unit]) * length for unit, length in _UNITS.items() if parts[unit])
    if seconds <= 0:
        raise ValueError("a length of time is written as 90s, 10m, 2h or 1h30m; a plain number is seconds")
    return seconds


def _number(value: Any) -> Any:
    """Return a number as it was written: "2" is 2, "2.5" is 2.5."""
    if not isinstance(value, str):
        return value
    return int(value) if re.fullmatch(r"\s*[+-]?\d+\s*", value) else float(value)


def _units(value: Any) -> Any:
    if isinstance(value, str):
        return tuple(int(part) for part in value.split(","))
    return (value,) if isinstance(value, Integral) else tuple(value) if _is_sequence(value) else value


def _same(value: Any) -> Any:
    return value


_PARSERS: dict[str, Any] = {
    "text": lambda value: os.fspath(value) if isinstance(value, os.PathLike) else value,
    "integer": lambda value: int(value) if isinstance(value, str) else value,
    "number": _number,
    "seconds": parse_duration,
    "switch": lambda value: _SWITCHES[value.strip().lower()] if isinstance(value, str) else value,
    "units": _units,
}


# The table. A section is a heading of `linnaea settings`; what belongs together stands together.


def _each(mlp: Any, keras: Any, pretrained: Any) -> dict[str, Any]:
    return {MLP: mlp, KERAS: keras, PRETRAINED: pretrained}


_SOLVERS = ("adam", "nesterov", "sgd")

# fmt: off
SECTIONS: dict[str, tuple[Setting, ...]] = {
    "Pictures and split": (
        Setting("split", "text", scope="run", option=True, fixed_by_rerun=True,
                help="Division into training and test set: the share to train on, stratified (0.7), or "
                     "the data set's own (official; trainval: its validation set is trained on, too; "
                     "random: 0.7). Default: official where the data have a split, otherwise 0.7."),
        Setting("validation", "number", scope="run", default=0.1, low=0, below=1, option=True, late=True,
                help="Share of the training set that is held out as validation set, to choose the epoch "
                     "and calibrate on; 0: none."),
        Setting("layout", "text", scope="run", default="auto", option=True,
                pattern="auto|(folder/|split/){0,4}class(/split)?",
                expected="auto, class, split/class, class/split, folder/class and the like",
                help="Meaning of the levels of folders, from the outside in: class, split/class, "
                     "class/split, folder/class (folder: neither, such as a place; a column to group by); "
                     "auto: found by their names and by what they hold."),
        Setting("label_column", "text", scope="run",
                help="Column of the CSV with the classes. Default: label, or what else it may be called."),
        Setting("size", "integer", scope="run", default=_each(28, 28, None), low=_each(4, 4, 32),
                high=MAX_SIDE, option=True,
                help="Side of the square picture that the network sees, in pixels; of a pretrained network, "
                     "32 or more."),
        Setting("colour", "switch", scope="run", default=False,
                help="Whether a perceptron sees the three colours of a picture and not only its "
                     "brightness."),
        Setting("value_range", "text", scope="run", default="auto",
                pattern=r"auto|picture|\s*[-+.\deE]+\s*,\s*[-+.\deE]+\s*",
                expected="auto, picture, or the numbers that are black and white, such as 0,4095",
                help="Numbers that are black and white in pictures of more than 8 bits, such as 0,4095; "
                     "auto: one range for the whole data set, found from a sample of it; picture: from "
                     "each picture's darkest to its brightest."),
        Setting("split_from", "text", scope="run", fixed_by_rerun=True,
                help="Run folder or split.csv whose split is used again, unchanged."),
        Setting("copies", "choice", scope="run", default="near", choices=("near", "exact", "off"),
                help="Kind of copies that stay in one set with their original: near (the picture "
                     "recompressed, resized, cropped, mirrored or brightened, too), exact (equal files "
                     "only), or off."),
        Setting("group_column", "text", scope="run",
                help="Column of the CSV that names each picture's group, such as a person or a place; "
                     "the pictures of a group stay in one set."),
        Setting("group_pattern", "text", scope="run",
                help="Regular expression on the path; pictures with the same first group, or the same "
                     "match, stay in one set."),
        Setting("group_seconds", "seconds", scope="run", above=0,
                help="Longest time between two pictures of one camera (by EXIF) that stay in one set, "
                     "such as 30s."),
    ),
    "Network": (
        Setting("model", "text", scope="run", option=True,
                help="Kind of network: mlp (a perceptron in NumPy), keras (the same in Keras), a pretrained "
                     "network's name, or auto: the pretrained network that suits the pictures best. "
                     "Default: mlp for digits and mnist, auto for photographs."),
        Setting("weights", "text", (PRETRAINED,), default="hub", option=True,
                help="Source of a pretrained network's weights: hub, a file, or none (random)."),
        Setting("hidden", "units", PERCEPTRONS, default=_each((50,), (512,), None),
                parameter="hidden_layer_sizes", option=True,
                help="Number of units in each hidden layer, such as 500,500."),
        Setting("activation", "choice", PERCEPTRONS, default="relu", choices=("relu", "tanh", "sigmoid"),
                option=True,
                help="Activation function of the hidden units."),
        Setting("init", "choice", PERCEPTRONS, default="auto", choices=("auto", "normal", "xavier", "he"),
                help="Distribution of the initial weights; auto: he before a ReLU, otherwise xavier."),
        Setting("head_hidden", "integer", (PRETRAINED,), low=1,
                help="Number of units in an additional hidden layer (ReLU) of the head."),
        Setting("train_from", "text", (PRETRAINED,), planned=True,
                help="First stage that is fine-tuned, such as blocks.4, with all after it; all: the "
                     "whole network; head: the head alone."),
        Setting("batch_norm", "choice", (PRETRAINED,), default="freeze",
                choices=("freeze", "update", "reestimate"),
                help="Running statistics of batch normalisation during fine-tuning: frozen, updated, or "
                     "estimated again after each epoch."),
        Setting("preprocessing", "choice", (PRETRAINED,), default="weights", choices=("weights", "report"),
                help="Preprocessing of the pictures: that of the weights; report: scaled to 0..1 only, "
                     "down to 150 pixels and up again."),
        Setting("dtype", "choice", (MLP,), default="float32", choices=("float32", "float64"),
                help="Floating-point type of the weights and of all computation."),
        Setting("precision", "choice", (PRETRAINED,), default="auto", choices=("auto", "float32", "bfloat16"),
                fixed_by_rerun=True,
                help="Floating-point type of the computation; auto: the faster one on this machine, "
                     "measured once."),
        Setting("device", "text", (PRETRAINED,), default="auto", pattern=r"auto|cpu|mps|cuda(:\d{1,3})?",
                expected="auto, cpu, cuda, cuda:1 or mps", option=True,
                help="Device that a pretrained network computes on: auto, cpu, cuda, cuda:1 (a certain "
                     "graphics card) or mps (a Mac's)."),
        Setting("tta", "choice", (PRETRAINED,), scope="python", default="none", choices=("none", "flip"),
                help="Test-time augmentation; flip: the mean of a picture's logits and its mirror's, in "
                     "twice the time."),
    ),
    "Training": (
        Setting("budget", "seconds", (PRETRAINED,), above=0, option=True,
                help="Time that the whole command may take, such as 90s, 10m or 2h; a pretrained "
                     "network's training is planned for it."),
        Setting("epochs", "integer", default=_each(20, 20, None), low=0, option=True, planned=True,
                help="Number of passes over the training set; 0: of a pretrained network, the linear "
                     "probe alone."),
        Setting("batch_size", "integer", default=_each(100, 100, 16), low=1, option=True,
                help="Number of pictures in a batch."),
        Setting("learning_rate", "number", default=_each(1e-3, 1e-3, None), above=0, option=True,
                help="Learning rate (step size); of a pretrained network, the head's."),
        Setting("solver", "choice", default=_each("adam", "adam", "adamw"),
                choices=_each(_SOLVERS, _SOLVERS, ("adamw", "nesterov")), option=True,
                help="Optimizer: adam, nesterov or sgd for a perceptron, adamw or nesterov for a "
                     "pretrained network."),
        Setting("loss", "choice", PERCEPTRONS, default="cross_entropy",
                choices=("cross_entropy", "squared_error"), option=True,
                help="Loss function to minimise."),
        Setting("schedule", "choice", default=_each("constant", "constant", "cosine"),
                choices=("constant", "cosine"),
                help="Schedule of the learning rate: constant, or a cosine down to zero."),
        Setting("warmup_epochs", "number", default=_each(0.0, 0.0, 1.0), low=0,
                help="Number of epochs over which the learning rate rises from zero."),
        Setting("momentum", "number", default=0.9, low=0, below=1,
                help="Momentum of the optimizer nesterov."),
        Setting("layer_decay", "number", (PRETRAINED,), default=0.85, above=0, high=1,
                help="Factor from the learning rate of each layer to that of the layer below it."),
        Setting("head_first_epochs", "integer", (PRETRAINED,), default=0, low=0, planned=True,
                help="Number of epochs, at the beginning, in which only the head is trained."),
        Setting("accumulate", "integer", (PRETRAINED,), default=1, low=1,
                help="Number of batches per step of the optimizer."),
        Setting("clip_norm", "number", (PRETRAINED,), above=0,
                help="Maximum gradient norm; larger gradients are clipped."),
        Setting("ema", "number", (PRETRAINED,), default=0.98, low=0, below=1, off=0, planned=True,
                help="Decay of the moving average of the weights, which is what is evaluated and kept; "
                     "0: no average."),
        Setting("patience", "integer", default=_each(0, 0, None), low=0,
                help="Number of epochs without a better validation accuracy after which training stops "
                     "(early stopping); 0: never. Default of a pretrained network: it stops where it can "
                     "hardly beat its probe any more."),
        Setting("keep", "choice", default="best", choices=("best", "last"),
                help="Epoch whose weights are kept: the best on the validation set, or the last."),
        Setting("validation_fraction", "number", PERCEPTRONS, scope="python", default=0.1, above=0, below=1,
                help="Share of the training set that is held out where patience asks for a validation "
                     "set and fit gets none."),
        Setting("seed", "integer", scope="run", default=0, low=0, below=2**32, parameter="random_state",
                option=True,
                help="Seed of the split, the initial weights and the shuffling."),
        Setting("pictures_after", "integer", (PRETRAINED,), scope="python", default=0, low=0,
                help="Number of pictures that are still to be predicted within the budget."),
        Setting("pictures_after_tuning", "integer", (PRETRAINED,), scope="python", low=0,
                help="The same where the network was fine-tuned; None: pictures_after."),
        Setting("progress", "switch", scope="python", default=False, help="Progress bar."),
    ),
    "Regularisation and class balance": (
        Setting("dropout", "number", default=_each(0.0, 0.0, 0.2), low=0, below=1,
                help="Probability that a hidden unit is dropped in a step; in a pretrained network, "
                     "before its last layer."),
        Setting("input_dropout", "number", PERCEPTRONS, default=0.0, low=0, below=1,
                help="Probability that an input is dropped in a step."),
        Setting("l2", "number", PERCEPTRONS, default=0.0, low=0,
                help="L2 penalty: l2 / 2 times the sum of the squared weights is added to the loss."),
        Setting("max_norm", "number", (MLP,), above=0,
                help="Maximum norm of the weights into a hidden unit."),
        Setting("weight_decay", "number", (PRETRAINED,), default=0.05, low=0,
                help="Weight decay (adamw, nesterov); not applied to norms and biases."),
        Setting("label_smoothing", "number", (PRETRAINED,), default=0.1, low=0, below=1,
                help="Share of each label that is spread evenly over all classes."),
        Setting("class_weight", "class weights",
                help="Weights of the classes in the loss; balanced: the rarer a class, the higher."),
        Setting("sampling", "choice", (PRETRAINED,), default="shuffle", choices=("shuffle", "balanced"),
                help="Drawing of the training pictures: each once an epoch, or every class equally "
                     "often."),
    ),
    "Linear probe": (
        Setting("probe", "switch", (PRETRAINED,), default=True,
                help="Whether a linear probe comes first: a linear classifier on the pretrained "
                     "network's features."),
        Setting("views", "number", (PRETRAINED,), default=4, low=1, high=1000, planned=True,
                help="Mean number of augmented views of a picture that the probe learns from; with 2.5, "
                     "half of the pictures have three views and half have two."),
    ),
    "Augmentation": (
        Setting("augment", "choice", (MLP,), choices=("digits",), off="none", option=True,
                help="Augmentation for a perceptron; digits: elastic and affine distortion of small "
                     "pictures."),
        Setting("crop_scale", "number", (PRETRAINED,), default=0.25, above=0, high=1,
                help="Smallest share of a picture's area that a random crop covers; 1: no crops."),
        Setting("flip", "switch", (PRETRAINED,), default=True,
                help="Whether half of the pictures are mirrored."),
        Setting("colour_jitter", "number", (PRETRAINED,), default=0.0, low=0, high=1,
                help="Largest random change of brightness, contrast and saturation, as a share."),
        Setting("policy", "choice", (PRETRAINED,), default="none",
                choices=("none", "randaugment", "trivialaugment"),
                help="Published augmentation policy."),
        Setting("random_erasing", "number", (PRETRAINED,), default=0.0, low=0, high=1,
                help="Probability of random erasing."),
        Setting("mixup", "number", (PRETRAINED,), default=0.0, low=0, high=1,
                help="Share of the batches whose pictures are blended in pairs (mixup)."),
        Setting("cutmix", "number", (PRETRAINED,), default=0.25, low=0, high=1,
                help="Share of the batches in which a part of one picture is pasted into another "
                     "(CutMix)."),
        Setting("first_size", "integer", (PRETRAINED,), low=32, high=MAX_SIDE, planned=True,
                help="Side of the pictures in the first epoch, in pixels, from which it grows to the "
                     "full size."),
    ),
    "Runs": (
        Setting("repeats", "integer", scope="run", low=2, high=100,
                help="Number of runs, each with a seed of its own, and a split of its own where splits "
                     "are drawn."),
        Setting("folds", "integer", scope="run", low=2, high=100,
                help="Number of folds (cross-validation): one run for each, until every picture was in a "
                     "test set."),
        Setting("learning_curve", "switch", scope="run", default=False, fixed_by_rerun=True,
                help="Whether a learning curve is measured: the accuracy with fewer training pictures, "
                     "and what more of them would probably bring."),
        Setting("test_curve", "switch", scope="run", default=False,
                help="Whether the test set is evaluated after each epoch, too; nothing is chosen by it."),
        Setting("tensorboard", "switch", scope="run", default=False,
                help="Whether TensorBoard's event files are written into the run folder."),
        Setting("checkpoint_every", "seconds", scope="run", default=300.0, above=0,
                help="Longest time between two checkpoints, such as 30s or 5m; linnaea resume continues "
                     "from the last."),
        Setting("on_nan", "choice", scope="run", default="stop", choices=("stop", "rewind"),
                help="Response to a loss that becomes NaN or infinite: stop; or rewind to the last good "
                     "epoch and continue with half the learning rate, at most three times."),
    ),
}
# fmt: on

EVERY = tuple(setting for section in SECTIONS.values() for setting in section)
SETTINGS = {setting.name: setting for setting in EVERY if setting.scope != "python"}
"""The settings of a recipe, by name."""
PARAMETERS = {setting.parameter_name: setting for setting in EVERY}
"""The parameters of the classifiers, by name."""


# Of the epochs of fine-tuning: a probe alone has none.
# fmt: off
_OF_EPOCHS = frozenset((
    "batch_norm", "train_from", "learning_rate", "solver", "schedule", "warmup_epochs", "momentum",
    "layer_decay", "head_first_epochs", "accumulate", "clip_norm", "ema", "patience", "dropout",
    "weight_decay", "label_smoothing", "sampling", "colour_jitter", "policy", "random_erasing", "mixup",
    "cutmix", "first_size", "crop_scale", "batch_size", "keep", "head_hidden", "on_nan",
))
# Of pictures and of the backbone: a head that learns alone learns from features that are made once.
_OF_BACKBONE = frozenset((
    "batch_norm", "layer_decay", "head_first_epochs", "colour_jitter", "policy", "random_erasing", "mixup",
    "cutmix", "first_size",
))
# fmt: on


def applied(name: str, recipe: Mapping[str, Any]) -> bool:
    """Tell whether a setting had any effect in a run of this recipe, as far as the other settings say."""
    if recipe.get("epochs") == 0 and name in _OF_EPOCHS:
        return False
    if recipe.get("train_from") == "head" and name in _OF_BACKBONE:
        return False
    if name == "momentum":
        return recipe.get("solver") == "nesterov"
    return name != "views" or recipe.get("probe") is not False


def unknown_setting(name: str) -> str:
    """Return that there is no setting of this name, and which ones are called nearly so."""
    return f"There is no setting '{name}'. {did_you_mean(name, SETTINGS)}"


def names(**having: Any) -> tuple[str, ...]:
    """Return the names of the settings of a recipe for which this holds, such as scope="run"."""
    return tuple(
        name
        for name, setting in SETTINGS.items()
        if all(getattr(setting, attribute) == value for attribute, value in having.items())
    )


def check(parameters: Mapping[str, Any], model: str) -> None:
    """Raise SettingError, naming every fault, for parameters that this kind of model does not accept.

    What is not in the table, and what the model does not have, is not looked at.
    """
    faults = []
    for name, setting in PARAMETERS.items():
        # A seed may be a generator, too: who draws from it looks at it.
        if name not in parameters or model not in setting.models or name == "random_state":
            continue
        try:
            setting.check(parameters[name], model, name=name)
        except SettingError as fault:
            faults.append(fault)
    raise_all(faults)


def raise_all(faults: list[SettingError]) -> None:
    """Raise the only fault, or one error that holds the sentences of all."""
    if len(faults) == 1:
        raise faults[0]
    if faults:
        raise SettingError(" ".join(map(str, faults)))
