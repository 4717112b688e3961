"""Keep Google Cloud workload identity federation credentials fresh, one directory per container.

The package imports nothing by itself: several commands are health probes, whose imports cost more time than their
work. Start reading at `refresher.cli` (what a user types) or `refresher.app` (how it is put together).
"""

__version__ = "0.1.0"
