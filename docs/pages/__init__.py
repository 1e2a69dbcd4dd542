"""What each generated page says, read from the code."""
