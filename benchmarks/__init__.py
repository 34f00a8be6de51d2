"""What this package measures of itself, each beside its peers: `python -m benchmarks [name ...]`."""
