"""Tidegate: the gateway between a product and its language models."""

__version__ = "0.1.0"
