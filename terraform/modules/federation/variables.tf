variable "allowed_audiences" {
  description = "Audiences that subject tokens may carry instead of the provider's own name. Leave it empty unless the issuer cannot mint that name."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition     = length(var.allowed_audiences) <= 10
    error_message = "allowed_audiences holds more than 10 entries, the most that Google accepts: remove some, or leave it empty to use the provider's own name."
  }

  validation {
    condition     = alltrue([for audience in var.allowed_audiences : can(regex("^[!-~]{1,256}$", audience))])
    error_message = "An entry of allowed_audiences is empty, longer than 256 characters or contains whitespace: use 1 to 256 visible characters."
  }

  validation {
    condition     = length(distinct(var.allowed_audiences)) == length(var.allowed_audiences)
    error_message = "allowed_audiences lists an audience twice: remove one of them."
  }
}

variable "attribute_condition" {
  description = "What every subject token must have: constant claims (also mapped to attributes), a prefix of its subject, or, for Google-signed tokens alone, one of the numeric subjects. All that is set must match, and at least one must be set."
  type = object({
    claims         = optional(map(string), {})
    subject_prefix = optional(string)
    subjects       = optional(set(string), [])
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
    condition     = alltrue([for name in keys(var.attribute_condition.claims) : can(regex("^[a-z_][a-z0-9_]{0,99}$", name))])
    error_message = "A name in attribute_condition.claims is not 1 to 100 of the characters a-z 0-9 _: rename the claim, since it becomes an attribute too."
  }

  validation {
    condition     = alltrue([for name in keys(var.attribute_condition.claims) : !contains(["iss", "sub", "aud", "exp", "iat", "nbf", "jti"], name)])
    error_message = "attribute_condition.claims lists iss, sub, aud, exp, iat, nbf or jti, which differ from token to token or are checked already: use subject_prefix for sub, and drop the others."
  }

  validation {
    condition     = alltrue([for name in keys(var.attribute_condition.claims) : !contains(["as", "break", "const", "continue", "else", "false", "for", "function", "if", "import", "in", "let", "loop", "namespace", "null", "package", "return", "true", "var", "void", "while"], name)])
    error_message = "A name in attribute_condition.claims is a reserved word of CEL: rename the claim at the issuer."
  }

  validation {
    condition     = alltrue([for value in values(var.attribute_condition.claims) : can(regex("^[A-Za-z0-9 ._:/@#=+-]{1,256}$", value))])
    error_message = "A value in attribute_condition.claims is not 1 to 256 of the characters A-Z a-z 0-9 space . _ : / @ # = + -: use the exact constant; patterns and quotes are not supported."
  }

  validation {
    condition     = length(var.attribute_condition.subjects) == 0 || var.issuer.kind == "google"
    error_message = "attribute_condition.subjects is for Google-signed tokens alone: use subject_prefix or claims, so that a new user does not change the provider."
  }

  validation {
    condition     = alltrue([for subject in var.attribute_condition.subjects : can(regex("^[0-9]{10,30}$", subject))])
    error_message = "An entry of attribute_condition.subjects is not a numeric id: use the service account's unique id, not its e-mail address, which another account can get after a deletion."
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
  description = "More attributes by name, such as {\"attribute.team\" = \"assertion.team\"}. The subject and the condition's claims are mapped already."
  type        = map(string)
  default     = {}
  nullable    = false

  validation {
    condition     = !contains(keys(var.attribute_mapping), "google.subject")
    error_message = "attribute_mapping maps google.subject, which is always assertion.sub, so that principals and condition cannot drift: remove it."
  }

  validation {
    condition     = alltrue([for name in keys(var.attribute_mapping) : name == "google.subject" || can(regex("^attribute\\.[a-z0-9_]{1,100}$", name))])
    error_message = "A key of attribute_mapping is not attribute.NAME with a NAME of 1 to 100 characters a-z 0-9 _: rename it."
  }

  validation {
    condition     = alltrue([for name in keys(var.attribute_condition.claims) : !contains(keys(var.attribute_mapping), "attribute.${name}")])
    error_message = "attribute_mapping maps a claim of attribute_condition.claims again: remove it, since it is mapped already."
  }

  validation {
    condition     = alltrue([for expression in values(var.attribute_mapping) : length(expression) >= 1 && length(expression) <= 2048])
    error_message = "An expression of attribute_mapping is empty or longer than 2,048 characters: shorten it."
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
    condition     = var.default_project_id == null ? true : can(regex("^([a-z0-9.-]{1,63}:)?[a-z][a-z0-9-]{4,28}[a-z0-9]$", var.default_project_id))
    error_message = "default_project_id is not a project id: use the id, such as my-project, not the number and not the display name."
  }
}

variable "deletion_protection" {
  description = "Whether `terraform destroy` is refused for the pool and the provider, which come back only by undelete, and whose ids are taken for 30 days. Set it to false and apply before a destroy."
  type        = bool
  default     = true
  nullable    = false
}

variable "description" {
  description = "Description of the pool and the provider, at most 256 characters."
  type        = string
  default     = "Managed by Terraform"
  nullable    = false

  validation {
    condition     = length(var.description) <= 256
    error_message = "description is longer than 256 characters: shorten it."
  }
}

variable "disabled" {
  description = "Whether the pool refuses every exchange: set it to true to shut out all users at once."
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
  description = "Whether to enable the APIs that federation needs. Set it to false where services are enabled centrally."
  type        = bool
  default     = true
  nullable    = false
}

variable "issuer" {
  description = "Issuer of subject tokens: kind self_issued (your own key, uploaded as jwks), google (accounts.google.com) or oidc (any other issuer), and its uri, which is not set for google."
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
    condition     = var.issuer.uri == null ? true : can(regex("^https://[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?(:[0-9]{1,5})?(/[!-\"$->A-~]*)?$", var.issuer.uri))
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
  description = "Public keys of the issuer, as `refresher keys jwks` prints them: required for self_issued, optional for oidc where Google cannot reach the issuer, not allowed for google. While rotating, include the old and the new key."
  type        = string
  default     = null
  # as in the root: Terraform does not print a refused value that is sensitive
  sensitive = true

  validation {
    condition     = var.issuer.kind == "self_issued" ? var.jwks != null : true
    error_message = "jwks is missing: use the output of `refresher keys jwks`; without it Google would discover keys at the issuer's domain."
  }

  validation {
    condition     = var.issuer.kind == "google" ? var.jwks == null : true
    error_message = "jwks is set for Google's own issuer, whose keys are known: leave it out."
  }

  validation {
    condition     = var.jwks == null ? true : can([for key in concat(jsondecode(var.jwks).keys, []) : keys(key)])
    error_message = "jwks is not a JSON key set: use the output of `refresher keys jwks` as it is."
  }

  validation {
    condition     = var.jwks == null ? true : try(length(concat(jsondecode(var.jwks).keys, [])), 1) >= 1
    error_message = "jwks holds no key, so that Google would discover keys at the issuer's domain, and the owner of that domain would own the pool: keep at least one key, and set disabled = true to shut out all users."
  }

  validation {
    condition     = var.jwks == null ? true : length(try([for key in concat(jsondecode(var.jwks).keys, []) : merge(key, {})], [])) <= 8
    error_message = "jwks holds more than 8 keys: drop the retired ones with `refresher keys retire`."
  }

  validation {
    condition     = var.jwks == null ? true : alltrue([for key in try([for key in concat(jsondecode(var.jwks).keys, []) : merge(key, {})], []) : length(setintersection(keys(key), ["d", "p", "q", "dp", "dq", "qi", "oth", "k"])) == 0])
    error_message = "jwks holds a private key, which would be stored in the state: treat it as stolen, create a new one with `refresher keys new` and upload only what `refresher keys jwks` prints."
  }

  validation {
    condition     = var.jwks == null ? true : alltrue([for key in try([for key in concat(jsondecode(var.jwks).keys, []) : merge(key, {})], []) : length(setintersection(keys(key), ["x5c", "x5t", "x5t#S256", "x5u"])) == 0])
    error_message = "jwks holds certificates (x5c, x5t, x5u), which Google refuses: remove these members."
  }

  validation {
    condition     = var.jwks == null ? true : try(length(setsubtract(keys(jsondecode(var.jwks)), ["keys"])) == 0, true)
    error_message = "jwks has members other than keys, which would be sent unchecked: upload only what `refresher keys jwks` prints."
  }

  validation {
    condition     = var.jwks == null ? true : alltrue([for key in try([for key in concat(jsondecode(var.jwks).keys, []) : merge(key, {})], []) : length(setsubtract(keys(key), ["alg", "crv", "d", "dp", "dq", "e", "k", "kid", "kty", "n", "oth", "p", "q", "qi", "use", "x", "x5c", "x5t", "x5t#S256", "x5u", "y"])) == 0])
    error_message = "jwks holds a key with other members than kty, kid, alg, use, n, e, crv, x and y: upload only what `refresher keys jwks` prints."
  }

  validation {
    condition     = var.jwks == null ? true : alltrue([for key in try([for key in concat(jsondecode(var.jwks).keys, []) : merge(key, {})], []) : try(key.kty, "") == "RSA" || (try(key.kty, "") == "EC" && try(key.crv, "") == "P-256")])
    error_message = "jwks holds a key that is neither RSA nor EC on P-256, the only ones that Google accepts: create another with `refresher keys new`."
  }

  validation {
    condition     = var.jwks == null ? true : alltrue([for key in try([for key in concat(jsondecode(var.jwks).keys, []) : merge(key, {})], []) : try(key.kty, "") != "RSA" || (can(regex("^[A-Za-z0-9_-]+$", key.n)) && can(regex("^[A-Za-z0-9_-]{1,8}$", key.e)) && !can(key.crv) && !can(key.x) && !can(key.y))])
    error_message = "jwks holds an RSA key whose members are not n and e in base64url: upload only what `refresher keys jwks` prints."
  }

  validation {
    condition     = var.jwks == null ? true : alltrue([for key in try([for key in concat(jsondecode(var.jwks).keys, []) : merge(key, {})], []) : try(key.kty, "") != "EC" || try(key.crv, "") != "P-256" || (can(regex("^[A-Za-z0-9_-]{43}$", key.x)) && can(regex("^[A-Za-z0-9_-]{43}$", key.y)) && !can(key.n) && !can(key.e))])
    error_message = "jwks holds an EC key whose members are not x and y of 32 bytes in base64url: upload only what `refresher keys jwks` prints."
  }

  validation {
    condition     = var.jwks == null ? true : alltrue([for key in try([for key in concat(jsondecode(var.jwks).keys, []) : merge(key, {})], []) : !can(key.use) || try(key.use == "sig", false)])
    error_message = "jwks holds a key whose use is not sig: upload the keys that sign."
  }

  validation {
    condition     = var.jwks == null ? true : alltrue([for key in try([for key in concat(jsondecode(var.jwks).keys, []) : merge(key, {})], []) : !can(key.alg) || try(contains(["RSA RS256", "EC ES256"], "${key.kty} ${key.alg}"), false) || !contains(["RSA", "EC"], try(key.kty, ""))])
    error_message = "jwks holds a key whose alg is not RS256 for RSA or ES256 for EC: set the algorithm that it signs with, or leave alg out."
  }

  validation {
    condition     = var.jwks == null ? true : alltrue([for key in try([for key in concat(jsondecode(var.jwks).keys, []) : merge(key, {})], []) : try(key.kty != "RSA" || length(key.n) >= 342, true)])
    error_message = "jwks holds an RSA key below 2,048 bits: create a larger one."
  }

  validation {
    condition     = var.jwks == null ? true : alltrue([for key in try([for key in concat(jsondecode(var.jwks).keys, []) : merge(key, {})], []) : can(regex("^[!-~]{1,256}$", key.kid)) && !can(regex("-----BEGIN", key.kid))])
    error_message = "jwks holds a key without kid, or with one that is not 1 to 256 visible characters: set a kid for each, since tokens refer to the key that signed them."
  }

  validation {
    condition     = var.jwks == null ? true : length(distinct([for key in try([for key in concat(jsondecode(var.jwks).keys, []) : merge(key, {})], []) : try(tostring(key.kid), "")])) == length(try([for key in concat(jsondecode(var.jwks).keys, []) : merge(key, {})], []))
    error_message = "jwks has a kid twice: remove one of the keys."
  }
}

variable "pool_id" {
  description = "Id of the workload identity pool: 4 to 32 characters a-z 0-9 -, beginning with a letter and not with gcp-."
  type        = string
  default     = "workers"
  nullable    = false

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{2,30}[a-z0-9]$", var.pool_id)) && !startswith(var.pool_id, "gcp-")
    error_message = "pool_id is not 4 to 32 characters a-z 0-9 - that begin with a letter, end without a dash and do not begin with gcp-: rename it, and use the id alone, not the resource name."
  }
}

variable "project_id" {
  description = "Id, not number, of the project that owns the pool; preferably a project of its own."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^([a-z0-9.-]{1,63}:)?[a-z][a-z0-9-]{4,28}[a-z0-9]$", var.project_id))
    error_message = "project_id is not a project id: use the id, such as my-project, not the number and not the display name; a number would force a replacement of the pool."
  }
}

variable "provider_id" {
  description = "Id of the provider in the pool: 4 to 32 characters a-z 0-9 -, beginning with a letter and not with gcp-."
  type        = string
  default     = "refresher"
  nullable    = false

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{2,30}[a-z0-9]$", var.provider_id)) && !startswith(var.provider_id, "gcp-")
    error_message = "provider_id is not 4 to 32 characters a-z 0-9 - that begin with a letter, end without a dash and do not begin with gcp-: rename it, and use the id alone, not the resource name."
  }
}

variable "supplier" {
  description = "How the refresher gets subject tokens: keys is the keys directory on its host (self_issued); kms_key_version is the version of a key in Cloud KMS that signs instead; via is metadata_server or generate_id_token (google); path is the file that another program renews (oidc); lifetime_seconds is the lifetime of self-issued tokens; name and provider_name are the names of the entries in the configuration."
  type = object({
    keys             = optional(string, "/var/lib/refresher/keys")
    kms_key_version  = optional(string)
    lifetime_seconds = optional(number, 3600)
    name             = optional(string, "worker")
    path             = optional(string, "/var/run/secrets/tokens/subject-token")
    provider_name    = optional(string, "main")
    via              = optional(string, "metadata_server")
  })
  default  = {}
  nullable = false

  validation {
    condition     = alltrue([for name in [var.supplier.name, var.supplier.provider_name] : can(regex("^[a-z0-9]([-a-z0-9_.]{0,61}[a-z0-9])?$", name))])
    error_message = "supplier.name or supplier.provider_name is not a valid name: use a-z and 0-9, inside also - _ ., at most 63 characters."
  }

  validation {
    condition     = alltrue([for path in [var.supplier.keys, var.supplier.path] : startswith(path, "/")])
    error_message = "supplier.keys or supplier.path is not absolute: write the whole path on the refresher's host, from / on."
  }

  validation {
    condition     = var.supplier.kms_key_version == null ? true : can(regex("^projects/[^/]+/locations/[^/]+/keyRings/[^/]+/cryptoKeys/[^/]+/cryptoKeyVersions/[1-9][0-9]*$", var.supplier.kms_key_version))
    error_message = "supplier.kms_key_version is not a key version: write projects/ID/locations/PLACE/keyRings/RING/cryptoKeys/KEY/cryptoKeyVersions/NUMBER."
  }

  validation {
    condition     = contains(["metadata_server", "generate_id_token"], var.supplier.via)
    error_message = "supplier.via is neither metadata_server nor generate_id_token: choose one of them."
  }

  validation {
    condition     = var.supplier.lifetime_seconds >= 600 && var.supplier.lifetime_seconds <= 86400 && floor(var.supplier.lifetime_seconds) == var.supplier.lifetime_seconds
    error_message = "supplier.lifetime_seconds is not a whole number from 600 to 86400: use 3600 unless you have a reason; Google refuses tokens of more than a day."
  }
}
