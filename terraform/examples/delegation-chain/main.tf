# The subject reaches the target over two accounts, each of which may go over the next and no further.
resource "google_service_account" "hop" {
  for_each = toset(["first", "second"])

  project         = var.project_id
  account_id      = "${each.key}-hop"
  display_name    = "Hop of a delegation chain"
  deletion_policy = var.deletion_protection ? "PREVENT" : "DELETE"
}

module "federation" {
  source = "../.."

  project_id          = var.project_id
  deletion_protection = var.deletion_protection

  issuer              = { kind = "self_issued", uri = "https://workers.invalid" }
  jwks                = file(var.jwks_file)
  attribute_condition = { subject_prefix = "user-" }

  identities = {
    target = {
      subject         = "user-1042"
      service_account = { account_id = "chain-target" }
      delegates       = [google_service_account.hop["first"].email, google_service_account.hop["second"].email]
    }
  }
}
