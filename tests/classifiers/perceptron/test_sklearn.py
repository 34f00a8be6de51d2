"""scikit-learn's own checks, and its tools around the classifier."""

import pickle

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from linnaea import MLPClassifier

# The checks fit 30 to 300 points: three steps an epoch, so the default 20 epochs would be too few to learn.
QUICK = {"epochs": 60, "learning_rate": 0.01, "random_state": 0}


def expected_failures(estimator):
    """Checks that cannot pass, each with its reason."""
    if estimator.dtype == "float64":
        return {}
    reason = (
        "asks for agreement to 1e-7, and float32 products of other orders differ by that; passes in float64"
    )
    return {
        "check_sample_weight_equivalence_on_dense_data": reason,
        "check_methods_sample_order_invariance": reason,
        "check_methods_subset_invariance": reason,
    }


@parametrize_with_checks(
    [
        MLPClassifier(**QUICK),
        MLPClassifier(**QUICK, dtype="float64"),
        MLPClassifier(**QUICK | {"learning_rate": 0.5}, loss="squared_error", solver="sgd", dtype="float64"),
    ],
    expected_failed_checks=expected_failures,
)
@pytest.mark.filterwarnings("ignore")
def test_scikit_learns_checks(estimator, check):
    check(estimator)


X, y = load_iris(return_X_y=True)


def test_pickle():
    network = MLPClassifier(epochs=2, random_state=0).fit(X, y)
    again = pickle.loads(pickle.dumps(network))
    assert np.array_equal(again.predict_proba(X), network.predict_proba(X))
    # It can learn on, as the first one would.
    assert np.array_equal(again.partial_fit(X, y).parameters_, network.partial_fit(X, y).parameters_)


def test_clone_takes_settings_and_nothing_learned():
    network = MLPClassifier((3, 4), epochs=2, l2=0.1, random_state=0).fit(X, y)
    again = clone(network)
    assert again.get_params() == network.get_params()
    assert not hasattr(again, "parameters_")


def test_grid_search_in_a_pipeline():
    pipeline = make_pipeline(StandardScaler(), MLPClassifier(epochs=60, learning_rate=0.02, random_state=0))
    search = GridSearchCV(pipeline, {"mlpclassifier__hidden_layer_sizes": [(2,), (20,)]}, cv=3).fit(X, y)
    assert search.best_score_ > 0.9
    assert search.best_estimator_.predict(X).shape == y.shape


def test_two_classes_have_one_decision():
    network = MLPClassifier(epochs=20, random_state=0).fit(X, y > 0)
    decision = network.decision_function(X)
    assert decision.shape == (150,)
    assert np.array_equal(decision > 0, network.predict(X))
    assert network.decision_function(X[:0:-1]).shape == (149,)
    p = network.predict_proba(X)
    assert decision == pytest.approx(np.log(p[:, 1] / p[:, 0]), abs=1e-3)
