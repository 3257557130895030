"""Datasets: named, downloaded once, cached as memory-mapped arrays."""

from alenv.data.catalog import load, names
from alenv.data.dataset import Dataset

__all__ = ["Dataset", "load", "names"]
