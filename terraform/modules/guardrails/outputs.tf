output "audited" {
  description = "Services whose token events are logged, by project; both in each, or none."
  value       = { for project in var.project_ids : project => sort([for entry in google_project_iam_audit_config.main : entry.service if entry.project == project]) }
}

output "org_policies" {
  description = "Names of the organisation policies that are set."
  value       = sort([for policy in google_org_policy_policy.main : policy.name])
}

output "unexpected_filter" {
  description = "Filter for Cloud Logging that finds unexpected subjects; null without expected_principals."
  value       = length(var.expected_principals) == 0 ? null : local._unexpected
}
