"""Turns at a target: how many run at once, who waits for the next one, and who is refused."""
