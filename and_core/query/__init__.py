"""Reading across a dissection or several: search, scores, which ones compare."""
