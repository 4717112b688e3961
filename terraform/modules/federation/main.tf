locals {
  _services = var.enable_services ? ["cloudresourcemanager.googleapis.com", "iam.googleapis.com", "iamcredentials.googleapis.com", "sts.googleapis.com"] : []

  # The condition, the mapping and the supplier's claims are built from the same values, so that they cannot drift.
  _claims = {
    for name, value in var.attribute_condition.claims : name => {
      is_text = startswith(jsonencode(value), "\"")
      accepted = [
        for value in concat([value], [for former, value in var.attribute_condition.former_claims : value if former == name]) :
        startswith(jsonencode(value), "\"") ? "'${value}'" : jsonencode(value)
      ]
    }
  }
  _conditions = concat(
    var.attribute_condition.subject_prefix == null ? [] : ["assertion.sub.startsWith('${var.attribute_condition.subject_prefix}')"],
    [for name, claim in local._claims : length(claim.accepted) == 1 ? "assertion.${name} == ${claim.accepted[0]}" : "assertion.${name} in [${join(", ", claim.accepted)}]"],
    length(var.attribute_condition.subjects) == 0 ? [] : ["assertion.sub in [${join(", ", [for subject in sort(var.attribute_condition.subjects) : "'${subject}'"])}]"],
  )
  _condition = join(" && ", local._conditions)

  # An attribute must be a text. The condition requires the prefix, so what is extracted is the rest of the subject.
  _mapping = merge(
    { for name, claim in local._claims : "attribute.${name}" => claim.is_text ? "assertion.${name}" : "assertion.${name} ? 'true' : 'false'" },
    var.attribute_mapping,
    { "google.subject" = var.attribute_condition.drop_subject_prefix ? "assertion.sub.extract('${coalesce(var.attribute_condition.subject_prefix, "-")}{subject}')" : "assertion.sub" },
  )
  _issuer = var.issuer.kind == "google" ? "https://accounts.google.com" : var.issuer.uri

  _supplier_kind = coalesce(var.supplier.kind, lookup(local._supplier_kinds, var.issuer.kind, ["host"])[0])
  # not a conditional, whose two sides would become maps of texts
  _supplier_claims = { for name, value in merge(var.attribute_condition.claims, var.supplier.claims) : name => value if contains(["self_issued", "sign_jwt"], local._supplier_kind) }
  _supplier = merge(
    { for key, value in {
      kind            = local._supplier_kind
      provider        = var.supplier.provider_name
      issuer          = var.issuer.kind == "google" ? null : local._issuer
      keys            = var.supplier.keys
      lifetime        = var.supplier.lifetime_seconds == null ? null : "${var.supplier.lifetime_seconds}s"
      path            = var.supplier.path
      service_account = var.supplier.service_account
      via             = var.supplier.via
    } : key => value if value != null },
    { for key, value in { signer = { kms = var.supplier.kms_key_version } } : key => value if var.supplier.kms_key_version != null },
    { for key, value in { claims = local._supplier_claims } : key => value if length(local._supplier_claims) > 0 },
  )

  _refresher_config = merge(
    {
      version = 1
      providers = {
        (var.supplier.provider_name) = merge(
          {
            project_number = split("/", google_iam_workload_identity_pool_provider.main.name)[1]
            pool           = google_iam_workload_identity_pool.main.workload_identity_pool_id
            provider       = google_iam_workload_identity_pool_provider.main.workload_identity_pool_provider_id
          },
          length(var.allowed_audiences) == 0 ? {} : { audience = var.allowed_audiences[0] },
        )
      }
    },
    { for key, value in { suppliers = { (var.supplier.name) = local._supplier } } : key => value if local._supplier_kind != "host" },
    { for key, value in { project = var.default_project_id } : key => value if value != null },
  )
}

resource "google_project_service" "main" {
  for_each = toset(local._services)

  project            = var.project_id
  service            = each.key
  disable_on_destroy = false
}

resource "google_iam_workload_identity_pool" "main" {
  project                   = var.project_id
  workload_identity_pool_id = var.pool_id
  display_name              = coalesce(var.display_name, var.pool_id)
  description               = var.description
  disabled                  = var.disabled
  deletion_policy           = var.deletion_protection ? "PREVENT" : "DELETE"

  depends_on = [google_project_service.main]
}

resource "google_iam_workload_identity_pool_provider" "main" {
  project                            = var.project_id
  workload_identity_pool_id          = google_iam_workload_identity_pool.main.workload_identity_pool_id
  workload_identity_pool_provider_id = var.provider_id
  display_name                       = coalesce(var.display_name, var.provider_id)
  description                        = var.description
  attribute_condition                = local._condition
  attribute_mapping                  = local._mapping
  deletion_policy                    = var.deletion_protection ? "PREVENT" : "DELETE"

  oidc {
    issuer_uri        = local._issuer
    allowed_audiences = var.allowed_audiences
    jwks_json         = local._jwks
  }

  lifecycle {
    precondition {
      condition     = length(local._jwks_problems) == 0
      error_message = join(" ", local._jwks_problems)
    }

    precondition {
      condition     = length(local._condition) <= 4096
      error_message = "The attribute condition is longer than 4,096 characters: use fewer claims or subjects."
    }
  }
}
