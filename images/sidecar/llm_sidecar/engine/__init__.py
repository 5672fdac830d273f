"""The client to the one engine beside us: keep-alive HTTP/1.1 over loopback, and nothing else."""
