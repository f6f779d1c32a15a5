"""What is done: one room per stage. Rooms never import each other; see `tests/test_architecture.py`."""
