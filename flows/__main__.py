"""`python -m flows` is `trueup`."""

from flows.cli import main

main()
