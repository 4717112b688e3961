# One user with everything that shows and limits misuse: logs, an alert, organisation policies and a deny policy.
module "federation" {
  source = "../.."

  project_id          = var.project_id
  deletion_protection = var.deletion_protection

  issuer              = { kind = "self_issued", uri = "https://workers.invalid" }
  jwks                = file(var.jwks_file)
  attribute_condition = { subject_prefix = "user-" }

  identities = {
    task-alice = { subject = "user-1042", authoritative_impersonation = true }
  }
}

module "guardrails" {
  source = "../../modules/guardrails"

  project_ids           = [var.project_id]
  expected_principals   = values(module.federation.principals)
  notification_channels = var.notification_channels

  org_policies = {
    parent          = "projects/${var.project_id}"
    allowed_issuers = ["https://workers.invalid"]
    dry_run         = var.dry_run
  }

  deny_policy = {
    attachment_point     = "cloudresourcemanager.googleapis.com/projects/${var.project_id}"
    exception_principals = var.administrators
  }
}
