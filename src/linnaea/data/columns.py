"""Which columns of a table name the pictures and say their classes, whatever they are called."""

import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from linnaea.data.split_column import looks_like_split
from linnaea.errors import DataError, did_you_mean
from linnaea.text import counted, listed, option

COLUMNS = ("path", "label")
# What other programs call these columns (Hugging Face: file_name), without signs.
_ALSO = {
    "path": ("filename", "filepath", "filepaths", "file", "image", "imagepath"),
    "label": ("labels", "class"),
}
# What others still call the classes, without signs and accents; "dx" is what medicine calls a diagnosis.
_LABELS = frozenset(
    [
        *("choice", "classid", "classindex"),
        *(
            "classname",
            "classlabel",
            "category",
            "categoryname",
            "target",
            "labelname",
            "species",
            "speciesname",
        ),
        *("breed", "diagnosis", "dx", "groundtruth", "emotion", "scientificname"),
        *("klasse", "klassen", "kategorie", "etikett", "klassenname", "classe", "categorie", "etiquette"),
        *("etiqueta", "clase", "categoria", "etichetta", "klas", "klass", "rotulo", "rubrik", "luokka"),
    ]
)
_SAMPLE = 50  # rows that tell whether a column names pictures
_FEW = 20  # rows below which any number of values may be classes

Names = dict[str, str]
"""A row's values by column."""


@dataclass
class Meant:
    """What the columns of a table were found to be.

    paths, labels: list of str
        For each row the name of the picture and of the class, as they stand there.
    used: set of str
        The columns that these came from.
    notes: list of str
        Which columns were taken, where they have other names.
    """

    paths: list[str] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)
    used: set[str] = field(default_factory=set)
    notes: list[str] = field(default_factory=list)


def column_names(names: list[str], source: str, label: str | None = None) -> list[str]:
    """Return the names of a table's columns in small letters, path and label called so.

    label: what the column with the classes is called, where somebody said so

    Raises DataError where two columns may be one of these, and where no column is called so.
    """
    names = [name.strip().lower() for name in names]
    for column, others in _ALSO.items():
        if column == "label" and label is not None:
            names = _chosen(names, label.strip().lower(), source)
            continue
        found = [name for name in names if re.sub(r"[\W_]+", "", name) in others]
        if column in names or not found:
            continue
        if len(found) > 1:
            choose = f", or choose one with {option('label_column')}" if column == "label" else ""
            raise DataError(
                f"{source} has the columns {listed(map(repr, found), last=' and ')}, and each may be the "
                f"{column}.",
                f"Call one of them {column}{choose}.",
            )
        names[names.index(found[0])] = column
    return names


def _chosen(names: list[str], label: str, source: str) -> list[str]:
    if label not in names:
        raise DataError(
            f"{source} has no column '{label}'; its columns are: {listed(names, 30)}.",
            f"{did_you_mean(label, names)} {option('label_column')} names the one with the classes.".strip(),
        )
    # A column label that was not chosen is one to group by.
    renamed = {"label": "label column", label: "label"} if label != "label" else {}
    return [renamed.get(name, name) for name in names]


def find_columns(
    names: Sequence[str],
    written: Sequence[str],
    rows: Sequence[Names],
    source: str,
    *,
    is_picture: Callable[[str], bool],
    cure: str,
) -> Meant:
    """Return which pictures and which classes the rows of a table name.

    The pictures stand in the column path, or in the only one of which most values are pictures. The classes
    stand in the column label; or in the only one that is called like classes elsewhere (_LABELS); or in
    columns of 0 and 1, one for each class, of which each row has one; or in the only other column.

    names, written: of the columns, as column_names returns them, and as they stand in the table
    is_picture: whether a value is a picture's name

    Raises DataError, with the names of all columns, where one of both is not found.
    """
    meant = Meant()
    path = "path" if "path" in names else _path(names, rows, is_picture)
    others = [name for name in names if name and name != path and not re.fullmatch(r"unnamed: \d+", name)]
    label = "label" if "label" in names else label_of(others, rows)
    hot = [] if label else _one_hot(others, rows, source)
    if path is None or not (label or hot):
        missing = [repr(name) for name, one in (("path", path), ("label", label or hot)) if not one]
        choose = "" if path is None and label is None else f" {_how_to_choose(names, rows, path)}"
        raise DataError(
            f"{source} has no column {' and no column '.join(missing)}; its columns are: "
            f"{listed(written, 30) or 'none'}.",
            f"{cure}{choose}",
        )
    meant.used = {path, *([label] if label else hot)}
    meant.paths = [row[path] for row in rows]
    if path != "path":
        meant.notes.append(f"The pictures are those that the column '{path}' names.")
    if label:
        meant.labels = [row[label] for row in rows]
        if label != "label":
            meant.notes.append(
                f"The classes are those of the column '{label}'; {option('label_column')} chooses another."
            )
    else:
        classes = dict(zip(names, written, strict=True))
        meant.labels = [next(classes[name] for name in hot if _is_one(row[name])) for row in rows]
        meant.notes.append(
            f"The classes are the columns of 0 and 1 ({listed((classes[name] for name in hot), 5)}): of each "
            "picture the one that is 1."
        )
    return meant


def _how_to_choose(names: Sequence[str], rows: Sequence[Names], path: str | None) -> str:
    if path is None:
        return ""
    several = [name for name in names if name and name != path and _few_values(name, rows)]
    such = f" (perhaps {listed(several, 5, last=' or ')})" if several else ""
    return f"If another column has the classes, name it{such}: {option('label_column', '<name>')}."


def _path(names: Sequence[str], rows: Sequence[Names], is_picture: Callable[[str], bool]) -> str | None:
    """Return the only column of which most values are pictures; None where there is none, or several."""
    sample = rows[:: -(-len(rows) // _SAMPLE) or 1]
    pictures = {
        name: sum(is_picture(row[name]) for row in sample)
        for name in names
        if name and any(row[name] for row in sample)
    }
    found = [name for name, number in pictures.items() if number * 2 > len(sample)]
    return found[0] if len(found) == 1 else None


def label_of(others: Iterable[str], rows: Sequence[Names]) -> str | None:
    """Return the only column that is called like classes, or the only one at all."""
    others = [name for name in others if not looks_like_split(name)]
    likely = [name for name in others if _plain(name) in _LABELS] or others
    if len(likely) > 1 and len({tuple(row[name] for name in likely) for row in rows}) == min(
        len({row[name] for row in rows}) for name in likely
    ):
        # class_id and class_name: the same, once by numbers.
        likely = [name for name in likely if not all(row[name].isdigit() for row in rows)]
    return likely[0] if len(likely) == 1 and _few_values(likely[0], rows) else None


def _few_values(name: str, rows: Sequence[Names]) -> bool:
    """Tell a column whose values may be classes: not one for each picture."""
    values = {row[name] for row in rows} - {""}
    return len(values) > 1 and (len(rows) < _FEW or len(values) * 2 <= len(rows))


def _one_hot(others: Sequence[str], rows: Sequence[Names], source: str) -> list[str]:
    """Return the columns of 0 and 1 of which each row has one 1; [] where that is not so.

    Raises DataError where there is nothing else, and some rows have several.
    """
    hot = [
        name
        for name in others
        if not looks_like_split(name) and all(_is_one(row[name]) or _is_zero(row[name]) for row in rows)
    ]
    ones = [sum(_is_one(row[name]) for name in hot) for row in rows]
    one_each = all(number == 1 for number in ones)
    if len(hot) > 1 and set(hot) == set(others) and max(ones, default=0) > 1:
        none = f" and {ones.count(0):,} none" if 0 in ones else ""
        raise DataError(
            f"{source} gives {counted(sum(number > 1 for number in ones), 'picture')} several classes by its "
            f"columns of 0 and 1 ({listed(hot, 5)}){none}, and Linnaea learns one class for each picture.",
            "Write the class that matters most into a column label; or learn whether one of them is there: "
            f"{option('label_column', hot[0])}.",
        )
    return hot if len(hot) > 1 and rows and one_each else []


def _is_one(value: str) -> bool:
    return value in ("1", "1.0", "1.00")


def _is_zero(value: str) -> bool:
    return value in ("0", "0.0", "0.00")


def _plain(name: str) -> str:
    """Return a name without accents and signs."""
    letters = unicodedata.normalize("NFKD", name.casefold())
    return "".join(letter for letter in letters if letter.isalnum())
