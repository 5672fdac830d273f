"""Decisions: pure functions of what was asked, what was observed and the time."""
