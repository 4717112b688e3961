"""What the module federation refuses."""

from __future__ import annotations

import json

from tests.terraform.refusals.cases import (
    EC_KEY,
    GOOGLE,
    HOP,
    OIDC,
    RSA_KEY,
    SECRET,
    condition,
    federation,
    jwks,
    self_issued,
)

LONG = "x" * 257

CASES = {
    "project_number": federation("project_id is not a project id", "not the number", project_id="123456789012"),
    "project_name": federation("project_id is not a project id", "not the display name", project_id="My Project"),
    "pool_short": federation("pool_id is not 4 to 32 characters", "rename it", pool_id="abc"),
    "pool_long": federation("pool_id is not 4 to 32 characters", "rename it", pool_id="a" * 33),
    "pool_reserved": federation("pool_id is not 4 to 32 characters", "do not begin with gcp-", pool_id="gcp-pool"),
    "pool_digit": federation("pool_id is not 4 to 32 characters", "begin with a letter", pool_id="1pool"),
    "pool_dash": federation("pool_id is not 4 to 32 characters", "end without a dash", pool_id="pool-"),
    "pool_name": federation("pool_id is not", "the id alone", pool_id="projects/1/locations/global/x"),
    "provider_case": federation("provider_id is not 4 to 32 characters", "rename it", provider_id="Refresher"),
    "provider_reserved": federation("provider_id is not", "do not begin with gcp-", provider_id="gcp-main"),
    "default_project": federation("default_project_id is not a project id", "use the id", default_project_id="1234567"),
    "display_name": federation("display_name is longer than 32 characters", "shorten it", display_name="x" * 33),
    "description": federation("description is longer than 256 characters", "shorten it", description=LONG),
    "issuer_kind": federation("issuer.kind is not one of", "choose one", issuer={"kind": "aws", "uri": "https://a.b"}),
    "issuer_missing": federation("issuer.uri is missing", "set it to the iss claim", issuer={"kind": "oidc"}),
    "issuer_http": federation(
        "issuer.uri is not an https URL", "exactly as the iss", **self_issued("http://a.invalid")
    ),
    "issuer_query": federation(
        "issuer.uri is not an https URL", "without query", **self_issued("https://a.invalid/?x=1")
    ),
    "issuer_text": federation("issuer.uri is not an https URL", "exactly", **self_issued("garbage")),
    "issuer_google": federation(
        "issuer.uri is Google's own",
        "use the kind google",
        issuer={"kind": "oidc", "uri": "https://accounts.google.com"},
    ),
    "issuer_foreign": federation(
        "issuer.uri of a self-issued key is in a domain that belongs to others",
        "below .invalid",
        **self_issued("https://us.github.io"),
    ),
    "issuer_example": federation(
        "issuer.uri of a self-issued key is in a domain", "use your own domain", **self_issued("https://example.com")
    ),
    "issuer_bare": federation(
        "issuer.uri of a self-issued key is not a domain name", "below .invalid", **self_issued("https://workers")
    ),
    "issuer_address": federation(
        "issuer.uri of a self-issued key is not a domain name", "use your own domain", **self_issued("https://10.0.0.1")
    ),
    "jwks_missing": federation("jwks is missing", "refresher keys jwks", jwks=None),
    "jwks_text": federation("jwks is not a JSON key set", "as it is", jwks="nope"),
    "jwks_other": federation("jwks is not a JSON key set", "refresher keys jwks", jwks='{"kty": "EC"}'),
    "jwks_empty": federation("jwks holds no key", "keep at least one key", jwks=jwks()),
    "jwks_nine": federation(
        "jwks holds more than 8 keys",
        "refresher keys retire",
        jwks=jwks(*({**EC_KEY, "kid": str(n)} for n in range(9))),
    ),
    "jwks_private": federation("jwks holds a private key", "treat it as stolen", jwks=jwks({**EC_KEY, "d": "ZA"})),
    "jwks_secret": federation("jwks holds a private key", "create a new one", jwks=jwks({**EC_KEY, "k": "aw"})),
    "jwks_pem": federation("jwks is not a JSON key set", "as it is", jwks=SECRET),
    "jwks_alone": federation(
        "jwks holds a key with other members", "upload only", jwks=jwks({**EC_KEY, "pem": SECRET})
    ),
    "jwks_rsa_bare": federation("jwks holds an RSA key whose", "n and e", jwks=jwks({"kty": "RSA", "kid": "a"})),
    "jwks_ec_bare": federation(
        "jwks holds an EC key whose", "x and y", jwks=jwks({"kty": "EC", "crv": "P-256", "kid": "a"})
    ),
    "jwks_named": federation("jwks is not a JSON key set", "as it is", jwks=json.dumps({"keys": {"a": EC_KEY}})),
    "jwks_string": federation("jwks is not a JSON key set", "as it is", jwks='{"keys": "abc"}'),
    "jwks_alg": federation("jwks holds a key whose alg", "leave alg out", jwks=jwks({**EC_KEY, "alg": "HS256"})),
    "jwks_use": federation("jwks holds a key whose use", "the keys that sign", jwks=jwks({**EC_KEY, "use": "enc"})),
    "claims_reserved": federation("is a reserved word of CEL", "rename the claim", **condition(claims={"in": "x"})),
    "jwks_okp": federation("jwks holds a key that is neither", "create another", jwks=jwks({**EC_KEY, "kty": "OKP"})),
    "jwks_curve": federation("jwks holds a key that is neither", "P-256", jwks=jwks({**EC_KEY, "crv": "P-384"})),
    "jwks_small": federation("jwks holds an RSA key below", "create a larger", jwks=jwks({**RSA_KEY, "n": "n" * 171})),
    "jwks_nameless": federation("jwks holds a key without kid", "set a kid for each", jwks=jwks({**EC_KEY, "kid": ""})),
    "jwks_twice": federation("jwks has a kid twice", "remove one", jwks=jwks(EC_KEY, {**EC_KEY, "x": "y" * 43})),
    "jwks_certificate": federation(
        "jwks holds certificates", "remove these members", jwks=jwks({**EC_KEY, "x5c": ["a"]})
    ),
    "jwks_of_google": federation("jwks is set for Google's own", "leave it out", **{**GOOGLE, "jwks": jwks(EC_KEY)}),
    "condition_none": federation("attribute_condition admits every user", "set claims", **condition()),
    "condition_quote": federation(
        "attribute_condition.subject_prefix is not", "fixed text", **condition(subject_prefix="u' || true || '")
    ),
    "condition_star": federation(
        "attribute_condition.subject_prefix is not", "wildcards are not supported", **condition(subject_prefix="user-*")
    ),
    "condition_short": federation(
        "attribute_condition.subject_prefix is not 2", "choose", **condition(subject_prefix="")
    ),
    "claim_name": federation(
        "A name in attribute_condition.claims", "rename the claim", **condition(claims={"Fleet-1": "a"})
    ),
    "claim_reserved": federation(
        "attribute_condition.claims lists iss", "use subject_prefix", **condition(claims={"sub": "a"})
    ),
    "claim_value": federation(
        "A value in attribute_condition.claims", "exact constant", **condition(claims={"fleet": "a' || '"})
    ),
    "claim_number": federation(
        "A value in attribute_condition.claims or former_claims is a number",
        "write it in quotes",
        **OIDC,
        **condition(claims={"owner_id": 1234}),
    ),
    "claim_null": federation(
        "A value in attribute_condition.claims", "exact constant", **condition(claims={"a": None})
    ),
    "claim_list": federation(
        "A value in attribute_condition.claims", "exact constant", **condition(claims={"a": ["b"]})
    ),
    "claim_former_alone": federation(
        "attribute_condition.former_claims has a claim that is not in claims",
        "add its new value",
        **condition(claims={"a": "b"}, former_claims={"c": "d"}),
    ),
    "claim_former_same": federation(
        "attribute_condition.former_claims repeats a value",
        "remove it",
        **condition(claims={"a": "b"}, former_claims={"a": "b"}),
    ),
    "claim_former_quote": federation(
        "A value in attribute_condition.claims or former_claims",
        "exact constant",
        **condition(claims={"a": "b"}, former_claims={"a": "c' || '"}),
    ),
    "drop_without_prefix": federation(
        "attribute_condition.drop_subject_prefix needs a subject_prefix",
        "set subject_prefix",
        **OIDC,
        **condition(claims={"a": "b"}, drop_subject_prefix=True),
    ),
    "drop_of_own_key": federation(
        "attribute_condition.drop_subject_prefix needs",
        "choose shorter subjects",
        **condition(subject_prefix="user-", drop_subject_prefix=True),
    ),
    "claim_empty": federation(
        "A value in attribute_condition.claims", "exact constant", **condition(claims={"fleet": ""})
    ),
    "subjects_listed": federation(
        "attribute_condition.subjects is for Google-signed",
        "does not change the provider",
        **condition(subjects=["1234567890"]),
    ),
    "subjects_email": federation(
        "An entry of attribute_condition.subjects is not a numeric id",
        "unique id",
        **{**GOOGLE, **condition(subjects=["a@b.iam.gserviceaccount.com"])},
    ),
    "subjects_many": federation(
        "attribute_condition.subjects holds more than 100",
        "fewer accounts",
        **{**GOOGLE, **condition(subjects=[str(10**12 + n) for n in range(101)])},
    ),
    "google_open": federation(
        "accounts.google.com signs for every", "list the unique ids", **{**GOOGLE, **condition(subject_prefix="1234")}
    ),
    "condition_long": federation(
        "The attribute condition is longer than 4,096",
        "fewer claims",
        **condition(claims={f"claim_{n}": "v" * 200 for n in range(20)}),
    ),
    "mapping_subject": federation(
        "attribute_mapping maps google.subject", "remove it", attribute_mapping={"google.subject": "assertion.email"}
    ),
    "mapping_key": federation(
        "A key of attribute_mapping is not attribute.NAME",
        "rename it",
        attribute_mapping={"google.groups": "assertion.groups"},
    ),
    "mapping_long": federation(
        "An expression of attribute_mapping is empty or longer",
        "shorten it",
        attribute_mapping={"attribute.a": "a" * 2049},
    ),
    "mapping_many": federation(
        "More than 50 attributes",
        "remove some",
        attribute_mapping={f"attribute.a{n}": "assertion.a" for n in range(51)},
    ),
    "mapping_again": federation(
        "attribute_mapping maps a claim of",
        "mapped already",
        attribute_mapping={"attribute.fleet": "assertion.other"},
        **condition(claims={"fleet": "a"}),
    ),
    "audiences_many": federation(
        "allowed_audiences holds more than 10", "remove some", allowed_audiences=[f"https://a{n}" for n in range(11)]
    ),
    "audience_empty": federation(
        "An entry of allowed_audiences is empty", "visible characters", allowed_audiences=[""]
    ),
    "audience_long": federation("An entry of allowed_audiences is empty, longer", "1 to 256", allowed_audiences=[LONG]),
    "audience_twice": federation(
        "allowed_audiences lists an audience twice", "remove one", allowed_audiences=["https://a", "https://a"]
    ),
    "supplier_name": federation("supplier.name or supplier.provider_name", "use a-z and 0-9", supplier={"name": "No"}),
    "supplier_path": federation(
        "supplier.keys or supplier.path is not absolute", "from / on", supplier={"keys": "keys"}
    ),
    "supplier_kms_key_version": federation(
        "supplier.kms_key_version is not a key", "write projects/ID", supplier={"kms_key_version": "projects/p/k"}
    ),
    "supplier_via": federation("supplier.via is neither", "choose one", supplier={"via": "gcloud"}, **GOOGLE),
    "supplier_kind": federation(
        "supplier.kind does not fit issuer.kind = self_issued", "self_issued, host", supplier={"kind": "command"}
    ),
    "supplier_other": federation("supplier has path, which is for file", "leave out", supplier={"path": "/run/token"}),
    "supplier_of_host": federation(
        "supplier has keys, which is for self_issued", "leave out", supplier={"kind": "host", "keys": "/keys"}
    ),
    "supplier_both": federation(
        "supplier has both keys and kms_key_version",
        "leave out keys",
        supplier={
            "keys": "/keys",
            "kms_key_version": "projects/p/locations/l/keyRings/r/cryptoKeys/k/cryptoKeyVersions/1",
        },
    ),
    "supplier_signer": federation(
        "supplier.service_account is not the e-mail", "which sign_jwt needs", **OIDC, supplier={"kind": "sign_jwt"}
    ),
    "supplier_signer_life": federation(
        "supplier.lifetime_seconds is not a whole number",
        "(sign_jwt: 43200)",
        **OIDC,
        supplier={"kind": "sign_jwt", "service_account": HOP, "lifetime_seconds": 43201},
    ),
    "supplier_claims_of_others": federation(
        "supplier.claims is for self_issued and sign_jwt", "at the issuer", **OIDC, supplier={"claims": {"a": "b"}}
    ),
    "supplier_claims_twice": federation(
        "supplier.claims repeats a claim of attribute_condition.claims, which is minted anyway (a)",
        "remove it",
        supplier={"claims": {"a": "b"}},
        **condition(claims={"a": "c"}),
    ),
    "supplier_claims_sub": federation(
        "supplier.claims has a claim that attribute_condition.claims could not",
        "use names",
        supplier={"claims": {"sub": "b"}},
    ),
    "supplier_lifetime": federation(
        "supplier.lifetime_seconds is not a whole number", "use 3600", supplier={"lifetime_seconds": 90000}
    ),
    "issuer_google_case": federation(
        "issuer.uri is Google's own",
        "use the kind google",
        issuer={"kind": "oidc", "uri": "https://ACCOUNTS.GOOGLE.COM"},
    ),
    "issuer_foreign_case": federation(
        "issuer.uri of a self-issued key is in a domain", "below .invalid", **self_issued("https://us.GitHub.io")
    ),
}
