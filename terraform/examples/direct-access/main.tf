# No service account: the subject itself may read a bucket.
module "federation" {
  source = "../.."

  project_id          = var.project_id
  deletion_protection = var.deletion_protection

  issuer              = { kind = "self_issued", uri = "https://workers.invalid" }
  jwks                = file(var.jwks_file)
  attribute_condition = { subject_prefix = "user-" }

  identities = {
    reader = {
      subject      = "user-1042"
      direct       = true
      bucket_roles = { (var.bucket) = ["roles/storage.objectViewer"] }
    }
  }
}
