"""Component `deploy`."""

from components.rollout.deploy.component import deploy

__all__ = ["deploy"]
