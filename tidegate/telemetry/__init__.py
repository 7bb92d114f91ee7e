"""What is observed about a request: its one record."""
