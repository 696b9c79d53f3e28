"""The memory of the agent, on disk and crash-safe: state, inventory, releases, journal, history. Only the
standard library is used.
"""
