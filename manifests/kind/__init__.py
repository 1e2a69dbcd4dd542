"""A cluster on a laptop with everything on it, by kind."""
