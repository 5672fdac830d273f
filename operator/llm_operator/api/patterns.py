"""Patterns of names, as the API server and the models both check them."""

DNS_LABEL = r"^[a-z]([-a-z0-9]*[a-z0-9])?$"
"""DNS-1035: what a Service may be called, and so what our objects may be called."""
DNS_SUBDOMAIN = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"
"""What most objects may be called."""
BODY_FIELD = r"^[A-Za-z_][A-Za-z0-9_-]*$"
"""Name of a field in a request's JSON."""
ENGINE_ARGUMENT = r"^[a-z0-9]+(-[a-z0-9]+)*$"
"""Name of an engine argument, without leading dashes."""
HEADER_NAME = r"^[a-z0-9]([a-z0-9_-]*[a-z0-9])?$"
"""Name of a header of a request, in small letters."""
SERVED_NAME = r"^[A-Za-z0-9]([A-Za-z0-9._:/-]*[A-Za-z0-9])?$"
"""Name clients use as `model`."""
MAX_NAME = 40
"""Characters of a custom resource's name: with the longest suffix a child's name still fits 63."""
MAX_PROFILE_NAME = 63
"""Characters of a profile's name."""
