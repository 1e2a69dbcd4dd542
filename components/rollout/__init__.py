"""Components of the rollout: asked for, and followed to its end."""
