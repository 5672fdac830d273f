"""Kubernetes operator that keeps LLMDeployments in the state their authors asked for."""

__version__ = "0.1.0"
