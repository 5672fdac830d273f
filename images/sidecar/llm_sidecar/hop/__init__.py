"""From sidecar to sidecar: the wire, the addresses, who can be reached, and the line of those whom nobody can take yet."""
