"""Alerts: rules over facts, what fires and what is over, and who is told; it needs no store."""
