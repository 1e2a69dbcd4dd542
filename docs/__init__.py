"""Pages for people, and what writes those that are made from the code."""
