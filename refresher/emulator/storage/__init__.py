"""storage.googleapis.com, good enough for real clients: buckets and objects with the bucket's own IAM policy.

https://cloud.google.com/storage/docs/json_api and, for reading, https://cloud.google.com/storage/docs/xml-api. Every
bucket has uniform bucket-level access. Access control lists, versions, holds, notifications and batches are not
emulated.
"""

from refresher.emulator.storage import buckets, objects, uploads

ROUTES = (*buckets.ROUTES, *uploads.ROUTES, *objects.ROUTES)
