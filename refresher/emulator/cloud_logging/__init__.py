"""logging.googleapis.com: the audit log can be queried, log-based metrics are kept and shown.

https://cloud.google.com/logging/docs/reference/v2/rest. Entries of others, sinks and buckets are left out.
"""

from refresher.emulator.cloud_logging import entries, metrics

ROUTES = (*entries.ROUTES, *metrics.ROUTES)
