"""Figures that are published: one module each, run by `make bench-NAME`."""
