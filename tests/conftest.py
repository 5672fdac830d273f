"""Settings of all tests."""

from tests.properties import load_profile

load_profile()
