"""Components of monitoring: what moved."""
