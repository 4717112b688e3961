// A real OpenID provider on loopback: node provider.mjs SETTINGS.json
// SETTINGS: {"key": PEM, "certificate": PEM, "clients": [metadata, as oidc-provider takes it], "resource": URI, "lifetime": seconds}
// Prints one line of JSON when it is ready: {"issuer": URL, "jwks": its public keys}.
import { readFileSync } from 'node:fs';
import { generateKeyPairSync } from 'node:crypto';
import { createServer } from 'node:https';

import { Provider } from 'oidc-provider';

const settings = JSON.parse(readFileSync(process.argv[2]));
const signing = generateKeyPairSync('rsa', { modulusLength: 2048 });
const named = { use: 'sig', alg: 'RS256', kid: 'provider-1' };

let answer;
const server = createServer({ key: settings.key, cert: settings.certificate }, (request, response) => answer(request, response));
server.listen(0, '127.0.0.1', () => {
  const issuer = `https://127.0.0.1:${server.address().port}`;
  const provider = new Provider(issuer, {
    clients: settings.clients,
    jwks: { keys: [{ ...signing.privateKey.export({ format: 'jwk' }), ...named }] },
    features: {
      clientCredentials: { enabled: true },
      devInteractions: { enabled: false },
      resourceIndicators: {
        enabled: true,
        getResourceServerInfo: (_context, resource) => ({
          scope: 'exchange',
          audience: resource,
          accessTokenFormat: 'jwt',
          accessTokenTTL: settings.lifetime,
          jwt: { sign: { alg: 'RS256' } },
        }),
      },
    },
    enabledJWA: { clientAuthSigningAlgValues: ['ES256', 'RS256'] },
    extraTokenClaims: (_context, token) => ({ worker: token.clientId }),
  });
  answer = provider.callback();
  const jwks = { keys: [{ ...signing.publicKey.export({ format: 'jwk' }), ...named }] };
  console.log(JSON.stringify({ issuer, jwks }));
});
