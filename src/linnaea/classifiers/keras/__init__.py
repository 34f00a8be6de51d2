"""The perceptron again, built and trained by Keras 3."""
