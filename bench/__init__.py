"""Measures Tidegate beside its peers against the same mock, in one go: `python -m bench -h`."""
