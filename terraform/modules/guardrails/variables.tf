variable "audit" {
  description = "Whether Data Access logs of STS and IAM are written in every project. Only they show who impersonated which account. They cost money."
  type        = bool
  default     = true
  nullable    = false
}

variable "audit_log_types" {
  description = "Which Data Access logs; token events are ADMIN_READ."
  type        = set(string)
  default     = ["ADMIN_READ"]
  nullable    = false

  validation {
    condition     = length(setsubtract(var.audit_log_types, ["ADMIN_READ", "DATA_READ", "DATA_WRITE"])) == 0
    error_message = "audit_log_types holds something other than ADMIN_READ, DATA_READ and DATA_WRITE: use these names in capitals; Google accepts others and logs nothing."
  }

  validation {
    condition     = contains(var.audit_log_types, "ADMIN_READ")
    error_message = "audit_log_types lacks ADMIN_READ, which covers token exchanges and impersonations: add it, or set audit = false."
  }
}

variable "deny_policy" {
  description = "The only principals that may create, change or undelete providers below an attachment point such as cloudresourcemanager.googleapis.com/projects/my-project; a deny policy needs organisation rights. Null: none."
  type = object({
    attachment_point     = string
    exception_principals = set(string)
  })
  default = null

  validation {
    condition     = var.deny_policy == null ? true : can(regex("^cloudresourcemanager\\.googleapis\\.com/(projects|folders|organizations)/[a-z0-9:.-]+$", var.deny_policy.attachment_point))
    error_message = "deny_policy.attachment_point is not cloudresourcemanager.googleapis.com/projects/ID (or folders, organizations): use this form, with plain slashes."
  }

  validation {
    condition     = var.deny_policy == null ? true : length(var.deny_policy.exception_principals) > 0
    error_message = "deny_policy.exception_principals is empty, so that no one could change the provider any more: list the principals that may."
  }

  validation {
    condition     = var.deny_policy == null ? true : alltrue([for member in var.deny_policy.exception_principals : can(regex("^(principal://(goog/subject/|iam\\.googleapis\\.com/)|principalSet://goog/group/)[^*]+$", member))])
    error_message = "An entry of deny_policy.exception_principals is not in the form of deny policies: write principal://goog/subject/EMAIL, principalSet://goog/group/EMAIL or principal://iam.googleapis.com/…."
  }
}

variable "expected_principals" {
  description = "Principals whose impersonations are expected (the output principals of the root). If any is set, every other subject of any pool is counted by a metric and raises an alert. Needs audit."
  type        = set(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for member in var.expected_principals : can(regex("^principal://iam\\.googleapis\\.com/projects/[0-9]+/locations/global/workloadIdentityPools/[a-z0-9-]+/subject/[!#-~]+$", member))])
    error_message = "An entry of expected_principals is not a single subject of a pool: copy the output principals."
  }

  validation {
    condition     = length(join(" OR ", var.expected_principals)) <= 18000
    error_message = "expected_principals is too long for a filter of Cloud Logging: watch fewer projects and subjects together, or leave it empty."
  }

  validation {
    condition     = length(var.expected_principals) == 0 || var.audit
    error_message = "expected_principals needs the audit logs: set audit = true, or leave it empty."
  }
}

variable "notification_channels" {
  description = "Resource names of the channels that the alert is sent to."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for channel in var.notification_channels : can(regex("^projects/[^/]+/notificationChannels/[^/]+$", channel))])
    error_message = "An entry of notification_channels is not projects/ID/notificationChannels/ID: copy the channel's resource name."
  }
}

variable "org_policies" {
  description = "Organisation policies on a project, folder or organisation: which issuers pools may trust, and whether service-account keys may be created or uploaded; they need organisation rights. A policy is one object: set it nowhere else. Null: none."
  type = object({
    allowed_issuers      = optional(list(string))
    disable_key_creation = optional(bool, true)
    disable_key_upload   = optional(bool, true)
    dry_run              = optional(bool, false)
    parent               = string
  })
  default = null

  validation {
    condition     = var.org_policies == null ? true : can(regex("^(projects/[a-z0-9:.-]+|folders/[0-9]+|organizations/[0-9]+)$", var.org_policies.parent))
    error_message = "org_policies.parent is not projects/ID, folders/NUMBER or organizations/NUMBER: use one of these forms."
  }

  validation {
    condition     = var.org_policies == null ? true : var.org_policies.allowed_issuers == null ? true : length(var.org_policies.allowed_issuers) > 0 && alltrue([for issuer in var.org_policies.allowed_issuers : can(regex("^https://[!-~]+$", issuer))])
    error_message = "org_policies.allowed_issuers is empty or holds an entry that is not an https URL: list every issuer exactly as in issuer.uri, or leave it out."
  }
}

variable "project_ids" {
  description = "Ids of every project that has the pool or accounts: their logs are in each."
  type        = set(string)
  nullable    = false

  validation {
    condition     = length(var.project_ids) > 0 && alltrue([for project in var.project_ids : can(regex("^([a-z0-9.-]{1,63}:)?[a-z][a-z0-9-]{4,28}[a-z0-9]$", project))])
    error_message = "project_ids is empty or holds an entry that is not a project id: use ids, such as my-project, not numbers."
  }
}
