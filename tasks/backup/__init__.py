"""A whole copy of a home, and the manifest that says what is in it. What the stores hold is their own rooms' matter."""
