"""Starts the operator: ``python -m llm_operator``."""

import sys

import uvloop

from llm_operator.app import main

sys.exit(uvloop.run(main()))
