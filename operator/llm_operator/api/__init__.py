"""The API types: single source of the CRDs, their reference docs and the CLI's validation."""
