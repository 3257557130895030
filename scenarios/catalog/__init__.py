"""The paper's experiments, one file per theme; a file here is found by itself."""
