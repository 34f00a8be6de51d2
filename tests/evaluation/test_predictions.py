"""Facts: what is written comes back, and what is no table is refused, with the place."""

import os

import numpy as np
import pytest

from linnaea.errors import DataError
from linnaea.evaluation.predictions import Predictions


def example():
    generator = np.random.default_rng(0)
    probabilities = generator.dirichlet(np.ones(3), size=50).astype(np.float32)
    names = np.array(["zebra", "ant, red", "bee"])
    return Predictions(
        paths=tuple(f"ünïcode, {row}.png" for row in range(50)),
        true=names[generator.integers(3, size=50)],
        classes=tuple(names),
        probabilities=probabilities.astype(np.float64),
    )


def test_a_table_comes_back_to_the_last_bit_of_its_float32(tmp_path):
    table = example()
    (tmp_path / "p.csv").write_text(table.to_csv(), encoding="utf-8")
    again = Predictions.read_csv(tmp_path / "p.csv")
    assert (again.paths, again.classes) == (table.paths, table.classes)
    np.testing.assert_array_equal(again.true, table.true)
    np.testing.assert_array_equal(
        again.probabilities.astype(np.float32), table.probabilities.astype(np.float32)
    )


def test_true_index_is_the_column_of_the_true_class_whatever_the_order_of_the_classes():
    table = example()
    np.testing.assert_array_equal(np.array(table.classes)[table.true_index], table.true)


def test_of_equal_probabilities_the_first_class_is_predicted():
    table = Predictions(("a.png",), np.array(["x"]), ("x", "y", "z"), np.array([[0.25, 0.375, 0.375]]))
    assert (table.predicted[0], table.confidence[0]) == ("y", 0.375)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path,true\n", "does not begin with the columns path, true, predicted and the classes"),
        ("path,true,predicted,x,y\na.png,x,x,1\n", "line 2: expected 5 values, received 4"),
        ("path,true,predicted,x,y\na.png,x,x,one,0\n", "a probability that is not a number"),
        ("path,true,predicted,x,y\na.png,x,x,1,0\nb.png,x,x,0.5,0.6\n", "line 3: .* the sum 1 .sum 1.1"),
        ("path,true,predicted,x,y\na.png,x,x,nan,0\n", "line 2: .* the sum 1"),
        (
            "path,true,predicted,rose,lily\na.png,rosa,rose,1,0\n",
            "line 2: the true class 'rosa' has no column in this table. Did you mean 'rose'",
        ),
        (
            "path,true,predicted,x,y\na.png,x,z,1,0\n",
            "line 2: the predicted class 'z' has no column in this table",
        ),
        (
            "path,true,predicted,x,y\na.png,x,x,1,0\nb.png,x,x,0.4,0.6\n",
            "line 3: 'x' is given as predicted, but 'y' is more probable",
        ),
    ],
)
def test_what_is_no_table_is_refused(tmp_path, text, message):
    (tmp_path / "p.csv").write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=message):
        Predictions.read_csv(tmp_path / "p.csv")


def test_a_missing_table_says_how_to_make_it(tmp_path):
    with pytest.raises(DataError, match=r"is missing\. The run was not evaluated on a test set"):
        Predictions.read_csv(tmp_path / "p.csv")


def test_a_pipe_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "p.csv")
    with pytest.raises(DataError, match=r"p\.csv is a named pipe, not a file\. Leave it out\."):
        Predictions.read_csv(tmp_path / "p.csv")


def test_shapes_must_agree():
    with pytest.raises(DataError, match=r"needs 1 labels and probabilities of shape \(1, 2\)"):
        Predictions(("a.png",), np.array(["x"]), ("x", "y"), np.zeros((2, 2)))


@pytest.mark.parametrize(
    ("classes", "columns"),
    [
        (("cat", "dog"), ["cat", "dog"]),
        (("false", "true"), ["p_false", "p_true"]),
        (("Error", "path", "predicted"), ["p_Error", "p_path", "p_predicted"]),
        # Not taken for the columns of classes false and true.
        (("p_false", "p_true"), ["p_p_false", "p_p_true"]),
        (("p_cat", "p_dog"), ["p_cat", "p_dog"]),
    ],
)
def test_no_two_columns_have_one_name_and_the_classes_come_back(tmp_path, classes, columns):
    probabilities = np.eye(len(classes))
    paths = tuple(f"{name}.png" for name in classes)
    text = Predictions(paths, np.array(classes), classes, probabilities).to_csv()
    assert text.splitlines()[0].split(",") == ["path", "true", "predicted", *columns]
    (tmp_path / "p.csv").write_text(text)
    again = Predictions.read_csv(tmp_path / "p.csv")
    assert (again.classes, again.predicted.tolist()) == (classes, list(classes))


def test_a_table_older_than_the_prefix_is_read(tmp_path):
    (tmp_path / "p.csv").write_text("path,true,predicted,false,true\n1.png,true,false,0.75,0.25\n")
    assert Predictions.read_csv(tmp_path / "p.csv").classes == ("false", "true")
