"""The Engine's API: our requests, and how its answers compare with them. Pure."""
