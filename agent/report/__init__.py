"""What a host says of itself: the heartbeat, the log, progress, metrics."""
