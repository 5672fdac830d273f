"""Server-sent events: cut at event boundaries, cleaned, counted, and turned into the classic line format."""
