"""How well policies scale: real traces replayed against simulated engines, ours through the code that is shipped."""
