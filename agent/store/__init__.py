"""What the agent remembers, on disk and crash-safe: state, inventory, releases, journal, history. Standard
library only.
"""
