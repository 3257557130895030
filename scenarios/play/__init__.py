"""Plays runs into a folder: it can be killed at any moment and goes on."""
