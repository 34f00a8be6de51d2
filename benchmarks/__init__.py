"""Measurements of this package, each beside comparable libraries: `python -m benchmarks [name ...]`."""
