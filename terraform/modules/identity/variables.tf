variable "additional_impersonators" {
  description = "Set of people who may also impersonate the account, such as user:ann@example.com or group:data@example.com. They get roles/iam.serviceAccountTokenCreator on it. Default: none."
  type        = set(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for member in var.additional_impersonators : can(regex(local._person, member)) && !endswith(member, ".gserviceaccount.com")])
    error_message = "Identity ${var.name}: ${join(", ", [for member in var.additional_impersonators : member if !can(regex(local._person, member)) || endswith(member, ".gserviceaccount.com")])} in additional_impersonators is not user:EMAIL or group:EMAIL in lower case: use an identity of its own for a workload; allUsers, domains and whole pools are not allowed."
  }

  validation {
    condition     = length(var.additional_impersonators) == 0 || var.service_account != null
    error_message = "Identity ${var.name}: additional_impersonators needs a service account: set service_account, or leave the list empty."
  }
}

variable "authoritative_impersonation" {
  description = "Whether the members that the module grants are the only ones with roles/iam.workloadIdentityUser, serviceAccountTokenCreator and serviceAccountOpenIdTokenCreator on the account that is created here. A plan then shows a member that was added elsewhere, and an apply removes it, the grant of a chain of another state over this account too. Grants on the project are not seen. Default: false."
  type        = bool
  default     = false
  nullable    = false

  validation {
    condition     = !var.authoritative_impersonation || (var.service_account == null ? false : var.service_account.email == null)
    error_message = "Identity ${var.name}: authoritative_impersonation needs an account that is created here: leave it out for an existing account, whose grants others may have written."
  }
}

variable "bucket_roles" {
  description = "Roles on Cloud Storage buckets, by the bucket's name, such as {data = [\"roles/storage.objectViewer\"]}: predefined roles of Cloud Storage, or custom roles. Default: none."
  type        = map(set(string))
  default     = {}
  nullable    = false

  validation {
    condition     = alltrue([for bucket in keys(var.bucket_roles) : can(regex(local._bucket_name, bucket))])
    error_message = "Identity ${var.name}: ${join(", ", [for bucket in keys(var.bucket_roles) : bucket if !can(regex(local._bucket_name, bucket))])} in bucket_roles is not a bucket name: use the name alone, without gs:// and path."
  }

  validation {
    condition     = alltrue([for role in flatten(values(var.bucket_roles)) : can(regex(local._role, role))])
    error_message = "Identity ${var.name}: ${join(", ", [for role in flatten(values(var.bucket_roles)) : role if !can(regex(local._role, role))])} in bucket_roles is not the full name of a role: use roles/NAME, projects/ID/roles/NAME or organizations/NUMBER/roles/NAME."
  }

  validation {
    condition     = alltrue([for role in flatten(values(var.bucket_roles)) : !startswith(role, "roles/") || startswith(role, "roles/storage.")])
    error_message = "Identity ${var.name}: ${join(", ", [for role in flatten(values(var.bucket_roles)) : role if startswith(role, "roles/") && !startswith(role, "roles/storage.")])} in bucket_roles is a predefined role that is not of Cloud Storage: use roles/storage.NAME, such as roles/storage.objectViewer, or a custom role."
  }
}

variable "delegates" {
  description = "E-mail addresses of the service accounts of the impersonation chain, caller side first. ADC documents cannot express a chain, so only programs that request delegates use it. Default: none."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for email in var.delegates : can(regex(local._account_email, email))])
    error_message = "Identity ${var.name}: ${join(", ", [for email in var.delegates : email if !can(regex(local._account_email, email))])} in delegates is not the e-mail address of a service account: use NAME@PROJECT.iam.gserviceaccount.com with a NAME of 6 to 30 characters, without a prefix."
  }

  validation {
    condition     = length(distinct(var.delegates)) == length(var.delegates)
    error_message = "Identity ${var.name}: delegates has an account twice: list each once, caller side first."
  }

  validation {
    condition     = length(var.delegates) == 0 || var.service_account != null
    error_message = "Identity ${var.name}: delegates needs a service account at the end of the chain: set service_account, or leave the chain empty."
  }

  validation {
    condition     = !contains(var.delegates, coalesce(local._account, "none"))
    error_message = "Identity ${var.name}: delegates contains the account itself: leave it out; the chain ends there anyway."
  }
}

variable "delegation_role" {
  description = "Role by which one account of a chain may impersonate through the next. The least is a custom role with iam.serviceAccounts.implicitDelegation alone. Default: roles/iam.serviceAccountTokenCreator."
  type        = string
  default     = "roles/iam.serviceAccountTokenCreator"
  nullable    = false

  validation {
    condition     = can(regex(local._role, var.delegation_role))
    error_message = "Identity ${var.name}: delegation_role ${var.delegation_role} is not the full name of a role: use roles/NAME, projects/ID/roles/NAME or organizations/NUMBER/roles/NAME."
  }

  validation {
    condition     = !startswith(var.delegation_role, "roles/") || var.delegation_role == "roles/iam.serviceAccountTokenCreator"
    error_message = "Identity ${var.name}: delegation_role ${var.delegation_role} is a predefined role other than roles/iam.serviceAccountTokenCreator: use that one, or a custom role with iam.serviceAccounts.implicitDelegation."
  }
}

variable "deletion_protection" {
  description = "Whether a deletion or a replacement of the account that is created here is refused, before anything else of the identity changes. A new account of the same name has another numeric id, so grants of other states on it have no effect. Set it to false and apply before you remove the identity. Default: true."
  type        = bool
  default     = true
  nullable    = false
}

variable "drop_subject_prefix" {
  description = "Whether the principal has the subject without subject_prefix: the output drop_subject_prefix of the module federation. Default: false."
  type        = bool
  default     = false
  nullable    = false
}

variable "grant_chain" {
  description = "Whether each of delegates gets its grant on the next one here. Required with two or more delegates. Set it to false where several identities share a chain, and grant it once, as the root does: a grant that two identities make is gone when one of them is removed. Default: none."
  type        = bool
  default     = null

  validation {
    condition     = length(var.delegates) < 2 || var.grant_chain != null
    error_message = "Identity ${var.name}: delegates has several accounts, and who grants each the next is not decided: set grant_chain = true if no other identity shares two of them, else grant the chain once and set grant_chain = false (README)."
  }
}

variable "lifetime_seconds" {
  description = "Lifetime of impersonated access tokens, 600 to 43200 seconds. More than 3600 needs the organisation policy iam.allowServiceAccountCredentialLifetimeExtension. Default: the client's, an hour."
  type        = number
  default     = null

  validation {
    condition     = var.lifetime_seconds == null ? true : var.lifetime_seconds >= 600 && var.lifetime_seconds <= 43200 && floor(var.lifetime_seconds) == var.lifetime_seconds
    error_message = "Identity ${var.name}: lifetime_seconds is not a whole number from 600 to 43200: leave it out for an hour."
  }

  validation {
    condition     = var.lifetime_seconds == null || var.service_account != null
    error_message = "Identity ${var.name}: lifetime_seconds applies to impersonated tokens, and there is no service account: leave it out."
  }
}

variable "name" {
  description = "Name of the identity in the refresher's configuration, and id of the service account unless that has another."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex(local._entry_name, var.name))
    error_message = "name ${var.name} is not a valid name: use a-z and 0-9, inside also - _ ., at most 63 characters."
  }
}

variable "pool_name" {
  description = "Resource name of the pool with the project's number: the output pool_name of the module federation. The principal is built from it."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex(local._pool_name, var.pool_name))
    error_message = "Identity ${var.name}: pool_name ${var.pool_name} is not projects/NUMBER/locations/global/workloadIdentityPools/POOL: copy the output pool_name of the module federation; principals don't accept the project's id."
  }
}

variable "project_id" {
  description = "Id, not number, of the project in which the service account is created."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex(local._project_id, var.project_id))
    error_message = "Identity ${var.name}: project_id ${var.project_id} is not a project id: use the id, such as my-project, not the number and not the display name."
  }
}

variable "project_roles" {
  description = "Roles on whole projects, by the project's id, such as {my-project = [\"roles/bigquery.jobUser\"]}. Basic roles are refused, and so are roles of IAM, Resource Manager, Deployment Manager and Cloud Build that are not for viewing. Default: none."
  type        = map(set(string))
  default     = {}
  nullable    = false

  validation {
    condition     = alltrue([for project in keys(var.project_roles) : can(regex(local._project_id, project))])
    error_message = "Identity ${var.name}: ${join(", ", [for project in keys(var.project_roles) : project if !can(regex(local._project_id, project))])} in project_roles is not a project id: use the id, such as my-project."
  }

  validation {
    condition     = alltrue([for role in flatten(values(var.project_roles)) : can(regex(local._role, role))])
    error_message = "Identity ${var.name}: ${join(", ", [for role in flatten(values(var.project_roles)) : role if !can(regex(local._role, role))])} in project_roles is not the full name of a role: use roles/NAME, projects/ID/roles/NAME or organizations/NUMBER/roles/NAME."
  }

  validation {
    condition     = length(setintersection(flatten(values(var.project_roles)), local._basic_roles)) == 0
    error_message = "Identity ${var.name}: project_roles grants a basic role (${join(", ", setintersection(flatten(values(var.project_roles)), local._basic_roles))}): grant what the workload needs."
  }

  validation {
    condition     = alltrue([for role in flatten(values(var.project_roles)) : !can(regex(local._powerful_role, role)) || can(regex(local._viewing_role, role))])
    error_message = "Identity ${var.name}: ${join(", ", [for role in flatten(values(var.project_roles)) : role if can(regex(local._powerful_role, role)) && !can(regex(local._viewing_role, role))])} in project_roles is a role of IAM, Resource Manager, Deployment Manager or Cloud Build that is not for viewing, by which the workload may become other accounts: grant such roles on single accounts only, elsewhere."
  }
}

variable "provider_name" {
  description = "Resource name of the pool's provider with the project's number: the output provider_name of the module federation. Only ADC documents depend on it."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^${var.pool_name}/providers/[a-z0-9-]{4,32}$", var.provider_name))
    error_message = "Identity ${var.name}: provider_name ${var.provider_name} is not a provider of the pool, POOL_NAME/providers/PROVIDER: copy the output provider_name of the module federation that pool_name comes from."
  }
}

variable "quota_project_id" {
  description = "Id of the project that pays quota. Default: the account's own."
  type        = string
  default     = null

  validation {
    condition     = var.quota_project_id == null ? true : can(regex(local._project_id, var.quota_project_id))
    error_message = "Identity ${var.name}: quota_project_id is not a project id: use the id, such as my-project."
  }
}

variable "run_services" {
  description = <<-EOT
    Cloud Run services that the account may invoke, by a name that you choose. Default: none.
    - `location`: region of the service.
    - `name`: name of the service, without a URL.
    - `project_id`: id of its project. Default: the account's own.
  EOT
  type = map(object({
    location   = string
    name       = string
    project_id = optional(string)
  }))
  default  = {}
  nullable = false

  validation {
    condition     = alltrue([for service in values(var.run_services) : can(regex("^[a-z]([a-z0-9-]{0,61}[a-z0-9])?$", service.name)) && can(regex("^[a-z]+-[a-z]+[0-9]+$", service.location))])
    error_message = "Identity ${var.name}: an entry of run_services has no name of a service or no region (${join(", ", [for key, service in var.run_services : key if !can(regex("^[a-z]([a-z0-9-]{0,61}[a-z0-9])?$", service.name)) || !can(regex("^[a-z]+-[a-z]+[0-9]+$", service.location))])}): set both, such as name = \"api\" and location = \"europe-west1\", without a URL."
  }

  validation {
    condition     = length(var.run_services) == 0 || (var.service_account != null && contains(var.token_kinds, "id_token"))
    error_message = "Identity ${var.name}: run_services needs ID tokens of a service account: set service_account, and add id_token to token_kinds."
  }
}

variable "scopes" {
  description = "Scopes of access tokens that the refresher mints itself. Default: cloud-platform."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for scope in var.scopes : can(regex(local._scope, scope))])
    error_message = "Identity ${var.name}: ${join(", ", [for scope in var.scopes : scope if !can(regex(local._scope, scope))])} in scopes is not the full name of a scope: use a URL such as https://www.googleapis.com/auth/cloud-platform."
  }
}

variable "service_account" {
  description = <<-EOT
    Target principal: an account that is created here, an existing one (`email`), or null for direct resource access, where the roles are granted to the subject itself. Default: created with the identity's name.
    - `account_id`: id of the account to create, 6 to 30 characters. Default: the identity's name.
    - `description`: description of the account to create, at most 256 bytes. Default: Managed by Terraform.
    - `display_name`: display name of the account to create, at most 100 characters. Default: the identity's name.
    - `email`: e-mail address of an existing account. Default: none, and one is created.
    - `project_id`: id of the project to create the account in. Default: the identity's.
  EOT
  type = object({
    account_id   = optional(string)
    description  = optional(string, "Managed by Terraform")
    display_name = optional(string)
    email        = optional(string)
    project_id   = optional(string)
  })
  default = {}

  validation {
    condition     = var.service_account == null ? true : var.service_account.email == null || var.service_account.account_id == null
    error_message = "Identity ${var.name}: service_account has both account_id and email: set account_id to create one, or email to use an existing one."
  }

  validation {
    condition     = var.service_account == null ? true : var.service_account.email != null || can(regex(local._account_id, coalesce(var.service_account.account_id, var.name)))
    error_message = "Identity ${var.name}: the service account's id is not 6 to 30 characters a-z 0-9 - that begin with a letter and end without a dash: set service_account.account_id, or use a longer or shorter name."
  }

  validation {
    condition     = var.service_account == null ? true : var.service_account.email == null ? true : can(regex(local._account_email, var.service_account.email))
    error_message = "Identity ${var.name}: service_account.email is not the e-mail address of a service account: use NAME@PROJECT.iam.gserviceaccount.com with a NAME of 6 to 30 characters, without a prefix."
  }

  validation {
    condition     = var.service_account == null ? true : length(replace(urlencode(var.service_account.description), "/%[0-9A-F]{2}/", "-")) <= 256
    error_message = "Identity ${var.name}: service_account.description is longer than 256 bytes: shorten it."
  }

  validation {
    condition     = var.service_account == null ? true : length(coalesce(var.service_account.display_name, "-")) <= 100
    error_message = "Identity ${var.name}: service_account.display_name is longer than 100 characters: shorten it."
  }

  validation {
    condition     = var.service_account == null ? true : var.service_account.project_id == null ? true : can(regex(local._project_id, var.service_account.project_id))
    error_message = "Identity ${var.name}: service_account.project_id is not a project id: use the id, such as my-project."
  }
}

variable "signing" {
  description = "Whether the account may sign as itself, as signed URLs need. It gets roles/iam.serviceAccountTokenCreator on itself. Default: false."
  type        = bool
  default     = false
  nullable    = false

  validation {
    condition     = !var.signing || var.service_account != null
    error_message = "Identity ${var.name}: signing needs a service account: set service_account, or leave signing out."
  }
}

variable "source_service_account" {
  description = "E-mail address of the account whose ID token is the subject token, where the refresher gets it through generateIdToken. Default: none."
  type        = string
  default     = null

  validation {
    condition     = var.source_service_account == null ? true : can(regex(local._account_email, var.source_service_account))
    error_message = "Identity ${var.name}: source_service_account is not the e-mail address of a service account: use NAME@PROJECT.iam.gserviceaccount.com with a NAME of 6 to 30 characters, without a prefix."
  }
}

variable "subject" {
  description = "Claim `sub` of the identity's tokens, exactly: at most 127 bytes, without the prefix that the provider drops. For Google-signed tokens it is the numeric id of the account."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[!-~]+$", var.subject)) && length(trimprefix(var.subject, var.drop_subject_prefix ? var.subject_prefix : "")) <= 127
    error_message = "Identity ${var.name}: subject is empty, longer than 127 bytes, or contains whitespace or characters outside ASCII: use an id that is not reused, such as user-1042; for longer subjects of an oidc issuer, set drop_subject_prefix."
  }

  validation {
    condition     = !strcontains(var.subject, "*")
    error_message = "Identity ${var.name}: subject contains a *: use exactly one subject; a whole pool can't be granted anything."
  }

  validation {
    condition     = !can(regex("^(principal|principalSet|serviceAccount|user|group):", var.subject))
    error_message = "Identity ${var.name}: subject is the member of a policy: use the sub claim alone; the principal is built from it."
  }

  validation {
    condition     = startswith(var.subject, var.subject_prefix)
    error_message = "Identity ${var.name}: subject does not begin with the prefix that the provider's condition requires, so that Google would never admit it: rename it, or use the pool that it belongs to."
  }

  validation {
    condition     = var.subject != var.subject_prefix
    error_message = "Identity ${var.name}: subject is the prefix alone: add an id that is not reused, such as 1042."
  }
}

variable "subject_prefix" {
  description = "Text that subjects begin with: the output subject_prefix of the module federation. Default: empty, and any subject is accepted."
  type        = string
  default     = ""
  nullable    = false

  validation {
    condition     = var.subject_prefix != "" || !var.drop_subject_prefix
    error_message = "Identity ${var.name}: subject_prefix is empty and drop_subject_prefix is true: set both to the outputs of the module federation."
  }
}

variable "supplier_name" {
  description = "Name of the supplier in the refresher's configuration. Default: the only one."
  type        = string
  default     = null

  validation {
    condition     = var.supplier_name == null ? true : can(regex(local._entry_name, var.supplier_name))
    error_message = "Identity ${var.name}: supplier_name ${coalesce(var.supplier_name, "-")} is not a valid name: use a-z and 0-9, inside also - _ ., at most 63 characters."
  }
}

variable "token_file" {
  description = "Path of the token file as the container sees it, for the output credentials. Default: /run/refresher/NAME/token."
  type        = string
  default     = null

  validation {
    condition     = var.token_file == null ? true : can(regex("^/[A-Za-z0-9._/:@-]+$", var.token_file))
    error_message = "Identity ${var.name}: token_file is not an absolute path of letters, digits and . _ / : @ -: write the whole path, as the container sees it."
  }
}

variable "token_kinds" {
  description = "Kinds of tokens that the subject may get from the account: access_token, id_token or both. With id_token alone less is granted: Google refuses access tokens, so credentials.json does not work for clients of Google's APIs, and a target needs artifacts.id_tokens. The refresher's configuration does not contain this. Default: both."
  type        = set(string)
  default     = ["access_token", "id_token"]
  nullable    = false

  validation {
    condition     = length(var.token_kinds) > 0 && length(setsubtract(var.token_kinds, ["access_token", "id_token"])) == 0
    error_message = "Identity ${var.name}: token_kinds is empty or holds something other than access_token and id_token: use one of them or both."
  }

  validation {
    condition     = var.service_account != null || contains(var.token_kinds, "access_token")
    error_message = "Identity ${var.name}: token_kinds allows ID tokens alone, which need a service account: set service_account."
  }
}
