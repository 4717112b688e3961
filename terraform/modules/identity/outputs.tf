output "audit_queries" {
  description = "Filters for Cloud Logging: what the subject did itself, who impersonated the account, and what was done in its name. The first two need Data Access logs (module guardrails)."
  value = merge(
    {
      exchanges  = "protoPayload.serviceName=\"sts.googleapis.com\" AND protoPayload.metadata.mapped_principal=\"${local._principal}\""
      by_subject = "protoPayload.authenticationInfo.principalSubject=\"${local._principal}\""
    },
    { for key, filter in {
      became_account = "protoPayload.serviceName=\"iamcredentials.googleapis.com\" AND resource.type=\"service_account\" AND resource.labels.email_id=\"${coalesce(local._email, "none")}\""
      as_account     = "protoPayload.authenticationInfo.principalEmail=\"${coalesce(local._email, "none")}\""
    } : key => filter if !local._is_direct },
  )
}

output "credentials" {
  description = "The ADC document (`external_account`) as JSON, for programs that do not get the refresher's own; it holds no secret."
  value       = jsonencode(local._credentials)
}

output "identity" {
  description = "The entry of the identity in the refresher's configuration."
  value       = local._identity
}

output "principal" {
  description = "The subject as IAM policies name it."
  value       = local._principal
}

output "refresher_config" {
  description = "The identity as part of the refresher's configuration. List the file under `include`, together with the pool's."
  value       = local._refresher_config

  # A reader of this output may start to work.
  depends_on = [
    google_service_account_iam_member.subject,
    google_service_account_iam_member.link,
    google_service_account_iam_member.last_link,
    google_service_account_iam_member.signing,
    google_project_iam_member.main,
    google_storage_bucket_iam_member.main,
    google_cloud_run_v2_service_iam_member.main,
  ]
}

output "refresher_yaml" {
  description = "The same as a YAML file."
  value       = yamlencode(local._refresher_config)
}

output "service_account_email" {
  description = "E-mail address of the target principal; null for direct resource access."
  value       = local._email
}
