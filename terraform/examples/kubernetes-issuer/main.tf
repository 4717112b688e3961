# A Kubernetes cluster is the issuer; its projected tokens are the subject tokens.
module "federation" {
  source = "../.."

  project_id          = var.project_id
  deletion_protection = var.deletion_protection

  issuer              = { kind = "oidc", uri = var.cluster_issuer }
  jwks                = var.cluster_jwks_file == null ? null : file(var.cluster_jwks_file)
  attribute_condition = { subject_prefix = "system:serviceaccount:${var.namespace}:" }

  identities = {
    training = {
      subject         = "system:serviceaccount:${var.namespace}:training"
      service_account = { account_id = "task-training" }
    }
  }
}
