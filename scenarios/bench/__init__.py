"""How fast training, queries and steps are on this machine."""
