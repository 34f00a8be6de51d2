"""The field's words that a page uses, explained at its end: those that occur on it, and no others."""

import re

WORDS = {
    "backbone": "a network that has learned from many other pictures, without its last layer",
    "balanced accuracy": "the mean of all classes' recall, so that small classes count as much as large ones",
    "baseline": "a simple answer that a network must beat to be worth anything",
    "Brier score": "the squared distance between probabilities and the truth: lower is better",
    "calibration error": "how far stated probabilities are from how often they are right, on average",
    "confidence": "a range with 95 % confidence misses the truth in one of twenty such measurements",
    "cross-entropy": "what training lowers: high where the true class gets a low probability",
    "epoch": "one pass over all training pictures",
    "F1": "recall and precision in one number, 0 to 1: it is high only where both are",
    "false alarm": "a picture of a known class that is flagged as unfamiliar",
    "fine-tuning": "training a network further that has learned from other pictures before",
    "fold": "one of several equal parts of the pictures, tested by a network that learned from the others",
    "group": "pictures that belong together, such as copies, and stay in one set; they count as fewer",
    "learning rate": "how far each step of the training goes",
    "linear classifier": "the simplest that learns: a weighted sum of the pixels for each class",
    "linear probe": "the network as it came, with only a new last layer",
    "log loss": "0 where the true class always gets the probability 1, and higher the less it gets",
    "macro AUC": "how well probabilities rank pictures of a class before others: 0.5 by chance, 1 at best",
    "out-of-distribution": "unlike everything that was learned from, perhaps of no known class",
    "parameters": "the numbers in a network that training sets",
    "points": "a difference of two percentages: from 80 % to 85 % are 5 points",
    "precision": "of the pictures that were given a class, the share that is of it",
    "prediction set": "as many classes as it takes to contain the true one as often as promised",
    "recall": "of the pictures of a class, the share that was given this class",
    "ReLU": "what each unit of a network does: it passes on what is above 0",
    "scene": "one background, in which something is added, removed or exchanged",
    "seed": "the number that all chance of a training comes from",
    "standard deviation": "how far single values are from their mean, typically",
    "temperature": "one number, fitted on validation, that makes all probabilities more or less confident",
    "test set": "pictures that nothing was learned from and nothing chosen on",
    "training set": "the pictures that the network learned from",
    "validation set": "pictures that were not learned from, on which choices were made",
}
"""Word -> what it means, for readers without the field's schooling."""

# What a reader sees, without scripts, styles, drawings and pictures.
_UNSEEN = re.compile(r"<(script|style|svg)\b.*?</\1>|<[^>]*>", re.DOTALL)


def words_of(body: str) -> dict[str, str]:
    """Return the words of WORDS that occur in a page's HTML, in their order."""
    text = _UNSEEN.sub(" ", body)
    return {
        word: meaning for word, meaning in WORDS.items() if re.search(_pattern(word), text, re.IGNORECASE)
    }


def _pattern(word: str) -> str:
    # A plural counts; "training set" is met as "training pictures" too, "test set" as "test pictures".
    stem, _, last = word.rpartition(" ")
    if last == "set" and stem != "prediction":
        return rf"\b{stem}\s+(sets?|pictures?)\b"
    return rf"\b{re.escape(word).replace(chr(92) + ' ', chr(92) + 's+')}s?\b"
