"""What knows the Engine's API: what is asked of it, and how its answers compare. Pure."""
