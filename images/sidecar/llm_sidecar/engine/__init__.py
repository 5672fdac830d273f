"""The client to whoever answers a request, the engine beside us or another sidecar: keep-alive HTTP/1.1, and nothing else."""
