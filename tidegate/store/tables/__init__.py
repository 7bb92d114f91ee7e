"""The tables, each family in a file: what migrations make, and what queries name."""
