"""A multi-layer perceptron by hand, in NumPy: it knows nothing of pictures or files other than its own."""
