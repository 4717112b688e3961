# The pool in a project of its own, the accounts where their resources are.
module "federation" {
  source = "../.."

  project_id          = var.project_id
  default_project_id  = var.data_project_id
  deletion_protection = var.deletion_protection

  issuer              = { kind = "self_issued", uri = "https://workers.invalid" }
  jwks                = file(var.jwks_file)
  attribute_condition = { subject_prefix = "user-" }

  identities = {
    task-alice = { subject = "user-1042" }
    task-bob   = { subject = "user-1043", project_id = var.other_project_id }
  }
}
