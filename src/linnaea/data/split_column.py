"""Which column of a table says in which set each picture is, and which only look as if they did."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache

from linnaea.data.layouts import ELSEWHERE, SHORT, set_name, unaccented
from linnaea.errors import DataError
from linnaea.text import listed, option, plural

SPLIT = ("split", "part")
"""The column that says which set a picture belongs to, whatever its values; the second name is that of older
tables."""

_SETS = ("set", "subset", "partition", "phase", "usage", "fold", "used_for", "used_as", "purpose")
# The column that says it where any of its values is the name of a set: a set may be a series as well.
_UNMISTAKABLE = re.compile(
    r"(split|splits|partition)(_|\d|$)"
    r"|(^|_)(tvt|train(ing)?_?((or|and|vs)_?)?(test|val)|test(ing)?_?((or|and|vs)_?)?train)"
)
_LIKE_SETS = {"set", "subset", "phase", "stage", "usage", "fold", "folds", "kfold"}
_MOST_VALUES = 20  # a column with more holds sentences, or names of pictures
_TRUTH = {
    **dict.fromkeys(("true", "yes", "1", "1.0", "t", "y", "wahr", "ja"), True),
    **dict.fromkeys(("false", "no", "0", "0.0", "f", "n", "falsch", "nein"), False),
}


@dataclass
class Found:
    """What the columns of a table say about sets.

    sets: list of str
        For each row the name of a set, "" for none, or what stands there where that is no set.
    columns: tuple of str
        The columns that say so; none: nothing does.
    notes: list of str
        How values were understood, and which columns look like a split and were not used.
    """

    sets: list[str]
    columns: tuple[str, ...] = ()
    notes: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        """What a report calls the split."""
        return f"your {listed(self.columns, last=' and ')} {plural(len(self.columns), 'column')}"


@lru_cache(1024)
def set_of(value: str) -> str:
    """Return the set that a value of a column names and nothing else beside, as folders do; "" for none."""
    name = set_name(value)
    return name.split if name is not None and not name.rest else ""


def find_split(rows: list[dict[str, str]], source: str, besides: Iterable[str]) -> Found:
    """Return in which set each row is.

    By the column in SPLIT; else by one of _SETS or of an unmistakable name in which the name of a set stands,
    or by columns such as is_test that hold truth values; else by whichever holds the names of several sets,
    and nothing else.

    besides: columns that say something else

    Raises DataError where two have the same right to it, and where a column that must be a split says nothing
    that is understood: its test pictures would be learned from.
    """
    names = sorted(rows[0].keys() - set(besides)) if rows else []
    values = {name: {row[name] for row in rows} - {""} for name in names}
    filled = [name for name in names if values[name]]
    flags = _flags(rows, filled, values)
    certain, likely, possible = [], [], []
    for name in set(filled) - flags.keys():
        sets = set(_meaning(name, values[name]).values())
        if name in SPLIT:
            certain.append(name)
        elif (_words(name) in _SETS or _UNMISTAKABLE.search(_words(name))) and sets - {""}:
            likely.append(name)
        elif len(sets) > 1 and "" not in sets:
            possible.append(name)
    given = certain or [*likely, *list(flags)[:1]] or possible
    if len(given) > 1:
        columns = listed((f"a column {name}" for name in sorted(given, reverse=True)), last=" and ")
        raise DataError(f"{source} has {columns}, which mean the same.", "Rename or remove one.")
    if not given:
        found = Found([""] * len(rows))
    elif given[0] in flags:
        found = _by_flags(rows, source, flags)
    else:
        found = _by_names(rows, given[0], values[given[0]])
    found.notes += _unused([name for name in filled if name not in found.columns], values, source, found)
    return found


def _words(name: str) -> str:
    """Return a name with one sign between its words: a strain_value is no train_val."""
    return re.sub(r"[\W_]+", "_", name)


def _is(name: str) -> bool:
    """Tell is_test and isTest from test."""
    return name.startswith("is") and bool(set_of(name[2:]))


def _truths(values: set[str]) -> bool:
    return all(value.lower() in _TRUTH for value in values)


def _meaning(name: str, values: set[str]) -> dict[str, str]:
    """Return {value: the set it names, "" for none}."""
    sets = {value: set_of(value) for value in values}
    others = {value: one or ELSEWHERE.get(unaccented(value), "") for value, one in sets.items()}
    if all(others.values()) and "train" in others.values() and len(set(others.values())) > 1:
        return others
    if name in SPLIT or looks_like_split(name):
        short = {value: one or SHORT.get(value.lower(), "") for value, one in sets.items()}
        if all(short.values()) and len(set(short.values())) > 1:
            return short
    return sets


def looks_like_split(name: str) -> bool:
    """Tell a name of a column, in small letters, that says something of sets."""
    words = [word.rstrip("0123456789") for word in re.findall(r"[^\W_]+", name)]
    return bool(
        name in SPLIT
        or _is(name)
        or _UNMISTAKABLE.search(_words(name))
        or set_of(name)
        or any(word in _LIKE_SETS or set_of(word) or word.startswith(("train", "test")) for word in words)
    )


def _flags(rows: list[dict[str, str]], filled: list[str], values: dict[str, set[str]]) -> dict[str, str]:
    """Return {column: the set of the pictures for which it is true}; nothing where that is not certain.

    A test may also have been a patient's, and a row valid: such columns count beside others only.
    """
    flags = {}
    for name in filled:
        one = set_of(name[2:] if _is(name) else name)
        if one and _truths(values[name]) and not _UNMISTAKABLE.search(_words(name)):
            # Beside yes alone, a gap may be no.
            both = len({_TRUTH[value.lower()] for value in values[name]}) > 1
            if both or all(row[name] for row in rows):
                flags[name] = one
    return flags if any(_is(name) or one == "train" for name, one in flags.items()) else {}


def _by_flags(rows: list[dict[str, str]], source: str, flags: dict[str, str]) -> Found:
    if len(set(flags.values())) < len(flags):
        raise DataError(
            f"{source} has the columns {listed(flags, last=' and ')}, some of which mean the same.",
            "Rename or remove one.",
        )
    # None of train and test may be val: such a picture is in no set, which is counted.
    other = next((one for one in ("train", "test") if one not in flags.values()), "")
    sets, twice = [], []
    for number, row in enumerate(rows):
        true = [one for name, one in flags.items() if _TRUTH.get(row[name].lower())]
        gap = any(not row[name] for name in flags)
        sets.append(true[0] if true else "" if gap else other)
        if len(true) > 1:
            twice.append(row["path"] or f"row {number + 1}")
    if twice:
        raise DataError(
            f"{source} puts {len(twice):,} {plural(len(twice), 'picture')} into two sets by its columns "
            f"{listed(flags, last=' and ')}: {listed(twice)}.",
            "Say yes in one column only, or rename one that means something else.",
        )
    said = listed(f"{one} where {name} is true" for name, one in flags.items())
    note = f"Sets were read from your table: {said}, else {other or 'none'}."
    return Found(sets, tuple(flags), [note])


def _by_names(rows: list[dict[str, str]], name: str, values: set[str]) -> Found:
    meaning = _meaning(name, values)
    short = [f"'{value}' is {meaning[value]}" for value in sorted(values) if meaning[value] != set_of(value)]
    notes = [f"In your {name} column, {listed(short, last=' and ')}."] if short else []
    return Found([meaning.get(row[name]) or row[name] for row in rows], (name,), notes)


def _unused(names: list[str], values: dict[str, set[str]], source: str, found: Found) -> list[str]:
    """Return in a note for each column that it looks like a split and was not used.

    Raises DataError where nothing else says which pictures are for testing, and a name is unmistakable.
    """
    like = [name for name in names if looks_like_split(name) or _names_sets(values[name])]
    sure = [
        name
        for name in like
        if _is(name)
        or _UNMISTAKABLE.search(_words(name))
        or (set_of(name) not in ("", "val") and _truths(values[name]))
    ]
    if sure and not found.columns:
        held = listed(f"'{name}' with {listed(map(repr, sorted(values[name])), 5)}" for name in sure)
        raise DataError(
            f"{source} has {plural(len(sure), 'a column that looks', 'columns that look')} like a split, and "
            f"which pictures are for testing cannot be told from {plural(len(sure), 'its', 'their')} "
            f"values: {held}.",
            "Call one column split and write train, val or test into it for each picture; rename a column "
            "that means something else.",
        )
    return [_note(name, found) for name in like]


def _names_sets(values: set[str]) -> bool:
    """Tell a column in which the names of several sets stand, whatever it is called and else holds."""
    known = {one.split for value in values if (one := set_name(value)) is not None}
    return len(values) <= _MOST_VALUES and len(known) > 1


def _note(name: str, found: Found) -> str:
    if found.columns:
        cure = f"{found.name} {plural(len(found.columns), 'says', 'say')} which set a picture is in"
    elif "fold" in name:
        cure = (
            f"{option('folds', 5)} draws folds of its own, {option('group_column', name)} keeps the pictures "
            "of one value together"
        )
    else:
        cure = "if it is one, call it split and write train, val or test into it"
    return f"The column '{name}' looks like a split and was not used as one: {cure}."
