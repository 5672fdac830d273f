"""Effects: the cluster client, triggers, the work queue, the reconcile loop, HTTP."""
