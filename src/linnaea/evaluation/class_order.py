"""An order of classes in which those that are confused stand beside each other."""

import numpy as np

# Leaves are turned to stand beside their like in a time that grows with the cube of the classes.
MOST_TURNED = 200
# Among classes that are equally alike, those that were neighbours stay so.
_TIE = 1e-4


def by_confusion(matrix: np.ndarray) -> np.ndarray:
    """Return the classes, (k,), in the order of the leaves of a clustering by how often they are confused.

    matrix: int (k, k)
        Pictures, true classes in rows; the order of its classes decides between equals.

    Average linkage over 1 - the mean of the two shares that went from either class to the other, leaves
    ordered optimally (Bar-Joseph, Gifford and Jaakkola 2001, Bioinformatics 17:S22-S29). The same matrix
    always gives the same order.
    """
    from scipy.cluster.hierarchy import leaves_list, linkage
    from scipy.spatial.distance import squareform

    k = len(matrix)
    mistakes = matrix - np.diag(matrix.diagonal())
    if k < 3 or not mistakes.any():
        return np.arange(k)
    share = mistakes / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    apart = np.abs(np.subtract.outer(np.arange(k), np.arange(k))) / k
    distance = 1 - (share + share.T) / 2 + _TIE * apart
    np.fill_diagonal(distance, 0)
    tree = linkage(squareform(distance, checks=False), "average", optimal_ordering=k <= MOST_TURNED)
    leaves = leaves_list(tree)
    # Read from either end, an order is the same: from the class that came first.
    return leaves if leaves[0] < leaves[-1] else leaves[::-1]


def most_confused(matrix: np.ndarray, most: int, *, least: int = 2) -> np.ndarray:
    """Return up to so many classes, ascending, that the most frequent pairs of confused classes are made of.

    A pair counts from `least` mistakes on, both ways together: fewer are an accident.
    """
    both = np.triu(matrix + matrix.T, 1)
    chosen: dict[int, None] = {}
    for place in np.argsort(-both, axis=None, kind="stable")[: most * most]:
        first, second = divmod(int(place), len(matrix))
        together = dict.fromkeys([*chosen, first, second])
        if both[first, second] < least:
            break
        if len(together) <= most:
            chosen = together
    return np.array(sorted(chosen), dtype=int)
