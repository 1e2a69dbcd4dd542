"""Shifts under a budget of false tickets: what is measured, how surprising it is, when a person is
told."""
