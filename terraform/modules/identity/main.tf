locals {
  _is_direct = var.service_account == null
  _is_made   = local._is_direct ? false : var.service_account.email == null
  _pool_name = split("/providers/", var.provider_name)[0]

  # The one place where principals are built.
  _principal = "principal://iam.googleapis.com/${local._pool_name}/subject/${var.subject}"

  _email  = local._is_direct ? null : local._is_made ? google_service_account.main[0].email : var.service_account.email
  _member = local._is_direct ? local._principal : "serviceAccount:${local._email}"

  _target = local._is_made ? google_service_account.main[0].name : local._is_direct ? null : "projects/-/serviceAccounts/${var.service_account.email}"

  _token_role = contains(var.token_kinds, "access_token") ? "roles/iam.workloadIdentityUser" : "roles/iam.serviceAccountOpenIdTokenCreator"
  _last_role  = contains(var.token_kinds, "access_token") ? "roles/iam.serviceAccountTokenCreator" : "roles/iam.serviceAccountOpenIdTokenCreator"

  # Who may impersonate each account of the chain: the subject the first, each account the next.
  _links = {
    for index, email in var.delegates : index => {
      account = "projects/-/serviceAccounts/${email}"
      member  = index == 0 ? local._principal : "serviceAccount:${var.delegates[index - 1]}"
    }
  }

  _project_roles = { for pair in flatten([for project, roles in var.project_roles : [for role in roles : { project = project, role = role }]]) : "${pair.project} ${pair.role}" => pair }
  _bucket_roles  = { for pair in flatten([for bucket, roles in var.bucket_roles : [for role in roles : { bucket = bucket, role = role }]]) : "${pair.bucket} ${pair.role}" => pair }

  _identity = { for key, value in {
    service_account        = local._email
    subject                = var.subject
    supplier               = var.supplier_name
    lifetime               = var.lifetime_seconds == null ? null : "${var.lifetime_seconds}s"
    delegates              = length(var.delegates) == 0 ? null : var.delegates
    scopes                 = length(var.scopes) == 0 ? null : var.scopes
    quota_project          = var.quota_project_id
    source_service_account = var.source_service_account
  } : key => value if value != null }
  _refresher_config = {
    version    = 1
    identities = { (var.name) = local._identity }
  }

  _impersonation = merge(
    { service_account_impersonation_url = "https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/${coalesce(local._email, "none")}:generateAccessToken" },
    var.lifetime_seconds == null ? {} : { service_account_impersonation = { token_lifetime_seconds = var.lifetime_seconds } },
  )
  _credentials = merge(
    {
      universe_domain    = "googleapis.com"
      type               = "external_account"
      audience           = "//iam.googleapis.com/${var.provider_name}"
      subject_token_type = "urn:ietf:params:oauth:token-type:jwt"
      token_url          = "https://sts.googleapis.com/v1/token"
      credential_source = {
        file   = coalesce(var.token_file, "/run/refresher/${var.name}/token")
        format = { type = "text" }
      }
    },
    { for key, value in local._impersonation : key => value if !local._is_direct },
    { for key, value in { token_info_url = "https://sts.googleapis.com/v1/introspect" } : key => value if local._is_direct },
    { for key, value in { quota_project_id = var.quota_project_id } : key => value if value != null },
  )
}

resource "google_service_account" "main" {
  count = local._is_made ? 1 : 0

  project      = coalesce(var.service_account.project_id, var.project_id)
  account_id   = coalesce(var.service_account.account_id, var.name)
  display_name = coalesce(var.service_account.display_name, var.name)
  description  = var.service_account.description
}

resource "google_service_account_iam_member" "subject" {
  count = local._is_direct || length(var.delegates) > 0 ? 0 : 1

  service_account_id = local._target
  role               = local._token_role
  member             = local._principal
}

resource "google_service_account_iam_member" "link" {
  for_each = local._links

  service_account_id = each.value.account
  role               = var.delegation_role
  member             = each.value.member
}

resource "google_service_account_iam_member" "last_link" {
  count = length(var.delegates) > 0 ? 1 : 0

  service_account_id = local._target
  role               = local._last_role
  member             = "serviceAccount:${var.delegates[length(var.delegates) - 1]}"
}

resource "google_service_account_iam_member" "person" {
  for_each = local._is_direct ? [] : var.additional_impersonators

  service_account_id = local._target
  role               = "roles/iam.serviceAccountTokenCreator"
  member             = each.key
}

resource "google_service_account_iam_member" "signing" {
  count = var.signing && !local._is_direct ? 1 : 0

  service_account_id = local._target
  role               = "roles/iam.serviceAccountTokenCreator"
  member             = local._member
}

resource "google_project_iam_member" "main" {
  for_each = local._project_roles

  project = each.value.project
  role    = each.value.role
  member  = local._member
}

resource "google_storage_bucket_iam_member" "main" {
  for_each = local._bucket_roles

  bucket = each.value.bucket
  role   = each.value.role
  member = local._member
}

resource "google_cloud_run_v2_service_iam_member" "main" {
  for_each = local._is_direct ? {} : var.run_services

  project  = coalesce(each.value.project_id, var.project_id)
  location = each.value.location
  name     = each.value.name
  role     = "roles/run.invoker"
  member   = local._member
}
