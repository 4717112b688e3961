# Our own tokens, signed by a key in Cloud KMS that no worker holds.
module "federation" {
  source = "../.."

  project_id          = var.project_id
  deletion_protection = var.deletion_protection

  issuer              = { kind = "self_issued", uri = "https://workers.invalid" }
  jwks                = file(var.jwks_file)
  supplier            = { kms_key_version = var.kms_key_version }
  attribute_condition = { subject_prefix = "user-" }

  identities = {
    task-alice = { subject = "user-1042" }
  }
}
