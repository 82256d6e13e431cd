// openid-client gets a token in each way that both it and the service offer, and calls one endpoint with it.
// Environment: BASE, CLIENT_ID, CLIENT_SECRET. `.ci/run clients` starts the service.
import { webcrypto } from 'node:crypto'

globalThis.crypto ??= webcrypto // Node.js 18 has no global `crypto`
const oauth = await import('openid-client')

const { BASE, CLIENT_ID, CLIENT_SECRET } = process.env
const methods = { client_secret_basic: oauth.ClientSecretBasic, client_secret_post: oauth.ClientSecretPost }

function configuration(path, authentication, secret) {
  const server = { issuer: BASE, token_endpoint: `${BASE}${path}` }
  const configured = new oauth.Configuration(server, CLIENT_ID, undefined, authentication(secret))
  oauth.allowInsecureRequests(configured) // loopback has no TLS
  return configured
}

function demand(holds, what) {
  if (!holds) throw new Error(what)
}

for (const path of ['/oauth2/token', '/oauth/token']) {
  for (const [method, authentication] of Object.entries(methods)) {
    for (const parameters of [{}, { scope: 'partners' }, { scope: '' }]) {
      const what = `${path} ${method} ${JSON.stringify(parameters)}`
      const config = configuration(path, authentication, CLIENT_SECRET)
      const token = await oauth.clientCredentialsGrant(config, parameters)
      demand(token.token_type === 'bearer' && token.expires_in > 0 && token.scope === 'partners', `${what}: ${token.scope}`)
      const resource = new URL('/v1/mfa/devices', BASE)
      const answer = await oauth.fetchProtectedResource(config, token.access_token, resource, 'GET')
      demand(answer.status === 200, `${what}: the token gets ${answer.status}`)
      console.log(`openid-client ${what}: 200`)
    }

    const refusal = await oauth.clientCredentialsGrant(configuration(path, authentication, 'wrong')).catch((error) => error)
    demand(refusal.status === 401, `${path} ${method}: a wrong secret gets ${refusal}`)
    // The service's challenge is one that the client can read (RFC 9110 section 11.6.1).
    demand(refusal.cause[0]?.scheme === 'basic', `${path} ${method}: no challenge in ${refusal}`)
  }
}

// The challenge for a bad token, too (RFC 6750 section 3).
const config = configuration('/oauth2/token', oauth.ClientSecretBasic, CLIENT_SECRET)
const refusal = await oauth
  .fetchProtectedResource(config, 'not-a-token', new URL('/v1/mfa/devices', BASE), 'GET')
  .catch((error) => error)
demand(refusal.cause?.[0]?.parameters?.error === 'invalid_token', `a bad token gets ${refusal}`)
console.log('openid-client a bad token: invalid_token')
