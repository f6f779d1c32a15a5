"""Production rows against what the champion learned from: profile, drift, faults, performance, health, pictures."""
