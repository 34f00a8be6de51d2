"""MLPClassifier: what learning must and must not do."""

import os
import signal

import numpy as np
import pytest
from sklearn.datasets import load_digits, make_blobs

from linnaea import MLPClassifier
from linnaea.errors import DivergenceError, SettingError


@pytest.fixture(scope="module")
def digits():
    """1,797 real handwritten digits of 8 by 8 pixels: 1,200 to train, 597 to validate, labels as text."""
    X, y = load_digits(return_X_y=True)
    X, y = (X / 16).astype(np.float32), y.astype(str)
    return X[:1200], y[:1200], X[1200:], y[1200:]


@pytest.fixture(scope="module")
def blobs():
    """90 points around three well-parted centres, in float64."""
    return make_blobs(90, 4, centers=3, random_state=0)


def test_learns_real_digits(digits):
    X, y, X_val, y_val = digits
    network = MLPClassifier((64,), epochs=30, learning_rate=0.005, random_state=0).fit(X, y)
    assert 0.90 < network.score(X_val, y_val) < 1
    assert network.classes_.tolist() == list("0123456789")
    assert network.describe() == {"summary": "64-64-10, relu", "parameters": 64 * 64 + 64 + 64 * 10 + 10}


@pytest.mark.parametrize("solver", ["sgd", "nesterov", "adam"])
@pytest.mark.parametrize("loss", ["cross_entropy", "squared_error"])
@pytest.mark.parametrize("activation", ["relu", "tanh", "sigmoid"])
def test_every_combination_learns(blobs, solver, loss, activation):
    X, y = blobs
    rate = {"sgd": 0.5, "nesterov": 0.1, "adam": 0.02}[solver]
    network = MLPClassifier(
        (8,), solver=solver, loss=loss, activation=activation, learning_rate=rate, batch_size=10, epochs=40,
        random_state=0,
    )  # fmt: skip
    assert network.fit(X, y).score(X, y) > 0.9
    assert network.predict_proba(X).sum(axis=1) == pytest.approx(1, abs=1e-6)


def test_history_tells_both_parts_with_the_network_in_the_same_state(digits):
    X, y, X_val, y_val = digits
    seen = []

    def listen(record, network):
        # What the record says is what the network now does.
        assert record.train_accuracy == pytest.approx(network.score(X, y))
        assert record.val_accuracy == pytest.approx(network.score(X_val, y_val))
        p = network.predict_proba(X_val)[np.arange(len(y_val)), y_val.astype(int)]
        assert record.val_loss == pytest.approx(-np.log(p.astype(np.float64)).mean(), rel=1e-4)
        seen.append(record)

    network = MLPClassifier((16,), epochs=3, dropout=0.2, random_state=0)
    network.fit(X, y, validation_data=(X_val, y_val), on_epoch=listen)
    assert network.history_ == seen
    assert [record.epoch for record in seen] == [0, 1, 2, 3]
    assert seen[0].seconds == 0
    assert all(record.seconds > 0 for record in seen[1:])
    assert seen[3].train_loss < seen[1].train_loss < seen[0].train_loss
    assert network.chosen_epoch_ == 3


def test_without_validation_there_is_none(blobs):
    record = MLPClassifier(epochs=0, random_state=0).fit(*blobs).history_[0]
    assert (record.val_loss, record.val_accuracy) == (None, None)


def test_the_recorded_rate_follows_the_schedule(blobs):
    network = MLPClassifier(epochs=4, learning_rate=0.1, schedule="cosine", warmup_epochs=2, random_state=0)
    rates = [record.learning_rate for record in network.fit(*blobs).history_]
    assert rates == pytest.approx([0, 0.05, 0.1, 0.05, 0])


@pytest.mark.parametrize("extra", [{}, {"dropout": 0.5, "input_dropout": 0.2}, {"augment": "digits"}])
def test_one_seed_one_result_bit_for_bit(digits, extra):
    X, y, _, _ = digits
    runs = [MLPClassifier((20,), epochs=2, random_state=s, **extra).fit(X[:500], y[:500]) for s in (3, 3, 4)]
    assert np.array_equal(runs[0].parameters_, runs[1].parameters_)
    assert not np.array_equal(runs[0].parameters_, runs[2].parameters_)


def test_weights_are_repeated_rows(blobs):
    X, y = blobs
    counts = np.random.default_rng(0).integers(0, 4, len(y))
    # One batch holds everything: in smaller ones repeated rows would fall into different batches.
    settings = {
        "epochs": 20,
        "batch_size": 1000,
        "dtype": "float64",
        "learning_rate": 0.01,
        "random_state": 0,
    }
    weighted = MLPClassifier(**settings).fit(X, y, sample_weight=counts)
    repeated = MLPClassifier(**settings).fit(np.repeat(X, counts, axis=0), np.repeat(y, counts))
    doubled = MLPClassifier(**settings).fit(X, y, sample_weight=2.0 * counts)
    assert weighted.predict_proba(X) == pytest.approx(repeated.predict_proba(X), abs=1e-9)
    assert weighted.predict_proba(X) == pytest.approx(doubled.predict_proba(X), abs=1e-9)


def test_class_weight_is_a_sample_weight(blobs):
    X, y = blobs[0][10:], blobs[1][10:]
    settings = {"epochs": 5, "random_state": 0, "dtype": "float64"}
    n = np.bincount(y)
    by_hand = MLPClassifier(**settings).fit(X, y, sample_weight=(len(y) / (3 * n))[y])
    balanced = MLPClassifier(class_weight="balanced", **settings).fit(X, y)
    named = MLPClassifier(class_weight=dict(enumerate(len(y) / (3 * n))), **settings).fit(X, y)
    assert balanced.parameters_ == pytest.approx(by_hand.parameters_, abs=1e-9)
    assert named.parameters_ == pytest.approx(by_hand.parameters_, abs=1e-9)


def test_max_norm_holds_after_training(digits):
    X, y, _, _ = digits
    network = MLPClassifier((30, 20), epochs=3, max_norm=1.0, learning_rate=0.01, random_state=0).fit(X, y)
    for weights in network.coefs_[:-1]:
        assert np.linalg.norm(weights.astype(np.float64), axis=0).max() <= 1.0
    assert np.linalg.norm(network.coefs_[-1], axis=0).max() > 1.0


def test_l2_shrinks_the_weights(blobs):
    sizes = [
        np.linalg.norm(MLPClassifier(epochs=30, l2=l2, random_state=0).fit(*blobs).coefs_[0])
        for l2 in (0, 0.1, 1)
    ]
    assert sizes[0] > sizes[1] > sizes[2]


def test_early_stopping_restores_the_best_epoch(digits):
    X, y, X_val, y_val = digits
    kept = {}
    network = MLPClassifier((64,), epochs=200, learning_rate=0.01, patience=4, random_state=0)
    network.fit(
        X, y, validation_data=(X_val, y_val),
        on_epoch=lambda record, self: kept.update({record.epoch: self.parameters_.copy()}),
    )  # fmt: skip
    scores = [(r.val_accuracy, -r.val_loss) for r in network.history_]
    assert network.chosen_epoch_ == scores.index(max(scores))
    assert len(network.history_) == network.chosen_epoch_ + 4 + 1 < 200
    assert np.array_equal(network.parameters_, kept[network.chosen_epoch_])


@pytest.mark.parametrize("patience", [0, 4])
def test_patience_says_when_training_stops_and_keep_which_epoch_is_kept(patience, digits):
    X, y, X_val, y_val = digits
    best, last = (
        MLPClassifier((64,), epochs=60, learning_rate=0.01, patience=patience, keep=keep, random_state=0).fit(
            X, y, validation_data=(X_val, y_val)
        )
        for keep in ("best", "last")
    )
    scores = [(r.val_accuracy, -r.val_loss) for r in best.history_]
    end = 60 if patience == 0 else scores.index(max(scores)) + patience
    assert len(best.history_) == len(last.history_) == end + 1
    assert best.chosen_epoch_ == scores.index(max(scores)) < last.chosen_epoch_ == end
    for network in (best, last):
        record = network.history_[network.chosen_epoch_]
        assert network.evaluate(X_val, y_val) == (record.val_loss, record.val_accuracy)


def test_without_anything_to_validate_on_the_last_epoch_is_kept(digits):
    network = MLPClassifier((16,), epochs=3, learning_rate=0.5, random_state=0).fit(*digits[:2])
    assert network.chosen_epoch_ == 3
    assert network.evaluate(*digits[:2])[0] == network.history_[-1].train_loss


def test_early_stopping_carves_a_stratified_part_of_its_own(digits):
    X, y, _, _ = digits
    network = MLPClassifier((16,), epochs=2, patience=1, validation_fraction=0.25, random_state=0).fit(X, y)
    # 300 of 1,200 rows: accuracies are multiples of 1/300 and, of the rest, of 1/900.
    for record in network.history_:
        assert record.val_accuracy * 300 == pytest.approx(round(record.val_accuracy * 300))
        assert record.train_accuracy * 900 == pytest.approx(round(record.train_accuracy * 900))


def test_partial_fit_learns_in_pieces(digits):
    X, y, X_val, y_val = digits
    network = MLPClassifier((64,), learning_rate=0.01, random_state=0)
    # The first piece lacks classes: the list of all must come first.
    first = np.isin(y, ["0", "1"])
    network.partial_fit(X[first], y[first], classes=np.unique(y))
    for _ in range(8):
        network.partial_fit(X[:600], y[:600]).partial_fit(X[600:], y[600:])
    assert network.score(X_val, y_val) > 0.85


def test_one_partial_fit_is_one_epoch(blobs):
    X, y = blobs
    whole = MLPClassifier(epochs=3, random_state=0).fit(X, y)
    pieces = MLPClassifier(random_state=0)
    for _ in range(3):
        pieces.partial_fit(X, y)
    assert np.array_equal(whole.parameters_, pieces.parameters_)


def test_divergence_names_the_epoch_and_keeps_the_best(digits):
    X, y, _, _ = digits
    best = MLPClassifier((16,), solver="sgd", learning_rate=1e30, epochs=5, random_state=0)
    with pytest.raises(DivergenceError) as caught:
        best.fit(X, y)
    assert str(caught.value) == (
        "Training diverged in epoch 1: loss or weights are no longer finite. "
        "Lower the learning rate (now 1e+30), or scale the features to 0..1."
    )
    untrained = MLPClassifier((16,), epochs=0, random_state=0).fit(X, y)
    assert np.array_equal(best.parameters_, untrained.parameters_)
    assert len(best.history_) == 1
    assert best.predict_proba(X).sum(axis=1) == pytest.approx(1, abs=1e-6)


def test_a_loss_that_explodes_within_the_numbers_is_divergence_too(digits):
    X, y, _, _ = digits
    # Dead units: the loss is in the hundreds and would stay there for ever.
    exploding = MLPClassifier((100,), solver="sgd", learning_rate=999, epochs=20, random_state=0)
    with pytest.raises(DivergenceError, match=r"epoch \d+: the loss is .*, and was 2\.\d+ before training\."):
        exploding.fit(X, y)
    assert exploding.evaluate(X, y)[0] <= exploding.history_[0].train_loss


def test_a_pass_of_partial_fit_that_diverges_is_taken_back(digits):
    X, y, _, _ = digits
    network = MLPClassifier((16,), solver="sgd", learning_rate=1e30, random_state=0)
    with pytest.raises(DivergenceError, match="They are again those from before it"):
        network.partial_fit(X, y)
    assert np.isfinite(network.predict_proba(X)).all()


@pytest.mark.parametrize(("first", "then"), [("adam", "sgd"), ("nesterov", "adam"), ("sgd", "nesterov")])
def test_partial_fit_goes_on_with_another_solver(digits, first, then):
    X, y, _, _ = digits
    network = MLPClassifier((16,), solver=first, random_state=0).partial_fit(X, y)
    before = network.parameters_.copy()
    network.set_params(solver=then).partial_fit(X, y)
    assert not np.array_equal(before, network.parameters_)


def test_what_is_saved_is_what_was_fitted(digits, tmp_path):
    X, y, _, _ = digits
    network = MLPClassifier((16,), epochs=1, random_state=0).fit(X, y)
    network.set_params(hidden_layer_sizes=(9,))
    network.save(tmp_path)
    again = MLPClassifier.load(tmp_path)
    assert again.hidden_layer_sizes == (16,)
    assert np.array_equal(again.predict_proba(X), network.predict_proba(X))
    network.set_params(epochs=-3)
    with pytest.raises(SettingError):
        network.save(tmp_path)


def test_ctrl_c_with_patience_leaves_the_best_epoch(digits):
    X, y, X_val, y_val = digits

    def stop(record, _):
        if record.epoch == 4:
            raise KeyboardInterrupt

    network = MLPClassifier((16,), epochs=50, patience=50, learning_rate=0.05, random_state=0)
    with pytest.raises(KeyboardInterrupt):
        network.fit(X, y, validation_data=(X_val, y_val), on_epoch=stop)
    scores = [(record.val_accuracy, -record.val_loss) for record in network.history_]
    assert network.chosen_epoch_ == max(range(5), key=scores.__getitem__)
    loss, accuracy = network.evaluate(X_val, y_val)
    assert (accuracy, -loss) == scores[network.chosen_epoch_]


def test_ctrl_c_between_epochs_leaves_a_classifier(digits):
    X, y, _, _ = digits

    def stop(record, _):
        if record.epoch == 2:
            raise KeyboardInterrupt

    network = MLPClassifier((16,), epochs=50, random_state=0)
    with pytest.raises(KeyboardInterrupt):
        network.fit(X, y, on_epoch=stop)
    assert len(network.history_) == 3
    assert np.array_equal(
        network.parameters_, MLPClassifier((16,), epochs=2, random_state=0).fit(X, y).parameters_
    )


def test_ctrl_c_within_an_epoch_waits_for_the_step_and_can_go_on(digits, monkeypatch):
    X, y, _, _ = digits
    steps = []
    train_step = MLPClassifier._train_step

    def interrupted_step(self, network, solver, x, *rest):
        steps.append(len(steps))
        if len(steps) == 17:
            # The signal arrives in the middle of a step.
            os.kill(os.getpid(), signal.SIGINT)
        train_step(self, network, solver, x, *rest)

    monkeypatch.setattr(MLPClassifier, "_train_step", interrupted_step)
    broken = MLPClassifier((16,), epochs=3, random_state=0)
    with pytest.raises(KeyboardInterrupt):
        broken.fit(X, y)
    assert len(steps) == 17  # 12 steps an epoch: five of the second were made, all of them whole
    assert len(broken.history_) == 2
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler

    resumed = MLPClassifier((16,), epochs=3, random_state=0)
    resumed.load_training_state(*broken.training_state())
    resumed.fit(X, y)
    monkeypatch.undo()
    assert len(steps) == 36
    whole = MLPClassifier((16,), epochs=3, random_state=0).fit(X, y)
    assert np.array_equal(resumed.parameters_, whole.parameters_)
    assert [r.train_loss for r in resumed.history_] == [r.train_loss for r in whole.history_]


def test_features_of_the_right_type_are_not_copied(digits):
    X, y, _, _ = digits
    from linnaea.classifiers.common import samples

    network = MLPClassifier(epochs=0).fit(X, y)
    assert samples.features(network, X) is X


def test_progress_bar_counts_epochs(blobs, capsys):
    MLPClassifier(epochs=2, progress=True, random_state=0).fit(*blobs)
    assert "2/2" in capsys.readouterr().err
