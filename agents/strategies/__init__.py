"""Published query strategies, one family per file; every file here is found by itself."""
