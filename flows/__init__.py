"""What runs: one page per flow, wiring only. `python -m flows` is the same command as `trueup`."""
