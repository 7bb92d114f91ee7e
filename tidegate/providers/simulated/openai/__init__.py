"""OpenAI's API: chat and legacy completions, embeddings, responses."""
