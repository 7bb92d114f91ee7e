"""Anthropic's API: messages and the counting of their tokens, its own and Vertex AI's paths."""
