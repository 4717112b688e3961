"""The composition root: a loaded configuration becomes targets, suppliers and a running daemon.

The only place that names concrete clocks and randomness; it knows no kind of supplier by name.
"""
