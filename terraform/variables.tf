variable "allowed_audiences" {
  description = "Audiences that subject tokens may carry instead of the provider's own name. Leave it empty unless the issuer cannot mint that name."
  type        = list(string)
  default     = []
  nullable    = false
}

variable "attribute_condition" {
  description = "What every subject token must have: constant claims (also mapped to attributes), a prefix of its subject, or, for Google-signed tokens alone, one of the numeric subjects. All that is set must match, and at least one must be set."
  type = object({
    claims         = optional(map(string), {})
    subject_prefix = optional(string)
    subjects       = optional(set(string), [])
  })
  nullable = false
}

variable "attribute_mapping" {
  description = "More attributes by name, such as {\"attribute.team\" = \"assertion.team\"}. The subject and the condition's claims are mapped already."
  type        = map(string)
  default     = {}
  nullable    = false
}

variable "default_project_id" {
  description = "Id of the project in which service accounts are created unless an identity has another, and which containers get as GOOGLE_CLOUD_PROJECT. Default: project_id."
  type        = string
  default     = null
}

variable "deletion_protection" {
  description = "Whether `terraform destroy` is refused for the pool and the provider, which come back only by undelete, and whose ids are taken for 30 days. Set it to false and apply before a destroy."
  type        = bool
  default     = true
  nullable    = false
}

variable "description" {
  description = "Description of the pool and the provider, at most 256 characters."
  type        = string
  default     = "Managed by Terraform"
  nullable    = false
}

variable "disabled" {
  description = "Whether the pool refuses every exchange: set it to true to shut out all users at once."
  type        = bool
  default     = false
  nullable    = false
}

variable "display_name" {
  description = "Display name of the pool and the provider, at most 32 characters. Default: their ids."
  type        = string
  default     = null
}

variable "enable_services" {
  description = "Whether to enable the APIs that federation needs. Set it to false where services are enabled centrally."
  type        = bool
  default     = true
  nullable    = false
}

variable "identities" {
  description = "Identities that containers can act as, by name: for each the subject, and the other inputs of the module identity. With shared_account = true two of them may act as the same account. Adding one does not change the provider."
  type = map(object({
    additional_impersonators = optional(set(string), [])
    bucket_roles             = optional(map(set(string)), {})
    delegates                = optional(list(string), [])
    delegation_role          = optional(string, "roles/iam.serviceAccountTokenCreator")
    direct                   = optional(bool, false)
    lifetime_seconds         = optional(number)
    project_id               = optional(string)
    project_roles            = optional(map(set(string)), {})
    quota_project_id         = optional(string)
    run_services = optional(map(object({
      location   = string
      name       = string
      project_id = optional(string)
    })), {})
    scopes = optional(list(string), [])
    service_account = optional(object({
      account_id   = optional(string)
      description  = optional(string, "Managed by Terraform")
      display_name = optional(string)
      email        = optional(string)
      project_id   = optional(string)
    }), {})
    shared_account         = optional(bool, false)
    signing                = optional(bool, false)
    source_service_account = optional(string)
    subject                = string
    token_file             = optional(string)
    token_kinds            = optional(set(string), ["access_token", "id_token"])
  }))
  default  = {}
  nullable = false

  validation {
    condition     = alltrue([for name in keys(var.identities) : can(regex("^[a-z0-9]([-a-z0-9_.]{0,61}[a-z0-9])?$", name))])
    error_message = "A key of identities is not a valid name: use a-z and 0-9, inside also - _ ., at most 63 characters."
  }

  validation {
    condition     = length(distinct([for identity in values(var.identities) : identity.subject])) == length(var.identities)
    error_message = "Two of identities have the same subject, so that either could act as both: use a subject of its own for each."
  }

  validation {
    condition     = var.attribute_condition.subject_prefix == null ? true : alltrue([for identity in values(var.identities) : startswith(identity.subject, var.attribute_condition.subject_prefix)])
    error_message = "A subject in identities does not begin with attribute_condition.subject_prefix, so that Google would never admit it: rename the subject or shorten the prefix."
  }

  validation {
    condition     = var.issuer.kind != "google" || alltrue([for identity in values(var.identities) : contains(var.attribute_condition.subjects, identity.subject)])
    error_message = "A subject in identities is not among attribute_condition.subjects, so that Google would never admit it: add the account's unique id there."
  }

  validation {
    condition     = alltrue([for identity in values(var.identities) : !identity.direct || (identity.service_account.email == null && identity.service_account.account_id == null)])
    error_message = "One of identities is direct and has a service_account: leave one of them out."
  }

  validation {
    condition     = length(distinct([for name, identity in var.identities : coalesce(identity.service_account.email, "${coalesce(identity.service_account.account_id, name)}@${coalesce(identity.service_account.project_id, identity.project_id, var.default_project_id, var.project_id)}.iam.gserviceaccount.com") if !identity.direct && identity.service_account.email == null])) == length([for identity in values(var.identities) : identity if !identity.direct && identity.service_account.email == null])
    error_message = "Two of identities create the same service account: set another account_id for one of them, or the email of the account that the other creates."
  }

  validation {
    condition     = alltrue([for names in values({ for name, identity in var.identities : coalesce(identity.service_account.email, "${coalesce(identity.service_account.account_id, name)}@${coalesce(identity.service_account.project_id, identity.project_id, var.default_project_id, var.project_id)}.iam.gserviceaccount.com") => name... if !identity.direct }) : length(names) == 1 || alltrue([for name in names : var.identities[name].shared_account])])
    error_message = "Two of identities act as one service account, so that no service can distinguish their subjects: use an account of its own for each, or set shared_account = true for each that shares it."
  }

  validation {
    condition     = alltrue([for identity in values(var.identities) : (identity.source_service_account != null) == (var.issuer.kind == "google" && var.supplier.via == "generate_id_token")])
    error_message = "source_service_account is set where it is not used, or missing where it is needed: set it for every identity if issuer.kind is google and supplier.via is generate_id_token, and for no identity otherwise."
  }
}

variable "issuer" {
  description = "Issuer of subject tokens: kind self_issued (your own key, uploaded as jwks), google (accounts.google.com) or oidc (any other issuer), and its uri, which is not set for google."
  type = object({
    kind = string
    uri  = optional(string)
  })
  nullable = false
}

variable "jwks" {
  description = "Public keys of the issuer, as `refresher keys jwks` prints them: required for self_issued, optional for oidc where Google cannot reach the issuer, not allowed for google. While rotating, include the old and the new key."
  type        = string
  default     = null
  # Terraform would print a refused value with the message, and it may hold a private key
  sensitive = true
}

variable "pool_id" {
  description = "Id of the workload identity pool: 4 to 32 characters a-z 0-9 -, beginning with a letter and not with gcp-."
  type        = string
  default     = "workers"
  nullable    = false
}

variable "project_id" {
  description = "Id, not number, of the project that owns the pool; preferably a project of its own."
  type        = string
  nullable    = false
}

variable "provider_id" {
  description = "Id of the provider in the pool: 4 to 32 characters a-z 0-9 -, beginning with a letter and not with gcp-."
  type        = string
  default     = "refresher"
  nullable    = false
}

variable "supplier" {
  description = "How the refresher gets subject tokens: keys is the keys directory on its host (self_issued); kms_key_version is the version of a key in Cloud KMS that signs instead; via is metadata_server or generate_id_token (google); path is the file that another program renews (oidc); lifetime_seconds is the lifetime of self-issued tokens; name and provider_name are the names of the entries in the configuration."
  type = object({
    keys             = optional(string, "/var/lib/refresher/keys")
    kms_key_version  = optional(string)
    lifetime_seconds = optional(number, 3600)
    name             = optional(string, "worker")
    path             = optional(string, "/var/run/secrets/tokens/subject-token")
    provider_name    = optional(string, "main")
    via              = optional(string, "metadata_server")
  })
  default  = {}
  nullable = false
}
