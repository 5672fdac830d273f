"""A stand-in for vLLM that needs no model: it speaks vLLM's API and metrics, costs next to nothing, and fails on request.

A test that uses it says so: it proves what surrounds an engine, never the engine. Its answers are a function of the request's bytes and
carry their hash, so that an answer to another request, or to a changed one, is visible. One character of a prompt is one token.
"""
