"""What Envoy is told, as documents: `bootstrap` at its start, `clusters` and `routing` whenever
they change.

Settings and their reasons are measured ones.
"""
