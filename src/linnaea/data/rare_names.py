"""Names of folders that are rarely a class's: what lies beside pictures, was put aside, or is a part."""

import re
import unicodedata
from collections.abc import Iterable
from functools import cache
from typing import Literal

from linnaea.text import natural_order

BESIDE, ASIDE, PART, PICTURES = "beside", "aside", "part", "pictures"
Rarity = Literal["beside", "aside", "part", "pictures"]
"""Why a name is rarely a class's: it is called like what lies beside pictures or was made of them (masks,
labels, unlabeled, "cat - Copy"); like what was put aside, which a class may be, too (trash, old); like a part
of a whole (2019, batch_1, 100CANON); or like any pictures (images, raw), which alone says nothing."""

_BESIDE = re.compile(
    r"(seg(mentation)? ?)?masks?|seg|segmentations?|segmented|segmentation ?(class|object)(es)?"
    r"|labels?|annotations?|anno|annots|bboxe?s?|bounding ?boxe?s|ground ?truths?|gt"
    r"|(heat|depth|saliency|attention|activation|feature|cam)( ?maps?)|grad ?cams?( ?\+ ?\+)?|overlays?"
    r"|un(labell?ed|sup|supervised|sorted|annotated|classified|tagged)|to ?do"
    r"|(to|needs?|for) ?(be )?(sort(ed)?|review(ed)?|check(ed)?|label(l?ed)?|annotate|predict"
    r"|classify|delete|remove|fix)"
    r"|backups?|bak|.* (bak|backup)|new folder( \d+)?|neuer ordner( \d+)?|untitled folder( \d+)?"
    r"|augmented|augmentations?|(pre)?processed|resized|cropped|prepped|thumbnails"
    r"|.* copy|copy of .*|.* kopie|depth"
)
_ASIDE = re.compile(
    r"old|trash|bin|tmp|temp|unknown|misc|miscellaneous|results?|figures|plots|all|outputs?|predictions?"
    r"|samples?|examples?|downloads?|archives?|screenshots?|exports?|drafts?"
    r"|review|un(sure|certain|decided)|ambiguous|duplicates?|skip(ped)?|ignored?|excluded?|discard(ed)?"
    r"|deleted?|not used|rejects?|rejected|aussortiert|inference|preds?|predict(ed)?"
    r"|submissions?|misclassified|calibration|flat ?fields|darks"
)
_PICTURES = re.compile(
    r"(jpeg ?)?(images?|imgs?)|pictures?|pics?|photos?|jpe?gs?|pngs?|raw|originals?|inputs?|frames|rgb"
    r"|colou?r|labell?ed|sup|annotated|data|dataset|hr|lr"
    # Of phones and of what is made with them.
    r"|dcim|camera( roll)?|saved pictures|google photos|sent|received"
    r"|(whatsapp|telegram|viber|signal|i ?cloud)( \w+)?"
)
_MONTHS = (
    "january february march april may june july august september october november december jan feb mar apr "
    "jun jul aug sep sept oct nov dec"
)
_WHOLES = (
    "batch part fold chunk shard session week day month year volume vol disk disc folder subset upload "
    "export download archive camera cam site station location deployment visit trip shoot survey flight "
    "video clip sequence seq series ct trap card sd images imgs photos pictures data dataset set dcim "
    "roll run scan slide plate"
)
_YEAR = r"(19|20)\d\d"
_PART = re.compile(
    # By number, letter or Roman number.
    rf"({'|'.join(_WHOLES.split())})( ?\d+| [a-h]| [ivx]{{1,4}})|(photos from |year )?{_YEAR}"
    r"|(mon|tues|wednes|thurs|fri|satur|sun)day"
    # A day, with or without hours; a month of a year; a month.
    rf"|{_YEAR} ?\d\d ?\d\d( \d+)*|\d\d \d\d {_YEAR}|{_YEAR} \d\d|\d\d {_YEAR}"
    rf"|(\d\d ?)?({'|'.join(_MONTHS.split())})( {_YEAR})?|{_YEAR} ({'|'.join(_MONTHS.split())})"
    # Folders of cameras and phones (DCF 2.0): 100CANON, and not 100 rupee.
    r"|[1-9]\d\d([a-z]{5}|eos ?\d*d?|gopro|pana|nd\d+|nz\d+)"
    # Sizes and versions.
    r"|\d{2,4} ?x ?\d{2,4}( ?px)?|\d{2,4} ?px|64|128|224|256|512|1024|(v|version) ?\d+"
)
# What is made of pictures or put away beside them: cat_resized beside cat, edited/ inside of cat.
_MADE = "(aug(mented)?|flipped|rotated|cropped|crops|resized|old|bak|backup|edited|processed|thumb(nail)?s)"
_MADE_OF = re.compile(
    # A number alone, too: "dog (1)".
    rf"(?P<name>.+?) ({_MADE}( \d+)*|\d+)"
    r"|(augmented|flipped|rotated|cropped|resized|backup|edited) (?P<second>.+)"
)
# What a class may be called, too: a grey wolf, a small bottle.
_LIKE = re.compile(r"(?P<name>.+)( (gr[ae]y( ?scale)?|bw|small|new|final|orig)|(?<=[a-z]{3})\d+)")
# Words that say nothing beside another: mask_images, label files.
_FILLERS = frozenset(
    [
        *("images", "image", "imgs", "img", "pictures", "pics", "photos", "files"),
        *("png", "jpg", "jpeg", "of", "the", "my"),
    ]
)


def rare_names(names: Iterable[str]) -> dict[str, Rarity]:
    """Return {name: why it is rarely a class's}, in their natural order, for the names of which that is so.

    What all names share is passed over (cat_images, cat_masks). A name that stands beside its opposite, as
    "mask" beside "no mask", is none; neither is "bar 1" beside "bar 2", but "dog (1)", "dog_resized" and
    "dog_masks" beside "dog" are.
    """
    words = {name: _words(name) for name in sorted(set(names), key=natural_order)}
    shared = set.intersection(*map(set, words.values())) if len(words) > 1 else set()
    plain = {name: " ".join(each) for name, each in words.items()}
    others = {each.removesuffix("s") for each in plain.values()}

    def is_made_of_another(pattern: re.Pattern[str], name: str) -> bool:
        made = pattern.fullmatch(plain[name])
        return made is not None and any(
            one.removesuffix("s") in others for one in made.groupdict().values() if one
        )

    def is_rare_after_another(words: list[str]) -> bool:
        # cat_masks, or cat_2019, beside cat: no refusal, since there is a face mask beside a face.
        return any(
            " ".join(words[:place]).removesuffix("s") in others and _kind(" ".join(words[place:]))
            for place in range(1, len(words))
        )

    rare: dict[str, Rarity] = {}
    for name, each in words.items():
        own = [word for word in each if word not in shared]
        begun = next((place for place, word in enumerate(each) if word not in shared), len(each))
        # After what all names begin with: HAM10000_images_part_1, survey_2019.
        ways = [*(" ".join(each[place:]) for place in range(begun + 1)), " ".join(own)]
        ways.append(" ".join(word for word in own if word not in _FILLERS))
        if is_made_of_another(_MADE_OF, name):
            rare[name] = "beside"
        elif kind := next((kind for way in ways if way and (kind := _kind(way))), None):
            # A class may be called trash; _trash is what somebody put aside.
            rare[name] = "beside" if kind == ASIDE and name[0] in "_#~" else kind
        elif is_made_of_another(_LIKE, name) or is_rare_after_another(each):
            rare[name] = "aside"
    beside = [word for name in words if name not in rare for word in words[name]]
    return {
        name: kind
        for name, kind in rare.items()
        if kind in (PART, PICTURES) or not _is_in(plain[name].removesuffix("s"), beside)
    }


@cache
def lies_beside(name: str, among_pictures: bool) -> bool:
    """Tell the name of a folder in a class like masks or labels; among pictures, like originals or resized.

    among_pictures: whether the class has pictures beside that folder
    """
    words = " ".join(_words(name))
    kind = _kind(words)
    made = re.fullmatch(_MADE, words) is not None
    return kind == BESIDE or (among_pictures and (made or kind in (ASIDE, PICTURES)))


def _is_in(name: str, words: list[str]) -> bool:
    """Tell a name that is one of these words or, if it is long, in one: mask in nomask, no bin in robin."""
    return any(name == word or (len(name) > 3 and name in word) for word in words)


def _words(name: str) -> list[str]:
    parted = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", unicodedata.normalize("NFC", name)).lower()
    return re.findall(r"[^\W_]+", parted)


def _kind(words: str) -> Rarity | None:
    if _BESIDE.fullmatch(words):
        return "beside"
    if _PART.fullmatch(words):
        return "part"
    if _ASIDE.fullmatch(words):
        return "aside"
    return "pictures" if _PICTURES.fullmatch(words) else None


def no_classes(rare: dict[str, Rarity], number: int) -> bool:
    """Tell folders that can hardly be classes: all of so many have such names, or all but one.

    All but one, if one of them lies beside pictures by its name, or two are numbered parts of a whole: paper
    and trash, or photos and sketches, may be classes; cat and masks, or 2019, 2020 and Rome, are not.
    """
    parts = [name for name, kind in rare.items() if kind == PART and any(letter.isdigit() for letter in name)]
    almost = len(rare) == number - 1 and (BESIDE in rare.values() or len(parts) > 1)
    return number > 1 and (len(rare) == number or almost)
