"""What is decided, and nothing done: pure functions of what was found."""
