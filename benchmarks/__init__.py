"""Speed and size, measured as ratios against a named peer or limit in one run. `make bench` prints the table."""
