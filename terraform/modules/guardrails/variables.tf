variable "audit" {
  description = "Whether Data Access logs of STS and IAM are written in every project. Only they show who impersonated which account. They cost money. Default: true."
  type        = bool
  default     = true
  nullable    = false
}

variable "audit_log_types" {
  description = "Set of types of Data Access logs: ADMIN_READ, which token events are, DATA_READ and DATA_WRITE. Default: ADMIN_READ."
  type        = set(string)
  default     = ["ADMIN_READ"]
  nullable    = false

  validation {
    condition     = length(setsubtract(var.audit_log_types, ["ADMIN_READ", "DATA_READ", "DATA_WRITE"])) == 0
    error_message = "audit_log_types holds something other than ADMIN_READ, DATA_READ and DATA_WRITE (${join(", ", setsubtract(var.audit_log_types, ["ADMIN_READ", "DATA_READ", "DATA_WRITE"]))}): use these names in capitals; Google accepts others and logs nothing."
  }

  validation {
    condition     = contains(var.audit_log_types, "ADMIN_READ")
    error_message = "audit_log_types lacks ADMIN_READ, which covers token exchanges and impersonations: add it, or set audit = false."
  }
}

variable "deny_policy" {
  description = <<-EOT
    Deny policy that limits who may create, change or undelete providers. It needs organisation rights. Default: none.
    - `attachment_point`: place below which it applies, such as cloudresourcemanager.googleapis.com/projects/my-project.
    - `exception_principals`: the only principals that may, in the form of deny policies.
  EOT
  type = object({
    attachment_point     = string
    exception_principals = set(string)
  })
  default = null

  validation {
    condition     = var.deny_policy == null ? true : can(regex(local._attachment_point, var.deny_policy.attachment_point))
    error_message = "deny_policy.attachment_point is not cloudresourcemanager.googleapis.com/projects/ID (or folders, organizations): use this form, with plain slashes."
  }

  validation {
    condition     = var.deny_policy == null ? true : length(var.deny_policy.exception_principals) > 0
    error_message = "deny_policy.exception_principals is empty, so that no one could change the provider any more: list the principals that may."
  }

  validation {
    condition     = var.deny_policy == null ? true : alltrue([for member in var.deny_policy.exception_principals : can(regex(local._exception, member))])
    error_message = "An entry of deny_policy.exception_principals is not in the form of deny policies (${var.deny_policy == null ? "" : join(", ", [for member in var.deny_policy.exception_principals : member if !can(regex(local._exception, member))])}): write principal://goog/subject/EMAIL, principalSet://goog/group/EMAIL or principal://iam.googleapis.com/…."
  }
}

variable "expected_principals" {
  description = "Set of principals whose impersonations are expected (the output principals of the root). If any is set, every other subject of any pool is counted by a metric and raises an alert. Needs audit. Default: none."
  type        = set(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for member in var.expected_principals : can(regex(local._subject, member))])
    error_message = "An entry of expected_principals is not a single subject of a pool (${join(", ", [for member in var.expected_principals : member if !can(regex(local._subject, member))])}): copy the output principals."
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
  description = "List of resource names of the channels that the alert is sent to: projects/ID/notificationChannels/ID. Default: none."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for channel in var.notification_channels : can(regex(local._channel, channel))])
    error_message = "An entry of notification_channels is not projects/ID/notificationChannels/ID (${join(", ", [for channel in var.notification_channels : channel if !can(regex(local._channel, channel))])}): copy the channel's resource name."
  }
}

variable "org_policies" {
  description = <<-EOT
    Organisation policies on a project, folder or organisation. They need organisation rights. A policy is one object: set it nowhere else. Default: none.
    - `allowed_issuers`: URLs of the issuers that pools may trust, each exactly as `issuer.uri`. Default: this policy is not set.
    - `disable_key_creation`: whether no keys of service accounts may be created. Default: true.
    - `disable_key_upload`: whether no keys of service accounts may be uploaded. Default: true.
    - `dry_run`: whether the policies only log what they would refuse. Default: false.
    - `parent`: projects/ID, folders/NUMBER or organizations/NUMBER.
  EOT
  type = object({
    allowed_issuers      = optional(list(string))
    disable_key_creation = optional(bool, true)
    disable_key_upload   = optional(bool, true)
    dry_run              = optional(bool, false)
    parent               = string
  })
  default = null

  validation {
    condition     = var.org_policies == null ? true : can(regex(local._parent, var.org_policies.parent))
    error_message = "org_policies.parent is not projects/ID, folders/NUMBER or organizations/NUMBER: use one of these forms."
  }

  validation {
    condition     = var.org_policies == null ? true : var.org_policies.allowed_issuers == null ? true : length(var.org_policies.allowed_issuers) > 0 && alltrue([for issuer in var.org_policies.allowed_issuers : can(regex(local._issuer, issuer))])
    error_message = "org_policies.allowed_issuers is empty or holds an entry that is not an https URL: list every issuer exactly as in issuer.uri, or leave it out."
  }
}

variable "project_ids" {
  description = "Set of ids of every project that has the pool or accounts: their logs are in each."
  type        = set(string)
  nullable    = false

  validation {
    condition     = length(var.project_ids) > 0 && alltrue([for project in var.project_ids : can(regex(local._project_id, project))])
    error_message = "project_ids is empty or holds an entry that is not a project id (${join(", ", [for project in var.project_ids : project if !can(regex(local._project_id, project))])}): use ids, such as my-project, not numbers."
  }
}
