"""The model card: what was trained on what, what it can do, and how it fails (Mitchell et al., 2019).

Every sentence is a fact from the run folder. What nobody measured is named as unmeasured, or left out.
"""

from linnaea.evaluation import ood
from linnaea.evaluation.metrics import SURE
from linnaea.report import caveats, formatting, sections, sentences
from linnaea.report.facts import RunFacts
from linnaea.report.formatting import count, counted, percent
from linnaea.text import natural_order

WEAKEST = 5
UNEVEN = 3.0  # times as many training pictures in the largest class as in the smallest: worth a word


def model_card(facts: RunFacts) -> list[tuple[str, list[str]]]:
    """Return (heading, lines) of the card; empty before the test set was evaluated."""
    if facts.predictions is None or not len(facts.predictions):
        return []
    parts = [
        ("Model", _identity(facts)),
        ("Training data", _training(facts)),
        ("Intended use", _purpose(facts)),
        ("Performance", _score(facts)),
        ("Known weaknesses", _failures(facts)),
    ]
    return [(title, lines) for title, lines in parts if lines]


def _identity(facts: RunFacts) -> list[str]:
    network, lines = facts.info.network, []
    if network and network.summary:
        size = "" if network.parameters is None else f", {count(network.parameters)} parameters"
        # The rest of its summary stands at the foot of the page.
        lines.append(f"A picture classifier: {network.summary.partition(' · ')[0]}{size}.")
    version, finished = facts.info.versions.get("linnaea"), (facts.info.finished or "")[:10]
    if version and finished:
        lines.append(f"Trained with Linnaea {version}, finished on {finished}.")
    return lines


def _training(facts: RunFacts) -> list[str]:
    data = facts.info.data
    if "train" not in data.splits:
        return []
    lines = [
        f"{counted(data.splits['train'], 'picture')} of {facts.data_name or 'the data'}, "
        f"{counted(len(data.classes), 'class', 'classes')}."
    ]
    counts = training_counts(facts)
    if counts:
        least, most = min(counts.values()), max(counts.values())
        spread = "" if least == most else f"{count(least)} to "
        lines.append(f"{spread}{counted(most, 'training picture')} per class.")
    if validation := data.splits.get("val"):
        lines.append(f"{counted(validation, 'more picture')} for choices such as the epoch (validation set).")
    return lines


def training_counts(facts: RunFacts) -> dict[str, int]:
    """Return the number of training pictures of each class; empty where run.json does not say."""
    per = facts.info.data.per_class
    return {name: counts["train"] for name, counts in per.items() if "train" in counts}


def _purpose(facts: RunFacts) -> list[str]:
    table = facts.predictions
    if table is None:
        return []
    classes = sorted(table.classes, key=natural_order)
    return [
        f"Assigning one of {counted(len(classes), 'class', 'classes')} ({formatting.listed(classes, 6)}) "
        "to pictures like those of its test set.",
        "It was tested on nothing else: its accuracy with other cameras, places or times is unknown.",
    ]


def _score(facts: RunFacts) -> list[str]:
    accuracy = facts.metric("accuracy")
    if accuracy is None:
        return []
    lines = [str(sections.verdict(facts))]
    share = caveats.leak_share(facts)
    if share:
        lines.append(f"{share} of the test pictures leak: see the warning at the top.")
    return lines


def _failures(facts: RunFacts) -> list[str]:
    table = facts.predictions
    if table is None:
        return []
    lines = []
    found = [
        row
        for row in facts.rows("accuracy", "classes")
        # A class that is recognised as often as the others is no weak one, though some must be the lowest.
        if row["recall"] is not None and row["recall"] < (facts.metric("accuracy") or 0.0)
    ]
    weakest = sorted(found, key=lambda row: (row["recall"], row["class"]))[:WEAKEST]
    # Of two classes, the weakest five are all of them.
    if weakest and len(table.classes) > 2:
        named = formatting.listed([f"{row['class']} ({percent(row['recall'], 0)})" for row in weakest])
        lines.append(f"Lowest recall: {named}.")
    pairs = [pair for pair in facts.rows("accuracy", "confused")[:3] if pair["pictures"] > 1]
    if pairs:
        frequent = formatting.listed(
            [
                f"{pair['true']} as {pair['predicted']} ({count(pair['pictures'])}{formatting.NBSP}×)"
                for pair in pairs
            ]
        )
        lines.append(f"Most frequent mistakes: {frequent}.")
    if sure := facts.metrics["accuracy"].get("sure_mistakes"):
        lines.append(
            f"It can be confidently wrong: {counted(sure, 'mistake')} had a probability of "
            f"{percent(SURE, 0)} or more."
        )
    if sentences.broken_sets(facts.metrics):
        lines.append(
            "Its prediction sets and thresholds may hold less often than guaranteed: see the warning at the "
            "top."
        )
    return lines + _blind_spots(facts)


def _unfamiliar(facts: RunFacts) -> list[str]:
    """Return what becomes of a picture of none of the classes."""
    asked = facts.outliers.get("asked")
    if not isinstance(asked, (int, float)):
        return ["A picture of anything else is assigned one of these classes too, without a warning."]
    # Older runs do not say how many of the pictures are independent.
    pictures = facts.outliers.get("independent", facts.outliers.get("pictures"))
    rate = ood.guaranteed_rate(asked, pictures) if isinstance(pictures, int) and pictures > 0 else asked
    # Older runs call it a part.
    split = str(facts.outliers.get("split") or facts.outliers.get("part") or "validation")
    more = ""
    if isinstance(pictures, int) and rate > asked:
        more = f" (on average; {counted(pictures, f'{split} picture')} cannot guarantee less)"
    seen = facts.metric("outliers")
    found = "" if seen is None else f"; in the test set, {percent(seen)} were"
    lines = [
        "A picture of anything else is assigned one of these classes too. Prediction may flag it as "
        "unfamiliar (out-of-distribution), or miss it. Of pictures of known classes, at most "
        f"{percent(rate)} should be flagged by mistake{more}{found}."
    ]
    if (broken := sentences.false_alarms(facts.metrics)) is not None:
        lines.append(f"There are too many false alarms: {formatting.unbroken(broken)}.")
    return lines


def _blind_spots(facts: RunFacts) -> list[str]:
    """Return weaknesses known from the data: unfamiliar pictures, uneven classes, classes without a test."""
    lines = _unfamiliar(facts)
    counts = training_counts(facts)
    most = max(counts.values(), default=0)
    few = sorted((name for name in counts if 0 < counts[name] <= most / UNEVEN), key=lambda n: (counts[n], n))
    if few:
        named = formatting.listed([f"{name} ({count(counts[name])})" for name in few[:3]])
        some = "One class" if len(few) == 1 else "Some classes"
        lines.append(f"{some} had far fewer training pictures than others: {named}.")
    table = facts.predictions
    if table is not None:
        unseen = sorted(set(table.classes) - set(table.true.tolist()), key=natural_order)
        if unseen:
            verb, them = ("has", "it") if len(unseen) == 1 else ("have", "them")
            lines.append(
                f"{formatting.listed(unseen)} {verb} no test picture: nothing is known about {them}."
            )
    return lines
