"""Datasets: named, fetched once, cached as memory-mapped arrays."""

from alenv.data.catalog import Entry, add, listing, load, names, register, verify
from alenv.data.dataset import Dataset

__all__ = ["Dataset", "Entry", "add", "listing", "load", "names", "register", "verify"]
