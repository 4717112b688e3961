output "audit_queries" {
  description = "Filters for Cloud Logging by name: exchanges and by_subject (what the subject did itself), became_account (who impersonated the account), as_account (what was done as the account). All but as_account need Data Access logs (module guardrails)."
  value = merge(
    {
      exchanges  = "protoPayload.serviceName=\"sts.googleapis.com\" AND protoPayload.metadata.mapped_principal=\"${local._quoted_principal}\""
      by_subject = "protoPayload.authenticationInfo.principalSubject=\"${local._quoted_principal}\""
    },
    { for key, filter in {
      became_account = "protoPayload.serviceName=\"iamcredentials.googleapis.com\" AND resource.type=\"service_account\" AND resource.labels.email_id=\"${coalesce(local._email, "none")}\""
      as_account     = "protoPayload.authenticationInfo.principalEmail=\"${coalesce(local._email, "none")}\""
    } : key => filter if !local._is_direct },
  )
}

output "credentials" {
  description = "ADC document (`external_account`) as a JSON text, for programs that do not get the refresher's own. It holds no secret."
  value       = jsonencode(local._credentials)
}

output "identity" {
  description = "Entry of the identity in the refresher's configuration, as an object."
  value       = local._identity
}

output "principal" {
  description = "Subject as IAM policies name it."
  value       = local._principal
}

output "refresher_config" {
  description = "Part of the refresher's configuration with this identity alone, as an object."
  value       = local._refresher_config

  # A reader of this output may start to work.
  depends_on = [
    google_service_account_iam_member.subject,
    google_service_account_iam_member.link,
    google_service_account_iam_member.last_link,
    google_service_account_iam_member.signing,
    google_service_account_iam_binding.impersonation,
    google_project_iam_member.main,
    google_storage_bucket_iam_member.main,
    google_cloud_run_v2_service_iam_member.main,
  ]
}

output "refresher_yaml" {
  description = "Part of the refresher's configuration with this identity alone, as the text of a YAML file. List the file under `include`, together with the pool's."
  value       = yamlencode(local._refresher_config)
}

output "service_account_email" {
  description = "E-mail address of the target principal; null for direct resource access."
  value       = local._email
}
