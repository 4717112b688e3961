"""The configuration file: frozen models, loading with file:line:column, drop-ins, JSON Schema."""
