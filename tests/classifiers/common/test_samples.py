# ruff: noqa: E501 (whole messages, one a line)
"""Facts: labels and rows are read as they stand, whatever holds them; what would be misread is refused."""

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from scipy.sparse import csr_matrix

from linnaea import MLPClassifier
from linnaea.classifiers.common import samples
from linnaea.errors import DataError

X = np.random.default_rng(0).random((6, 4), dtype=np.float32)
NAMES = ["a", "b"] * 3


@pytest.mark.parametrize(
    ("y", "classes"),
    [
        (pd.Series([3, 5] * 3, dtype="Int64"), [3, 5]),
        (pd.array([3, 5] * 3, dtype="Int8"), [3, 5]),
        (pd.Series([True, False] * 3, dtype="boolean"), [False, True]),
        (pd.Series(NAMES, dtype="string"), ["a", "b"]),
        (pd.Series(NAMES, dtype="category", index=range(6, 0, -1)), ["a", "b"]),
        (pd.Categorical([30, 4] * 3), [4, 30]),
        (pd.Index(NAMES), ["a", "b"]),
        (np.array([3, 5] * 3, dtype=object), [3, 5]),
        (np.array([True, False] * 3, dtype=object), [False, True]),
        (np.array(NAMES, dtype=np.dtypes.StringDType()), ["a", "b"]),
        ([np.int64(3), 5] * 3, [3, 5]),
        (tuple(NAMES), ["a", "b"]),
        (torch.tensor([3, 5] * 3), [3, 5]),
        ([torch.tensor(3), torch.tensor(5)] * 3, [3, 5]),
        ([2**60, 2**60 + 1] * 3, [2**60, 2**60 + 1]),
    ],
)
def test_a_label_stays_what_it_is(y, classes):
    network = MLPClassifier((3,), epochs=1, random_state=0).fit(X, y)
    assert network.classes_.tolist() == classes
    assert [type(name) for name in network.classes_.tolist()] == [type(name) for name in classes]
    assert network.score(X, y) == network.evaluate(X, y)[1]


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (["a", None] * 3, "y holds None, which is no class, in 3 rows, the first row 1. Leave those rows out, or give their class a name."),
        (["a", float("nan")] * 3, "y holds nan, which is no class, in 3 rows, the first row 1. Leave those rows out, or give their class a name."),
        ([0.0, np.nan] * 3, "y holds nan, which is no class, in 3 rows, the first row 1. Leave those rows out, or give their class a name."),
        ([0.0, np.inf] * 3, "y holds inf, which is no class, in 3 rows, the first row 1. Leave those rows out, or give their class a name."),
        (pd.Series([1, 2, 3, 1, 2, None], dtype="Int64"), "y holds <NA>, which is no class, in 1 row, the first row 5. Leave those rows out, or give their class a name."),
        (pd.Categorical([*NAMES[:5], None]), "y holds nan, which is no class, in 1 row, the first row 5. Leave those rows out, or give their class a name."),
        (pd.to_datetime(["2020-01-01", None] * 3), "y holds NaT, which is no class, in 3 rows, the first row 1. Leave those rows out, or give their class a name."),
        (np.ma.array([0, 1] * 3, mask=[1, 0, 0, 0, 0, 0]), "y holds 1 masked value. Leave those rows out, or fill in the values first."),
        (["a", 1] * 3, "y holds labels of several kinds: text ('a') and numbers (1). Make them all text: [str(label) for label in y]."),
        ([True, "a"] * 3, "y holds labels of several kinds: truth values (True) and text ('a'). Make them all text: [str(label) for label in y]."),
        ([True, 2] * 3, "y holds labels of several kinds: truth values (True) and numbers (2). Make them all text: [str(label) for label in y]."),
        (np.linspace(0, 1, 6), "y holds 0.2: continuous numbers are no classes. Make classes of them first: numpy.digitize puts numbers into intervals; or make text of them."),
        ([b"a", b"b"] * 3, "Unknown label type: y holds values of type bytes (\"b'a'\"). Pass text or whole numbers, one label for each row."),
        (np.array(NAMES, dtype="S"), "Unknown label type: y holds |S1 values. Pass text or whole numbers; text of bytes is numpy.char.decode(y)."),
        (np.eye(2)[[0, 1] * 3], "y should be a 1d array of labels; received one of shape (6, 2). Give one label for each row; of rows of zeros and a one, y.argmax(axis=1)."),
        ([("a", 1), ("b", 2)] * 3, "y should be a 1d array of labels; received one of shape (6, 2). Give one label for each row; of rows of zeros and a one, y.argmax(axis=1)."),
        (None, "y should be a 1d array of labels; received None. Give one label for each row."),
        ("ababab", "y is a single str. Pass a list of labels, one for each row."),
        ({"a": 1}, "y is a dict, which is no sequence. Pass a list of what is in it."),
        ({"a", "b"}, "y is a set, which is no sequence. Pass a list of what is in it."),
        (iter(NAMES), "y is a list_iterator, which can be gone through only once. Make a list of it first."),
    ],
)  # fmt: skip
def test_labels_that_are_none_are_named(y, message):
    with pytest.raises(DataError) as error:
        MLPClassifier(epochs=1).fit(X, y)
    assert str(error.value) == message


ONE_ROW = "Make one row of numbers of each picture, all of one size: X.reshape(len(X), -1)."
NUMBERS = "and rows of numbers are needed."
READ = (
    "Read pictures first, pass their paths to a FineTuneClassifier, or give them and the run to "
    "linnaea.predict."
)


@pytest.mark.parametrize(
    ("X", "message"),
    [
        ([], "X holds no rows. Give one at least."),
        (X[:0], "X holds no rows. Give one at least."),
        (np.zeros((6, 12, 12)), f"X has the shape (6, 12, 12), {NUMBERS} {ONE_ROW}"),
        ([Image.new("L", (9, 9))] * 6, f"X has the shape (6, 9, 9), {NUMBERS} {ONE_ROW}"),
        ([np.zeros((3, n)) for n in range(1, 7)], f"The rows of X differ in length or shape. {ONE_ROW}"),
        ([Image.new("RGB", (n, 9)) for n in range(1, 7)], f"The rows of X differ in length or shape. {ONE_ROW}"),
        ([[1, 2], [1]] * 3, f"The rows of X differ in length or shape. {ONE_ROW}"),
        (X[0], f"X has the shape (4,), {NUMBERS} Reshape your data, as an array: X.reshape(1, -1) makes one row, X.reshape(-1, 1) rows of one number."),
        (["a.png"] * 6, f"X holds text, such as 'a.png', {NUMBERS} {READ}"),
        (pd.DataFrame({"path": ["a.png"] * 6, "n": range(6)}), f"X holds text, such as 'a.png', {NUMBERS} {READ}"),
        ("pictures", "X is a single str. Pass an array of shape (n, features)."),
        (None, "X is None. Pass an array of shape (n, features)."),
        (Image.new("L", (9, 9)), "X is a single Image. Pass an array of shape (n, features)."),
        ((row for row in X), "X is a generator, which can be gone through only once. Make a list of it first."),
        ({"a": [1] * 6}, "X is a dict, which is no sequence. Pass a list of what is in it."),
        (csr_matrix(X), "X is a sparse array. Sparse data cannot be used: pass a dense array, toarray()."),
        (np.ma.masked_less(X, 0), None),
        (np.ma.array(X, mask=[[1, 0, 0, 0]] * 6), "X holds 6 masked values. Leave those rows out, or fill in the values first."),
        (X + 1j, "Complex data not supported: X holds complex numbers. Pass real ones."),
        (pd.DataFrame({"n": pd.array([1, None] * 3, dtype="Int64")}), "X contains NaN or infinity: 3 values, the first in row 1, column 0. Leave those rows out, or fill in the values first."),
        (pd.DataFrame({"n": pd.array([1, 2] * 3, dtype="Int64"), "m": pd.array([True, False] * 3, dtype="boolean")}), None),
        (torch.from_numpy(X), None),
        (torch.from_numpy(X).requires_grad_(), "X cannot be made an array (Can't call numpy() on Tensor that requires grad. Use tensor.detach().numpy() instead.). Make a NumPy array of it first."),
    ],
)  # fmt: skip
def test_rows_that_are_none_are_named_before_and_after_training(X, message):
    if message is None:
        assert MLPClassifier((3,), epochs=1).fit(X, NAMES).predict(X).shape == (6,)
        return
    with pytest.raises(DataError) as error:
        MLPClassifier(epochs=1).fit(X, NAMES)
    assert str(error.value) == message


@pytest.mark.parametrize("ask", ["predict", "predict_proba", "decision_function", "features"])
def test_no_rows_are_refused_whatever_is_asked(ask):
    network = MLPClassifier((3,), epochs=1).fit(X, NAMES)
    with pytest.raises(DataError, match=r"^X holds no rows\. Give one at least\.$"):
        getattr(network, ask)([])


def test_numbers_are_no_names_and_names_no_numbers():
    """NumPy would compare them as text, in which 10 comes before 2."""
    numbered = MLPClassifier((3,), epochs=1).fit(X, [2, 10] * 3)
    named = MLPClassifier((3,), epochs=1).fit(X, NAMES)
    refusals = {
        (numbered, "2"): "y holds text, such as 2, and the classes are numbers, such as 2.",
        (named, 1): "y holds numbers, such as 1, and the classes are text, such as a.",
    }
    for (network, label), message in refusals.items():
        for ask in (network.score, network.evaluate):
            with pytest.raises(DataError) as error:
                ask(X, [label] * 6)
            assert str(error.value) == f"{message} Give labels of the same kind as those of training."
    with pytest.raises(DataError, match=r"^class_weight holds text, such as 2, and the classes are numbers"):
        MLPClassifier(epochs=1, class_weight={"2": 1.0}).fit(X, [2, 10] * 3)


def test_a_class_that_training_did_not_have_is_never_right():
    network = MLPClassifier((3,), epochs=1).fit(X, NAMES)
    assert network.score(X, [*network.predict(X)[:3], "c", "c", "c"]) == 0.5


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        (["a", "b", None], "classes holds None, which is no class, in 1 row, the first row 2. Leave those rows out, or give their class a name."),
        (["a", "b", 3], "classes holds labels of several kinds: text ('a') and numbers (3). Make them all text: [str(label) for label in y]."),
        (["a"], "classes holds one class only, 'a'. Give at least two classes to tell apart."),
    ],
)  # fmt: skip
def test_the_classes_of_partial_fit_are_looked_at(classes, message):
    with pytest.raises(DataError) as error:
        MLPClassifier().partial_fit(X, NAMES, classes=classes)
    assert str(error.value) == message


def test_the_classes_of_partial_fit_may_be_a_column():
    network = MLPClassifier().partial_fit(X, [0, 1] * 3, classes=pd.Series([2, 0, 1], dtype="Int64"))
    assert network.classes_.tolist() == [0, 1, 2]


WEIGH = "Give each row a weight of 0 or more, and not 0 to all."


@pytest.mark.parametrize(
    ("sample_weight", "message"),
    [
        (np.ones(3), f"X has 6 rows and sample_weight has the shape (3,). {WEIGH}"),
        (np.ones((6, 1)), f"X has 6 rows and sample_weight has the shape (6, 1). {WEIGH}"),
        (pd.Series([1, None] * 3, dtype="Int64"), f"sample_weight is no number in row 1 (nan). {WEIGH}"),
        ([1, None] * 3, f"sample_weight is no number in row 1 (nan). {WEIGH}"),
        ([1, -1] * 3, f"sample_weight is negative in row 1 (-1). {WEIGH}"),
        (["much"] * 6, f"sample_weight holds something else than numbers (could not convert string to float: 'much'). {WEIGH}"),
        ({"a": 1}, "sample_weight is a dict, which is no sequence. Pass a list of what is in it."),
        ((1 for _ in X), "sample_weight is a generator, which can be gone through only once. Make a list of it first."),
    ],
)  # fmt: skip
def test_weights_that_are_none_are_named(sample_weight, message):
    with pytest.raises(DataError) as error:
        MLPClassifier(epochs=1).fit(X, NAMES, sample_weight=sample_weight)
    assert str(error.value) == message


def test_weights_in_a_column_are_weights():
    y, weights = np.array(["a", "b"]), [1, 2]
    column = pd.Series(weights, dtype="Int64", index=[7, 8])
    given = (samples.weights_of_rows(w, None, y, y, np.float32) for w in (weights, column, np.array(weights)))
    for found in given:
        np.testing.assert_array_equal(found, np.float32([2 / 3, 4 / 3]))


@pytest.mark.parametrize(
    ("validation_data", "message"),
    [
        (X, "validation_data is a ndarray. Pass a pair: (X, y)."),
        ((X, NAMES, NAMES), "validation_data is a tuple of 3. Pass a pair: (X, y)."),
        (0.2, "validation_data is a float. Pass a pair: (X, y)."),
        ((X[:0], []), "validation X holds no rows. Give one at least."),
        ((X, ["a", None] * 3), "validation y holds None, which is no class, in 3 rows, the first row 1. Leave those rows out, or give their class a name."),
        ((X, [0, 1] * 3), "validation y holds numbers, such as 0, and the classes are text, such as a. Give labels of the same kind as those of training."),
    ],
)  # fmt: skip
def test_validation_data_are_looked_at_as_training_data_are(validation_data, message):
    with pytest.raises(DataError) as error:
        MLPClassifier(epochs=1).fit(X, NAMES, validation_data=validation_data)
    assert str(error.value) == message
