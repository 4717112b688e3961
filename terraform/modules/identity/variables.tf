variable "additional_impersonators" {
  description = "People who may also impersonate the account, such as user:ann@example.com or group:data@example.com; they get roles/iam.serviceAccountTokenCreator on it."
  type        = set(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for member in var.additional_impersonators : can(regex("^(user|group):[a-z0-9][a-z0-9._+-]*@[a-z0-9.-]+\\.[a-z]{2,}$", member)) && !endswith(member, ".gserviceaccount.com")])
    error_message = "An entry of additional_impersonators is not user:EMAIL or group:EMAIL in lower case: use an identity of its own for a workload; allUsers, domains and whole pools are not allowed."
  }

  validation {
    condition     = length(var.additional_impersonators) == 0 || var.service_account != null
    error_message = "additional_impersonators needs a service account: set service_account, or leave the list empty."
  }
}

variable "bucket_roles" {
  description = "Roles on Cloud Storage buckets, by the bucket's name, such as {data = [\"roles/storage.objectViewer\"]}: predefined roles of Cloud Storage, or custom roles."
  type        = map(set(string))
  default     = {}
  nullable    = false

  validation {
    condition     = alltrue([for bucket in keys(var.bucket_roles) : can(regex("^[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]$", bucket))])
    error_message = "A key of bucket_roles is not a bucket name: use the name alone, without gs:// and path."
  }

  validation {
    condition     = alltrue([for role in flatten([for roles in values(var.bucket_roles) : tolist(roles)]) : can(regex("^(roles|projects/[a-z0-9:.-]+/roles|organizations/[0-9]+/roles)/[A-Za-z0-9_.]+$", role))])
    error_message = "A role in bucket_roles is not written in full: use roles/NAME, projects/ID/roles/NAME or organizations/NUMBER/roles/NAME."
  }

  validation {
    condition     = alltrue([for role in flatten([for roles in values(var.bucket_roles) : tolist(roles)]) : !startswith(role, "roles/") || startswith(role, "roles/storage.")])
    error_message = "bucket_roles grants a predefined role that is not of Cloud Storage: use roles/storage.NAME, such as roles/storage.objectViewer, or a custom role."
  }
}

variable "delegates" {
  description = "E-mail addresses of the service accounts of the impersonation chain, caller side first. ADC documents cannot express a chain, so only programs that request delegates use it."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for email in var.delegates : can(regex("^[a-z0-9][a-z0-9._-]*@[a-z0-9.-]+\\.[a-z]{2,}$", email))])
    error_message = "An entry of delegates is not the e-mail address of a service account: use NAME@PROJECT.iam.gserviceaccount.com, without a prefix."
  }

  validation {
    condition     = length(distinct(var.delegates)) == length(var.delegates)
    error_message = "delegates has an account twice: list each once, caller side first."
  }

  validation {
    condition     = length(var.delegates) == 0 || var.service_account != null
    error_message = "delegates needs a service account at the end of the chain: set service_account, or leave the chain empty."
  }

  validation {
    condition     = var.service_account == null ? true : !contains(var.delegates, coalesce(var.service_account.email, "${coalesce(var.service_account.account_id, var.name)}@${coalesce(var.service_account.project_id, var.project_id)}.iam.gserviceaccount.com"))
    error_message = "delegates contains the account itself: leave it out; the chain ends there anyway."
  }
}

variable "delegation_role" {
  description = "Role by which one account of a chain may impersonate through the next; the least is a custom role with iam.serviceAccounts.implicitDelegation alone."
  type        = string
  default     = "roles/iam.serviceAccountTokenCreator"
  nullable    = false

  validation {
    condition     = can(regex("^(roles|projects/[a-z0-9:.-]+/roles|organizations/[0-9]+/roles)/[A-Za-z0-9_.]+$", var.delegation_role))
    error_message = "delegation_role is not written in full: use roles/NAME, projects/ID/roles/NAME or organizations/NUMBER/roles/NAME."
  }

  validation {
    condition     = !startswith(var.delegation_role, "roles/") || var.delegation_role == "roles/iam.serviceAccountTokenCreator"
    error_message = "delegation_role is a predefined role other than roles/iam.serviceAccountTokenCreator: use that one, or a custom role with iam.serviceAccounts.implicitDelegation."
  }
}

variable "lifetime_seconds" {
  description = "Lifetime of impersonated access tokens, 600 to 43200; more than 3600 needs the organisation policy iam.allowServiceAccountCredentialLifetimeExtension. Default: the client's, an hour."
  type        = number
  default     = null

  validation {
    condition     = var.lifetime_seconds == null ? true : var.lifetime_seconds >= 600 && var.lifetime_seconds <= 43200 && floor(var.lifetime_seconds) == var.lifetime_seconds
    error_message = "lifetime_seconds is not a whole number from 600 to 43200: leave it out for an hour."
  }

  validation {
    condition     = var.lifetime_seconds == null || var.service_account != null
    error_message = "lifetime_seconds applies to impersonated tokens, and there is no service account: leave it out."
  }
}

variable "name" {
  description = "Name of the identity in the refresher's configuration, and id of the service account unless that has another."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z0-9]([-a-z0-9_.]{0,61}[a-z0-9])?$", var.name))
    error_message = "name is not a valid name: use a-z and 0-9, inside also - _ ., at most 63 characters."
  }
}

variable "project_id" {
  description = "Id, not number, of the project in which the service account is created."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^([a-z0-9.-]{1,63}:)?[a-z][a-z0-9-]{4,28}[a-z0-9]$", var.project_id))
    error_message = "project_id is not a project id: use the id, such as my-project, not the number and not the display name."
  }
}

variable "project_roles" {
  description = "Roles on whole projects, by the project's id, such as {my-project = [\"roles/bigquery.jobUser\"]}; basic roles are refused, and so are roles of IAM, Resource Manager, Deployment Manager and Cloud Build that are not for viewing."
  type        = map(set(string))
  default     = {}
  nullable    = false

  validation {
    condition     = alltrue([for project in keys(var.project_roles) : can(regex("^([a-z0-9.-]{1,63}:)?[a-z][a-z0-9-]{4,28}[a-z0-9]$", project))])
    error_message = "A key of project_roles is not a project id: use the id, such as my-project."
  }

  validation {
    condition     = alltrue([for role in flatten([for roles in values(var.project_roles) : tolist(roles)]) : can(regex("^(roles|projects/[a-z0-9:.-]+/roles|organizations/[0-9]+/roles)/[A-Za-z0-9_.]+$", role))])
    error_message = "A role in project_roles is not written in full: use roles/NAME, projects/ID/roles/NAME or organizations/NUMBER/roles/NAME."
  }

  validation {
    condition     = alltrue([for role in flatten([for roles in values(var.project_roles) : tolist(roles)]) : !contains(["roles/owner", "roles/editor", "roles/viewer", "roles/admin", "roles/writer", "roles/reader"], role)])
    error_message = "project_roles grants a basic role (owner, editor, viewer, admin, writer, reader): grant what the workload needs."
  }

  validation {
    condition     = alltrue([for role in flatten([for roles in values(var.project_roles) : tolist(roles)]) : !can(regex("^roles/(iam|resourcemanager|deploymentmanager|cloudbuild)\\.", role)) || can(regex("(Viewer|Reviewer|viewer)$", role))])
    error_message = "project_roles grants a role of IAM, Resource Manager, Deployment Manager or Cloud Build that is not for viewing, by which the workload may become other accounts: grant such roles on single accounts only, elsewhere."
  }
}

variable "provider_name" {
  description = "Resource name of the pool's provider with the project's number: the output provider_name of the module federation."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^projects/[1-9][0-9]*/locations/global/workloadIdentityPools/[a-z0-9-]{4,32}/providers/[a-z0-9-]{4,32}$", var.provider_name))
    error_message = "provider_name is not projects/NUMBER/locations/global/workloadIdentityPools/POOL/providers/PROVIDER: copy the output provider_name of the module federation; principals don't accept the project's id."
  }
}

variable "quota_project_id" {
  description = "Id of the project that pays quota, if not the account's own."
  type        = string
  default     = null

  validation {
    condition     = var.quota_project_id == null ? true : can(regex("^([a-z0-9.-]{1,63}:)?[a-z][a-z0-9-]{4,28}[a-z0-9]$", var.quota_project_id))
    error_message = "quota_project_id is not a project id: use the id, such as my-project."
  }
}

variable "run_services" {
  description = "Cloud Run services that the account may invoke, by a name that you choose."
  type = map(object({
    location   = string
    name       = string
    project_id = optional(string)
  }))
  default  = {}
  nullable = false

  validation {
    condition     = alltrue([for service in values(var.run_services) : can(regex("^[a-z]([a-z0-9-]{0,61}[a-z0-9])?$", service.name)) && can(regex("^[a-z]+-[a-z]+[0-9]+$", service.location))])
    error_message = "An entry of run_services has no name of a service or no region: set both, such as name = \"api\" and location = \"europe-west1\", without a URL."
  }

  validation {
    condition     = length(var.run_services) == 0 || (var.service_account != null && contains(var.token_kinds, "id_token"))
    error_message = "run_services needs ID tokens of a service account: set service_account, and add id_token to token_kinds."
  }
}

variable "scopes" {
  description = "Scopes of access tokens that the refresher mints itself. Default: cloud-platform."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for scope in var.scopes : can(regex("^(https://[!-~]+|openid|email|profile)$", scope))])
    error_message = "An entry of scopes is not written in full: use a URL such as https://www.googleapis.com/auth/cloud-platform."
  }
}

variable "service_account" {
  description = "The target principal: created with account_id (default: the identity's name), or an existing one by its email. Null: none; the roles are granted to the subject itself (direct resource access)."
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
    error_message = "service_account has both account_id and email: set account_id to create one, or email to use an existing one."
  }

  validation {
    condition     = var.service_account == null ? true : var.service_account.email != null || can(regex("^[a-z][a-z0-9-]{4,28}[a-z0-9]$", coalesce(var.service_account.account_id, var.name)))
    error_message = "The service account's id is not 6 to 30 characters a-z 0-9 - that begin with a letter and end without a dash: set service_account.account_id, or use a longer or shorter name."
  }

  validation {
    condition     = var.service_account == null ? true : var.service_account.email == null ? true : can(regex("^[a-z0-9][a-z0-9._-]*@[a-z0-9.-]+\\.gserviceaccount\\.com$", var.service_account.email))
    error_message = "service_account.email is not the e-mail address of a service account: use NAME@PROJECT.iam.gserviceaccount.com, without a prefix."
  }

  validation {
    condition     = var.service_account == null ? true : length(var.service_account.description) <= 256
    error_message = "service_account.description is longer than 256 characters: shorten it."
  }

  validation {
    condition     = var.service_account == null ? true : length(coalesce(var.service_account.display_name, "-")) <= 100
    error_message = "service_account.display_name is longer than 100 characters: shorten it."
  }

  validation {
    condition     = var.service_account == null ? true : var.service_account.project_id == null ? true : can(regex("^([a-z0-9.-]{1,63}:)?[a-z][a-z0-9-]{4,28}[a-z0-9]$", var.service_account.project_id))
    error_message = "service_account.project_id is not a project id: use the id, such as my-project."
  }
}

variable "signing" {
  description = "Whether the account may sign as itself, as signed URLs need; it gets roles/iam.serviceAccountTokenCreator on itself."
  type        = bool
  default     = false
  nullable    = false

  validation {
    condition     = !var.signing || var.service_account != null
    error_message = "signing needs a service account: set service_account, or leave signing out."
  }
}

variable "source_service_account" {
  description = "E-mail address of the account whose ID token is the subject token, where the refresher gets it through generateIdToken."
  type        = string
  default     = null

  validation {
    condition     = var.source_service_account == null ? true : can(regex("^[a-z0-9][a-z0-9._-]*@[a-z0-9.-]+\\.[a-z]{2,}$", var.source_service_account))
    error_message = "source_service_account is not the e-mail address of a service account: use NAME@PROJECT.iam.gserviceaccount.com, without a prefix."
  }
}

variable "subject" {
  description = "The `sub` claim of the identity's tokens, exactly: for Google-signed tokens the numeric id of the account."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[!-~]{1,127}$", var.subject))
    error_message = "subject is empty, longer than 127 bytes, or contains whitespace or characters outside ASCII: use an id that is not reused, such as user-1042."
  }

  validation {
    condition     = !strcontains(var.subject, "*")
    error_message = "subject contains a *: use exactly one subject; a whole pool can't be granted anything."
  }

  validation {
    condition     = !can(regex("^(principal|principalSet|serviceAccount|user|group):", var.subject))
    error_message = "subject is the member of a policy: use the sub claim alone; the principal is built from it."
  }

  validation {
    condition     = startswith(var.subject, var.subject_prefix)
    error_message = "subject does not begin with the prefix that the provider's condition requires, so that Google would never admit it: rename it, or use the pool that it belongs to."
  }

  validation {
    condition     = var.subject != var.subject_prefix
    error_message = "subject is the prefix alone: add an id that is not reused, such as 1042."
  }
}

variable "subject_prefix" {
  description = "What subjects begin with: the output subject_prefix of the module federation. Empty: any subject."
  type        = string
  default     = ""
  nullable    = false
}

variable "supplier_name" {
  description = "Name of the supplier in the refresher's configuration. Default: the only one."
  type        = string
  default     = null

  validation {
    condition     = var.supplier_name == null ? true : can(regex("^[a-z0-9]([-a-z0-9_.]{0,61}[a-z0-9])?$", var.supplier_name))
    error_message = "supplier_name is not a valid name: use a-z and 0-9, inside also - _ ., at most 63 characters."
  }
}

variable "token_file" {
  description = "Path of the token file as the container sees it, for the output credentials. Default: /run/refresher/NAME/token."
  type        = string
  default     = null

  validation {
    condition     = var.token_file == null ? true : can(regex("^/[A-Za-z0-9._/:@-]+$", var.token_file))
    error_message = "token_file is not an absolute path of letters, digits and . _ / : @ -: write the whole path, as the container sees it."
  }
}

variable "token_kinds" {
  description = "Kinds of tokens that the subject may get from the account: access_token, id_token or both; id_token alone grants less."
  type        = set(string)
  default     = ["access_token", "id_token"]
  nullable    = false

  validation {
    condition     = length(var.token_kinds) > 0 && length(setsubtract(var.token_kinds, ["access_token", "id_token"])) == 0
    error_message = "token_kinds is empty or holds something other than access_token and id_token: use one of them or both."
  }

  validation {
    condition     = var.service_account != null || contains(var.token_kinds, "access_token")
    error_message = "token_kinds allows ID tokens alone, which need a service account: set service_account."
  }
}
