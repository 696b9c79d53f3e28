"""The resident daemon: when to poll and when to pass. Light: children do the work."""
