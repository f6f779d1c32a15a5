"""What the loop costs, beside what a person would write by hand."""
