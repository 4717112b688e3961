# The public keys: what is sent, and what is wrong with them. The precondition of the provider refuses them, not a
# validation of the variable: that could not use these locals, and would print the value, in which a private key may be.
locals {
  _jwks_document = try(jsondecode(var.jwks), null)
  _jwks_keys     = try([for key in concat(local._jwks_document.keys, []) : merge(key, {})], [])
  _is_key_set    = can([for key in concat(local._jwks_document.keys, []) : keys(key)])
  _public        = ["alg", "crv", "e", "kid", "kty", "n", "use", "x", "y"]
  _private       = ["d", "dp", "dq", "k", "oth", "p", "q", "qi"]
  _certificate   = ["x5c", "x5t", "x5t#S256", "x5u"]

  # Only the members of public keys are sent, and so stored in the state: nothing else that the text may contain. They
  # are not sensitive, so that a plan shows which key becomes trusted.
  _jwks = nonsensitive(var.jwks == null ? null : jsonencode({
    keys = [for key in local._jwks_keys : { for member in local._public : member => key[member] if can(key[member]) }]
  }))

  _jwks_mistakes = [
    {
      is      = var.issuer.kind == "self_issued" && var.jwks == null
      message = "jwks is missing: use the output of `refresher keys jwks`; without it Google would discover keys at the issuer's domain."
    },
    {
      is      = var.issuer.kind == "google" && var.jwks != null
      message = "jwks is set for Google's own issuer, whose keys are known: leave it out."
    },
    {
      is      = var.jwks != null && !local._is_key_set
      message = "jwks is not a JSON key set: use the output of `refresher keys jwks` as it is."
    },
    {
      is      = local._is_key_set && length(local._jwks_keys) == 0
      message = "jwks holds no key, so that Google would discover keys at the issuer's domain, and the owner of that domain would own the pool: keep at least one key, and set disabled = true to shut out all users."
    },
    {
      is      = length(local._jwks_keys) > 8
      message = "jwks holds more than 8 keys: drop the retired ones with `refresher keys retire`."
    },
    {
      is      = local._is_key_set && length(setsubtract(try(keys(local._jwks_document), []), ["keys"])) > 0
      message = "jwks has members other than keys, which would be sent unchecked: upload only what `refresher keys jwks` prints."
    },
    {
      is      = anytrue([for key in local._jwks_keys : length(setintersection(keys(key), local._private)) > 0])
      message = "jwks holds a private key, which would be stored in the state: treat it as stolen, create a new one with `refresher keys new` and upload only what `refresher keys jwks` prints."
    },
    {
      is      = anytrue([for key in local._jwks_keys : length(setintersection(keys(key), local._certificate)) > 0])
      message = "jwks holds certificates (x5c, x5t, x5u), which Google refuses: remove these members."
    },
    {
      is      = anytrue([for key in local._jwks_keys : length(setsubtract(keys(key), concat(local._public, local._private, local._certificate))) > 0])
      message = "jwks holds a key with other members than kty, kid, alg, use, n, e, crv, x and y: upload only what `refresher keys jwks` prints."
    },
    {
      is      = anytrue([for key in local._jwks_keys : !(try(key.kty, "") == "RSA" || (try(key.kty, "") == "EC" && try(key.crv, "") == "P-256"))])
      message = "jwks holds a key that is neither RSA nor EC on P-256, the only ones that Google accepts: create another with `refresher keys new`."
    },
    {
      is      = anytrue([for key in local._jwks_keys : try(key.kty, "") == "RSA" && !(can(regex("^[A-Za-z0-9_-]+$", key.n)) && can(regex("^[A-Za-z0-9_-]{1,8}$", key.e)) && !can(key.crv) && !can(key.x) && !can(key.y))])
      message = "jwks holds an RSA key whose members are not n and e in base64url: upload only what `refresher keys jwks` prints."
    },
    {
      is      = anytrue([for key in local._jwks_keys : try(key.kty, "") == "EC" && try(key.crv, "") == "P-256" && !(can(regex("^[A-Za-z0-9_-]{43}$", key.x)) && can(regex("^[A-Za-z0-9_-]{43}$", key.y)) && !can(key.n) && !can(key.e))])
      message = "jwks holds an EC key whose members are not x and y of 32 bytes in base64url: upload only what `refresher keys jwks` prints."
    },
    {
      is      = anytrue([for key in local._jwks_keys : can(key.use) && !try(key.use == "sig", false)])
      message = "jwks holds a key whose use is not sig: upload the keys that sign."
    },
    {
      is      = anytrue([for key in local._jwks_keys : can(key.alg) && contains(["RSA", "EC"], try(key.kty, "")) && !try(contains(["RSA RS256", "EC ES256"], "${key.kty} ${key.alg}"), false)])
      message = "jwks holds a key whose alg is not RS256 for RSA or ES256 for EC: set the algorithm that it signs with, or leave alg out."
    },
    {
      is      = anytrue([for key in local._jwks_keys : try(key.kty == "RSA" && length(key.n) < 342, false)])
      message = "jwks holds an RSA key below 2,048 bits: create a larger one."
    },
    {
      is      = anytrue([for key in local._jwks_keys : !can(regex("^[!-~]{1,256}$", key.kid)) || can(regex("-----BEGIN", key.kid))])
      message = "jwks holds a key without kid, or with one that is not 1 to 256 visible characters: set a kid for each, since tokens refer to the key that signed them."
    },
    {
      is      = length(distinct([for key in local._jwks_keys : try(tostring(key.kid), "")])) < length(local._jwks_keys)
      message = "jwks has a kid twice: remove one of the keys."
    },
  ]

  # The messages are constants, so they show nothing of the value.
  _jwks_problems = nonsensitive([for mistake in local._jwks_mistakes : mistake.message if mistake.is])
}
