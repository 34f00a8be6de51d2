"""What readers rely on in the JSON of a run that may come from elsewhere; unknown keys are let pass."""

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError, model_validator

from linnaea.errors import RunError

MAX_SIZE = 4096
"""The largest side, in pixels, that a network's pictures may have: 64 times the memory of a usual 512."""
MAX_THREADS = 4096
"""More threads than any machine has cores; a run is gone on with on as many as it says."""

_Text = Annotated[str, Field(max_length=100_000)]
_Object = dict[str, JsonValue]
_Count = Annotated[int, Field(ge=0, lt=2**63)]
_Share = Annotated[float, Field(ge=0, le=1)]
_Threads = Annotated[int, Field(ge=1, le=MAX_THREADS)]


class _Part(BaseModel):
    # strict: the text "28" is no number, and 1 is not true.
    model_config = ConfigDict(extra="allow", strict=True, allow_inf_nan=False)


class _Pixels(_Part):
    size: Annotated[int, Field(ge=1, le=MAX_SIZE)] | None = None
    colour: bool = False


class _Data(_Part):
    name: _Text | None = None
    source: _Text | None = None
    pixels: _Pixels | None = None
    pictures: _Count | None = None
    classes: list[_Text] | None = None
    notes: list[_Text] | None = None
    parts: dict[str, _Count] | None = None
    per_class: dict[str, dict[str, _Count]] | None = None
    protocol: _Text | None = None
    fingerprint: _Text | None = None
    split_hash: _Text | None = None
    groups_hash: _Text | None = None


class _Opened(_Part):
    data: _Text | None = None
    data_dir: _Text | None = None
    folder: _Text | None = None
    strict: bool | None = None


class _Hardware(_Part):
    threads: _Threads | None = None


class _Network(_Part):
    summary: _Text | None = None
    parameters: _Count | None = None


class _Phase(_Part):
    seconds: float | None = None
    peak_memory_mib: float | None = None


class _Rewind(_Part):
    to_epoch: _Count
    learning_rate: Annotated[float, Field(gt=0)]
    reason: _Text | None = None


class _Resumed(_Part):
    at: _Text | None = None
    epoch: _Count | None = None
    step: _Count | None = None
    differences: list[_Text] | None = None


class _Plan(_Part):
    train_from: _Text
    epochs: _Count
    views: Annotated[float, Field(ge=1, le=1000)]
    first_size: Annotated[int, Field(ge=1, le=MAX_SIZE)] | None = None
    ema: float | None = None


class _Leaks(_Part):
    pictures: list[_Text] | None = None


class _Looks(_Part):
    earlier: _Count | None = None
    runs: list[_Text] | None = None


class _Begun(_Part):
    """What a run and a group of runs both tell of their beginning."""

    state: _Text | None = None
    command: _Text | None = None
    message: _Text | None = None
    started: _Text | None = None
    finished: _Text | None = None
    recipe: _Object | None = None
    recipe_name: _Text | None = None
    reported: _Object | None = None
    opened: _Opened | None = None
    data: _Data | None = None
    checksums: dict[str, _Text] | None = None


class _Run(_Begun):
    model: _Text | None = None
    network: _Network | None = None
    hardware: _Hardware | None = None
    threads: dict[str, _Threads] | None = None
    versions: _Object | None = None
    git: _Object | None = None
    baselines: dict[str, float | None] | None = None
    phases: dict[str, _Phase] | None = None
    chosen: dict[str, _Text] | None = None
    chosen_epoch: _Count | None = None
    chosen_on: _Text | None = None
    kept: _Text | None = None
    plan: _Plan | None = None
    probe: _Object | None = None
    leaks: _Leaks | None = None
    looks: _Looks | None = None
    heat_maps: _Object | None = None
    learning_curve: list[_Object] | None = None
    learning_forecast: _Object | None = None
    one_of: _Object | None = None
    rewinds: list[_Rewind] | None = None
    resumed: list[_Resumed] | None = None
    rerun_of: _Object | None = None


class _Spread(_Part):
    wanted: _Share | None = None
    mean: float
    deviation: float | None = None
    min: float
    max: float
    values: list[float] | None = None


class _Group(_Begun):
    id: _Text | None = None
    asked: _Count | None = None
    judged: _Count | None = None
    metrics: dict[str, _Spread] | None = None
    classes: list[_Text] | None = None
    broken_sets: list[_Text] | None = None
    broken_alarms: list[_Text] | None = None
    suspects: _Count | None = None
    relabel: _Text | None = None


class _Metric(_Part):
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
    on_threshold_part: float | None = None
    part: _Text | None = None


class _Metrics(_Part):
    metrics: dict[str, _Metric]


class _Calibration(_Part):
    temperature: float | None = None
    pictures: _Count | None = None
    part: _Text | None = None
    log_loss_before: float | None = None
    log_loss_after: float | None = None
    prediction_sets: _Object | None = None
    abstention: _Object | None = None


class _Lasting(_Part):
    """A part of a checkpoint; the best score of a training that has none yet is minus infinity."""

    model_config = ConfigDict(allow_inf_nan=True)


class _Record(_Lasting):
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


class _Line(_Part):
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
    plan: _Plan | None = None
    history: list[_Record] = []


class _Facts(_Lasting):
    history: _Count = 0
    split_hash: _Text | None = None
    fingerprint: _Text | None = None
    versions: _Object | None = None
    hardware: _Hardware | None = None
    threads: dict[str, _Threads] | None = None


class _State(_Lasting):
    values: _Values
    facts: _Facts


def check_info(path: Path, info: dict[str, Any]) -> None:
    """Raise RunError, naming file, key and value, for a run.json with a value of an unexpected kind."""
    _check(_Run, f"{path} cannot be believed", info, "Restore it, or train again.")


def check_group(path: Path, info: dict[str, Any]) -> None:
    """Raise RunError as check_info does, for a repeats.json or folds.json."""
    _check(_Group, f"{path} cannot be believed", info, "Restore it, or train again.")


def check_state(path: Path, state: dict[str, Any], cure: str) -> None:
    """Raise RunError as check_info does, for the state.json of a checkpoint."""
    _check(_State, f"{path} cannot be believed", state, cure)


def check_metrics(path: Path, metrics: dict[str, Any], cure: str) -> None:
    """Raise RunError as check_info does, for a metrics.json."""
    _check(_Metrics, f"{path} cannot be believed", {"metrics": metrics}, cure)


def check_calibration(path: Path, found: dict[str, Any], cure: str) -> None:
    """Raise RunError as check_info does, for a calibration.json."""
    _check(_Calibration, f"{path} cannot be believed", found, cure)


def check_line(path: Path, number: int, record: Any) -> None:
    """Raise RunError as check_info does, for a line of history.jsonl; 1 is the first."""
    told = f"{path}, line {number} is not the record of an epoch"
    _check(_Line, told, record, "Restore the file, or train again.")


def _check(model: type[_Part], told: str, value: Any, cure: str) -> None:
    try:
        model.model_validate(value)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(str(step) for step in first["loc"]) or "it"
        received = repr(first["input"])
        shown = received if len(received) <= 80 else f"{received[:80]}…"
        raise RunError(f"{told}: {key} is {shown} ({first['msg']}).", cure) from error
