locals {
  # An audit configuration cannot name IAM Credentials; the one of IAM covers it.
  _audited = var.audit ? { for pair in setproduct(var.project_ids, ["iam.googleapis.com", "sts.googleapis.com"]) : "${pair[0]} ${pair[1]}" => { project = pair[0], service = pair[1] } } : {}

  _watched = length(var.expected_principals) == 0 ? [] : var.project_ids
  _unexpected = join(" AND ", [
    "protoPayload.serviceName=\"iamcredentials.googleapis.com\"",
    "protoPayload.authenticationInfo.principalSubject=~\"^principal://iam.googleapis.com/projects/[0-9]+/locations/global/workloadIdentityPools/\"",
    "NOT protoPayload.authenticationInfo.principalSubject=(${join(" OR ", [for member in sort(var.expected_principals) : "\"${replace(replace(member, "\\", "\\\\"), "\"", "\\\"")}\""])})",
  ])

  _constraints = var.org_policies == null ? {} : merge(
    var.org_policies.allowed_issuers == null ? {} : { "iam.workloadIdentityPoolProviders" = var.org_policies.allowed_issuers },
    var.org_policies.disable_key_creation ? { "iam.disableServiceAccountKeyCreation" = [] } : {},
    var.org_policies.disable_key_upload ? { "iam.disableServiceAccountKeyUpload" = [] } : {},
  )
}

resource "google_project_iam_audit_config" "main" {
  for_each = local._audited

  project = each.value.project
  service = each.value.service

  dynamic "audit_log_config" {
    for_each = var.audit_log_types

    content {
      log_type = audit_log_config.value
    }
  }
}

resource "google_logging_metric" "unexpected" {
  for_each = local._watched

  project     = each.key
  name        = "workload-identity/unexpected-principal"
  description = "Impersonations by unexpected subjects of workload identity pools."
  filter      = local._unexpected

  metric_descriptor {
    metric_kind = "DELTA"
    value_type  = "INT64"
    unit        = "1"
  }
}

resource "google_monitoring_alert_policy" "unexpected" {
  for_each = local._watched

  project               = each.key
  display_name          = "Unexpected principal of a workload identity pool"
  combiner              = "OR"
  notification_channels = var.notification_channels

  conditions {
    display_name = "An unexpected subject requested a token of an account"

    condition_matched_log {
      filter = local._unexpected
    }
  }

  alert_strategy {
    auto_close = "86400s"

    notification_rate_limit {
      period = "300s"
    }
  }

  documentation {
    content   = "Look for the subject in protoPayload.authenticationInfo.principalSubject. If it should not be there: disable the pool (`disabled = true`), then find out who signed its token."
    mime_type = "text/markdown"
  }
}

resource "google_org_policy_policy" "main" {
  for_each = local._constraints

  name   = "${var.org_policies.parent}/policies/${each.key}"
  parent = var.org_policies.parent

  dynamic "spec" {
    for_each = var.org_policies.dry_run ? [] : [each.value]

    content {
      rules {
        enforce = length(spec.value) == 0 ? "TRUE" : null

        dynamic "values" {
          for_each = length(spec.value) == 0 ? [] : [spec.value]

          content {
            allowed_values = values.value
          }
        }
      }
    }
  }

  dynamic "dry_run_spec" {
    for_each = var.org_policies.dry_run ? [each.value] : []

    content {
      rules {
        enforce = length(dry_run_spec.value) == 0 ? "TRUE" : null

        dynamic "values" {
          for_each = length(dry_run_spec.value) == 0 ? [] : [dry_run_spec.value]

          content {
            allowed_values = values.value
          }
        }
      }
    }
  }
}

resource "google_iam_deny_policy" "main" {
  count = var.deny_policy == null ? 0 : 1

  parent       = urlencode(var.deny_policy.attachment_point)
  name         = "workload-identity-providers"
  display_name = "Who may change what pools trust"

  rules {
    description = "A provider that is changed or undeleted lets in whom its author likes."

    deny_rule {
      denied_principals    = ["principalSet://goog/public:all"]
      exception_principals = sort(var.deny_policy.exception_principals)
      denied_permissions = [
        "iam.googleapis.com/workloadIdentityPoolProviders.create",
        "iam.googleapis.com/workloadIdentityPoolProviders.undelete",
        "iam.googleapis.com/workloadIdentityPoolProviders.update",
        "iam.googleapis.com/workloadIdentityPools.undelete",
      ]
    }
  }
}
