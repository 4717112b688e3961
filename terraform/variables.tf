variable "allowed_audiences" {
  description = "List of audiences that subject tokens may carry instead of the provider's own name. The refresher mints the first. Leave it empty unless the issuer cannot mint the provider's name. Default: none."
  type        = list(string)
  default     = []
  nullable    = false
}

variable "attribute_condition" {
  description = <<-EOT
    Requirements for every subject token. All that is set must match, and one of `claims`, `subject_prefix` and `subjects` must be set.
    - `claims`: constant claims by name. They are mapped to attributes too, and a supplier that signs mints them. Write a truth value without quotes (`true`) and a text in quotes. Default: none.
    - `drop_subject_prefix`: whether the mapped subject is the claim `sub` without `subject_prefix`, for tokens of an oidc issuer with subjects of more than 127 bytes. Default: false.
    - `former_claims`: one more value that the condition accepts, by name of the claim, while a value of `claims` changes. Default: none.
    - `subject_prefix`: text that every claim `sub` begins with, 2 to 120 characters. Default: none.
    - `subjects`: up to 100 numeric ids of accounts, for Google-signed tokens alone. Default: none.
  EOT
  type = object({
    # `any` keeps a truth value a truth value; in a map of texts, true would become "true", which no token carries
    claims              = optional(any, {})
    drop_subject_prefix = optional(bool, false)
    former_claims       = optional(any, {})
    subject_prefix      = optional(string)
    subjects            = optional(set(string), [])
  })
  nullable = false
}

variable "attribute_mapping" {
  description = "Additional attributes as CEL expressions by name, such as {\"attribute.team\" = \"assertion.team\"}. The subject and the claims of the condition are mapped already. An expression that does not apply to a token makes Google refuse it. Default: none."
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
  description = "Whether a destroy, a replacement of the pool or the provider, and the deletion of an account are refused, before anything changes for a user. Set it to false and apply before a destroy. Default: true."
  type        = bool
  default     = true
  nullable    = false
}

variable "description" {
  description = "Description of the pool and the provider, at most 256 characters. Default: Managed by Terraform."
  type        = string
  default     = "Managed by Terraform"
  nullable    = false
}

variable "disabled" {
  description = "Whether the pool refuses every exchange. Set it to true to shut out all users at once. Default: false."
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
  description = "Whether to enable the APIs that federation needs. Set it to false where services are enabled centrally. Default: true."
  type        = bool
  default     = true
  nullable    = false
}

variable "identities" {
  description = <<-EOT
    Identities that containers can act as, by name. Adding one does not change the provider. Default: none. Each has the inputs of the module identity, of which `subject` is required, and:
    - `direct`: whether it has no service account, so that its roles are granted to the subject itself. Default: false.
    - `deletion_protection`: whether its account is protected from deletion. Default: the root's.
    - `project_id`: id of the project of its account. Default: default_project_id.
    - `shared_account`: whether it may act as the same account as another identity that has this too. Default: false.
  EOT
  type = map(object({
    additional_impersonators    = optional(set(string), [])
    authoritative_impersonation = optional(bool, false)
    bucket_roles                = optional(map(set(string)), {})
    delegates                   = optional(list(string), [])
    delegation_role             = optional(string, "roles/iam.serviceAccountTokenCreator")
    deletion_protection         = optional(bool)
    direct                      = optional(bool, false)
    lifetime_seconds            = optional(number)
    project_id                  = optional(string)
    project_roles               = optional(map(set(string)), {})
    quota_project_id            = optional(string)
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
    error_message = "A key of identities is not a valid name (${join(", ", [for name in keys(var.identities) : name if !can(regex("^[a-z0-9]([-a-z0-9_.]{0,61}[a-z0-9])?$", name))])}): use a-z and 0-9, inside also - _ ., at most 63 characters."
  }
}

variable "issuer" {
  description = <<-EOT
    Issuer of the subject tokens.
    - `kind`: `self_issued` (your own key, uploaded as `jwks`), `google` (accounts.google.com) or `oidc` (any other issuer).
    - `uri`: https URL of the issuer, exactly as the claim `iss`. Leave it out for `google`.
  EOT
  type = object({
    kind = string
    uri  = optional(string)
  })
  nullable = false
}

variable "jwks" {
  description = "Public keys of the issuer as a JSON text, as `refresher keys jwks` prints them: 1 to 8 keys. Required for self_issued, optional for oidc where Google cannot reach the issuer, not allowed for google. While rotating, include the old and the new key. Default: none."
  type        = string
  default     = null
  sensitive   = true # it may hold a private key by mistake, which must not be printed; what is sent is public and shown
}

variable "pool_id" {
  description = "Id of the workload identity pool: 4 to 32 characters a-z 0-9 -, beginning with a letter and not with gcp-. Default: workers."
  type        = string
  default     = "workers"
  nullable    = false
}

variable "project_id" {
  description = "Id, not number, of the project that owns the pool, preferably a project of its own."
  type        = string
  nullable    = false
}

variable "provider_id" {
  description = "Id of the provider in the pool: 4 to 32 characters a-z 0-9 -, beginning with a letter and not with gcp-. Default: refresher."
  type        = string
  default     = "refresher"
  nullable    = false
}

variable "supplier" {
  description = <<-EOT
    How the refresher gets subject tokens: the supplier's part that the cloud side knows. The host's own file adds what only the host knows, such as paths, programs and secrets.
    - `claims`: constant claims by name that are minted in addition to those of `attribute_condition`, which does not require them (yet). Default: none.
    - `keys`: absolute path of the keys directory on the host (self_issued). Default: the host's own file has it.
    - `kind`: kind of the supplier. For the issuer self_issued: `self_issued`. For google: `google_id_token` or `google_access_token`. For oidc: `file`, `client_credentials`, `command`, `kubernetes` or `sign_jwt`. For each: `host`, if the host's own file has the whole supplier. Default: the first.
    - `kms_key_version`: resource name of a key version in Cloud KMS that signs instead of `keys` (self_issued). Default: none.
    - `lifetime_seconds`: lifetime of the subject tokens, 600 to 86400 (self_issued, kubernetes), or to 43200 (sign_jwt). Default: an hour.
    - `name`: name of the supplier in the configuration. Default: worker.
    - `path`: absolute path of the file that another program renews (file). Default: the host's own file has it.
    - `provider_name`: name of the provider in the configuration. Default: main.
    - `service_account`: e-mail address of the account that signs (sign_jwt).
    - `via`: `metadata_server` or `generate_id_token` (google_id_token). Default: metadata_server.
  EOT
  type = object({
    claims           = optional(any, {})
    keys             = optional(string)
    kind             = optional(string)
    kms_key_version  = optional(string)
    lifetime_seconds = optional(number)
    name             = optional(string, "worker")
    path             = optional(string)
    provider_name    = optional(string, "main")
    service_account  = optional(string)
    via              = optional(string)
  })
  default  = {}
  nullable = false
}
