"""Google's API: generated content, counted tokens and embeddings, AI Studio's and Vertex AI's."""
