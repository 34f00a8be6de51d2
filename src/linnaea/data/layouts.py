"""What the folders of a data set mean: classes, sets, or neither; by name, by shape, or as asked."""

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from linnaea.data.rare_names import BESIDE, PART, PICTURES, lies_beside, no_classes, rare_names
from linnaea.data.tree import parent, parents
from linnaea.errors import DataError, SettingError
from linnaea.text import counted, listed, option, plural

AUTO = "auto"
FOLDER, CLASS, SPLIT = "folder", "class", "split"
"""What a level of folders is: a class, a set, or neither, such as a place or a year."""

Layout = tuple[str, ...]
"""What each level is, from the outside in: ("split", "class") for train/rose/1.jpg."""

SPLIT_NAMES = {
    **dict.fromkeys(("train", "training", "trainval", "trn"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "validate", "dev", "development"), "val"),
    **dict.fromkeys(("eval", "evaluation"), "val"),
    **dict.fromkeys(("test", "testing", "tst", "holdout", "heldout"), "test"),
}
"""The names of folders (and values of a table) that mean a set, and the set they mean."""

SHORT = {"tr": "train", "va": "val", "te": "test"}
"""What may mean a set, or a language, and is only asked about, or taken so in a column of sets."""

ELSEWHERE = {
    **dict.fromkeys(("entrenamiento", "entrainement", "apprentissage", "treino", "treinamento"), "train"),
    **dict.fromkeys(
        ("addestramento", "trainingsdaten", "lernen", "обучение", "训练", "训练集", "訓練"), "train"
    ),
    **dict.fromkeys(("lernbilder", "lerndaten", "trainingsbilder"), "train"),
    **dict.fromkeys(("validierungsbilder", "validierungsdaten"), "val"),
    **dict.fromkeys(("prufbilder", "prufdaten", "testbilder"), "test"),
    **dict.fromkeys(("pruefbilder", "pruefdaten", "pruefung"), "test"),
    **dict.fromkeys(("validierung", "validacion", "validacao", "validazione", "validatie"), "val"),
    **dict.fromkeys(("валидация", "验证", "验证集", "検証"), "val"),
    **dict.fromkeys(("prueba", "pruebas", "teste", "testes", "prova", "prufung", "testdaten"), "test"),
    **dict.fromkeys(("тест", "测试", "测试集", "テスト"), "test"),
    # Contests keep the second for their end (FER2013).
    **dict.fromkeys(("publictest",), "val"),
    **dict.fromkeys(("privatetest",), "test"),
}
"""What means a set in other languages and contests, without accents."""

# What is added to such a name without changing what it means: train_images, test-set, TrainingData.
_AFFIXES = {
    *("set", "sets", "split", "data", "dataset", "folder", "dir", "images", "image", "imgs", "img"),
    *("pictures", "picture", "pics", "photos", "photo", "samples", "sample", "files", "the", "my"),
}
_GLUED = re.compile(rf"\b({'|'.join(SPLIT_NAMES)})({'|'.join(sorted(_AFFIXES))})\b")
_SORT_INTO_SETS = (
    "If so, sort the pictures into folders of sets with the class folders in them (train/rose/1.jpg, "
    "test/rose/2.jpg), or list them in a CSV with the columns path,label,split"
)
# Words that only look like one with the word of a set before or behind it: a con test.
_NOT_GLUED = {"attest", "contest", "device", "interval", "protest"}
# Half of the folders, and half of what lies in them, are alike: no accident.
_ALIKE = 0.5
_MOST_SETS = 4  # more folders than this that hold the same are no sets of another language


@dataclass(frozen=True)
class SetName:
    """A folder's name that means a set: which, by which word, and what else the name says."""

    split: str
    word: str
    rest: tuple[str, ...]


def set_name(name: str) -> SetName | None:
    """Return what a name says of a set; None where no word of it does, or two do.

    Words are told apart by signs and capitals; numbers, words of one or two letters and such as "images" and
    "set" say nothing.
    """
    words = [_bare(word) for word in _words(name)]
    sets = [word for word in words if word in SPLIT_NAMES]
    rest = tuple(word for word in words if len(word) > 2 and word not in {*SPLIT_NAMES, *_AFFIXES})
    if [SPLIT_NAMES[word] for word in sets] == ["train", "val"]:
        return SetName("train", "trainval", rest)
    return SetName(SPLIT_NAMES[sets[0]], sets[0], rest) if len(sets) == 1 else None


def _words(name: str) -> list[str]:
    parted = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", unicodedata.normalize("NFC", name)).lower()
    parted = re.sub(r"(?<![^\W_])(hold|held)[\W_]+out(?![^\W_])", r"\1out", parted)
    return re.findall(r"[^\W_]+", parted)


def _bare(word: str) -> str:
    """Return a word without its numbers, and without what is added to the word of a set."""
    return _GLUED.sub(r"\1", word.rstrip("0123456789"))


def set_word(name: str) -> str:
    """Return the word for a set that a file's name begins or ends with, numbers aside; "" for none."""
    words = [bare for word in _words(name) if (bare := _bare(word))]
    return next((word for word in (*words[:1], *words[-1:]) if word in SPLIT_NAMES), "")


def as_sets(names: Iterable[str]) -> dict[str, SetName]:
    """Return {name: the set it means} where each of the names means one, in the same manner; else nothing."""
    meant = {name: set_name(name) for name in names}
    known = {name: one for name, one in meant.items() if one is not None}
    alike = len({one.rest for one in known.values()}) == 1
    return known if alike and len(known) == len(meant) else {}


def sets_elsewhere(names: Iterable[str], *, alike: bool = True) -> dict[str, str]:
    """Return {name: set} where each name means a set in some language, several do, and training does.

    alike: nothing else may differ (imagenes_prueba, but not prueba_gatos beside prueba_perros)
    """
    meant = {name: _set_name_elsewhere(name) for name in names}
    known = {name: one for name, one in meant.items() if one is not None}
    sets = {one.split for one in known.values()}
    several = "train" in sets and len(sets) > 1 and len(known) == len(meant)
    if not several or (alike and len({one.rest for one in known.values()}) > 1):
        return {}
    return {name: one.split for name, one in known.items()}


def _set_name_elsewhere(name: str) -> SetName | None:
    """Return what a name says of a set in any language, as set_name does."""
    if short := SHORT.get(name.lower()):
        return SetName(short, name, ())
    words = {word: ELSEWHERE.get(unaccented(word), "") for word in (name, *_words(name))}
    foreign = [word for word, split in words.items() if split]
    if not foreign or set_name(name) is not None:
        return set_name(name)
    rest = [] if foreign[0] == name else [word for word in _words(name) if word != foreign[0]]
    own = tuple(word for word in rest if len(word) > 2 and word not in _AFFIXES)
    return SetName(words[foreign[0]], foreign[0], own)


def unaccented(value: str) -> str:
    """Return the letters and numbers of a text, in small letters, without accents."""
    letters = unicodedata.normalize("NFKD", value.casefold())
    return "".join(letter for letter in letters if letter.isalnum())


def called_like_sets(names: Iterable[str]) -> list[str]:
    """Return the names that may mean a set: that say nothing else, or stand beside one of another set."""
    known = {name: one for name in names if (one := set_name(name)) is not None}
    several = len({one.split for one in known.values()}) > 1
    return [name for name, one in known.items() if several or not one.rest]


def sets_of_others(names: Iterable[str]) -> dict[str, str]:
    """Return {name: the name beside it to which it adds the word of a set}: {"cat_test": "cat"}.

    Words are told apart by signs and capitals, or, where three letters are left, not at all (testcat). Where
    all names are so made, in pairs, each is returned with another: {"traincat": "testcat", ...}.
    """
    plain = {"".join(re.findall(r"[^\W_]+", _plain(name))): name for name in names}
    found: dict[str, str] = {}
    stems: dict[str, dict[str, str]] = defaultdict(dict)
    for key, name in plain.items():
        for stem in _without_set(name):
            if stem in plain:
                found[name] = plain[stem]
        for word, stem in _glued(key):
            if stem in plain:
                found.setdefault(name, plain[stem])
            stems[stem][SPLIT_NAMES[word]] = name
    pairs = [several for several in stems.values() if len(several) > 1]
    if {name for several in pairs for name in several.values()} == set(plain.values()):
        for several in pairs:
            one, other = list(several.values())[:2]
            found |= {name: other if name == one else one for name in several.values()}
    return found


def _without_set(name: str) -> list[str]:
    """Return what may be left of a name without its word for a set, as names are compared."""
    if set_name(name) is None:
        return []
    rest = [word for word in _words(name) if _bare(word) not in SPLIT_NAMES]
    bare = [word for word in rest if word not in _AFFIXES]
    return [_plain(stem) for stem in ("".join(rest), "".join(bare)) if stem]


def _glued(name: str) -> list[tuple[str, str]]:
    """Return (word, rest) for each word of a set that a name begins or ends with, three letters left."""
    if name in _NOT_GLUED:
        return []
    ways = [(word, name.removeprefix(word)) for word in SPLIT_NAMES if name.startswith(word)]
    ways += [(word, name.removesuffix(word)) for word in SPLIT_NAMES if name.endswith(word)]
    return [(word, _plain(rest)) for word, rest in ways if len(rest) > 2]


def one_set(names: Iterable[str]) -> str:
    """Return the set that all of these names say beside something else (testcat, testdog); "" for none."""
    names = list(names)
    known = {one.split for name in names if (one := set_name(name)) is not None and one.rest}
    if len(known) == 1 and all(map(set_name, names)):
        return known.pop()
    # Names that share more are of one kind themselves: the tortoises Testudo graeca and Testudo hermanni.
    for word in ("train", "test"):
        rests = [name.lower().removeprefix(word) for name in names if name.lower().startswith(word)]
        if len(rests) == len(names) and len({rest[:1] for rest in rests}) > 1 and min(map(len, rests)) > 2:
            return SPLIT_NAMES[word]
    return ""


def parsed(words: str) -> Layout:
    """Return the layout that "split/class" asks for. Raises SettingError for what is none."""
    layout = tuple(word.strip().lower() for word in words.split("/"))
    if set(layout) - {FOLDER, CLASS, SPLIT} or layout.count(CLASS) != 1 or layout.count(SPLIT) > 1:
        raise SettingError(
            f"The layout '{words}' is not known.",
            "Allowed are auto, or what each level of folders is, from the outside in: class, split/class, "
            "class/split, folder/class and the like, with class once and split once at most.",
        )
    return layout


class Shape:
    """Where the pictures of a tree lie, by folder.

    below: {folder: the folders in it that hold pictures, or folders with pictures}, "" being the root
    direct: {folder: number of pictures right in it}
    total: {folder: number of pictures in it and below}
    """

    def __init__(self, pictures: Sequence[str]) -> None:
        self.direct = Counter(parent(path) for path in pictures)
        self.total: Counter[str] = Counter()
        folders = set(self.direct)
        for folder, count in self.direct.items():
            self.total[folder] += count
            for above in parents(folder):
                self.total[above] += count
                folders.add(above)
        self.below: dict[str, list[str]] = defaultdict(list)
        for folder in sorted(folders - {""}):
            self.below[parent(folder)].append(folder)

    def names(self, folders: Iterable[str]) -> list[str]:
        """Return the names of the filled folders in these folders, each once."""
        return sorted({_name(inner) for folder in folders for inner in self.below.get(folder, ())})

    def at(self, depth: int) -> list[str]:
        """Return the filled folders so many levels below the root."""
        level = [""]
        for _ in range(depth):
            level = [inner for folder in level for inner in self.below.get(folder, ())]
        return level

    def is_outer(self, folders: Iterable[str]) -> bool:
        """Tell folders whose pictures lie for the most part in folders of their own."""
        folders = list(folders)
        return sum(self.direct[folder] for folder in folders) * 2 < sum(self.total[f] for f in folders)


def _name(folder: str) -> str:
    return folder.rpartition("/")[2]


def _plain(name: str) -> str:
    """Return a name as names of classes are compared: cats and Cat are one."""
    return name.casefold().removesuffix("s")


def find_layout(source: str, shape: Shape, hint: Callable[[], str] = str) -> Layout:
    """Return what the folders of a data set mean, by their names and by what they hold.

    In this order: all folders are called like sets (split/class); each holds folders called like sets
    (class/split); they hold the same folders, or some are called like sets, or all have names that are rarely
    a class's, which is refused; otherwise each is a class.

    hint: returns where the labels may be instead, as a sentence, for those who are refused

    Raises DataError, saying what it looks like and how each meaning is asked for, where more than one is
    possible.
    """
    return _Reading(source, shape, hint).layout()


@dataclass
class _Reading:
    """The search for a layout: each step either knows, or refuses, or leaves it to the next."""

    source: str
    shape: Shape
    ask: Callable[[], str] = str

    @cached_property
    def hint(self) -> str:
        return self.ask()

    @cached_property
    def tops(self) -> list[str]:
        return self.shape.below.get("", [])

    def layout(self) -> Layout:
        if as_sets(self.tops):
            return self._of_sets()
        self._refuse_sets_and_loose()
        if inner := self._sets_inside():
            return inner
        self._refuse_sets_of_others((CLASS,), self.tops)
        self._refuse_sets_elsewhere()
        self._refuse_called_like_sets()
        by_name = {top: [top] for top in self.tops}
        self._refuse_sets_inside()
        self._refuse_doubtful_classes((), by_name)
        return (CLASS,)

    def _of_sets(self) -> Layout:
        """Return split/class, after looking that each set holds classes, perhaps in one more folder."""
        sets = as_sets(self.tops)
        words: dict[str, set[str]] = defaultdict(set)
        for one in sets.values():
            words[one.split].add(one.word)
        for split, several in words.items():
            if len(several) > 1:
                names = [name for name, one in sets.items() if one.split == split]
                called = {"train": "training", "val": "validation"}.get(split, split)
                raise DataError(
                    f"{self.source} contains {listed(names, last=' and ')}, which "
                    f"{plural(len(names) - 1, 'both', 'all')} mean the {called} set.",
                    "Move one of them away, or rename it (train, val and test are known best).",
                )
        flat = [top for top in self.tops if not self.shape.below.get(top)]
        if flat:
            self._refuse_flat_sets(flat)
        prefix, level = self._unwrapped(self.tops)
        by_name: dict[str, list[str]] = defaultdict(list)
        for folder in level:
            for inner in self.shape.below.get(folder, ()):
                by_name[_name(inner)].append(inner)
        self._refuse_sets_again(by_name)
        self._refuse_sets_of_others((*prefix, CLASS), by_name)
        self._refuse_unsorted_sets()
        self._refuse_doubtful_classes(prefix, by_name)
        return (*prefix, CLASS)

    def _refuse_doubtful_classes(self, prefix: Layout, by_name: dict[str, list[str]]) -> None:
        """Raise DataError where what would be a class may be something else; by_name: their folders."""
        rare = rare_names(by_name)
        if any(rare.get(name) == BESIDE and self.shape.is_outer(by_name[name]) for name in by_name):
            # images/{cat,dog} and masks/{cat,dog}: the masks of cats are no pictures of cats.
            self._refuse_rare_names((*prefix, CLASS), by_name)
        self._refuse_same_folders(prefix, by_name)
        self._refuse_classes_inside(prefix, by_name)
        self._refuse_one_outside(prefix, by_name)
        self._refuse_rare_names((*prefix, CLASS), by_name)

    def _unwrapped(self, sets: Sequence[str]) -> tuple[Layout, list[str]]:
        """Return the levels down to the folders that hold the classes of these sets, and those folders."""
        prefix: Layout = (SPLIT,)
        level = list(sets)
        while self._is_wrapped(level):
            prefix, level = (*prefix, FOLDER), [self.shape.below[folder][0] for folder in level]
        return prefix, level

    def _is_wrapped(self, level: list[str]) -> bool:
        """Tell folders that hold one folder each, which holds all the others: train/images/rose."""
        inner = [self.shape.below.get(folder, []) for folder in level]
        return all(
            len(names) == 1 and self.shape.below.get(names[0]) and self.shape.is_outer(names)
            for names in inner
        )

    def _refuse_sets_again(self, by_name: dict[str, list[str]]) -> None:
        """Raise DataError where a set's folder holds one of its own name, and others do not alike.

        A class may be called train, or test: it then lies in every set.
        """
        again = [
            folder
            for name, folders in by_name.items()
            for folder in folders
            if (one := set_name(name)) is not None
            and not one.rest
            and len({path.split("/")[0] for path in folders}) < len(self.tops)
        ]
        if again:
            asked, are = option("layout", "split/class"), plural(len(again), "is", "are")
            raise DataError(
                f"{self.source}: {listed(again, 5, last=' and ')} {are} called like a set, inside a set, and "
                "would be a class.",
                f"Move what lies there one folder up; if it is a class, pass {asked}.",
            )

    def _refuse_flat_sets(self, flat: list[str]) -> None:
        pictures = counted(sum(self.shape.total[top] for top in flat), "picture")
        names, hold = listed(flat, last=" and "), plural(len(flat), "holds", "hold")
        sorted_in = f"Sort them into class folders ({flat[0]}/rose/1.jpg)"
        filled = [top for top in self.tops if top not in flat]
        if not filled:
            raise DataError(
                f"{self.source} contains no class folders: {names} {plural(len(flat), 'is', 'are')} called "
                f"like {plural(len(flat), 'a set', 'sets')} and {hold} {pictures}.",
                f"{self.hint}{' ' if self.hint else ''}{sorted_in}, or list them in a CSV with the columns "
                f"path,label,split; if {names} are the classes, pass {option('layout', CLASS)}.",
            )
        raise DataError(
            f"{self.source}: {names} {hold} {pictures} and no class folders, so that their classes are "
            "not known.",
            f"{self.hint}{' ' if self.hint else ''}{sorted_in}; or, if nobody knows their classes, "
            f"{self._without(names, filled)}.",
        )

    def _without(self, unknown: str, known: Sequence[str]) -> str:
        """Return how to train on these sets alone, without those of which nobody knows the classes."""
        if len(known) > 1:
            return f"move {unknown} away, train, and name the pictures with linnaea predict"
        _, level = self._unwrapped(known)
        return (
            f"divide {known[0]} anew, by naming {self._place(level[0])} as the data, and name the other "
            "pictures with linnaea predict"
        )

    def _place(self, folder: str) -> str:
        return str(Path(self.source) / folder)

    def _refuse_unsorted_sets(self) -> None:
        """Raise DataError for sets with all pictures in one folder that is no class of the others.

        val/images/1.jpg, test/test/1.jpg and test/unknown/1.jpg beside train/{cat,dog}.
        """
        innermost = {}
        for top in self.tops:
            folder = top
            while len(self.shape.below.get(folder, ())) == 1 and not self.shape.direct[folder]:
                folder = self.shape.below[folder][0]
            innermost[top] = folder
        holders = {top: folder for top, folder in innermost.items() if self.shape.below.get(folder)}
        classes = {_plain(name) for name in self.shape.names(holders.values())}
        unsorted = [
            top
            for top, folder in innermost.items()
            if top not in holders and _plain(_name(folder)) not in classes
        ]
        if not holders or not unsorted:
            return
        names = listed((innermost[top] for top in unsorted), last=" and ")
        pictures = counted(sum(self.shape.total[top] for top in unsorted), "picture")
        known = listed(self.shape.names(holders.values()), 5, last=" and ")
        raise DataError(
            f"{self.source}: {names} {plural(len(unsorted), 'holds', 'hold')} {pictures} and "
            f"{plural(len(unsorted), 'is', 'are')} called like none of the classes of "
            f"{listed(holders, last=' and ')} ({known}), so that their classes are not known.",
            f"{self.hint}{' ' if self.hint else ''}Sort them into class folders "
            f"({unsorted[0]}/{self.shape.names(holders.values())[0]}/1.jpg), or "
            f"list all pictures in a CSV with the columns path,label,split; or "
            f"{self._without(listed(unsorted, last=' and '), list(holders))}. If the folders are the "
            f"classes, pass {option('layout', 'split/class')}.",
        )

    def _refuse_sets_and_loose(self) -> None:
        """Raise DataError for sets, and beside them a folder called like one that holds no class folders.

        Training/, Test/ and test-multiple_fruits/.
        """
        flat = [top for top in self.tops if not self.shape.below.get(top)]
        sets = [top for top in self.tops if top not in flat]
        if not flat or len(as_sets(sets)) < 2 or not all(map(set_name, flat)):
            return
        names, known = listed(flat, last=" and "), listed(sets, last=" and ")
        prefix, _ = self._unwrapped(sets)
        raise DataError(
            f"{self.source} contains {known}, called like sets, and {names}, which "
            f"{plural(len(flat), 'holds', 'hold')} pictures and no class folders.",
            f"If {known} are sets, pass {option('layout', '/'.join((*prefix, CLASS)))}, which leaves the "
            f"pictures of {names} out; if every folder is a class, pass {option('layout', CLASS)}.",
        )

    def _sets_inside(self) -> Layout | None:
        """Return class/split where each folder holds nothing but folders called like sets."""
        inner = self.shape.names(self.tops)
        sets = as_sets(inner)
        if len({one.split for one in sets.values()}) < 2 or any(self.shape.direct[top] for top in self.tops):
            return None
        if len(self.tops) < 2:
            return None
        lowest = [folder for top in self.tops for folder in self.shape.below[top]]
        if self.shape.is_outer(lowest):
            classes = self.shape.names(lowest)
            tops = listed(map(_name, self.tops), 5, last=" and ")
            raise DataError(
                f"{self.source} contains {tops}, which hold {listed(inner, last=' and ')}, which hold "
                f"folders with pictures ({listed(classes, 5)}).",
                f"If {listed(classes, 5, last=' and ')} are the classes, pass "
                f"{option('layout', 'folder/split/class')}, or, if {tops} hold the same pictures, name one "
                f"of them ({self._place(self.tops[0])}); if {tops} are, pass "
                f"{option('layout', 'class/split')}.",
            )
        self._refuse_rare_names((CLASS, SPLIT), {top: [top] for top in self.tops})
        return (CLASS, SPLIT)

    def _refuse_sets_elsewhere(self) -> None:
        """Raise DataError for folders called like sets in another language, whatever they hold."""
        found = sets_elsewhere(self.tops)
        if not found:
            self._refuse_sets_of_classes_elsewhere()
            return
        names, sets = listed(found, last=" and "), listed(found.values(), last=" and ")
        as_classes = f"if {names} are the classes, pass {option('layout', CLASS)}"
        if any(self.shape.below.get(top) for top in self.tops):
            raise DataError(
                f"{self.source} contains {names}, which seem to mean the sets {sets}.",
                f"If so, call them {sets}; {as_classes}.",
            )
        raise DataError(
            f"{self.source} contains no class folders: {names} seem to mean the sets {sets}.",
            f"{self.hint}{' ' if self.hint else ''}If so, call them {sets} and sort their pictures into "
            "class folders (train/rose/1.jpg), or list them in a CSV with the columns path,label,split; "
            f"{as_classes}.",
        )

    def _refuse_sets_of_classes_elsewhere(self) -> None:
        """Raise DataError for names of a set and a class each, in another language: prueba_gatos."""
        found = sets_elsewhere(self.tops, alike=False)
        meant = [_set_name_elsewhere(name) for name in found]
        if not found or not all(one and one.rest for one in meant) or all(map(set_name, found)):
            return
        raise DataError(
            f"{self.source}: {listed(found, 5, last=' and ')} say a set and a class each, by their names "
            f"({listed(sorted(set(found.values())), last=' and ')}).",
            f"{_SORT_INTO_SETS}; if every folder is a class, pass {option('layout', CLASS)}.",
        )

    def _refuse_sets_of_others(self, layout: Layout, classes: Iterable[str]) -> None:
        """Raise DataError for classes beside their own test pictures: cat/, dog/, cat_test/, dog_test/.

        layout: by which they would be classes
        """
        found = sets_of_others(classes)
        like = set(called_like_sets(classes))
        if not found or like - found.keys() or like == set(classes):
            return
        names = listed(found, 5, last=" and ")
        others = listed(sorted({*found.values()} - found.keys()), 5, last=" and ")
        are, sets = plural(len(found), "is", "are"), plural(len(found), "a set", "sets")
        cure = _SORT_INTO_SETS
        if layout == (CLASS,) and len({*found, *found.values()}) == len(self.tops) and self._hold_the_same():
            # horse-or-human/ and validation-horse-or-human/, with the classes in either.
            renamed = listed((f"{name} to train-{name}" for name in {*found.values()} - found.keys()), 5)
            cure = f"If so, rename {renamed}"
        raise DataError(
            f"{self.source}: {names} {are} called like {sets} of pictures of {others}."
            if others
            else f"{self.source}: {names} say a set and a class each, by their names.",
            f"{cure}; if every folder is a class, pass {option('layout', '/'.join(layout))}.",
        )

    def _hold_the_same(self) -> bool:
        """Tell folders of which all hold the same folders, and pictures in these alone."""
        held = [set(map(_name, self.shape.below.get(top, ()))) for top in self.tops]
        return len(held[0]) > 1 and all(names == held[0] for names in held) and self.shape.is_outer(self.tops)

    def _refuse_called_like_sets(self) -> None:
        like = called_like_sets(self.tops)
        if not like:
            return
        names, others = listed(like, last=" and "), [top for top in self.tops if top not in like]
        is_set, are = plural(len(like), "a set", "sets"), plural(len(like), "is", "are")
        beside = f", beside {listed(others, 5, last=' and ')}" if others else ""
        message = f"{self.source} contains {names}, called like {is_set}{beside}."
        as_classes = f"if every folder is a class, pass {option('layout', CLASS)}"
        if others and any(self.shape.below.get(top) for top in like):
            prefix, _ = self._unwrapped([top for top in like if self.shape.below.get(top)])
            of_sets = option("layout", "/".join((*prefix, CLASS)))
            cure = f"If {names} {are} {is_set}, pass {of_sets}"
            if left_out := [top for top in others if set_name(top) is None]:
                left = listed(left_out, 5, last=" and ")
                are_some = plural(len(left_out), "is one", "are some")
                cure += (
                    f", which leaves {left} out; if {left} {are_some}, too, write train, val or test into "
                )
                cure += plural(len(left_out), "its name", "their names")
        elif others:
            cure = f"If {names} {are} no class, move {plural(len(like), 'it', 'them')} away"
        elif all(len(self.shape.below.get(top, ())) > 1 for top in like):
            cure = (
                f"If {names} are sets, pass {option('layout', 'split/class')}, which joins those of one set"
            )
        else:
            cure = "If each name says a set and a class, sort the pictures into train/rose/ and the like"
        raise DataError(message, f"{cure}; {as_classes}.")

    def _refuse_same_folders(self, prefix: Layout, by_name: dict[str, list[str]]) -> None:
        """Raise DataError where most classes would hold the same folders, which may be the classes."""
        outer = {name: folders for name, folders in by_name.items() if self.shape.is_outer(folders)}
        # site1/images/cat, site2/images/cat: the one folder between tells nothing.
        between: Layout = (FOLDER,)
        while outer and all(self._is_wrapped(folders) for folders in outer.values()):
            outer = {
                name: [self.shape.below[folder][0] for folder in folders] for name, folders in outer.items()
            }
            between = (*between, FOLDER)
        inner = {
            name: {_plain(inner) for inner in self.shape.names(folders)} for name, folders in outer.items()
        }
        held = Counter(name for names in inner.values() for name in names)
        if len(inner) < 2 or len(held) < 2 or len(inner) < _ALIKE * len(by_name):
            return
        # Sites may lack some of the classes each: half of the names in several folders is no accident.
        if sum(number > 1 for number in held.values()) < max(2, _ALIKE * len(held)):
            return
        outside = listed(sorted(inner), 5, last=" and ")
        folders = [folder for name in inner for folder in outer[name]]
        names = self.shape.names(folders)
        inside = listed(names, 5, last=" and ")
        inmost = [below for folder in folders for below in self.shape.below.get(folder, ())]
        above: Layout = (*prefix, CLASS)
        deeper: Layout = (*prefix, *between, CLASS)
        if not prefix and sets_elsewhere(names):
            self._refuse_sets_in_classes(outside, names, (CLASS, *between[1:], SPLIT))
        if not prefix and sets_elsewhere(self.shape.names(inmost)):
            # north/cat/train: whichever are the classes, the sets stay apart.
            above, deeper = (CLASS, *between, SPLIT), (*deeper, SPLIT)
        beside = [name for name, kind in rare_names(names).items() if kind == BESIDE]
        moved = f"move {listed(beside, 5, last=' and ')} away and " if beside else ""
        outer_way, inner_way = option("layout", "/".join(above)), option("layout", "/".join(deeper))
        # Where there are sets, each of these may lie in several: they say what is kept apart.
        grouped = f", and {option('group_column', FOLDER)} to keep each of {outside} in one set"
        cure = (
            f"If {outside} are the classes, {moved}pass {outer_way}; if {inside} are, pass {inner_way}"
            f"{'' if SPLIT in deeper[len(prefix) :] else grouped}."
        )
        if not prefix and len(inner) <= _MOST_SETS:
            cure += f" If {outside} are sets, call them train, val and test."
        if SPLIT not in above and self.shape.is_outer(inmost):
            cure += (
                f" What lies in those is {option('layout', '/'.join((*prefix, *between, FOLDER, CLASS)))}."
            )
        raise DataError(
            f"{self.source} contains folders that hold the same folders: {outside} hold {inside}; either may "
            "be the classes.",
            cure,
        )

    def _refuse_sets_in_classes(self, classes: str, names: list[str], layout: Layout) -> None:
        """Raise DataError for classes that hold sets, in another language or in one more folder."""
        meant = sets_elsewhere(names)
        called = listed(names, last=" and ")
        keep = f"pass {option('layout', '/'.join(layout))}"
        if not as_sets(names):
            keep = f"call them {listed(meant.values(), last=' and ')}, and {keep}"
        raise DataError(
            f"{self.source} contains {classes}, which hold {called}, and these seem to mean sets.",
            f"If {classes} are the classes, {keep}; to divide their pictures anew, pass "
            f"{option('layout', CLASS)}; if {called} are the classes, pass "
            f"{option('layout', '/'.join((*(FOLDER,) * (len(layout) - 1), CLASS)))}.",
        )

    def _innermost(self, folders: Sequence[str]) -> list[str]:
        """Return these folders, or the only ones inside each, down to those with several or with pictures."""
        level = list(folders)
        while self._is_wrapped(level):
            level = [self.shape.below[folder][0] for folder in level]
        return level

    def _refuse_rare_names(self, layout: Layout, by_name: dict[str, list[str]]) -> None:
        """Raise DataError where all classes, or all but one, would have names that are rarely a class's.

        layout: by which they would be classes
        """
        rare = rare_names(by_name)
        if not no_classes(rare, len(by_name)):
            return
        names = listed(rare, 5, last=" and ")
        kinds = set(rare.values())
        outer = {name: folders for name, folders in by_name.items() if self.shape.is_outer(folders)}
        around = {
            name: self._innermost(folders) for name, folders in outer.items() if rare.get(name) != BESIDE
        }
        holders = [folder for folders in around.values() for folder in folders]
        inner, deeper = self.shape.names(holders), (*layout[:-1], FOLDER, CLASS)
        # 2019/05/rose: the deepest are what is most likely meant.
        while self.shape.is_outer(
            below := [each for one in holders for each in self.shape.below.get(one, ())]
        ):
            holders, deeper = below, (*deeper[:-1], FOLDER, CLASS)
            inner = self.shape.names(holders)
        cures = []
        if len(inner) > 1 and SPLIT not in layout[1:]:
            inside = f"if {listed(inner, 5, last=' and ')} are the classes"
            first = next(iter(around.values()))
            if BESIDE in kinds and len(first) == 1:
                cures.append(f"{inside}, train on them: {self._place(first[0])}")
            elif BESIDE in kinds:
                beside = [name for name, kind in rare.items() if kind == BESIDE]
                cures.append(f"{inside}, move {listed(beside, 5, last=' and ')} away")
            else:
                cures.append(f"{inside}, pass {option('layout', '/'.join(deeper))}")
        if not cures and not self.hint:
            away = [name for name, kind in rare.items() if kind not in (PART, PICTURES)]
            moved = f" and move {listed(away, 5, last=' and ')} away" if away else ""
            cures.append(
                f"give each class a folder of its own (photos/rose/1.jpg){moved}, or list the pictures in a "
                "CSV with the columns path,label"
            )
        cures.append(
            f"if {listed(by_name, 5, last=' and ')} really are the classes, pass "
            f"{option('layout', '/'.join(layout))}"
        )
        cure = "; ".join(cures)
        like = "pictures and what lies beside them (masks, labels, copies, unlabelled ones)"
        if kinds == {PART}:
            like = "parts of one whole (years, batches, places)"
        are = (
            "are names"
            if len(rare) == len(by_name)
            else plural(len(rare), f"{names} is a name", f"{names} are names")
        )
        raise DataError(
            f"{self.source}: {listed(by_name, 5, last=' and ')} would be the classes, and {are} for {like}, "
            f"not for {plural(len(rare), 'a class', 'classes')}.",
            " ".join(filter(None, [self.hint, f"{cure[0].upper()}{cure[1:]}."])),
        )

    def _refuse_classes_inside(self, prefix: Layout, by_name: dict[str, list[str]]) -> None:
        """Raise DataError where a folder in a class is called like another: whose pictures are those?"""
        known = {_plain(name): name for name in by_name}
        inside = [
            below
            for name, folders in by_name.items()
            for folder in folders
            for below in self.shape.below.get(folder, ())
            if _plain(_name(below)) in known and _plain(_name(below)) != _plain(name)
        ]
        if not inside:
            return
        names = listed(inside, 5, last=" and ")
        classes = listed(sorted({known[_plain(_name(below))] for below in inside}), 5, last=" and ")
        are, like = plural(len(inside), "is", "are"), plural(len(inside), "a class", "classes")
        around = listed(sorted({_name(parent(below)) for below in inside}), 5, last=" and ")
        raise DataError(
            f"{self.source}: {names} {are} called like {like} ({classes}), and the pictures there would be "
            f"of {around}.",
            f"Move them to {classes}, or away; if they are of {around}, pass "
            f"{option('layout', '/'.join((*prefix, CLASS)))}.",
        )

    def _refuse_one_outside(self, prefix: Layout, by_name: dict[str, list[str]]) -> None:
        """Raise DataError where one folder alone holds folders: images/{cat,dog} beside masks/."""
        outer = [name for name, folders in by_name.items() if self.shape.is_outer(folders)]
        if len(outer) != 1 or len(by_name) < 2:
            return
        holder = outer[0]
        inner = self.shape.names(by_name[holder])
        if any(self.shape.direct[folder] for folder in by_name[holder]):
            # cat/resized and cat/crops, beside pictures of cats, are none.
            inner = [name for name in inner if not lies_beside(name, among_pictures=True)]
        if len(inner) < 2:
            return
        names, beside = listed(inner, 5, last=" and "), [name for name in by_name if name != holder]
        others = listed(beside, 5, last=" and ")
        deeper = option("layout", "/".join((*prefix, FOLDER, CLASS)))
        have = plural(len(beside), "has", "have")
        raise DataError(
            f"{self.source}: {holder} holds folders ({names}), and {others} beside it {have} none; either "
            "may be the classes.",
            f"If {names} are the classes, pass {deeper}, which leaves {others} out; if {holder} and "
            f"{others} are, pass {option('layout', '/'.join((*prefix, CLASS)))}.",
        )

    def _refuse_sets_inside(self) -> None:
        """Raise DataError for a class with a folder inside that says nothing but the name of a set."""
        inside = [
            folder
            for top in self.tops
            for folder in self.shape.below.get(top, ())
            if (one := set_name(_name(folder))) is not None and not one.rest
        ]
        if inside and len(self.tops) > 1 and self.shape.is_outer(inside):
            classes = listed(self.shape.names(inside), 5, last=" and ")
            like, hold = plural(len(inside), "a set", "sets"), plural(len(inside), "holds", "hold")
            raise DataError(
                f"{self.source} contains {listed(inside, 5)}, called like {like}, which {hold} folders with "
                f"pictures ({classes}), and pictures in no such folder.",
                f"If {classes} are the classes, pass {option('layout', 'folder/split/class')}, which leaves "
                f"pictures outside of sets out, or name one folder ({self._place(parent(inside[0]))}); if "
                f"{listed(self.tops, 5, last=' and ')} are, pass {option('layout', CLASS)}.",
            )
        if inside and len(self.tops) > 1:
            raise DataError(
                f"{self.source} contains {listed(inside, 5)}, called like "
                f"{plural(len(inside), 'a set', 'sets')}, and pictures in no such folder.",
                f"If all pictures of a class are to be divided anew, pass {option('layout', CLASS)}; if only "
                f"those in such folders are to be used, {option('layout', 'class/split')}.",
            )


def wrapper(source: str, shape: Shape) -> tuple[str, list[str]] | None:
    """Return (the folder that holds the class folders, their names) where it lies in others alone."""
    folder = ""
    while len(shape.below.get(folder, ())) == 1 and (folder == "" or not shape.direct[folder]):
        folder = shape.below[folder][0]
    inner = [_name(name) for name in shape.below.get(folder, ())]
    return (str(Path(source) / folder), inner) if folder and len(inner) > 1 else None
