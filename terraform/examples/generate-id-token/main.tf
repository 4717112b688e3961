# Google-signed subject tokens, several on one machine: the worker's account fetches ID tokens of a source account for
# each user, and only these may impersonate the accounts of the tasks.
resource "google_service_account" "source" {
  for_each = var.users

  project         = var.project_id
  account_id      = "source-${each.key}"
  display_name    = "Source of ${each.key}"
  description     = "Has no roles: its ID token is the subject token"
  deletion_policy = var.deletion_protection ? "PREVENT" : "DELETE"
}

resource "google_service_account_iam_member" "worker" {
  for_each = google_service_account.source

  service_account_id = each.value.name
  role               = "roles/iam.serviceAccountOpenIdTokenCreator"
  member             = "serviceAccount:${var.worker_email}"
}

module "federation" {
  source = "../.."

  project_id          = var.project_id
  deletion_protection = var.deletion_protection

  issuer              = { kind = "google" }
  supplier            = { via = "generate_id_token" }
  attribute_condition = { subjects = [for account in google_service_account.source : account.unique_id] }

  identities = {
    for name, account in google_service_account.source : name => {
      subject                = account.unique_id
      source_service_account = account.email
      service_account        = { account_id = "task-${name}" }
    }
  }
}
