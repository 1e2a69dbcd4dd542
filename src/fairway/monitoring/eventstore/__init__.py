"""The event store: predictions, labels and outcomes as they come, and the joins that the rollout
and the monitor read."""
