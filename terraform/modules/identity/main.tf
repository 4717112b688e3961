locals {
  _is_direct = var.service_account == null
  _is_made   = local._is_direct ? false : var.service_account.email == null
  _project   = local._is_direct ? var.project_id : coalesce(var.service_account.project_id, var.project_id)

  # The address that the account has or gets: a project DOMAIN:NAME is NAME.DOMAIN in it.
  _account = local._is_direct ? null : local._is_made ? "${coalesce(var.service_account.account_id, var.name)}@${join(".", reverse(split(":", local._project)))}.iam.gserviceaccount.com" : var.service_account.email

  # The one place where principals are built. They depend on the pool and not on its provider.
  _subject   = trimprefix(var.subject, var.drop_subject_prefix ? var.subject_prefix : "")
  _principal = "principal://iam.googleapis.com/${var.pool_name}/subject/${local._subject}"

  # The Terraform provider predicts a wrong address for projects with a domain; the name shows the right one.
  _email  = !local._is_made ? local._account : strcontains(local._project, ":") ? split("/", google_service_account.main[0].name)[3] : google_service_account.main[0].email
  _member = local._is_direct ? local._principal : "serviceAccount:${local._email}"

  _target = local._is_made ? google_service_account.main[0].name : local._is_direct ? null : "projects/-/serviceAccounts/${var.service_account.email}"

  _is_chain   = length(var.delegates) > 0
  _token_role = contains(var.token_kinds, "access_token") ? "roles/iam.workloadIdentityUser" : "roles/iam.serviceAccountOpenIdTokenCreator"
  _last_role  = contains(var.token_kinds, "access_token") ? local._creator : "roles/iam.serviceAccountOpenIdTokenCreator"
  _creator    = "roles/iam.serviceAccountTokenCreator"
  _last_hop   = local._is_chain ? "serviceAccount:${var.delegates[length(var.delegates) - 1]}" : null

  # Who may impersonate each account of the chain: the subject the first, each account the next.
  _links = {
    for index, email in var.delegates : index => {
      account = "projects/-/serviceAccounts/${email}"
      member  = index == 0 ? local._principal : "serviceAccount:${var.delegates[index - 1]}"
    } if index == 0 || coalesce(var.grant_chain, false)
  }

  # Everyone who may impersonate the account itself, as one list: for authoritative bindings.
  _impersonators = concat(
    [for member in [local._principal] : { role = local._token_role, member = member } if !local._is_chain],
    [for member in [local._last_hop] : { role = local._last_role, member = member } if local._is_chain],
    [for member in [local._member] : { role = local._creator, member = member } if var.signing],
    [for member in var.additional_impersonators : { role = local._creator, member = member }],
  )
  _is_additive = !local._is_direct && !var.authoritative_impersonation

  _project_roles = { for pair in flatten([for project, roles in var.project_roles : [for role in roles : { project = project, role = role }]]) : "${pair.project} ${pair.role}" => pair }
  _bucket_roles  = { for pair in flatten([for bucket, roles in var.bucket_roles : [for role in roles : { bucket = bucket, role = role }]]) : "${pair.bucket} ${pair.role}" => pair }

  _identity = { for key, value in {
    service_account        = local._email
    subject                = var.subject
    supplier               = var.supplier_name
    lifetime               = var.lifetime_seconds == null ? null : "${var.lifetime_seconds}s"
    delegates              = local._is_chain ? var.delegates : null
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

  # A subject may contain a quote or a backslash, which would end the text in a filter.
  _quoted_principal = replace(replace(local._principal, "\\", "\\\\"), "\"", "\\\"")
}

resource "google_service_account" "main" {
  count = local._is_made ? 1 : 0

  project         = local._project
  account_id      = coalesce(var.service_account.account_id, var.name)
  display_name    = coalesce(var.service_account.display_name, var.name)
  description     = var.service_account.description
  deletion_policy = var.deletion_protection ? "PREVENT" : "DELETE"
}

resource "google_service_account_iam_member" "subject" {
  count = local._is_additive && !local._is_chain ? 1 : 0

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
  count = local._is_additive && local._is_chain ? 1 : 0

  service_account_id = local._target
  role               = local._last_role
  member             = local._last_hop
}

resource "google_service_account_iam_member" "person" {
  for_each = local._is_additive ? var.additional_impersonators : []

  service_account_id = local._target
  role               = local._creator
  member             = each.key
}

resource "google_service_account_iam_member" "signing" {
  count = local._is_additive && var.signing ? 1 : 0

  service_account_id = local._target
  role               = local._creator
  member             = local._member
}

resource "google_service_account_iam_binding" "impersonation" {
  for_each = toset(var.authoritative_impersonation ? ["roles/iam.workloadIdentityUser", "roles/iam.serviceAccountOpenIdTokenCreator", local._creator] : [])

  service_account_id = local._target
  role               = each.key
  members            = [for entry in local._impersonators : entry.member if entry.role == each.key]

  # One at a time: when the input changes, the old grants are removed before the new ones are written.
  depends_on = [
    google_service_account_iam_member.subject,
    google_service_account_iam_member.last_link,
    google_service_account_iam_member.person,
    google_service_account_iam_member.signing,
  ]
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

# It depends on everything of the identity, so Terraform destroys it first. If it refuses, the account and its grants are
# as they were; the deletion policy alone would refuse after the grants are gone.
resource "terraform_data" "protection" {
  count = local._is_made ? 1 : 0

  input            = { name = var.name, is_protected = var.deletion_protection }
  triggers_replace = [local._project, coalesce(var.service_account.account_id, var.name)]

  provisioner "local-exec" {
    when    = destroy
    command = self.input.is_protected ? "echo Identity ${self.input.name}: its account is protected from deletion. Set deletion_protection = false for it, apply, and try again. 1>&2 && exit 1" : "exit 0"
  }

  depends_on = [
    google_service_account.main,
    google_service_account_iam_member.subject,
    google_service_account_iam_member.link,
    google_service_account_iam_member.last_link,
    google_service_account_iam_member.person,
    google_service_account_iam_member.signing,
    google_service_account_iam_binding.impersonation,
    google_project_iam_member.main,
    google_storage_bucket_iam_member.main,
    google_cloud_run_v2_service_iam_member.main,
  ]
}
