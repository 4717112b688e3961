"""oauth2.googleapis.com: access tokens for long-lived credentials, and the description of tokens.

https://developers.google.com/identity/protocols/oauth2. The consent of users is not emulated: a seed contains their
refresh tokens.
"""

from refresher.emulator.oauth2 import token, tokeninfo

ROUTES = (*token.ROUTES, *tokeninfo.ROUTES)
