# Patterns and tables that validations use. They hold no input: a validation may not use a local that depends on its own
# variable.
locals {
  _claim_name     = "^[a-z_][a-z0-9_]{0,99}$"
  _claim_value    = "^(true|false|\"[A-Za-z0-9 ._:/@#=+-]{1,256}\")$" # of the value as JSON
  _pool_id        = "^[a-z][a-z0-9-]{2,30}[a-z0-9]$"
  _project_id     = "^([a-z0-9.-]{1,63}:)?[a-z][a-z0-9-]{4,28}[a-z0-9]$"
  _entry_name     = "^[a-z0-9]([-a-z0-9_.]{0,61}[a-z0-9])?$"
  _account_email  = "^([a-z][-a-z0-9]{4,28}[a-z0-9]@[-a-z0-9.]{1,63}\\.iam|[0-9]{1,20}-compute@developer|[a-z0-9][-a-z0-9]{0,62}@(appspot|cloudbuild|cloudservices))\\.gserviceaccount\\.com$"
  _key_version    = "^projects/[^/]+/locations/[^/]+/keyRings/[^/]+/cryptoKeys/[^/]+/cryptoKeyVersions/[1-9][0-9]*$"
  _issuer_uri     = "^https://[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?(:[0-9]{1,5})?(/[!-\"$->A-~]*)?$"
  _words_of_cel   = ["as", "break", "const", "continue", "else", "false", "for", "function", "if", "import", "in", "let", "loop", "namespace", "null", "package", "return", "true", "var", "void", "while"]
  _claims_of_each = ["iss", "sub", "aud", "exp", "iat", "nbf", "jti"] # they differ from token to token, or are checked already

  # Kinds of suppliers by kind of issuer, the default first. With `host`, the host's own file has the whole supplier.
  _supplier_kinds = {
    self_issued = ["self_issued", "host"]
    google      = ["google_id_token", "google_access_token", "host"]
    oidc        = ["file", "client_credentials", "command", "kubernetes", "sign_jwt", "host"]
  }

  # Kinds of suppliers that use an attribute of `supplier`.
  _supplier_uses = {
    keys             = ["self_issued"]
    kms_key_version  = ["self_issued"]
    lifetime_seconds = ["self_issued", "sign_jwt", "kubernetes"]
    path             = ["file"]
    service_account  = ["sign_jwt"]
    via              = ["google_id_token"]
  }
}
