"""One pass, top to bottom: a module for each step."""
