"""A folder of pictures becomes a Dataset: what its folders mean is found (layouts.py), then applied."""

import posixpath
import re
import shlex
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path, PurePosixPath

import numpy as np

from linnaea.data import layouts
from linnaea.data.dataset import Dataset, with_test_set
from linnaea.data.layouts import AUTO, CLASS, FOLDER, SPLIT, Layout, Shape
from linnaea.data.rare_names import ASIDE, BESIDE, PART, lies_beside, rare_names
from linnaea.data.tables import columns_of_sets, first_lines, names_in, ways_to_name
from linnaea.data.tree import Tree, parents, walk
from linnaea.errors import DataError
from linnaea.text import command, counted, listed, natural_order, option, plural

_MOST_TABLES = 20  # tables of a folder that are looked into
# cat/1_mask.png beside cat/1.png; (1)_mask_1, where one picture has several.
_LONGEST = 30  # letters of such an ending
_MASK = re.compile(
    r"[ _.-]+(masks?|seg|segmentation|labels?|gt|ground[ _-]?truth|annotation)([ _-]?\d+)?$", re.IGNORECASE
)
# cat.0.jpg, American Bulldog_12.jpg; what cameras and phones call all of theirs.
_NUMBERED = re.compile(r"([^\W\d_]+(?:[ _-][^\W\d_]+)*)[ ._-]*\(?\d+")
_OF_CAMERAS = {
    *("img", "dsc", "dscn", "dscf", "pxl", "mvi", "gopr", "p", "imgp", "picture", "photo", "image"),
    *("screenshot", "scan", "frame", "whatsapp image", "signal", "received"),
}
_NAMED = 3  # pictures that a table names at least, or it is of something else
_LISTS = (".txt", ".lst", ".csv", ".tsv")
_SAMPLE = 2_000  # pictures whose names are looked at for sets
_NEARLY_ALL = 0.9
_SHEETS = (".xlsx", ".xls", ".ods", ".numbers")
_ANNOTATIONS = (".xml", ".json")

_LAYOUT = "Give each class a folder of its own (photos/rose/1.jpg, photos/tulip/2.jpg)."

UNREAD = {
    **dict.fromkeys(
        (
            *(".3fr", ".arw", ".cr2", ".cr3", ".crw", ".dng", ".erf", ".iiq", ".kdc", ".mrw", ".nef", ".nrw"),
            *(".orf", ".pef", ".raf", ".raw", ".rw2", ".sr2", ".srf", ".srw", ".x3f"),
        ),
        "a camera's raw data",
    ),
    **dict.fromkeys((".jxl",), "JPEG XL"),
    **dict.fromkeys((".jxr", ".hdp", ".wdp"), "JPEG XR"),
    **dict.fromkeys((".psd", ".psb"), "Photoshop"),
    **dict.fromkeys((".svg", ".svgz", ".eps", ".ai", ".pdf"), "drawings and documents"),
    **dict.fromkeys((".exr", ".hdr"), "high dynamic range"),
    **dict.fromkeys((".dcm", ".dicom", ".nii", ".nrrd", ".mha"), "medical images"),
    **dict.fromkeys((".czi", ".lif", ".nd2", ".ndpi", ".oib", ".svs", ".vsi"), "a microscope's files"),
    **dict.fromkeys((".npy", ".npz", ".mat", ".h5", ".hdf5"), "arrays"),
    **dict.fromkeys((".avi", ".m4v", ".mkv", ".mov", ".mp4", ".webm"), "films"),
    **dict.fromkeys((".7z", ".gz", ".rar", ".tar", ".zip"), "archives"),
}
"""Endings of files that people mean as pictures and that are not read, with what they are."""


@dataclass
class _Meaning:
    """What a layout makes of a tree.

    pictures: (path, label, split, folder) of each
    loose: pictures outside any class folder
    strange: pictures in a folder that should name a set, and does not
    sets: the names of the folders that are sets
    """

    pictures: list[tuple[str, str, str, str]] = field(default_factory=list)
    loose: list[str] = field(default_factory=list)
    strange: list[str] = field(default_factory=list)
    sets: set[str] = field(default_factory=set)


def open_folder(root: Path, source: str, *, strict: bool = False, layout: str = AUTO) -> Dataset:
    """Return the pictures below root, sorted by path; class names are folder names.

    A class folder may hold folders of its own; their pictures belong to the class. Links to folders are
    followed, but no folder is read twice, and none that the root lies in. Folders of runs and of other
    programs (tree.PROGRAMS) are left out. They, and all else that is left out, are counted in the notes;
    strict refuses links, files that are not pictures, and pictures outside any class folder.

    layout: what the folders are, from the outside in (layouts.parsed); "auto": see layouts.find_layout. The
    names of folders that are neither class nor set become the column "folder", to group by.

    Raises DataError for a folder without pictures, without class folders or with one class only, and where
    its folders may mean more than one thing.
    """
    tree = walk(root)
    shape = Shape(tree.pictures)
    _refuse_nothing(source, tree)
    hint = partial(_hint, root, source, tree)
    if layout == AUTO:
        _refuse_boxes(root, source, tree)
    found = layouts.find_layout(source, shape, hint) if layout == AUTO else layouts.parsed(layout)
    meaning = _apply(found, tree)
    _check(source, tree, shape, meaning, found, hint, strict=strict)
    if layout == AUTO and SPLIT not in found:
        _refuse_unread_sets(root, source, tree)
        if words := _sets_in_names(tree.pictures):
            raise DataError(
                f"{source} contains class folders, and the names of the pictures in them say a set each "
                f"({listed(words, 5)}), such as {tree.pictures[0]}.",
                "To keep these sets, sort the pictures into train/rose/, test/rose/ and the like, or list "
                "them in a CSV with the columns path,label,split; to divide them anew, pass "
                f"{option('layout', CLASS)}.",
            )
    meaning.pictures.sort()
    paths, labels, splits, folders = zip(*meaning.pictures, strict=True)
    divided, note = with_test_set(np.array(splits))
    empty, without = _empty(found, tree, meaning)
    return Dataset(
        name=root.resolve().name,
        source=source,
        paths=paths,
        labels=np.array(labels),
        # Only train/ there: a data set without a split, whose classes happen to lie one level deeper.
        splits=divided if len(set(splits)) > 1 else None,
        split_name=f"your folders {listed(sorted(meaning.sets), last=' and ')}",
        root=root,
        notes=(
            *_notes(tree, meaning, empty, without),
            *_passed_over(found, shape, layout),
            *_mixed_sets(found, tree),
            *_unlikely(set(labels), layout),
            *_parts_of_classes(set(labels), layout),
            *_unread_table(root, source, tree, layout),
            *_masks(meaning, found),
            *filter(None, [note]),
        ),
        empty_classes=empty,
        columns={FOLDER: dict(zip(paths, folders, strict=True))} if FOLDER in found else {},
    )


def _apply(layout: Layout, tree: Tree) -> _Meaning:
    meaning, depth = _Meaning(), len(layout)
    splits: dict[str, str] = {}
    for path in tree.pictures:
        parts = path.split("/")[:-1]
        if len(parts) < depth:
            meaning.loose.append(path)
            continue
        split = ""
        if SPLIT in layout:
            name = parts[layout.index(SPLIT)]
            if name not in splits:
                known = layouts.set_name(name)
                splits[name] = "" if known is None else known.split
            split = splits[name]
            if not split:
                meaning.strange.append(path)
                continue
            meaning.sets.add(name)
        folder = "/".join(parts[level] for level in range(depth) if layout[level] == FOLDER)
        meaning.pictures.append((path, _label(parts, layout), split, folder))
    return meaning


def _label(parts: list[str], layout: Layout) -> str:
    # NFC: macOS stores é as two characters, Linux as one; the class must not depend on where it was copied.
    return unicodedata.normalize("NFC", parts[layout.index(CLASS)])


def _in_set(parts: list[str], layout: Layout) -> bool:
    """Tell a folder that lies in a set's, or in a layout without sets above it."""
    inside = SPLIT in layout[: len(parts)]
    return not inside or layouts.set_name(parts[layout.index(SPLIT)]) is not None


def _refuse_nothing(source: str, tree: Tree) -> None:
    """Raise DataError where there is no picture at all, with what there is instead."""
    if tree.pictures:
        return
    links = _links_left_out(tree)
    if tree.unnamed:
        pictures = counted(len(tree.unnamed), "picture")
        _refuse_unnamed(source, tree.unnamed, f"{pictures}, all with names that are not Unicode")
    if tree.others:
        named = all(PurePosixPath(path).suffix for path in tree.others)
        endings = "" if named else "Give pictures the ending of their format (.jpg). "
        converted = "Convert pictures to JPEG, PNG or TIFF. " if _unread(tree.others) else ""
        raise DataError(
            f"{source} contains no picture in a format that is read, but {_endings(tree.others)}{links}.",
            converted + endings + _LAYOUT,
        )
    # A run's folder, or another program's, is none that the user made for pictures.
    left_out = {*tree.left_out_runs(), *tree.runs, ""}
    folders = [folder for folder in tree.folders - left_out if "/" not in folder]
    if folders:
        count = counted(len(folders), "class folder")
        raise DataError(f"{source} contains {count} and no picture in any of them{links}.", _LAYOUT)
    raise DataError(f"{source} contains no pictures{links}.", _LAYOUT)


def _endings(paths: list[str]) -> str:
    """Return "24 .cr2 (a camera's raw data), 2 without an ending", the commonest first."""
    count = Counter(PurePosixPath(path).suffix.lower() for path in paths)
    words = []
    for ending, number in sorted(count.items(), key=lambda pair: (-pair[1], pair[0])):
        what = f" ({UNREAD[ending]})" if ending in UNREAD else ""
        words.append(f"{number:,} {_shown(ending) or 'without an ending'}{what}")
    return listed(words, 5)


def _unread(paths: list[str]) -> list[str]:
    """Return the files that were probably meant as pictures."""
    return [path for path in paths if PurePosixPath(path).suffix.lower() in UNREAD]


def _refuse_unnamed(source: str, names: list[str], what: str) -> None:
    raise DataError(
        f"{source} contains {what} ({_listed(names)}), which no table can contain.",
        "Rename them and their folders, for example: "
        + command("convmv", "-r", "-f", "latin1", "-t", "utf8", "--notest", source),
    )


def _stem(path: str) -> str:
    return posixpath.splitext(posixpath.basename(path))[0]


def _table(root: Path, tree: Tree) -> tuple[str, int]:
    """Return the table below root that names most of the pictures by its first lines, and how many.

    The only table, if none names any; "" where there is none, or several.
    """
    tables = [path for path in tree.others if path.lower().endswith((".csv", ".tsv"))]
    tables = [path for path in tables if "submission" not in path.lower()][:_MOST_TABLES]
    if not tables:
        return "", 0
    names = {table: names_in(root / table) for table in tables}
    named = {table: _number_named(tree.pictures, names[table]) for table in tables}
    if not any(named.values()):
        numbers = {stem for path in tree.pictures if (stem := _stem(path)).isdigit()}
        likely = {table: len(numbers & names[table]) for table in tables}
        best = max(likely, key=likely.__getitem__, default="")
        return (best if best and (likely[best] or len(tables) == 1) else ""), 0
    best = max(named, key=named.__getitem__)
    return best, named[best]


def _number_named(pictures: list[str], names: set[str]) -> int:
    """Return how many pictures a table names, by what stands in it; a number alone may be anything's."""
    return sum(any(not name.isdigit() and name in names for name in ways_to_name(path)) for path in pictures)


def _hint(root: Path, source: str, tree: Tree) -> str:
    """Return a sentence on where the labels of pictures may be, if not in the names of folders; or ""."""
    if lists := _list_of_classes(root, tree):
        return _how_to_sort(root, source, *lists)
    best, _ = _table(root, tree)
    same = [path for path in tree.others if best and PurePosixPath(path).name == PurePosixPath(best).name]
    if len(same) > 1:
        first = PurePosixPath(same[0]).parent
        return (
            f"If {listed(same, 5, last=' and ')} have their labels, join their rows in one CSV in {source}, "
            f"with the folder before each name ({first}/1.jpg), and train on that."
        )
    if best:
        return f"If {best} has their labels, train on it: {Path(source) / best}."
    sheets = [path for path in tree.others if path.lower().endswith(_SHEETS)]
    if sheets:
        return f"If {sheets[0]} has their labels, save it as CSV and train on that."
    if words := _words_in_names(tree.pictures):
        return (
            f"If the classes are the words that names begin with ({listed(words, 5)}), move each picture "
            "into a folder of its word."
        )
    return ""


def _list_of_classes(root: Path, tree: Tree) -> tuple[str, str] | None:
    """Return (a text, a folder): the text names a class for each picture of the folder, as folders do.

    Tiny ImageNet's val/val_annotations.txt.
    """
    classes = {part for path in tree.pictures for part in path.split("/")[:-1]}
    for path in [path for path in tree.others if path.lower().endswith((".txt", ".tsv"))][:_MOST_TABLES]:
        lines = [line.split() for line in first_lines(root / path)]
        if not lines or any(len(line) < 2 or line[1] not in classes for line in lines):
            continue
        named = {line[0] for line in lines}
        place = posixpath.dirname(path)
        for folder in sorted({posixpath.dirname(picture) for picture in tree.pictures}):
            if place in (folder, posixpath.dirname(folder)) and all(
                (root / folder / name).is_file() for name in named
            ):
                return path, folder
    return None


def _how_to_sort(root: Path, source: str, path: str, folder: str) -> str:
    place, name = posixpath.split(path)
    inner = posixpath.relpath(folder, place or ".")
    loop = f"while read -r file class rest; do mkdir -p $class && mv {shlex.quote(inner)}/$file $class/; done"
    return (
        f"If {path} says the classes of {folder}, sort its pictures by it: cd "
        f"{shlex.quote(str(Path(source) / place))} && {loop} < {shlex.quote(name)}"
        f"{'' if inner == '.' else f' && rmdir {shlex.quote(inner)}'}."
    )


def _words_in_names(pictures: list[str]) -> list[str]:
    """Return the words before the numbers in all names (cat.0.jpg, dog_12.jpg), if there are several."""
    found = [_NUMBERED.match(PurePosixPath(path).name) for path in pictures]
    words = Counter(match[1].casefold() for match in found if match)
    several = len(words) > 1 and len(words) * 2 <= len(pictures) and all(found)
    return [] if not several or words.keys() & _OF_CAMERAS else sorted(words)


def _sets_in_names(pictures: list[str]) -> list[str]:
    """Return the words for sets that nearly all names of pictures begin or end with, numbers aside.

    [] where no class has pictures of several sets: train_1.jpg may be a picture of the class train.
    """
    sample = pictures[:: -(-len(pictures) // _SAMPLE) or 1]
    words = [(path.split("/")[0], word) for path in sample if (word := layouts.set_word(_stem(path)))]
    sets = {(folder, layouts.SPLIT_NAMES[word]) for folder, word in words}
    several = len(sets) > len({folder for folder, _ in sets})
    return sorted({word for _, word in words}) if several and len(words) >= _NEARLY_ALL * len(sample) else []


def _unread_table(root: Path, source: str, tree: Tree, asked: str) -> list[str]:
    """Return a note on a table that names the pictures, where their folders were taken for their classes."""
    best, number = _table(root, tree)
    if asked != AUTO or number < _NAMED:
        return []
    return [f"{best} names these pictures and was not read; to train on it: {Path(source) / best}."]


def _refuse_unread_sets(root: Path, source: str, tree: Tree) -> None:
    """Raise DataError where a table or lists beside the classes say which pictures are for testing."""
    best, number = _table(root, tree)
    columns = columns_of_sets(root / best, best) if number >= _NAMED else ()
    anew = f"to divide the pictures in these folders anew, pass {option('layout', CLASS)}"
    if columns:
        raise DataError(
            f"{source} contains class folders, and {best}, which names these pictures and says in which set "
            f"each is ({listed(columns, last=' and ')}).",
            f"To train on it, name it as the data: {Path(source) / best}; {anew}.",
        )
    lists = {
        path: known.split
        for path in tree.others
        if path.lower().endswith(_LISTS) and (known := layouts.set_name(_stem(path))) and not known.rest
    }
    named = [path for path in lists if _number_named(tree.pictures, names_in(root / path))]
    if len({lists[path] for path in named}) > 1:
        names = listed(named, 5, last=" and ")
        raise DataError(
            f"{source} contains class folders, and {names}, which are called like sets and name these "
            "pictures.",
            "To keep these sets, list the pictures in one CSV with the columns path,label,split, or sort "
            f"them into train/rose/, test/rose/; {anew}.",
        )


def _refuse_boxes(root: Path, source: str, tree: Tree) -> None:
    """Raise DataError for boxes or outlines of objects, in folders that say no classes."""
    names = {_stem(path) for path in tree.pictures}
    boxes = [path for path in tree.others if _is_of_boxes(root, path, names)]
    if not boxes or _may_say_classes(tree) or _table(root, tree)[0]:
        return
    raise DataError(
        f"{source} contains pictures with boxes or outlines of objects ({boxes[0]}), and no classes of whole "
        "pictures, of which Linnaea learns one for each picture.",
        "Cut each object out and save it in a folder of its class (photos/rose/1.jpg), or export the "
        "pictures for classification.",
    )


def _may_say_classes(tree: Tree) -> bool:
    """Tell folders of which several beside one another are neither sets nor called like what is no class."""
    inside: dict[int, set[str]] = defaultdict(set)
    for folder in {posixpath.dirname(path) for path in tree.pictures}:
        for level, name in enumerate(folder.split("/")):
            inside[level].add(name)
    return any(
        len([name for name in names if rare.get(name) in (None, ASIDE) and not layouts.set_name(name)]) > 1
        for names in inside.values()
        for rare in [rare_names(names)]
    )


def _is_of_boxes(root: Path, path: str, pictures: set[str]) -> bool:
    """Tell the annotations of YOLO, VOC and LabelMe, one file a picture, and of COCO."""
    name = PurePosixPath(path)
    if name.suffix.lower() == ".txt" and name.stem in pictures:
        # Others keep captions so.
        return any(re.fullmatch(r"\d+(\s+-?[\d.]+){4,}\s*", line) for line in first_lines(root / path))
    coco = "coco" in name.stem.lower() or name.stem.lower().startswith("instances_")
    return name.suffix.lower() in _ANNOTATIONS and (name.stem in pictures or coco)


def _check(
    source: str,
    tree: Tree,
    shape: Shape,
    meaning: _Meaning,
    layout: Layout,
    hint: Callable[[], str],
    *,
    strict: bool,
) -> None:
    labels = sorted({label for _, label, _, _ in meaning.pictures})
    lost = _apply(layout, Tree(pictures=tree.unnamed))
    if gone := sorted({label for _, label, _, _ in lost.pictures} - set(labels)):
        named = plural(len(gone), "class with a name", "classes with names")
        what = f"{len(gone):,} {named} that {plural(len(gone), 'is', 'are')} not Unicode"
        if any(_shown(label) == label for label in gone):
            what = f"{counted(len(gone), 'class', 'classes')} of pictures whose names are not Unicode"
        _refuse_unnamed(source, gone, what)
    links = _links_left_out(tree)
    if not labels:
        # The commonest mistake first: all pictures in one folder, the labels in their names or nowhere.
        if meaning.strange:
            raise DataError(
                f"{source} contains no folder that is called like a set: {listed(meaning.strange, 3)}.",
                f"Call them train, val and test, or leave {option('layout')} out.",
            )
        pictures, depth = counted(len(meaning.loose), "picture"), counted(len(layout), "folder")
        if layout == (CLASS,):
            cure = " ".join(filter(None, [_LAYOUT, hint()]))
            raise DataError(f"{source} contains {pictures} and no class folders.", cure)
        raise DataError(
            f"{source} contains {pictures}, none of them {depth} deep.",
            f"The layout {'/'.join(layout)} needs that: correct it, or leave {option('layout')} out.",
        )
    if len(labels) == 1:
        inner = layouts.wrapper(source, shape)
        if inner is not None and len(layout) == 1:
            raise DataError(
                f"{source} contains pictures in one folder only, {inner[0]}, which holds "
                f"{counted(len(inner[1]), 'folder')} with pictures ({listed(inner[1], 5)}).",
                f"Name the folder that holds the class folders, {inner[0]}; or, if '{labels[0]}' is a "
                "class, add a folder for another one.",
            )
        raise DataError(
            f"{source} contains pictures of one class only, '{labels[0]}'{links}.",
            " ".join(
                filter(
                    None,
                    ["Classification needs two classes or more: add a folder for another class.", hint()],
                )
            ),
        )
    # Hidden files are the system's, and nobody meant them as pictures: not even strict asks about them.
    left_out = [
        *(tree.others + meaning.loose + meaning.strange + tree.unnamed + tree.again + tree.upward),
    ]
    if strict and left_out:
        raise DataError(
            f"{source} contains {counted(len(left_out), 'file')} that would be left out "
            f"({_listed(left_out, 10)}).",
            f"Move them away, or leave {option('strict')} out.",
        )
    if layout[0] == SPLIT:
        _check_sets(source, tree, meaning)


def _check_sets(source: str, tree: Tree, meaning: _Meaning) -> None:
    """Refuse a set's folder without pictures: the user meant to have that set."""
    filled = {split for _, _, split, _ in meaning.pictures}
    if len(filled) > 1 and "train" not in filled:
        raise DataError(
            f"{source} contains {listed(sorted(meaning.sets), last=' and ')}, and no training set.",
            "Add it as train, or rename the one to learn from; to divide all anew, move the class folders "
            "out of the sets.",
        )
    left_out = {*tree.left_out_runs(), *tree.runs}
    # A link to another set's folder was left out, with all that it leads to.
    tops = [name for name in (*tree.folders, *tree.again, *tree.upward) if name and "/" not in name]
    meant = {name: layouts.set_name(name) for name in tops}
    empty = sorted(
        name
        for name, known in meant.items()
        if known is not None and known.split not in filled and name not in left_out
    )
    loose = Counter(path.split("/")[0] for path in meaning.loose)
    if unsorted := [name for name in empty if loose[name]]:
        names = listed((f"{Path(source) / name}" for name in unsorted), last=" and ")
        pictures = counted(sum(loose[name] for name in unsorted), "picture")
        them = plural(len(unsorted), "it", "them")
        raise DataError(
            f"{names} {plural(len(unsorted), 'holds', 'hold')} {pictures}, none of them in a class folder, "
            "so that their classes are not known.",
            f"Sort them into class folders ({unsorted[0]}/rose/1.jpg); or move {them} away, train, and name "
            "the pictures with linnaea predict.",
        )
    if empty:
        verb, links = "contain" if len(empty) > 1 else "contains", _links_left_out(tree)
        raise DataError(
            f"{listed(f'{Path(source) / name}' for name in empty)} {verb} no pictures{links}.",
            "Add pictures in class folders, or remove the empty folder to have its set drawn from others.",
        )


def _empty(layout: Layout, tree: Tree, meaning: _Meaning) -> tuple[tuple[str, ...], list[str]]:
    """Return (the classes without a picture, the folders that hold other files and so are no classes)."""
    labels = {label for _, label, _, _ in meaning.pictures}
    left_out = {*tree.left_out_runs(), *tree.runs}
    holds_pictures = {above for path in tree.pictures for above in parents(path)}
    # A folder with files that nobody means as pictures (annotations/) is no class; one of raw data is.
    meant = {above for path in _unread(tree.others) for above in parents(path)}
    others = {above for path in tree.others for above in parents(path)} - meant
    empty, without = set(), []
    for folder in sorted(tree.folders - left_out - holds_pictures - {""}):
        parts = folder.split("/")
        is_class = len(parts) == layout.index(CLASS) + 1 and _in_set(parts, layout)
        if is_class and folder not in others:
            empty |= {_label(parts, layout)} - labels
        elif is_class or (len(parts) == 1 and not _in_set(parts, layout)):
            without.append(folder)
    return tuple(sorted(empty)), without


def left_out(tree: Tree) -> list[str]:
    """Return notes on what a walk passed over, whatever its folders mean, each with its number."""
    return _notes(tree, _Meaning(), (), [])


def _links_left_out(tree: Tree) -> str:
    """Return the notes on links as the end of another sentence; "" where none was left out."""
    only = Tree(again=tree.again, upward=tree.upward)
    return "".join(f"; {note.rstrip('.')}" for note in left_out(only))


def _passed_over(layout: Layout, shape: Shape, asked: str) -> list[str]:
    """Return a note on folders with names of their own that were found to be no classes."""
    if asked != AUTO:
        return []
    if SPLIT in layout[1:]:
        return []
    notes = []
    if FOLDER in layout:
        notes.append("The classes are the folders inside the one folder that each set holds.")
    outer = shape.at(len(layout))
    inner = [below for folder in outer for below in shape.below.get(folder, ())]
    if not shape.is_outer(outer):
        return notes
    # The deepest folders that hold most pictures are what is most likely meant.
    names, deeper = shape.names(outer), (*layout[:-1], FOLDER, CLASS)
    while inner and shape.is_outer(inner):
        names, deeper = shape.names(inner), (*deeper[:-1], FOLDER, CLASS)
        inner = [below for folder in inner for below in shape.below.get(folder, ())]
    if len(names) < 2:
        return notes
    classes = listed(sorted({folder.rpartition("/")[2] for folder in outer}), 3, last=" and ")
    return [
        *notes,
        f"The classes are {classes}; the {plural(len(names), 'folder', 'folders')} inside "
        f"({listed(names, 3)}) are not told apart. If they are the classes: "
        f"{option('layout', '/'.join(deeper))}.",
    ]


def _mixed_sets(layout: Layout, tree: Tree) -> list[str]:
    """Return a note on sets that a layout mixes, by the names of folders, with the one that keeps them."""
    if SPLIT in layout:
        return []
    levels: dict[int, set[str]] = defaultdict(set)
    for folder in {posixpath.dirname(path) for path in tree.pictures}:
        for level, name in enumerate(folder.split("/")):
            levels[level].add(name)
    notes = []
    for level, names in sorted(levels.items()):
        known = {name: one.split for name in names if (one := layouts.set_name(name)) and not one.rest}
        sets = known if len(set(known.values())) > 1 else layouts.sets_elsewhere(names)
        if level == layout.index(CLASS) or not sets:
            continue
        kept = [*layout, *[FOLDER] * (level + 1 - len(layout))]
        kept[level] = SPLIT
        called = (
            "" if known == sets else f"call them {listed(map(sets.get, sorted(sets)), last=' and ')} and "
        )
        notes.append(
            f"The pictures in the folders {listed(sorted(sets), 5, last=' and ')}, called like sets, are "
            f"mixed and divided anew; to keep these sets, {called}pass {option('layout', '/'.join(kept))}."
        )
    return notes


def _unlikely(labels: set[str], asked: str) -> list[str]:
    """Return a note on classes with names that people give to other folders."""
    rare = rare_names(labels) if asked == AUTO else {}
    named = [
        name
        for name, kind in rare.items()
        # A person may be called April.
        if kind in (BESIDE, ASIDE) or (kind == PART and any(letter.isdigit() for letter in name))
    ]
    if not named:
        return []
    them = plural(len(named), "it", "them")
    return [
        f"{listed(named, 5, last=' and ')} {plural(len(named), 'is a class', 'are classes')} here; if "
        f"{plural(len(named), 'it is', 'they are')} none, move {them} away."
    ]


def _parts_of_classes(labels: set[str], asked: str) -> list[str]:
    """Return notes on classes that may be pictures of one set, or parts of one class: cat1, cat2."""
    if asked != AUTO:
        return []
    notes = []
    if split := layouts.one_set(labels):
        called = {"train": "training", "val": "validation"}.get(split, split)
        notes.append(
            f"All classes are called like pictures of the {called} set, and are divided like others."
        )
    parts: dict[str, list[str]] = defaultdict(list)
    for label in sorted(labels, key=natural_order):
        match = re.fullmatch(r"(.*[^\W\d_]{2})[\W_]*\d[\d\W_]*", label)
        parts[match[1].casefold() if match else ""].append(label)
    several = [" and ".join(names) for names in parts.values() if len(names) > 1]
    # Where one name has all numbers (class 1 to class 9), the number is what tells them apart.
    if several and len(parts) > 1 and "" not in parts:
        notes.append(
            f"{listed(several, 5)} differ in a number only; each is a class of its own here. If they are "
            "parts of one class, put them into one folder."
        )
    elif pair := _pair_of_names(labels):
        one, other = (listed(words, 5, last=" and ") for words in pair)
        notes.append(
            f"Each class combines one of {one} with one of {other}, and is a class of its own here. If only "
            "one of the two says the class, put its pictures into one folder for each."
        )
    return notes


def _pair_of_names(labels: set[str]) -> tuple[list[str], list[str]] | None:
    """Return two lists of words that the classes are all combinations of: cat_te, cat_tr, dog_te, dog_tr."""
    parted = [re.split(r"[\W_]+", label) for label in labels]
    if any(len(words) < 2 for words in parted):
        return None
    for place in range(1, min(map(len, parted))):
        for cut in (place, -place):
            begun = {" ".join(words[:cut]) for words in parted}
            ended = {" ".join(words[cut:]) for words in parted}
            if min(len(begun), len(ended)) > 1 and len(begun) * len(ended) == len(labels):
                return sorted(begun, key=natural_order), sorted(ended, key=natural_order)
    return None


def _masks(meaning: _Meaning, layout: Layout) -> list[str]:
    """Return notes on what is learned from as pictures of a class and may be made of them, by its name."""
    inside, bare = [], {path.rpartition(".")[0]: path for path, *_ in meaning.pictures}
    filled = {posixpath.dirname(path) for path, *_ in meaning.pictures}
    for path, *_ in meaning.pictures:
        *folders, _ = path.split("/")
        among_pictures = "/".join(folders[: len(layout)]) in filled
        if any(lies_beside(name, among_pictures) for name in folders[len(layout) :]):
            inside.append(path)
    masks = [
        path
        for stem, path in bare.items()
        if (end := _MASK.search(stem[-_LONGEST:])) and stem[: end.start() - len(end.string)] in bare
    ]
    kinds = (
        (inside, "in folders that are called like masks, originals or copies of others"),
        (masks, "called like masks of others"),
    )
    return [
        f"{counted(len(paths), 'picture')} {what} ({_listed(paths)}) {plural(len(paths), 'counts', 'count')} "
        f"as {plural(len(paths), 'a picture', 'pictures')} of the class around; if that is wrong, move "
        f"{plural(len(paths), 'it', 'them')} away."
        for paths, what in kinds
        if paths
    ]


def _notes(tree: Tree, meaning: _Meaning, empty: tuple[str, ...], without: list[str]) -> list[str]:
    notes = []
    unread = _unread(tree.others)
    meant = set(unread)
    kinds = [
        (tree.again, "link to a folder that is read already", "links to folders that are read already"),
        (tree.upward, "link back to this folder or above it", "links back to this folder or above it"),
        (tree.left_out_runs(), "folder of runs", "folders of runs"),
        (tree.programs, "folder of another program", "folders of other programs"),
        (tree.hidden, "hidden file", "hidden files"),
        (
            [path for path in tree.others if path not in meant],
            "file that is not a picture",
            "files that are not pictures",
        ),
        (meaning.loose, "picture outside any class folder", "pictures outside any class folder"),
        (meaning.strange, "picture outside any set", "pictures outside any set"),
        (tree.unnamed, "picture whose name is not Unicode", "pictures whose names are not Unicode"),
        (without, "folder without pictures", "folders without pictures"),
    ]
    for paths, one, many in kinds:
        if paths:
            notes.append(f"{counted(len(paths), one, many)} left out ({_listed(paths)}).")
    if unread:
        them = plural(len(unread), "it", "them")
        notes.append(
            f"{counted(len(unread), 'file')} in a format that is not read left out ({_endings(unread)}); "
            f"convert {them} to JPEG or PNG."
        )
    if empty:
        notes.append(f"{counted(len(empty), 'empty class folder')} left out ({listed(empty)}).")
    return notes


def _listed(paths: list[str], limit: int = 3) -> str:
    return listed((_shown(path) for path in paths), limit)


def _shown(path: str) -> str:
    return path.encode("utf-8", "replace").decode()
