"""The configuration: one YAML file, read into frozen values, every mistake told at once."""
