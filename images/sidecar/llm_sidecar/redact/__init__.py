"""Finding text that must not pass, whole or in pieces: patterns, what may still grow into a match, and what is put in its place."""
