"""Component `watch_rollout`."""

from components.rollout.watch_rollout.component import watch_rollout

__all__ = ["watch_rollout"]
