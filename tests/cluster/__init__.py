"""A real cluster in namespaces of its own: `python -m tests.cluster up`, `down`, `run -- COMMAND`."""
