"""What nobody meant to send: mutations of good requests, events, packages and tables. `python -m
tests.fuzz --examples 100000` takes longer."""
