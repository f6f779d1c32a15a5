"""When a new challenger is trained by itself: the policy of the project file, applied to what is known."""
