# Patterns that validations use.
locals {
  _attachment_point = "^cloudresourcemanager\\.googleapis\\.com/(projects|folders|organizations)/[a-z0-9:.-]+$"
  _channel          = "^projects/[^/]+/notificationChannels/[^/]+$"
  _exception        = "^(principal://(goog/subject/|iam\\.googleapis\\.com/)|principalSet://goog/group/)[^*]+$"
  _issuer           = "^https://[!-~]+$"
  _parent           = "^(projects/[a-z0-9:.-]+|folders/[0-9]+|organizations/[0-9]+)$"
  _project_id       = "^([a-z0-9.-]{1,63}:)?[a-z][a-z0-9-]{4,28}[a-z0-9]$"
  _subject          = "^principal://iam\\.googleapis\\.com/projects/[0-9]+/locations/global/workloadIdentityPools/[a-z0-9-]+/subject/[!-~]+$"
}
