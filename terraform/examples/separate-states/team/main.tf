# What a team owns: its accounts. The pool is another state's.
module "identity" {
  source   = "../../../modules/identity"
  for_each = var.subjects

  name           = each.key
  project_id     = var.project_id
  provider_name  = var.provider_name
  subject        = each.value
  subject_prefix = var.subject_prefix
}

locals {
  _refresher_config = {
    version    = 1
    identities = merge([for identity in module.identity : identity.refresher_config.identities]...)
  }
}
