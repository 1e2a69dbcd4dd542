"""Where fairway runs: one folder a platform, and the port that they share."""
