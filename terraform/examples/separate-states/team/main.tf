# What a team owns: its accounts. The pool is another state's.
module "identity" {
  source   = "../../../modules/identity"
  for_each = var.subjects

  name                = each.key
  project_id          = var.project_id
  pool_name           = var.pool_name
  provider_name       = var.provider_name
  subject             = each.value
  subject_prefix      = var.subject_prefix
  deletion_protection = var.deletion_protection
}

locals {
  _refresher_config = {
    version    = 1
    identities = merge([for identity in module.identity : identity.refresher_config.identities]...)
  }
}
