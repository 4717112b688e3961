output "audited" {
  description = "Lists of the services whose token events are logged, by project; both in each, or none."
  value       = { for project in var.project_ids : project => sort([for entry in google_project_iam_audit_config.main : entry.service if entry.project == project]) }
}

output "org_policies" {
  description = "List of the resource names of the organisation policies that are set."
  # not the attribute `name`, which the Terraform provider shortens when it reads a policy
  value = sort([for constraint in keys(google_org_policy_policy.main) : "${var.org_policies.parent}/policies/${constraint}"])
}

output "unexpected_filter" {
  description = "Filter for Cloud Logging that finds unexpected subjects; null without expected_principals."
  value       = length(var.expected_principals) == 0 ? null : local._unexpected
}
