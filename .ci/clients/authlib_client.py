"""Authlib gets a token in each way that both it and the service offer, and calls one endpoint with it.

Environment: BASE, CLIENT_ID, CLIENT_SECRET, and AUTHLIB_INSECURE_TRANSPORT, because loopback has no TLS.
`.ci/run clients` starts the service.
"""

import os

from authlib.integrations.base_client import OAuthError
from authlib.integrations.requests_client import OAuth2Session

BASE, CLIENT_ID = os.environ["BASE"], os.environ["CLIENT_ID"]


def session(method: str, secret: str) -> OAuth2Session:
    return OAuth2Session(CLIENT_ID, secret, token_endpoint_auth_method=method, scope="partners")


for method in ["client_secret_basic", "client_secret_post"]:
    for path in ["/oauth2/token", "/oauth/token", "/oauth/token?grant_type=client_credentials"]:
        client = session(method, os.environ["CLIENT_SECRET"])
        token = client.fetch_token(f"{BASE}{path}", grant_type="client_credentials")
        assert token["token_type"] == "bearer" and token["expires_in"] > 0, f"{path} {method}"
        answer = client.get(f"{BASE}/v1/mfa/devices")
        assert answer.status_code == 200, f"{path} {method}: the token gets {answer.status_code}"
        print(f"authlib {path} {method}: 200")

        try:
            session(method, "wrong").fetch_token(f"{BASE}{path}", grant_type="client_credentials")
            raise AssertionError(f"{path} {method}: a wrong secret gets a token")
        except OAuthError as refusal:
            assert refusal.error == "invalid_client", f"{path} {method}: a wrong secret gets {refusal}"
