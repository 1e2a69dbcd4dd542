"""What every platform exchanges with the rollout: routes go in, samples of the gateway's counters come out.

The dataclasses live in `rollout.traffic`, so that the pure strategy can speak of them without importing a platform.
"""

from fairway.rollout.traffic import ArmCounts, Route, Sample, route

__all__ = ["ArmCounts", "Route", "Sample", "route"]
