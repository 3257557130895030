"""Agents that learn: policies that are trained, saved and loaded, and the environments to train them in."""
