"""Kubernetes operator that keeps LLMDeployments in the state their authors asked for."""
