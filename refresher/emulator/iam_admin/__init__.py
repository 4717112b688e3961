"""iam.googleapis.com: pools, providers, service accounts and their keys, custom roles, policies, deny policies.

https://cloud.google.com/iam/docs/reference/rest. It has what Terraform's google provider and gcloud need. Namespaces
and managed identities are not emulated.
"""

from refresher.emulator.iam_admin import (
    custom_roles,
    deny_policies,
    operations,
    pools,
    providers,
    service_account_keys,
    service_accounts,
)

ROUTES = (
    *pools.ROUTES,
    *providers.ROUTES,
    *service_accounts.ROUTES,
    *service_account_keys.ROUTES,
    *custom_roles.ROUTES,
    *deny_policies.ROUTES,
    *operations.ROUTES,
)
