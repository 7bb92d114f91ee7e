"""Wire formats: how a request, an answer and its stream are written in each vendor's words."""
