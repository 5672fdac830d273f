"""Child objects, one file per kind: plain functions from decided inputs to a manifest."""
