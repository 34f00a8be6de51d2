"""First weights: drawn layer by layer, each layer from a stream of its own."""

import math

import numpy as np

from linnaea.random_streams import Purpose, stream

NORMAL_DEVIATION = 0.1
INITIALISERS = ("auto", "normal", "xavier", "he")


def initialise(weights: np.ndarray, rule: str, activation: str | None, seed: int, layer: int) -> None:
    """Fill weights (outputs, inputs) in place with normal numbers of mean 0; biases start at 0 elsewhere.

    rule: str
        "normal": deviation 0.1. "xavier": sqrt(2 / (inputs + outputs)) (Glorot and Bengio 2010).
        "he": sqrt(2 / inputs) (He et al. 2015). "auto": he before a ReLU, xavier elsewhere.
    activation: str or None
        What follows the layer; None for the output layer.
    """
    outputs, inputs = weights.shape
    if rule == "auto":
        rule = "he" if activation == "relu" else "xavier"
    deviation = {
        "normal": NORMAL_DEVIATION,
        "xavier": math.sqrt(2 / (inputs + outputs)),
        "he": math.sqrt(2 / inputs),
    }[rule]
    # Drawn as float64 always: float32 and float64 networks start from the same numbers.
    weights[...] = deviation * stream(seed, Purpose.WEIGHTS, 0, layer).standard_normal(weights.shape)
