"""Predictions for each new batch, one whole file per batch."""
