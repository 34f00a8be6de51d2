"""Recipe: every setting once, with its type, range, default and one line of help.

The command line shows the common settings as options, TOML files are checked against them, Python callers
pass them, run.json records them. A value out of range is refused before any data is read.
"""

from dataclasses import field, make_dataclass
from typing import Annotated, Any, Literal, Optional

from cyclopts import Parameter
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from linnaea.errors import SettingError, did_you_mean
from linnaea.runs.durations import parse_duration


def _sizes(value: Any) -> Any:
    """Accept "500,500" (the command line) beside a list (TOML, Python)."""
    if isinstance(value, str):
        return [part.strip() for part in value.split(",")]
    return [value] if isinstance(value, int) else value


Sizes = Annotated[tuple[Annotated[int, Field(ge=1)], ...], BeforeValidator(_sizes)]
Seconds = Annotated[float, BeforeValidator(parse_duration)]
# A whole number stays one where it is shown.
Views = Annotated[float, AfterValidator(lambda v: int(v) if v.is_integer() else v)]
# Settings that a shell passes as one word of text.
WORDS = {"hidden", "budget"}
OPTION: Any = {"option": True}  # shown as an option of its own; the others go through --set


class Recipe(BaseModel):
    """How a network is trained. None means: the model's own default, which its class states."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    model: str = Field(
        "mlp",
        description="mlp (NumPy, for digits and mnist the default), keras, or a pretrained network's name; "
        "for photographs efficientnet_lite0.",
        json_schema_extra=OPTION,
    )
    weights: str | None = Field(
        None,
        description="Where a pretrained network's weights come from: hub, a file, or none (random).",
        json_schema_extra=OPTION,
    )
    hidden: Sizes | None = Field(
        None, description="Units of each hidden layer, such as 500,500.", json_schema_extra=OPTION
    )
    budget: Seconds | None = Field(
        None,
        description="How long the whole command may take, such as 90s, 10m or 2h: a pretrained network's "
        "training is planned for it.",
        json_schema_extra=OPTION,
    )
    activation: Literal["sigmoid", "tanh", "relu"] | None = Field(
        None, description="What each hidden unit does.", json_schema_extra=OPTION
    )
    loss: Literal["cross_entropy", "squared_error"] | None = Field(
        None, description="What training makes small.", json_schema_extra=OPTION
    )
    solver: Literal["sgd", "nesterov", "adam", "adamw"] | None = Field(
        None, description="How the weights are moved.", json_schema_extra=OPTION
    )
    epochs: int | None = Field(
        None,
        ge=0,
        description="Passes over the training part; 0: of a pretrained network, the linear probe alone.",
        json_schema_extra=OPTION,
    )
    batch_size: int | None = Field(None, ge=1, description="Pictures a step.", json_schema_extra=OPTION)
    learning_rate: float | None = Field(
        None, gt=0, lt=1000, description="Size of a step.", json_schema_extra=OPTION
    )
    augment: Literal["none", "digits"] | None = Field(
        None, description="digits: elastic and affine distortion of small pictures.", json_schema_extra=OPTION
    )
    split: str | None = Field(
        None,
        description="Training fraction, stratified (0.7), or the data set's own parts (official; trainval: "
        "its validation part learned from too; random: 0.7). Default: official where a folder or table has "
        "parts, otherwise 0.7.",
        json_schema_extra=OPTION,
    )
    validation: float | None = Field(
        None,
        ge=0,
        lt=1,
        description="Fraction of the training part kept to choose on; 0 chooses nothing.",
        json_schema_extra=OPTION,
    )
    size: int | None = Field(
        None, ge=4, le=1024, description="Side of the pictures in pixels.", json_schema_extra=OPTION
    )
    seed: int = Field(
        0,
        ge=0,
        lt=2**32,
        description="Of the split, the first weights and the order.",
        json_schema_extra=OPTION,
    )
    device: str | None = Field(
        None,
        pattern=r"^(auto|cpu|mps|cuda(:\d{1,3})?)$",
        description="Where a pretrained network computes: auto, cpu, cuda, cuda:1 or mps.",
        json_schema_extra=OPTION,
    )
    repeats: int | None = Field(
        None, ge=2, le=100, description="Runs over as many seeds, and splits where these are drawn."
    )
    folds: int | None = Field(
        None, ge=2, le=100, description="Runs that judge a fold of the pictures each, so that all are judged."
    )
    split_from: str | None = Field(
        None, description="A run folder or a split.csv whose parts are used again, whatever they hold."
    )
    group_column: str | None = Field(
        None, description="A column of the CSV; pictures with the same value stay in one part."
    )
    group_pattern: str | None = Field(
        None,
        description="A regular expression on the path; pictures with the same first group, or the same "
        "match, stay in one part.",
    )
    group_seconds: Seconds | None = Field(
        None,
        description="Pictures that one camera took within so many seconds of each other (by EXIF) stay in "
        "one part.",
    )
    patience: int | None = Field(
        None,
        ge=0,
        description="Epochs without a better validation accuracy before training stops; 0: never.",
    )
    keep: Literal["best", "last"] | None = Field(
        None, description="Which epoch is kept: the best on validation, or the last."
    )
    colour: bool = Field(False, description="Keep the three colours of small pictures; otherwise grey.")
    test_curve: bool = Field(
        False, description="Follow the test part through the epochs; it chooses nothing."
    )
    learning_curve: bool = Field(
        False, description="Measure what fewer training pictures give, and so what more would probably buy."
    )
    tensorboard: bool = Field(False, description="Write TensorBoard's event files into the run, too.")
    checkpoint_every: Seconds = Field(
        300.0,
        description="The longest time between two checkpoints, such as 30s or 5m; `linnaea resume` goes on "
        "from the last.",
    )
    on_nan: Literal["stop", "rewind"] = Field(
        "stop",
        description="When the loss leaves the numbers: stop, or go back to the last good epoch and on with "
        "half the rate, at most three times.",
    )
    init: Literal["auto", "normal", "xavier", "he"] | None = Field(None, description="The first weights.")
    schedule: Literal["constant", "cosine"] | None = Field(None, description="Of the learning rate.")
    warmup_epochs: float | None = Field(None, ge=0, description="Epochs in which the rate rises from zero.")
    momentum: float | None = Field(None, ge=0, lt=1, description="Of the solver nesterov.")
    l2: float | None = Field(None, ge=0, description="Penalty on squared weights, l2 / 2 times their sum.")
    dropout: float | None = Field(
        None, ge=0, lt=1, description="Chance that a hidden unit is left out of a step."
    )
    input_dropout: float | None = Field(
        None, ge=0, lt=1, description="Chance that an input is left out of a step."
    )
    max_norm: float | None = Field(None, gt=0, description="Longest weight vector into one unit.")
    class_weight: Literal["balanced"] | None = Field(None, description="balanced: rare classes count more.")
    dtype: Literal["float32", "float64"] | None = Field(None, description="Precision of a perceptron.")

    # Of pretrained networks; FineTuneClassifier tells more of each.
    head_hidden: int | None = Field(None, ge=1, description="Units of a dense ReLU layer in the head.")
    train_from: str | None = Field(
        None, description="all, head, or the stage from which on layers are trained."
    )
    head_first_epochs: int | None = Field(None, ge=0, description="Epochs in which only the head learns.")
    probe: bool | None = Field(None, description="Whether a linear probe comes first.")
    views: Views | None = Field(
        None,
        ge=1,
        le=1000,
        description="Of each picture, for the probe; of 2.5, the third is of half the pictures.",
    )
    layer_decay: float | None = Field(
        None, gt=0, le=1, description="Share of the rate that each layer has of the layer above."
    )
    weight_decay: float | None = Field(None, ge=0, description="Of adamw and nesterov; not on norms, biases.")
    label_smoothing: float | None = Field(None, ge=0, lt=1, description="Share of a label given to all.")
    batch_norm: Literal["freeze", "update", "reestimate"] | None = Field(
        None, description="What happens to the running statistics."
    )
    crop_scale: float | None = Field(None, gt=0, le=1, description="Least share of a picture in a crop.")
    flip: bool | None = Field(None, description="Mirror half of the pictures.")
    colour_jitter: float | None = Field(None, ge=0, le=1, description="Change of the colours, at most.")
    policy: Literal["none", "randaugment", "trivialaugment"] | None = Field(
        None, description="Which published policy changes the pictures."
    )
    random_erasing: float | None = Field(None, ge=0, le=1, description="Share of pictures with a hole.")
    mixup: float | None = Field(None, ge=0, le=1, description="Share of batches that mixup blends.")
    cutmix: float | None = Field(None, ge=0, le=1, description="Share of batches that cutmix pastes.")
    first_size: int | None = Field(None, ge=32, description="Side of the pictures in the first epoch.")
    sampling: Literal["shuffle", "balanced"] | None = Field(
        None, description="balanced: every class is drawn equally often."
    )
    ema: float | None = Field(None, ge=0, lt=1, description="Decay of the weights' average; 0: none.")
    clip_norm: float | None = Field(None, gt=0, description="Longest gradient.")
    accumulate: int | None = Field(None, ge=1, description="Batches a step.")
    preprocessing: Literal["weights", "report"] | None = Field(
        None, description="report: scaled to 0..1 only, down to 150 pixels and up again."
    )
    precision: Literal["auto", "float32", "bfloat16"] | None = Field(
        None, description="auto: the faster one on this machine, measured once."
    )


# The options of `linnaea train`: the common fields of Recipe, all optional, with its words. Bounds are
# left to Recipe, which names every fault at once.
CommonSettings: Any = make_dataclass(
    "CommonSettings",
    [
        (
            name,
            Annotated[
                Optional[str if name in WORDS else described.annotation],  # noqa: UP045
                Parameter(help=described.description),
            ],
            field(default=None),
        )
        for name, described in Recipe.model_fields.items()
        if described.json_schema_extra == OPTION
    ],
)
CommonSettings.__module__ = __name__  # cyclopts resolves the fields' types in the module of their class


def make_recipe(settings: dict[str, Any]) -> Recipe:
    """Return the checked recipe.

    Raises SettingError with every fault in one message: the setting, what was received, what is allowed.
    """
    try:
        return Recipe(**settings)
    except ValidationError as error:
        raise SettingError(" ".join(_sentences(error))) from error


def _sentences(error: ValidationError) -> list[str]:
    sentences = []
    for fault in error.errors():
        name = str(fault["loc"][0])
        if fault["type"] == "extra_forbidden":
            sentences.append(f"There is no setting '{name}'. {did_you_mean(name, Recipe.model_fields)}")
        else:
            want = fault["msg"].removeprefix("Value error, ")
            want = want[0].lower() + want[1:]
            sentences.append(f"The setting '{name}' is refused: {want}. Received: {fault['input']!r}.")
    return list(dict.fromkeys(sentences))


def recorded_settings(recipe: dict[str, Any]) -> dict[str, Any]:
    """Return the settings in a run.json, of whatever format, as make_recipe takes them.

    Before there was `keep`, a perceptron kept the best epoch only where it had patience; patience=0 was how
    to ask for the last.
    """
    settings = {name: value for name, value in recipe.items() if name in Recipe.model_fields}
    if settings.get("patience") == 0 and settings.get("model") in ("mlp", "keras"):
        settings = {"keep": "last"} | settings
    return settings


def parse_assignments(assignments: tuple[str, ...]) -> dict[str, Any]:
    """Return {"dropout": "0.5"} for ("dropout=0.5",); pydantic turns the text into the setting's type."""
    pairs = {}
    for assignment in assignments:
        key, equals, value = assignment.partition("=")
        if not equals or not key:
            raise SettingError(
                f"--set wants key=value; received '{assignment}'.", "Write, say, --set dropout=0.5."
            )
        pairs[key.strip()] = value.strip()
    return pairs
