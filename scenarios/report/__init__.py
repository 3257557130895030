"""From a folder of runs to curves, statistics, tables and pictures."""
