# Checks between identities. They are preconditions and not validations, since these may not use locals of the variable.
locals {
  # The addresses that the accounts have or get: a project DOMAIN:NAME is NAME.DOMAIN in them.
  _accounts = {
    for name, identity in var.identities : name => identity.service_account.email != null ? identity.service_account.email : join("", [
      coalesce(identity.service_account.account_id, name),
      "@",
      join(".", reverse(split(":", coalesce(identity.service_account.project_id, identity.project_id, local._default_project_id)))),
      ".iam.gserviceaccount.com",
    ]) if !identity.direct
  }
  _users_of_account    = { for name, account in local._accounts : account => name... }
  _creators_of_account = { for name, account in local._accounts : account => name... if var.identities[name].service_account.email == null }
  _users_of_subject    = { for name, identity in var.identities : identity.subject => name... }

  _created_twice  = [for account, names in local._creators_of_account : "${join(" and ", names)} create ${account}" if length(names) > 1]
  _shared_account = [for account, names in local._users_of_account : "${join(" and ", names)} act as ${account}" if length(names) > 1 && !alltrue([for name in names : var.identities[name].shared_account])]
  _shared_subject = [for subject, names in local._users_of_subject : "${join(" and ", names)} have ${subject}" if length(names) > 1]

  # What the identities grant on an account, or to it. They hold for every identity that acts as it.
  _grants = flatten([
    for name, account in local._accounts : [
      for grant in concat(
        flatten([for bucket, roles in var.identities[name].bucket_roles : [for role in roles : "${role} on bucket ${bucket}"]]),
        flatten([for project, roles in var.identities[name].project_roles : [for role in roles : "${role} on project ${project}"]]),
        [for service in values(var.identities[name].run_services) : "invocation of ${service.name} in ${service.location}"],
        [for member in var.identities[name].additional_impersonators : "impersonation by ${member}"],
        var.identities[name].signing ? ["signing"] : [],
        length(var.identities[name].delegates) == 0 ? [] : ["impersonation by ${reverse(var.identities[name].delegates)[0]}"],
      ) : { name = name, grant = "${grant} for ${account}" }
    ]
  ])
  _makers_of_grant = { for entry in local._grants : entry.grant => entry.name... }
  _granted_twice   = [for grant, names in local._makers_of_grant : "${join(" and ", names)}: ${grant}" if length(names) > 1]

  # Accounts whose grants one identity decides alone, and the other identities that need a grant on them.
  _decided = { for name, account in local._accounts : account => name if var.identities[name].authoritative_impersonation }
  _undone = [
    for name, identity in var.identities : "${name} on that of ${join(" and ", setintersection(keys(local._decided), concat(identity.delegates, [lookup(local._accounts, name, "")])))}"
    if length([
      for account in setintersection(keys(local._decided), concat(identity.delegates, [lookup(local._accounts, name, "")])) : account if local._decided[account] != name
    ]) > 0
  ]

  _not_admitted    = [for name, identity in var.identities : name if var.issuer.kind == "google" && !contains(var.attribute_condition.subjects, identity.subject)]
  _direct_accounts = [for name, identity in var.identities : name if identity.direct && (identity.service_account.email != null || identity.service_account.account_id != null)]

  _needs_source = var.issuer.kind == "google" && var.supplier.via == "generate_id_token"
  _wrong_source = [for name, identity in var.identities : name if(identity.source_service_account != null) != local._needs_source]
}

resource "terraform_data" "checks" {
  lifecycle {
    precondition {
      condition     = length(local._shared_subject) == 0
      error_message = "Two of identities have the same subject, so that either could act as both (${join("; ", local._shared_subject)}): use a subject of its own for each."
    }

    precondition {
      condition     = length(local._not_admitted) == 0
      error_message = "A subject in identities is not among attribute_condition.subjects, so that Google would never admit it (${join(", ", local._not_admitted)}): add the account's unique id there."
    }

    precondition {
      condition     = length(local._direct_accounts) == 0
      error_message = "One of identities is direct and has a service_account (${join(", ", local._direct_accounts)}): leave one of them out."
    }

    precondition {
      condition     = length(local._created_twice) == 0
      error_message = "Two of identities create the same service account (${join("; ", local._created_twice)}): set another account_id for one of them, or the email of the account that the other creates."
    }

    precondition {
      condition     = length(local._shared_account) == 0
      error_message = "Two of identities act as one service account, so that no service can distinguish their subjects (${join("; ", local._shared_account)}): use an account of its own for each, or set shared_account = true for each that shares it."
    }

    precondition {
      condition     = length(local._granted_twice) == 0
      error_message = "Two of identities make the same grant for one account, so that the removal of one would take it from the other (${join("; ", local._granted_twice)}): set it for one of them, it holds for both."
    }

    precondition {
      condition     = length(local._undone) == 0
      error_message = "One of identities needs a grant on an account on which another sets authoritative_impersonation, which would remove it (${join("; ", local._undone)}): set it to false there."
    }

    precondition {
      condition     = length(local._wrong_source) == 0
      error_message = "source_service_account is set where it is not used, or missing where it is needed (${join(", ", local._wrong_source)}): set it for every identity if issuer.kind is google and supplier.via is generate_id_token, and for no identity otherwise."
    }
  }
}
