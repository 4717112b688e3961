"""All routes of Cloud Storage."""

from refresher.emulator.storage import buckets, objects, uploads

ROUTES = (*buckets.ROUTES, *uploads.ROUTES, *objects.ROUTES)
