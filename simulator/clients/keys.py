"""Makes the key of the service apps, and registers both with a simulated Okta: keys.py ADDRESS FOLDER"""

import base64
import json
import pathlib
import sys
import urllib.request

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

KEY_ID = "client-key"
SCOPES = [f"okta.{what}.{how}" for what in ("users", "groups", "apps", "eventHooks", "orgs") for how in ("read", "manage")] + ["okta.logs.read"]


def number(value):
    return base64.urlsafe_b64encode(value.to_bytes((value.bit_length() + 7) // 8, "big")).rstrip(b"=").decode()


address, folder = sys.argv[1], pathlib.Path(sys.argv[2])
key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
public, private = key.public_key().public_numbers(), key.private_numbers()
jwk = {"kty": "RSA", "kid": KEY_ID, "n": number(public.n), "e": number(public.e)}
whole = jwk | {name: number(getattr(private, field)) for name, field in {"d": "d", "p": "p", "q": "q", "dp": "dmp1", "dq": "dmq1", "qi": "iqmp"}.items()}
pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
(folder / "service.pem").write_bytes(pem)
(folder / "service.jwk").write_text(json.dumps(whole))
apps = {
    client: {"client_id": client, "keys": [jwk], "scopes": SCOPES, "require_dpop": dpop, "active": True}
    for client, dpop in (("0oaSERVICE", False), ("0oaSERVICEDPOP", True))
}
patch = json.dumps({"oauth": {"apps": apps}}).encode()
urllib.request.urlopen(urllib.request.Request(f"{address}/_simulator/world", data=patch, method="PATCH"))
