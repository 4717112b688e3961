# The subject reaches the target over two accounts, each of which may go over the next and no further.
locals {
  _refresher_config = merge(module.federation.refresher_config, { identities = module.target.refresher_config.identities })
}

module "federation" {
  source = "../.."

  project_id          = var.project_id
  deletion_protection = var.deletion_protection

  issuer              = { kind = "self_issued", uri = "https://workers.invalid" }
  jwks                = var.jwks
  attribute_condition = { subject_prefix = "user-" }
  supplier            = { keys = var.keys_directory }
}

resource "google_service_account" "hop" {
  for_each = toset(["first", "second"])

  project      = var.project_id
  account_id   = "${each.key}-hop"
  display_name = "Hop of a delegation chain"
}

module "target" {
  source = "../../modules/identity"

  name            = "target"
  project_id      = var.project_id
  provider_name   = module.federation.provider_name
  subject_prefix  = module.federation.subject_prefix
  service_account = { account_id = "chain-target" }
  subject         = "user-1042"
  delegates       = [google_service_account.hop["first"].email, google_service_account.hop["second"].email]
}
