"""The composition root: a loaded configuration becomes targets, suppliers and a running daemon.

The only place that matches on a variant of the configuration, and the only one that names concrete clocks, randomness
and suppliers. `targets` is what probes need and imports nothing that mints; `suppliers` imports a kind when one is
built; `plans` follows the configuration file; `programs` is what the commands run.
"""
