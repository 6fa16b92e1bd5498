"""The command line, `and-dissect`."""
