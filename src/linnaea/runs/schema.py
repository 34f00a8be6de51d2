"""RunInfo, the record of a run, and what readers rely on in its other JSON: it may come from elsewhere.

Unknown keys, those of a newer version, are kept and let pass.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self, TypeVar

from pydantic import (
    AfterValidator,
    AliasChoices,
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    ValidationError,
    model_validator,
)

from linnaea.errors import RunError

if TYPE_CHECKING:
    from linnaea.data.decoding import ValueRange

FORMAT_VERSION = 1
MAX_PIXELS_A_SIDE = 4096
"""The largest side, in pixels, that a network's pictures may have: 64 times the memory of a usual 512."""
MAX_THREADS = 4096
"""More threads than any machine has cores; a run is continued on as many as it records."""

Info = TypeVar("Info", bound="RunInfo")
_Model = TypeVar("_Model", bound="_Strict")


def _rising(values: list[float]) -> list[float]:
    if values[0] >= values[1]:
        raise ValueError("the lower number must come first")
    return values


_Text = Annotated[str, Field(max_length=100_000)]
_Object = dict[str, JsonValue]
_Count = Annotated[int, Field(ge=0, lt=2**63)]
_Share = Annotated[float, Field(ge=0, le=1)]
_Threads = Annotated[int, Field(ge=1, le=MAX_THREADS)]
# Of a picture's numbers: so far apart, their difference is still a number.
_Value = Annotated[float, Field(ge=-1e300, le=1e300)]
_ValueRange = Annotated[list[_Value], Field(min_length=2, max_length=2), AfterValidator(_rising)]
_Interval = Annotated[list[float], Field(min_length=2, max_length=2)]


class _Strict(BaseModel):
    # strict: the text "28" is no number, and 1 is not true.
    # Built when the first is read: `train --help` reads none.
    model_config = ConfigDict(extra="allow", strict=True, allow_inf_nan=False, defer_build=True)

    @model_validator(mode="before")
    @classmethod
    def _null_is_absent(cls, value: Any) -> Any:
        """Let an object or a list that is null be one that is not there: it is read as an empty one."""
        if not isinstance(value, dict):
            return value
        empty = [name for name, field in cls.model_fields.items() if field.default_factory is not None]
        return {key: item for key, item in value.items() if item is not None or key not in empty}


class Pixels(_Strict):
    """The pictures that a network takes: squares, or, of photographs, their shorter side; grey or colour.

    value_range: what numbers of more than 8 bits are read with (see decoding.read_picture); older runs have
    none. brightness: of the darkest and of the brightest training picture, the mean of its levels, 0 to 255.
    """

    size: Annotated[int, Field(ge=1, le=MAX_PIXELS_A_SIDE)] | None = None
    colour: bool = False
    value_range: _ValueRange | Literal["picture"] | None = None
    brightness: _Interval | None = None

    @property
    def decoded_with(self) -> "ValueRange | None":
        """value_range as read_picture takes it."""
        if isinstance(self.value_range, list):
            low, high = self.value_range
            return low, high
        return self.value_range


class DataInfo(_Strict):
    """The pictures of a run, and how they are split; classes in the order of the network's outputs."""

    name: _Text | None = None
    source: _Text | None = None
    # The folder that paths start from; None of pictures that are no files.
    root: _Text | None = None
    pixels: Pixels | None = None
    pictures: _Count | None = None
    classes: list[_Text] = Field(default_factory=list)
    notes: list[_Text] = Field(default_factory=list)
    # Older runs call the sets parts.
    splits: dict[str, _Count] = Field(default_factory=dict, validation_alias=AliasChoices("splits", "parts"))
    per_class: dict[str, dict[str, _Count]] = Field(default_factory=dict)
    protocol: _Text | None = None
    # Test pictures of scenes that training or validation pictures show as well, and how many scenes.
    scene_pictures: _Count | None = None
    scenes: _Count | None = None
    fingerprint: _Text | None = None
    split_hash: _Text | None = None
    groups_hash: _Text | None = None


class Opened(_Strict):
    """How the pictures were asked for, and in which folder the command was given."""

    data: _Text | None = None
    data_dir: _Text | None = None
    folder: _Text | None = None
    strict: bool | None = None


class Hardware(_Strict):
    """The machine; threads is the only number of threads that older runs have."""

    threads: _Threads | None = None


class Network(_Strict):
    """The network in a line, and how many parameters it has."""

    summary: _Text | None = None
    parameters: _Count | None = None


class Phase(_Strict):
    """What a stage of the run took."""

    seconds: float | None = None
    peak_memory_mib: float | None = None


class Rewind(_Strict):
    """A training that diverged and was turned back to the end of an epoch, at a lower rate."""

    to_epoch: _Count
    learning_rate: Annotated[float, Field(gt=0)]
    reason: _Text | None = None


class Resumed(_Strict):
    """When, from where, and under which other circumstances a stopped run was continued."""

    at: _Text | None = None
    epoch: _Count | None = None
    step: _Count | None = None
    differences: list[_Text] | None = None


class PlanInfo(_Strict):
    """What a budget of time was planned for."""

    train_from: _Text
    epochs: _Count
    views: Annotated[float, Field(ge=1, le=1000)]
    first_size: Annotated[int, Field(ge=1, le=MAX_PIXELS_A_SIDE)] | None = None
    ema: float | None = None
    seconds: float | None = None
    reason: _Text | None = None
    notes: list[_Text] = Field(default_factory=list)
    summary: _Text | None = None


class Tried(_Strict):
    """A network that was tried, and its linear probe over folds: share right, and log loss in nats."""

    model: _Text
    accuracy: _Share
    log_loss: Annotated[float, Field(ge=0)]


class Selection(_Strict):
    """What --model auto chose from, on so many training pictures in so many folds."""

    pictures: _Count
    folds: _Count
    tried: Annotated[list[Tried], Field(min_length=1, max_length=100)]


class Difference(_Strict):
    """The network's accuracy minus a baseline's on the same test pictures; see evaluation.baselines."""

    difference: float
    low: float
    high: float
    p_value: _Share


class Leaks(_Strict):
    """The pictures of the test set that training or validation has as well; n of them, and of validation."""

    pictures: list[_Text] | None = None
    n: _Count | None = None
    validation: _Count | None = None


class Git(_Strict):
    """The commit of the folder that training was started in, and whether tracked files differed from it."""

    commit: _Text | None = None
    dirty: bool | None = None


class OneOf(_Strict):
    """Which repeat or fold of a group the run is: number 1 to of; group is the group's id."""

    kind: _Text | None = None
    number: _Count | None = None
    of: _Count | None = None
    group: _Text | None = None


class HeatMapInfo(_Strict):
    """How the heat maps were made, and of how many places (high, wide) each is."""

    method: _Text | None = None
    of: _Text | None = None
    places: list[_Count] | None = None


class Pooled(_Strict):
    """The accuracy over the pictures of all folds, each predicted once, with its 95 % interval."""

    value: _Share
    low: _Share
    high: _Share
    pictures: _Count


class LearningPoint(_Strict):
    """The accuracy that a share of the training pictures gave, with its 95 % interval."""

    share: _Share | None = None
    pictures: _Count
    accuracy: _Share
    low: float | None = None
    high: float | None = None


class Gain(_Strict):
    """A class that more pictures would help: the mean probability of the true class, now and then."""

    model_config = ConfigDict(populate_by_name=True)
    name: _Text = Field(alias="class")
    now: float
    then: float


class Forecast(_Strict):
    """The accuracy to expect of twice as many pictures, as evaluation.learning_curve.forecast has it."""

    pictures: _Count | None = None
    accuracy: float | None = None
    low: float | None = None
    high: float | None = None
    gain_low: float | None = None
    gain_high: float | None = None
    exponent: float | None = None
    classes: list[Gain] = Field(default_factory=list)
    of: _Text | None = None
    # Runs of earlier versions say judged.
    evaluated_on: _Text | None = Field(
        default=None, validation_alias=AliasChoices("evaluated_on", "judged_on")
    )
    evaluated: _Count | None = Field(default=None, validation_alias=AliasChoices("evaluated", "judged"))


class Opening(_Strict):
    """When a run evaluated its test set (ISO 8601, UTC), after which epoch; network: hash of what it was."""

    at: _Text
    epoch: _Count | None = None
    network: _Text | None = None


class Reuse(_Strict):
    """How often this test set was evaluated; see test_reuse.py.

    earlier: by other runs, None where they could not be counted. runs: their folders and when, the latest
    last, the first of very many left out. test_set: the hash they share. own: by this run, the latest last.
    """

    earlier: _Count | None = None
    runs: list[_Text] | None = None
    test_set: _Text | None = None
    own: list[Opening] = Field(default_factory=list)


class RunInfo(_Strict):
    """The record of a run: run.json, one key an attribute.

    What a run does not have is None or empty. Keys that this version does not know are kept as they are. An
    object or a list is replaced as a whole, never changed in place: what was never set is not written.
    """

    format_version: int = FORMAT_VERSION
    state: _Text | None = None
    command: _Text | None = None
    message: _Text | None = None
    started: _Text | None = None
    finished: _Text | None = None
    model: _Text | None = None
    recipe: _Object = Field(default_factory=dict)
    recipe_name: _Text | None = None
    reported: dict[str, Any] = Field(default_factory=dict)
    opened: Opened = Field(default_factory=Opened)
    data: DataInfo = Field(default_factory=DataInfo)
    network: Network | None = None
    hardware: Hardware = Field(default_factory=Hardware)
    threads: dict[str, _Threads] = Field(default_factory=dict)
    versions: _Object = Field(default_factory=dict)
    git: Git | None = None
    baselines: dict[str, float | None] = Field(default_factory=dict)
    # Of each baseline; older runs have none.
    baseline_differences: dict[str, Difference] = Field(default_factory=dict)
    phases: dict[str, Phase] = Field(default_factory=dict)
    chosen: dict[str, _Text] = Field(default_factory=dict)
    chosen_epoch: _Count | None = None
    chosen_on: _Text | None = None
    kept: _Text | None = None
    plan: PlanInfo | None = None
    # Of a run whose network was chosen for its pictures.
    selection: Selection | None = None
    probe: _Object | None = None
    probe_folds: Pooled | None = None
    leaks: Leaks | None = None
    # Older runs call it looks.
    test_reuse: Reuse | None = Field(default=None, validation_alias=AliasChoices("test_reuse", "looks"))
    heat_maps: HeatMapInfo | None = None
    learning_curve: list[LearningPoint] = Field(default_factory=list)
    learning_forecast: Forecast | None = None
    one_of: OneOf | None = None
    rewinds: list[Rewind] = Field(default_factory=list)
    resumed: list[Resumed] = Field(default_factory=list)
    rerun_of: _Object | None = None
    checksums: dict[str, _Text] = Field(default_factory=dict)

    @property
    def threads_used(self) -> dict[str, int]:
        """Number of threads of each library, as provenance.threads; older runs have one for all."""
        number = self.hardware.threads
        if "threads" in self.model_fields_set or number is None:
            return self.threads
        return {"blas": number, "openmp": number, "torch": number}

    def as_json(self) -> dict[str, Any]:
        """Return what is written: the keys that were read or set, the unknown among them last."""
        return self.model_dump(by_alias=True, exclude_unset=True)


class Spread(_Strict):
    """A metric over several runs."""

    wanted: _Share | None = None
    mean: float
    deviation: float | None = None
    min: float
    max: float
    values: list[float] | None = None


class GroupInfo(RunInfo):
    """The record of repeats or folds: repeats.json or folds.json."""

    id: _Text | None = None
    kind: _Text | None = None
    runs: list[JsonValue] = Field(default_factory=list)
    asked: _Count | None = None
    # What older groups call judged, and suspects.
    evaluated: _Count | None = Field(default=None, validation_alias=AliasChoices("evaluated", "judged"))
    metrics: dict[str, Spread] = Field(default_factory=dict)
    pooled: Pooled | None = None
    classes: list[_Text] = Field(default_factory=list)
    broken_sets: list[_Text] = Field(default_factory=list)
    broken_alarms: list[_Text] = Field(default_factory=list)
    label_issues: _Count | None = Field(
        default=None, validation_alias=AliasChoices("label_issues", "suspects")
    )
    relabel: _Text | None = None


class _ClassRow(_Strict):
    """A class in the test set, as evaluation.metrics.per_class has it."""

    model_config = ConfigDict(populate_by_name=True)
    name: _Text = Field(alias="class")
    pictures: _Count
    precision: _Share | None
    precision_interval: _Interval | None
    recall: _Share | None
    recall_interval: _Interval | None
    f1: _Share | None
    taken_for: _Text | None
    alike: _Count
    times: _Count


class _Confused(_Strict):
    """A kind of mistake, as evaluation.metrics.most_confused has it."""

    true: _Text
    predicted: _Text
    pictures: _Count
    share: _Share


class _ByConfidence(_Strict):
    """A bin of a reliability diagram, as evaluation.calibration.reliability has it."""

    model_config = ConfigDict(populate_by_name=True)
    begin: _Share = Field(alias="from")
    to: _Share
    confidence: _Share
    accuracy: _Share
    low: float
    high: float
    pictures: _Count


class _ByCoverage(_Strict):
    """A point of a curve of accuracy over coverage, as evaluation.abstention.risk_coverage has it."""

    threshold: float
    coverage: _Share
    accuracy: _Share
    low: float
    high: float
    pictures: _Count


class _Level(_Strict):
    """A wanted accuracy, as evaluation.abstention.levels has it."""

    wanted: _Share
    threshold: float | None
    answered: _Share | None
    accuracy: _Share | None
    low: float | None
    high: float | None


class _Guarantee(_Strict):
    """What prediction sets guarantee, as evaluation.prediction_sets.PredictionSets.guarantee has it."""

    coverage: Annotated[float, Field(gt=0, lt=1)]
    threshold: float
    confidence: _Share
    mean_coverage: _Share
    pictures: _Count
    independent: _Count


class _TooFew(_Strict):
    """Why there are no prediction sets, as evaluation.prediction_sets.too_few has it."""

    code: Literal["too_few"]
    wanted: _Share
    pictures: _Count
    independent: _Count
    needed: _Count


class _TooGood(_Strict):
    """Why there is no threshold, as evaluation.abstention.why_none has it."""

    code: Literal["too_good"]
    right: _Count
    pictures: _Count
    # Older runs call it promised.
    guaranteed: _Share = Field(validation_alias=AliasChoices("guaranteed", "promised"))


class _TooHard(_Strict):
    """Why there is no threshold, as evaluation.abstention.why_none has it."""

    code: Literal["too_hard"]
    wanted: _Share


class _Metric(_Strict):
    # Shares, means of losses, numbers of classes: none is negative.
    value: Annotated[float, Field(ge=0)] | None = None
    low: float | None = None
    high: float | None = None
    correct: _Count | None = None
    pictures: _Count | None = None
    groups: _Count | None = None
    independent: Annotated[float, Field(ge=0)] | None = None
    left_out: list[_Text] | None = None
    by_chance: float | None = None
    by_chance_high: float | None = None
    p_value: _Share | None = None
    temperature: float | None = None
    threshold: float | None = None
    wanted: _Share | None = None
    on_threshold_split: float | None = None
    split: _Text | None = None
    fewest: _Count | None = None
    before: float | None = None
    classes: list[_ClassRow] | None = None
    confused: list[_Confused] | None = None
    sure_mistakes: _Count | None = None
    by_confidence: list[_ByConfidence] | None = None
    by_confidence_before: list[_ByConfidence] | None = None
    by_coverage: list[_ByCoverage] | None = None
    levels: list[_Level] | None = None
    sets: _Guarantee | None = None
    sizes: dict[Annotated[str, Field(pattern="^[1-9][0-9]*$")], Annotated[int, Field(ge=1)]] | None = None
    reason: _TooFew | _TooGood | _TooHard | None = None


class _Metrics(_Strict):
    metrics: dict[str, _Metric]


class _Calibration(_Strict):
    temperature: float | None = None
    pictures: _Count | None = None
    log_loss_before: float | None = None
    log_loss_after: float | None = None
    prediction_sets: _Object | None = None
    abstention: _Object | None = None


class _Lasting(_Strict):
    """A part of a checkpoint; the best score of a training that has none yet is minus infinity."""

    model_config = ConfigDict(allow_inf_nan=True)


class _Epoch(_Lasting):
    epoch: _Count
    seconds: float
    learning_rate: float
    train_loss: float
    train_accuracy: float
    val_loss: float | None = None
    val_accuracy: float | None = None

    @model_validator(mode="after")
    def _validation_is_whole(self) -> Self:
        if (self.val_loss is None) != (self.val_accuracy is None):
            raise ValueError("val_loss and val_accuracy are both numbers or both null")
        return self


class _Line(_Strict):
    """A line of history.jsonl, where what was no number is null."""

    epoch: _Count
    seconds: float | None = None
    learning_rate: float | None = None
    train_loss: float | None = None
    train_accuracy: float | None = None
    val_loss: float | None = None
    val_accuracy: float | None = None
    test_loss: float | None = None
    test_accuracy: float | None = None
    rewinds: _Count | None = None


class _Values(_Lasting):
    # What one kind of network has, another may lack; what is there is of its kind.
    epoch: _Count = 0
    step: _Count = 0
    seconds: float = 0.0
    seed: Annotated[int, Field(ge=0)] = 0
    solver_steps: _Count = 0
    average_steps: _Count = 0
    best_epoch: _Count = 0
    improved: _Count = 0
    best_score: Annotated[list[float], Field(min_length=2, max_length=2)] = []
    sums: Annotated[list[float], Field(min_length=3, max_length=3)] = []
    precision: Literal["float32", "bfloat16"] = "float32"
    probe: list[JsonValue] | None = None
    plan: PlanInfo | None = None
    history: list[_Epoch] = []


class _Facts(_Lasting):
    history: _Count = 0
    split_hash: _Text | None = None
    fingerprint: _Text | None = None
    versions: _Object | None = None
    hardware: Hardware | None = None
    threads: dict[str, _Threads] | None = None


class _State(_Lasting):
    values: _Values
    facts: _Facts


def read_info(kind: type[Info], path: Path, value: dict[str, Any]) -> Info:
    """Return the record of a run, or of a group of them.

    Raises RunError for a newer format, and, naming file, key and value, for a value of an unexpected kind.
    """
    version = value.get("format_version")
    if type(version) is not int or not 1 <= version <= FORMAT_VERSION:
        raise RunError(
            f"{path.parent} was written in format {version}; this version reads up to {FORMAT_VERSION}.",
            "Update linnaea.",
        )
    return _checked(kind, f"{path} is not valid", value, "Restore it, or train again.")


def check_state(path: Path, state: dict[str, Any], cure: str) -> None:
    """Raise RunError as read_info does, for the state.json of a checkpoint."""
    _checked(_State, f"{path} is not valid", state, cure)


def check_metrics(path: Path, metrics: dict[str, Any], cure: str) -> None:
    """Raise RunError as read_info does, for a metrics.json."""
    _checked(_Metrics, f"{path} is not valid", {"metrics": metrics}, cure)


def check_calibration(path: Path, calibration: dict[str, Any], cure: str) -> None:
    """Raise RunError as read_info does, for a calibration.json."""
    _checked(_Calibration, f"{path} is not valid", calibration, cure)


def check_line(path: Path, number: int, record: Any) -> None:
    """Raise RunError as read_info does, for a line of history.jsonl; 1 is the first."""
    what = f"{path}, line {number} is not the record of an epoch"
    _checked(_Line, what, record, "Restore the file, or train again.")


def _checked(model: type[_Model], what: str, value: Any, cure: str) -> _Model:
    try:
        return model.model_validate(value)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(str(step) for step in first["loc"]) or "it"
        received = repr(first["input"])
        shown = received if len(received) <= 80 else f"{received[:80]}…"
        raise RunError(f"{what}: {key} is {shown} ({first['msg']}).", cure) from error
