"""iam.googleapis.com: pools, providers, service accounts, custom roles, policies, deny policies.

https://cloud.google.com/iam/docs/reference/rest. It has what Terraform's google provider and gcloud need. Keys of
service accounts, namespaces and managed identities are not emulated.
"""

from refresher.emulator.iam_admin import (
    custom_roles,
    deny_policies,
    operations,
    pools,
    providers,
    service_accounts,
)

ROUTES = (
    *pools.ROUTES,
    *providers.ROUTES,
    *service_accounts.ROUTES,
    *custom_roles.ROUTES,
    *deny_policies.ROUTES,
    *operations.ROUTES,
)
