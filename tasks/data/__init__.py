"""Sources, batches, fingerprints, snapshots and splits."""
