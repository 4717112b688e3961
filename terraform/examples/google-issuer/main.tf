# Google-signed subject tokens: the worker's own account, by its numeric id, comes in from outside of its project.
module "federation" {
  source = "../.."

  project_id          = var.project_id
  deletion_protection = var.deletion_protection

  issuer              = { kind = "google" }
  attribute_condition = { subjects = [var.worker_unique_id] }

  identities = {
    worker = {
      subject         = var.worker_unique_id
      service_account = { account_id = "task-worker" }
    }
  }
}
