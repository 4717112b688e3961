# One user: a pool that trusts our own key, and one service account that exactly one subject may become.
module "federation" {
  source = "../.."

  project_id          = var.project_id
  deletion_protection = var.deletion_protection

  issuer              = { kind = "self_issued", uri = "https://workers.invalid" }
  jwks                = file(var.jwks_file)
  attribute_condition = { subject_prefix = "user-" }

  identities = {
    task-alice = { subject = "user-1042" }
  }
}
