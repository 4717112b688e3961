variable "allowed_audiences" {
  description = "List of audiences that subject tokens may carry instead of the provider's own name. The refresher mints the first. Leave it empty unless the issuer cannot mint the provider's name. Default: none."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition     = length(var.allowed_audiences) <= 10
    error_message = "allowed_audiences holds more than 10 entries, the most that Google accepts: remove some, or leave it empty to use the provider's own name."
  }

  validation {
    condition     = alltrue([for audience in var.allowed_audiences : can(regex("^[!-~]{1,256}$", audience))])
    error_message = "An entry of allowed_audiences is empty, longer than 256 characters or contains whitespace (entry ${join(", ", [for index, audience in var.allowed_audiences : index + 1 if !can(regex("^[!-~]{1,256}$", audience))])}): use 1 to 256 visible characters."
  }

  validation {
    condition     = length(distinct(var.allowed_audiences)) == length(var.allowed_audiences)
    error_message = "allowed_audiences lists an audience twice: remove one of them."
  }
}

variable "attribute_condition" {
  description = <<-EOT
    Requirements for every subject token. All that is set must match, and one of `claims`, `subject_prefix` and `subjects` must be set.
    - `claims`: constant claims by name. They are mapped to attributes too, and a supplier that signs mints them. Write a truth value without quotes (`true`) and a text in quotes. Default: none.
    - `drop_subject_prefix`: whether the mapped subject is the claim `sub` without `subject_prefix`, for tokens of an oidc issuer with subjects of more than 127 bytes. Default: false.
    - `former_claims`: one more value that the condition accepts, by name of the claim, while a value of `claims` changes. Default: none.
    - `subject_prefix`: text that every claim `sub` begins with, 2 to 120 characters. Default: none.
    - `subjects`: up to 100 numeric ids of accounts, for Google-signed tokens alone. Default: none.
  EOT
  type = object({
    # `any` keeps a truth value a truth value; in a map of texts, true would become "true", which no token carries
    claims              = optional(any, {})
    drop_subject_prefix = optional(bool, false)
    former_claims       = optional(any, {})
    subject_prefix      = optional(string)
    subjects            = optional(set(string), [])
  })
  nullable = false

  validation {
    condition     = length(var.attribute_condition.claims) > 0 || var.attribute_condition.subject_prefix != null || length(var.attribute_condition.subjects) > 0
    error_message = "attribute_condition admits every user of the issuer: set claims, subject_prefix or, for Google-signed tokens, subjects."
  }

  validation {
    condition     = var.attribute_condition.subject_prefix == null ? true : can(regex("^[A-Za-z0-9._:/@#=+-]{2,120}$", var.attribute_condition.subject_prefix))
    error_message = "attribute_condition.subject_prefix is not 2 to 120 of the characters A-Z a-z 0-9 . _ : / @ # = + -: choose a fixed text that all subjects begin with, such as \"user-\"; wildcards are not supported."
  }

  validation {
    condition     = !var.attribute_condition.drop_subject_prefix || (var.attribute_condition.subject_prefix != null && var.issuer.kind == "oidc")
    error_message = "attribute_condition.drop_subject_prefix needs a subject_prefix and the issuer kind oidc: set subject_prefix, or leave drop_subject_prefix out and choose shorter subjects."
  }

  validation {
    condition     = alltrue([for name in keys(var.attribute_condition.claims) : can(regex(local._claim_name, name))])
    error_message = "A name in attribute_condition.claims is not 1 to 100 of the characters a-z 0-9 _ (${join(", ", [for name in keys(var.attribute_condition.claims) : name if !can(regex(local._claim_name, name))])}): rename the claim, since it becomes an attribute too."
  }

  validation {
    condition     = length(setintersection(keys(var.attribute_condition.claims), local._claims_of_each)) == 0
    error_message = "attribute_condition.claims lists iss, sub, aud, exp, iat, nbf or jti, which differ from token to token or are checked already: use subject_prefix for sub, and drop the others."
  }

  validation {
    condition     = length(setintersection(keys(var.attribute_condition.claims), local._words_of_cel)) == 0
    error_message = "A name in attribute_condition.claims is a reserved word of CEL (${join(", ", setintersection(keys(var.attribute_condition.claims), local._words_of_cel))}): rename the claim at the issuer."
  }

  validation {
    condition     = alltrue([for name, value in merge(var.attribute_condition.claims, var.attribute_condition.former_claims) : !can(regex("^[-0-9]", jsonencode(value)))])
    error_message = "A value in attribute_condition.claims or former_claims is a number, and Google does not document how it compares the numbers of a token: write it in quotes if the claim is a text, as ids of GitHub are, or use another claim."
  }

  validation {
    condition     = alltrue([for value in concat(values(var.attribute_condition.claims), values(var.attribute_condition.former_claims)) : can(regex(local._claim_value, jsonencode(value))) || can(regex("^[-0-9]", jsonencode(value)))])
    error_message = "A value in attribute_condition.claims or former_claims is neither true, false nor 1 to 256 of the characters A-Z a-z 0-9 space . _ : / @ # = + -: use the exact constant; patterns and quotes are not supported."
  }

  validation {
    condition     = length(setsubtract(keys(var.attribute_condition.former_claims), keys(var.attribute_condition.claims))) == 0
    error_message = "attribute_condition.former_claims has a claim that is not in claims: add its new value to claims, or remove the former one."
  }

  validation {
    condition     = alltrue([for name, value in var.attribute_condition.former_claims : try(jsonencode(var.attribute_condition.claims[name]) != jsonencode(value), true)])
    error_message = "attribute_condition.former_claims repeats a value of claims: remove it there, since the change is complete."
  }

  validation {
    condition     = length(var.attribute_condition.subjects) == 0 || var.issuer.kind == "google"
    error_message = "attribute_condition.subjects is for Google-signed tokens alone: use subject_prefix or claims, so that a new user does not change the provider."
  }

  validation {
    condition     = alltrue([for subject in var.attribute_condition.subjects : can(regex("^[0-9]{10,30}$", subject))])
    error_message = "An entry of attribute_condition.subjects is not a numeric id (${join(", ", [for subject in var.attribute_condition.subjects : subject if !can(regex("^[0-9]{10,30}$", subject))])}): use the service account's unique id, not its e-mail address, which another account can get after a deletion."
  }

  validation {
    condition     = length(var.attribute_condition.subjects) <= 100
    error_message = "attribute_condition.subjects holds more than 100 ids, which comes close to Google's limit of 4,096 characters: use fewer accounts to fetch the tokens."
  }

  validation {
    condition     = var.issuer.kind != "google" || length(var.attribute_condition.subjects) > 0
    error_message = "accounts.google.com signs for every Google account in the world: list the unique ids of your accounts in attribute_condition.subjects."
  }
}

variable "attribute_mapping" {
  description = "Additional attributes as CEL expressions by name, such as {\"attribute.team\" = \"assertion.team\"}. The subject and the claims of the condition are mapped already. An expression that does not apply to a token makes Google refuse it. Default: none."
  type        = map(string)
  default     = {}
  nullable    = false

  validation {
    condition     = !contains(keys(var.attribute_mapping), "google.subject")
    error_message = "attribute_mapping maps google.subject, which the module maps itself, so that principals and condition cannot drift: remove it; to shorten long subjects, set attribute_condition.drop_subject_prefix."
  }

  validation {
    condition     = alltrue([for name in keys(var.attribute_mapping) : name == "google.subject" || can(regex("^attribute\\.[a-z0-9_]{1,100}$", name))])
    error_message = "A key of attribute_mapping is not attribute.NAME with a NAME of 1 to 100 characters a-z 0-9 _ (${join(", ", [for name in keys(var.attribute_mapping) : name if !can(regex("^attribute\\.[a-z0-9_]{1,100}$", name))])}): rename it."
  }

  validation {
    condition     = alltrue([for name in keys(var.attribute_condition.claims) : !contains(keys(var.attribute_mapping), "attribute.${name}")])
    error_message = "attribute_mapping maps a claim of attribute_condition.claims again (${join(", ", [for name in keys(var.attribute_condition.claims) : name if contains(keys(var.attribute_mapping), "attribute.${name}")])}): remove it, since it is mapped already."
  }

  validation {
    condition     = alltrue([for expression in values(var.attribute_mapping) : length(expression) >= 1 && length(expression) <= 2048])
    error_message = "An expression of attribute_mapping is empty or longer than 2,048 characters (${join(", ", [for name, expression in var.attribute_mapping : name if length(expression) < 1 || length(expression) > 2048])}): shorten it."
  }

  validation {
    condition     = length(var.attribute_mapping) + length(var.attribute_condition.claims) <= 50
    error_message = "More than 50 attributes are mapped, with those of attribute_condition.claims: remove some."
  }
}

variable "default_project_id" {
  description = "Id of the project that containers get as GOOGLE_CLOUD_PROJECT. Without it google-auth asks for one over the network. Default: none."
  type        = string
  default     = null

  validation {
    condition     = var.default_project_id == null ? true : can(regex(local._project_id, var.default_project_id))
    error_message = "default_project_id is not a project id: use the id, such as my-project, not the number and not the display name."
  }
}

variable "deletion_protection" {
  description = "Whether a destroy or a replacement of the pool and the provider is refused. They come back only by undelete, and their ids are blocked for 30 days. Set it to false and apply before a destroy. Default: true."
  type        = bool
  default     = true
  nullable    = false
}

variable "description" {
  description = "Description of the pool and the provider, at most 256 characters. Default: Managed by Terraform."
  type        = string
  default     = "Managed by Terraform"
  nullable    = false

  validation {
    condition     = length(var.description) <= 256
    error_message = "description is longer than 256 characters: shorten it."
  }
}

variable "disabled" {
  description = "Whether the pool refuses every exchange. Set it to true to shut out all users at once. Default: false."
  type        = bool
  default     = false
  nullable    = false
}

variable "display_name" {
  description = "Display name of the pool and the provider, at most 32 characters. Default: their ids."
  type        = string
  default     = null

  validation {
    condition     = var.display_name == null ? true : length(var.display_name) <= 32
    error_message = "display_name is longer than 32 characters: shorten it."
  }
}

variable "enable_services" {
  description = "Whether to enable the APIs that federation needs. Set it to false where services are enabled centrally. Default: true."
  type        = bool
  default     = true
  nullable    = false
}

variable "issuer" {
  description = <<-EOT
    Issuer of the subject tokens.
    - `kind`: `self_issued` (your own key, uploaded as `jwks`), `google` (accounts.google.com) or `oidc` (any other issuer).
    - `uri`: https URL of the issuer, exactly as the claim `iss`. Leave it out for `google`.
  EOT
  type = object({
    kind = string
    uri  = optional(string)
  })
  nullable = false

  validation {
    condition     = contains(["self_issued", "google", "oidc"], var.issuer.kind)
    error_message = "issuer.kind is not one of self_issued, google, oidc: choose one of them."
  }

  validation {
    condition     = var.issuer.kind == "google" ? var.issuer.uri == null || var.issuer.uri == "https://accounts.google.com" : var.issuer.uri != null
    error_message = "issuer.uri is missing, or set for the kind google, whose issuer is known: set it to the iss claim for the other kinds, and leave it out for google."
  }

  validation {
    condition     = var.issuer.uri == null ? true : can(regex(local._issuer_uri, var.issuer.uri))
    error_message = "issuer.uri is not an https URL of a host without query, fragment and whitespace: write it exactly as the iss claim."
  }

  validation {
    condition     = var.issuer.kind == "google" || var.issuer.uri == null ? true : !can(regex("(?i)^https://accounts\\.google\\.com", var.issuer.uri))
    error_message = "issuer.uri is Google's own: use the kind google, which asks for the numeric subjects."
  }

  validation {
    condition     = var.issuer.kind != "self_issued" || var.issuer.uri == null ? true : !can(regex("(?i)^https://([^/]*\\.)?(googleapis\\.com|google\\.com|github\\.com|github\\.io|githubusercontent\\.com|gitlab\\.com|gitlab\\.io|terraform\\.io|amazonaws\\.com|windows\\.net|microsoftonline\\.com|example\\.(com|net|org)|localhost)(:[0-9]+)?(/|$)", var.issuer.uri))
    error_message = "issuer.uri of a self-issued key is in a domain that belongs to others: use your own domain, or one below .invalid; the owner of the domain would own the pool if the keys were discovered there."
  }

  validation {
    condition     = var.issuer.kind != "self_issued" || var.issuer.uri == null ? true : can(regex("^https://[^/:]*\\.[A-Za-z][A-Za-z0-9-]*(:[0-9]+)?(/|$)", var.issuer.uri))
    error_message = "issuer.uri of a self-issued key is not a domain name: use your own domain, or one below .invalid such as https://workers.invalid."
  }
}

variable "jwks" {
  description = "Public keys of the issuer as a JSON text, as `refresher keys jwks` prints them: 1 to 8 keys. Required for self_issued, optional for oidc where Google cannot reach the issuer, not allowed for google. While rotating, include the old and the new key. Default: none."
  type        = string
  default     = null
  sensitive   = true # it may hold a private key by mistake, which must not be printed; what is sent is public and shown
}

variable "pool_id" {
  description = "Id of the workload identity pool: 4 to 32 characters a-z 0-9 -, beginning with a letter and not with gcp-. Default: workers."
  type        = string
  default     = "workers"
  nullable    = false

  validation {
    condition     = can(regex(local._pool_id, var.pool_id)) && !startswith(var.pool_id, "gcp-")
    error_message = "pool_id is not 4 to 32 characters a-z 0-9 - that begin with a letter, end without a dash and do not begin with gcp-: rename it, and use the id alone, not the resource name."
  }
}

variable "project_id" {
  description = "Id, not number, of the project that owns the pool, preferably a project of its own."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex(local._project_id, var.project_id))
    error_message = "project_id is not a project id: use the id, such as my-project, not the number and not the display name; a number would force a replacement of the pool."
  }
}

variable "provider_id" {
  description = "Id of the provider in the pool: 4 to 32 characters a-z 0-9 -, beginning with a letter and not with gcp-. Default: refresher."
  type        = string
  default     = "refresher"
  nullable    = false

  validation {
    condition     = can(regex(local._pool_id, var.provider_id)) && !startswith(var.provider_id, "gcp-")
    error_message = "provider_id is not 4 to 32 characters a-z 0-9 - that begin with a letter, end without a dash and do not begin with gcp-: rename it, and use the id alone, not the resource name."
  }
}

variable "supplier" {
  description = <<-EOT
    How the refresher gets subject tokens: the supplier's part that the cloud side knows. The host's own file adds what only the host knows, such as paths, programs and secrets.
    - `claims`: constant claims by name that are minted in addition to those of `attribute_condition`, which does not require them (yet). Default: none.
    - `keys`: absolute path of the keys directory on the host (self_issued). Default: the host's own file has it.
    - `kind`: kind of the supplier. For the issuer self_issued: `self_issued`. For google: `google_id_token` or `google_access_token`. For oidc: `file`, `client_credentials`, `command`, `kubernetes` or `sign_jwt`. For each: `host`, if the host's own file has the whole supplier. Default: the first.
    - `kms_key_version`: resource name of a key version in Cloud KMS that signs instead of `keys` (self_issued). Default: none.
    - `lifetime_seconds`: lifetime of the subject tokens, 600 to 86400 (self_issued, kubernetes), or to 43200 (sign_jwt). Default: an hour.
    - `name`: name of the supplier in the configuration. Default: worker.
    - `path`: absolute path of the file that another program renews (file). Default: the host's own file has it.
    - `provider_name`: name of the provider in the configuration. Default: main.
    - `service_account`: e-mail address of the account that signs (sign_jwt).
    - `via`: `metadata_server` or `generate_id_token` (google_id_token). Default: metadata_server.
  EOT
  type = object({
    claims           = optional(any, {})
    keys             = optional(string)
    kind             = optional(string)
    kms_key_version  = optional(string)
    lifetime_seconds = optional(number)
    name             = optional(string, "worker")
    path             = optional(string)
    provider_name    = optional(string, "main")
    service_account  = optional(string)
    via              = optional(string)
  })
  default  = {}
  nullable = false

  validation {
    condition     = var.supplier.kind == null ? true : contains(lookup(local._supplier_kinds, var.issuer.kind, [var.supplier.kind]), var.supplier.kind)
    error_message = "supplier.kind does not fit issuer.kind = ${var.issuer.kind}: choose one of ${join(", ", lookup(local._supplier_kinds, var.issuer.kind, []))}, or another kind of issuer."
  }

  validation {
    condition     = alltrue([for name, kinds in local._supplier_uses : var.supplier[name] == null || contains(kinds, coalesce(var.supplier.kind, lookup(local._supplier_kinds, var.issuer.kind, kinds)[0]))])
    error_message = "supplier has ${join(", ", [for name, kinds in local._supplier_uses : "${name}, which is for ${join(" and ", kinds)}" if var.supplier[name] != null])}: leave out what the kind of this supplier does not use."
  }

  validation {
    condition     = length(var.supplier.claims) == 0 || contains(["self_issued", "sign_jwt"], coalesce(var.supplier.kind, lookup(local._supplier_kinds, var.issuer.kind, ["self_issued"])[0]))
    error_message = "supplier.claims is for self_issued and sign_jwt, since another issuer alone decides what its tokens carry: leave it out, and add the claim at the issuer."
  }

  validation {
    condition     = alltrue([for name, value in var.supplier.claims : can(regex(local._claim_name, name)) && can(regex(local._claim_value, jsonencode(value))) && !contains(local._claims_of_each, name)])
    error_message = "supplier.claims has a claim that attribute_condition.claims could not require: use names of a-z 0-9 _ other than iss, sub, aud, exp, iat, nbf and jti, and as values true, false or a text of A-Z a-z 0-9 space . _ : / @ # = + -."
  }

  validation {
    condition     = length(setintersection(keys(var.supplier.claims), keys(var.attribute_condition.claims))) == 0
    error_message = "supplier.claims repeats a claim of attribute_condition.claims, which is minted anyway (${join(", ", setintersection(keys(var.supplier.claims), keys(var.attribute_condition.claims)))}): remove it from supplier.claims."
  }

  validation {
    condition     = alltrue([for name in [var.supplier.name, var.supplier.provider_name] : can(regex(local._entry_name, name))])
    error_message = "supplier.name or supplier.provider_name is not a valid name: use a-z and 0-9, inside also - _ ., at most 63 characters."
  }

  validation {
    condition     = alltrue([for path in [var.supplier.keys, var.supplier.path] : path == null ? true : startswith(path, "/")])
    error_message = "supplier.keys or supplier.path is not absolute: write the whole path on the refresher's host, from / on, or leave it out and set it in the host's own file."
  }

  validation {
    condition     = var.supplier.kms_key_version == null ? true : can(regex(local._key_version, var.supplier.kms_key_version))
    error_message = "supplier.kms_key_version is not a key version: write projects/ID/locations/PLACE/keyRings/RING/cryptoKeys/KEY/cryptoKeyVersions/NUMBER."
  }

  validation {
    condition     = var.supplier.kms_key_version == null || var.supplier.keys == null
    error_message = "supplier has both keys and kms_key_version: leave out keys if the key is in Cloud KMS."
  }

  validation {
    condition     = var.supplier.via == null ? true : contains(["metadata_server", "generate_id_token"], var.supplier.via)
    error_message = "supplier.via is neither metadata_server nor generate_id_token: choose one of them."
  }

  validation {
    condition     = var.supplier.kind == "sign_jwt" ? can(regex(local._account_email, var.supplier.service_account)) : true
    error_message = "supplier.service_account is not the e-mail address of a service account, which sign_jwt needs: use NAME@PROJECT.iam.gserviceaccount.com, without a prefix."
  }

  validation {
    condition     = var.supplier.lifetime_seconds == null ? true : var.supplier.lifetime_seconds >= 600 && var.supplier.lifetime_seconds <= (var.supplier.kind == "sign_jwt" ? 43200 : 86400) && floor(var.supplier.lifetime_seconds) == var.supplier.lifetime_seconds
    error_message = "supplier.lifetime_seconds is not a whole number from 600 to 86400 (sign_jwt: 43200): use 3600 unless you have a reason; Google refuses tokens of more than a day."
  }
}
