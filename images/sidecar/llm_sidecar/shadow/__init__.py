"""Copies of requests for a revision that is tried: nobody waits for them, and both answers are kept for whoever compares them."""
