"""Datasets: named, fetched once, cached as memory-mapped arrays."""

from alenv.data.catalog import add, at_hand, load, names, register
from alenv.data.dataset import Dataset, found_in
from alenv.data.inventory import Entry, listing, remove, verify

__all__ = [
    "Dataset",
    "Entry",
    "add",
    "at_hand",
    "found_in",
    "listing",
    "load",
    "names",
    "register",
    "remove",
    "verify",
]
