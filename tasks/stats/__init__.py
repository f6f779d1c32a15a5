"""Pure statistics, shared by the rooms: no I/O, no clock, no randomness that is not passed in."""
