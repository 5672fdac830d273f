"""What the sidecar adds to a request, held against Envoy on the same machine in the same minutes."""
