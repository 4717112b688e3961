locals {
  _default_project_id = coalesce(var.default_project_id, var.project_id)

  _refresher_config = merge(
    module.federation.refresher_config,
    { identities = merge([for identity in module.identity : identity.refresher_config.identities]...) },
  )

  # The grants from account to account of all chains. Identities may share a chain, so each grant is one resource: one that
  # two identities make would be gone for both when one of them is removed.
  _chain = merge([
    for identity in values(var.identities) : {
      for index, email in identity.delegates : "${identity.delegates[index - 1]} ${email} ${identity.delegation_role}" => {
        account = email
        member  = "serviceAccount:${identity.delegates[index - 1]}"
        role    = identity.delegation_role
      } if index > 0
    }
  ]...)
}

module "federation" {
  source = "./modules/federation"

  allowed_audiences   = var.allowed_audiences
  attribute_condition = var.attribute_condition
  attribute_mapping   = var.attribute_mapping
  default_project_id  = local._default_project_id
  deletion_protection = var.deletion_protection
  description         = var.description
  disabled            = var.disabled
  display_name        = var.display_name
  enable_services     = var.enable_services
  issuer              = var.issuer
  jwks                = var.jwks
  pool_id             = var.pool_id
  project_id          = var.project_id
  provider_id         = var.provider_id
  supplier            = var.supplier
}

resource "google_service_account_iam_member" "chain" {
  for_each = local._chain

  service_account_id = "projects/-/serviceAccounts/${each.value.account}"
  role               = each.value.role
  member             = each.value.member
}

module "identity" {
  source   = "./modules/identity"
  for_each = var.identities

  name                = each.key
  project_id          = coalesce(each.value.project_id, local._default_project_id)
  pool_name           = module.federation.pool_name
  provider_name       = module.federation.provider_name
  drop_subject_prefix = module.federation.drop_subject_prefix
  subject_prefix      = module.federation.subject_prefix
  supplier_name       = module.federation.supplier_name

  service_account = each.value.direct ? null : each.value.service_account

  additional_impersonators    = each.value.additional_impersonators
  authoritative_impersonation = each.value.authoritative_impersonation
  bucket_roles                = each.value.bucket_roles
  delegates                   = each.value.delegates
  delegation_role             = each.value.delegation_role
  deletion_protection         = coalesce(each.value.deletion_protection, var.deletion_protection)
  grant_chain                 = false
  lifetime_seconds            = each.value.lifetime_seconds
  project_roles               = each.value.project_roles
  quota_project_id            = each.value.quota_project_id
  run_services                = each.value.run_services
  scopes                      = each.value.scopes
  signing                     = each.value.signing
  source_service_account      = each.value.source_service_account
  subject                     = each.value.subject
  token_file                  = each.value.token_file
  token_kinds                 = each.value.token_kinds

  # so that the removal of a protected identity is refused before its chain is touched
  depends_on = [google_service_account_iam_member.chain]
}

# It depends on everything, so Terraform destroys it first. If it refuses, pool, accounts and grants are as they were; the
# deletion policies alone would refuse after the grants of every user are gone.
resource "terraform_data" "protection" {
  input            = { pool = var.pool_id, is_protected = var.deletion_protection }
  triggers_replace = [var.project_id, var.pool_id, var.provider_id]

  provisioner "local-exec" {
    when    = destroy
    command = self.input.is_protected ? "echo Pool ${self.input.pool}: it is protected, and so are its provider and its identities. Set deletion_protection = false, apply, and try again. 1>&2 && exit 1" : "exit 0"
  }

  depends_on = [module.federation, module.identity]
}
