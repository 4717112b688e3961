"""The composition root: a loaded configuration becomes targets, suppliers and a running daemon.

The only place that names concrete clocks and randomness; it knows no kind of supplier by name.
`targets` is what probes need and imports nothing that mints; `suppliers` builds each supplier when it is first used;
`plans` follows the configuration file; `programs` is what the commands run.
"""
