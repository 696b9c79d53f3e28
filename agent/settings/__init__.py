"""The host's own settings: values, the quick way to them, and the checks."""
