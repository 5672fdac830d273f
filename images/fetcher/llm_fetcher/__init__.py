"""Resolves a model source to a digest and fetches exactly what was resolved."""
