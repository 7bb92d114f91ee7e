"""The data plane: answers requests and does nothing else. Read `serve.py` first."""
