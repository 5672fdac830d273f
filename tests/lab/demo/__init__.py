"""The demo: from nothing to an answered request, with every step and its time on the screen."""
