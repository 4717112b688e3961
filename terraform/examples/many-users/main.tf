# Many users: each their own account, roles on what they need, and a condition that no new user changes.
module "federation" {
  source = "../.."

  project_id          = var.project_id
  deletion_protection = var.deletion_protection
  description         = "Tasks of our users"

  issuer              = { kind = "self_issued", uri = "https://workers.invalid" }
  jwks                = file(var.jwks_file)
  attribute_condition = { claims = { fleet = var.fleet }, subject_prefix = "user-" }

  identities = {
    for name, user in var.users : name => {
      subject                  = user.subject
      service_account          = { account_id = "task-${name}", display_name = "Tasks of ${name}" }
      bucket_roles             = { for bucket in user.buckets : bucket => ["roles/storage.objectViewer"] }
      project_roles            = { (var.project_id) = ["roles/bigquery.jobUser"] }
      run_services             = user.invokes == null ? {} : { (user.invokes) = { name = user.invokes, location = "europe-west1" } }
      additional_impersonators = user.people
      deletion_protection      = user.leaves ? false : null
      signing                  = user.signs
    }
  }
}
