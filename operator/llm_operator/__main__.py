"""Starts the operator: ``python -m llm_operator``."""

import asyncio
import sys

from llm_operator.app import main

sys.exit(asyncio.run(main()))
