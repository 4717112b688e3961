locals {
  _services = var.enable_services ? ["cloudresourcemanager.googleapis.com", "iam.googleapis.com", "iamcredentials.googleapis.com", "sts.googleapis.com"] : []

  # The condition, the mapping and the supplier's claims are built from the same values, so that they cannot drift.
  _conditions = concat(
    var.attribute_condition.subject_prefix == null ? [] : ["assertion.sub.startsWith('${var.attribute_condition.subject_prefix}')"],
    [for name, value in var.attribute_condition.claims : "assertion.${name} == '${value}'"],
    length(var.attribute_condition.subjects) == 0 ? [] : ["assertion.sub in [${join(", ", [for subject in sort(var.attribute_condition.subjects) : "'${subject}'"])}]"],
  )
  _mapping = merge(
    { for name in keys(var.attribute_condition.claims) : "attribute.${name}" => "assertion.${name}" },
    var.attribute_mapping,
    { "google.subject" = "assertion.sub" },
  )
  _issuer = var.issuer.kind == "google" ? "https://accounts.google.com" : var.issuer.uri

  # Only the members of public keys are sent, and so kept in the state: nothing else that the text may contain.
  _jwks = var.jwks == null ? null : nonsensitive(jsonencode({
    keys = [for key in jsondecode(var.jwks).keys : {
      for member in ["alg", "crv", "e", "kid", "kty", "n", "use", "x", "y"] : member => key[member] if can(key[member])
    }]
  }))

  _suppliers = {
    self_issued = merge(
      {
        kind     = "self_issued"
        provider = var.supplier.provider_name
        issuer   = local._issuer
        lifetime = "${var.supplier.lifetime_seconds}s"
      },
      { for key, value in { keys = var.supplier.keys } : key => value if var.supplier.kms_key_version == null },
      { for key, value in { signer = { kms = var.supplier.kms_key_version } } : key => value if var.supplier.kms_key_version != null },
      length(var.attribute_condition.claims) == 0 ? {} : { claims = var.attribute_condition.claims },
    )
    google = {
      kind     = "google_id_token"
      provider = var.supplier.provider_name
      via      = var.supplier.via
    }
    oidc = {
      kind     = "file"
      provider = var.supplier.provider_name
      path     = var.supplier.path
      issuer   = local._issuer
    }
  }

  _refresher_config = merge(local._project, {
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
    suppliers = { (var.supplier.name) = local._suppliers[var.issuer.kind] }
  })
  _project = { for key, value in { project = var.default_project_id } : key => value if value != null }
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
  attribute_condition                = join(" && ", local._conditions)
  attribute_mapping                  = local._mapping
  deletion_policy                    = var.deletion_protection ? "PREVENT" : "DELETE"

  oidc {
    issuer_uri        = local._issuer
    allowed_audiences = var.allowed_audiences
    jwks_json         = local._jwks
  }

  lifecycle {
    precondition {
      condition     = length(join(" && ", local._conditions)) <= 4096
      error_message = "The attribute condition is longer than 4,096 characters: use fewer claims or subjects."
    }
  }
}
