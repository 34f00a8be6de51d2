"""What readers rely on in a run.json that may come from elsewhere; unknown keys are let pass."""

from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from linnaea.errors import RunError

MAX_SIZE = 4096
"""The largest side, in pixels, that a network's pictures may have: 64 times the memory of a usual 512."""

_Text = Annotated[str, Field(max_length=100_000)]
_Object = dict[str, JsonValue]


class _Part(BaseModel):
    # strict: the text "28" is no number, and 1 is not true.
    model_config = ConfigDict(extra="allow", strict=True)


class _Pixels(_Part):
    size: Annotated[int, Field(ge=1, le=MAX_SIZE)] | None = None
    colour: bool = False


class _Data(_Part):
    name: _Text | None = None
    source: _Text | None = None
    pixels: _Pixels | None = None
    classes: list[_Text] | None = None
    notes: list[_Text] | None = None
    parts: dict[str, Annotated[int, Field(ge=0)]] | None = None
    per_class: dict[str, _Object] | None = None


class _Run(_Part):
    state: _Text | None = None
    command: _Text | None = None
    message: _Text | None = None
    model: _Text | None = None
    recipe: _Object | None = None
    data: _Data | None = None
    network: _Object | None = None
    hardware: _Object | None = None
    versions: _Object | None = None
    baselines: dict[str, float | int | None] | None = None
    phases: dict[str, _Object] | None = None


def check_info(path: Path, info: dict[str, Any]) -> None:
    """Raise RunError, naming the first key, for a run.json whose values are of another kind than expected."""
    try:
        _Run.model_validate(info)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(str(step) for step in first["loc"])
        received = repr(first["input"])
        shown = received if len(received) <= 80 else f"{received[:80]}…"
        raise RunError(
            f"{path} cannot be believed: {key} is {shown} ({first['msg']}).", "Restore it, or train again."
        ) from error
