"""Rollouts: how a new revision gets its requests, step by step."""
