"""Where a request may go, in which order, and why."""
