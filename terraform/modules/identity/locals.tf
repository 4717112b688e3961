# Patterns that validations use. They hold no input: a validation may not use a local that depends on its own variable.
locals {
  _account_email = "^([a-z][-a-z0-9]{4,28}[a-z0-9]@[-a-z0-9.]{1,63}\\.iam|[0-9]{1,20}-compute@developer|[a-z0-9][-a-z0-9]{0,62}@(appspot|cloudbuild|cloudservices))\\.gserviceaccount\\.com$"
  _account_id    = "^[a-z][a-z0-9-]{4,28}[a-z0-9]$"
  _bucket_name   = "^[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]$"
  _entry_name    = "^[a-z0-9]([-a-z0-9_.]{0,61}[a-z0-9])?$"
  _person        = "^(user|group):[a-z0-9][a-z0-9._+-]*@[a-z0-9.-]+\\.[a-z]{2,}$"
  _pool_name     = "^projects/[1-9][0-9]*/locations/global/workloadIdentityPools/[a-z0-9-]{4,32}$"
  _project_id    = "^([a-z0-9.-]{1,63}:)?[a-z][a-z0-9-]{4,28}[a-z0-9]$"
  _role          = "^(roles|projects/[a-z0-9:.-]+/roles|organizations/[0-9]+/roles)/[A-Za-z0-9_.]+$"
  _scope         = "^(https://[!-~]+|openid|email|profile)$"

  _basic_roles = ["roles/owner", "roles/editor", "roles/viewer", "roles/admin", "roles/writer", "roles/reader"]
  # of whole projects, by which a workload may act as other accounts
  _powerful_role = "^roles/(iam|resourcemanager|deploymentmanager|cloudbuild)\\."
  _viewing_role  = "(Viewer|Reviewer|viewer)$"
}
