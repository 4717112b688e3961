"""logging.googleapis.com: queries of the audit log, and log-based metrics that are stored and shown.

https://cloud.google.com/logging/docs/reference/v2/rest. Other entries, sinks and buckets are not emulated.
"""

from refresher.emulator.cloud_logging import entries, metrics

ROUTES = (*entries.ROUTES, *metrics.ROUTES)
