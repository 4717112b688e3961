# What the central team owns: the pool and what it trusts.
module "federation" {
  source = "../../../modules/federation"

  project_id          = var.project_id
  default_project_id  = var.default_project_id
  deletion_protection = var.deletion_protection

  issuer              = { kind = "self_issued", uri = "https://workers.invalid" }
  jwks                = file(var.jwks_file)
  attribute_condition = { subject_prefix = "user-" }
}
