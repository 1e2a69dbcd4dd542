"""The configuration: `schema` says what may be set, `loader` reads it."""
