"""The local platform: supervised child processes behind a real Envoy, with no Docker and no
cluster."""
