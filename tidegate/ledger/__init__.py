"""What a request cost, and the spool that keeps its record until the store has it."""
