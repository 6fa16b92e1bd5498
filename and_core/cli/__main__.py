"""`python -m and_core.cli`: the same as `and-dissect`."""

from and_core.cli.main import main

main()
