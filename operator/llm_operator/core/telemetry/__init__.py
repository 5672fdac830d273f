"""What the sidecars count during a rollout, taken together into evidence that outlives them and the operator."""
