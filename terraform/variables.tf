variable "allowed_audiences" {
  description = "Audiences that subject tokens may carry instead of the provider's own name. Leave it empty unless the issuer cannot mint that."
  type        = list(string)
  default     = []
  nullable    = false
}

variable "attribute_condition" {
  description = "What every subject token must have: constant claims (also mapped to attributes), a prefix of its subject, or, for Google-signed tokens alone, one of the numeric subjects. All that is given must hold, and something must be."
  type = object({
    claims         = optional(map(string), {})
    subject_prefix = optional(string)
    subjects       = optional(set(string), [])
  })
  nullable = false
}

variable "attribute_mapping" {
  description = "Further attributes by name, such as {\"attribute.team\" = \"assertion.team\"}. The subject and the condition's claims are mapped already."
  type        = map(string)
  default     = {}
  nullable    = false
}

variable "default_project_id" {
  description = "Id of the project in which service accounts are made unless an identity says otherwise, and which containers get as GOOGLE_CLOUD_PROJECT. Default: project_id."
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
  description = "Of the pool and the provider, at most 256 characters."
  type        = string
  default     = "Managed by Terraform"
  nullable    = false
}

variable "disabled" {
  description = "Whether the pool accepts nothing for now: the way to shut everybody out at once."
  type        = bool
  default     = false
  nullable    = false
}

variable "display_name" {
  description = "Of the pool and the provider, at most 32 characters. Default: their ids."
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
  description = "Who containers are, by name: for each the subject, and what else the module identity takes; shared_account lets it act as the account of another one that says so too. Adding one changes no provider."
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
    error_message = "A key of identities is no name: use a-z and 0-9, inside also - _ ., at most 63 characters."
  }

  validation {
    condition     = length(distinct([for identity in values(var.identities) : identity.subject])) == length(var.identities)
    error_message = "Two of identities have the same subject, so that either could act as both: give each its own."
  }

  validation {
    condition     = var.attribute_condition.subject_prefix == null ? true : alltrue([for identity in values(var.identities) : startswith(identity.subject, var.attribute_condition.subject_prefix)])
    error_message = "A subject in identities does not begin with attribute_condition.subject_prefix, so that it would never be let in: rename the subject or shorten the prefix."
  }

  validation {
    condition     = var.issuer.kind != "google" || alltrue([for identity in values(var.identities) : contains(var.attribute_condition.subjects, identity.subject)])
    error_message = "A subject in identities is not among attribute_condition.subjects, so that it would never be let in: add the account's unique id there."
  }

  validation {
    condition     = alltrue([for identity in values(var.identities) : !identity.direct || (identity.service_account.email == null && identity.service_account.account_id == null)])
    error_message = "One of identities is direct and has a service_account: leave one of them out."
  }

  validation {
    condition     = length(distinct([for name, identity in var.identities : coalesce(identity.service_account.email, "${coalesce(identity.service_account.account_id, name)}@${coalesce(identity.service_account.project_id, identity.project_id, var.default_project_id, var.project_id)}.iam.gserviceaccount.com") if !identity.direct && identity.service_account.email == null])) == length([for identity in values(var.identities) : identity if !identity.direct && identity.service_account.email == null])
    error_message = "Two of identities make the same service account: give one of them another account_id, or the email of the account that the other makes."
  }

  validation {
    condition     = alltrue([for names in values({ for name, identity in var.identities : coalesce(identity.service_account.email, "${coalesce(identity.service_account.account_id, name)}@${coalesce(identity.service_account.project_id, identity.project_id, var.default_project_id, var.project_id)}.iam.gserviceaccount.com") => name... if !identity.direct }) : length(names) == 1 || alltrue([for name in names : var.identities[name].shared_account])])
    error_message = "Two of identities act as one service account, so that their subjects are one to whatever they reach: give each its own, or say shared_account = true for each that uses it."
  }

  validation {
    condition     = alltrue([for identity in values(var.identities) : (identity.source_service_account != null) == (var.issuer.kind == "google" && var.supplier.via == "generate_id_token")])
    error_message = "source_service_account is whose ID token the refresher fetches: give it for every identity if issuer.kind is google and supplier.via generate_id_token, and for none otherwise."
  }
}

variable "issuer" {
  description = "Who signs subject tokens: kind self_issued (a key of our own, uploaded as jwks), google (accounts.google.com) or oidc (any other issuer), and its uri, which for google is known."
  type = object({
    kind = string
    uri  = optional(string)
  })
  nullable = false
}

variable "jwks" {
  description = "Public keys of the issuer, as `refresher keys jwks` prints them: needed for self_issued, possible for oidc where Google cannot reach the issuer, never for google. Hold the old and the new key while rotating."
  type        = string
  default     = null
  # a refused value would be shown beside the message, and a private key may be in it
  sensitive = true
}

variable "pool_id" {
  description = "Id of the workload identity pool: 4 to 32 characters a-z 0-9 -, beginning with a letter and not with gcp-."
  type        = string
  default     = "workers"
  nullable    = false
}

variable "project_id" {
  description = "Id, not number, of the project that owns the pool; best a project of its own."
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
  description = "How the refresher gets subject tokens: keys is the keys directory on its host (self_issued), or kms_key_version the version of a key in Cloud KMS that signs instead, via is metadata_server or generate_id_token (google), path is the file that somebody else renews (oidc), lifetime_seconds is of self-issued tokens; name and provider_name name the entries of the configuration."
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
