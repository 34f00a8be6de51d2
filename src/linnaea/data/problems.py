"""Problem: one thing that is wrong with a data set, and the kinds there are."""

from dataclasses import dataclass

SEVERITIES = ("error", "warning", "note")

KINDS = {
    "unreadable": "Cannot be read",
    "missing_file": "File is missing",
    "one_class": "Fewer than two classes",
    "exact_duplicate_across_splits": "Exact duplicates in two sets",
    "near_duplicate_across_splits": "Near duplicates in two sets",
    "exact_duplicate_across_classes": "Exact duplicates of several labels",
    "near_duplicate_across_classes": "Near duplicates of several labels",
    "exact_duplicate": "Exact duplicates",
    "near_duplicate": "Near duplicates",
    "similar_names": "Classes of similar names",
    "same_scene": "Pictures of one scene",
    "missing_from_split": "Classes missing from a set",
    "empty_class": "Classes without pictures",
    "tiny_class": "Classes too small to evaluate",
    "small_class": "Small classes",
    "imbalance": "Unequal classes",
    "placeholder": "Probably no photographs",
    "blank": "Blank",
    "dark": "Very dark",
    "bright": "Very bright",
    "blurred": "Blurred",
    "odd_size": "Of an odd size",
    "odd_aspect": "Of an odd shape",
    "grey": "Grey among colour",
    "wrong_extension": "Wrong file ending",
    "orientation": "Turned by a tag",
    "converted": "Read with a loss",
    "small_pictures": "Too small for near duplicates",
    "crops_not_searched": "Crops not searched",
}
"""Every kind of problem in a few words, in the order in which a user should read them."""

DUPLICATES = tuple(kind for kind in KINDS if "duplicate" in kind)
"""The kinds whose paths are one picture, found more than once: across sets (leakage: the score cannot be
trusted), across classes (a label is probably wrong), or within one class and set. Copies that lie across
both are two problems: either cure leaves the other."""

TOLD = ("similar_names",)
"""The kinds that a training says in full beside their number: they concern what it learns to tell apart."""

GROUPED = (*DUPLICATES, "same_scene")
"""The kinds whose paths are one group, to be seen side by side: copies, or pictures of one background in
which something was added, removed or exchanged."""

UNUSABLE = ("unreadable", "missing_file")
"""The kinds whose pictures cannot be used at all."""


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong.

    kind: str
        A key of KINDS.
    severity: str
        "error": training cannot use these pictures, or no score can be trusted while they stay; "warning":
        training can use them, and should not; "note": worth knowing.
    paths: tuple of str
        The pictures, by their path in the data set; none where it is about classes, or about all
        pictures. Of a kind in GROUPED: all of one group.
    message: str
        One sentence for the user.
    """

    kind: str
    severity: str
    paths: tuple[str, ...]
    message: str

    def as_dict(self) -> dict[str, object]:
        """Return the problem as it stands in check.json."""
        return {
            "kind": self.kind,
            "severity": self.severity,
            "paths": list(self.paths),
            "message": self.message,
        }


def by_severity(problems: list[Problem]) -> list[Problem]:
    """Return problems, errors first, then in the order of KINDS; within a kind as they came."""
    kinds = list(KINDS)
    return sorted(
        problems, key=lambda problem: (SEVERITIES.index(problem.severity), kinds.index(problem.kind))
    )
