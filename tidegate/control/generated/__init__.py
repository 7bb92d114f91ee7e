"""What other tools watch Tidegate with: made from its own rules, settings and measures."""
