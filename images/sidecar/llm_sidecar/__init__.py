"""The proxy in front of every engine: carries the prompt and the code around it."""
