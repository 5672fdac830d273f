"""How often the gates are wrong, and how soon they are right: simulated rollouts, judged by the operator's own code."""
