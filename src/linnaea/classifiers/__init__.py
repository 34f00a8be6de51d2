"""Classifiers that learn, under one contract."""
