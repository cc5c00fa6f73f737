"""Keys and JWTs of NATS: an operator, accounts with scoped signing keys, and users.

`nsc` makes the same; it is not needed to run the tests.
"""

import base64
import binascii
import hashlib
import json
import time

from nacl.signing import SigningKey

# The first letter of a public key is its type: O, A, U.
OPERATOR, ACCOUNT, USER = 14 << 3, 0, 20 << 3
SEED = 18 << 3
# -1 is unlimited.
UNLIMITED = dict.fromkeys(("subs", "data", "payload"), -1)
ACCOUNT_LIMITS = UNLIMITED | dict.fromkeys(("imports", "exports", "conn", "leaf"), -1)
JETSTREAM_LIMITS = dict.fromkeys(("mem_storage", "disk_storage", "streams", "consumer"), -1)


def _encode(raw):
    checked = raw + binascii.crc_hqx(raw, 0).to_bytes(2, "little")
    return base64.b32encode(checked).decode().rstrip("=")


def _base64(raw):
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


class Key:
    """A key pair; `public` and `seed` are its two texts."""

    def __init__(self, kind):
        self._signing = SigningKey.generate()
        self.public = _encode(bytes([kind]) + bytes(self._signing.verify_key))
        seed = bytes([SEED | kind >> 5, (kind & 31) << 3]) + bytes(self._signing)
        self.seed = _encode(seed)

    def sign(self, data):
        return self._signing.sign(data).signature

    def jwt(self, subject, name, claims):
        """A JWT about `subject`, a public key, issued by this key."""
        body = {"iat": int(time.time()), "iss": self.public, "name": name, "sub": subject}
        body["nats"] = claims | {"version": 2}
        body["jti"] = hashlib.sha256(json.dumps(body).encode()).hexdigest()
        header = {"typ": "JWT", "alg": "ed25519-nkey"}
        parts = [_base64(json.dumps(part).encode()) for part in (header, body)]
        return ".".join([*parts, _base64(self.sign(".".join(parts).encode()))])


class Credentials:
    """A user: its JWT, and the key with which it answers the server's challenge."""

    def __init__(self, jwt, key):
        self.jwt = jwt
        self.key = key

    def options(self):
        """For a connection of nats-py."""

        def signature(nonce):
            return base64.b64encode(self.key.sign(nonce.encode()))

        return {"user_jwt_cb": lambda: self.jwt.encode(), "signature_cb": signature}

    def file(self):
        """The text of a .creds file."""
        jwt = f"-----BEGIN NATS USER JWT-----\n{self.jwt}\n------END NATS USER JWT------\n"
        seed = f"-----BEGIN USER NKEY SEED-----\n{self.key.seed}\n------END USER NKEY SEED------\n"
        return f"{jwt}\n{seed}"


class Operator:
    """An operator with the accounts SYS and PEER; PEER has a signing key for each scope."""

    def __init__(self, scopes):
        """`scopes` are the permissions of each role."""
        self._key, self._peer, system = Key(OPERATOR), Key(ACCOUNT), Key(ACCOUNT)
        self._signing = {role: Key(ACCOUNT) for role in scopes}
        keys = [
            {"kind": "user_scope", "key": key.public, "role": role, "template": scopes[role]}
            for role, key in self._signing.items()
        ]
        self._system = system.public
        claims = {"type": "operator", "system_account": system.public}
        self.jwt = self._key.jwt(self._key.public, "peer", claims)
        self._accounts = {
            system.public: self._account(system, "SYS", ACCOUNT_LIMITS, []),
            self._peer.public: self._account(
                self._peer, "PEER", ACCOUNT_LIMITS | JETSTREAM_LIMITS, keys
            ),
        }

    def _account(self, key, name, limits, signing_keys):
        claims = {"type": "account", "limits": limits | {"wildcards": True}}
        return self._key.jwt(key.public, name, claims | {"signing_keys": signing_keys})

    def config(self):
        """As `nsc generate config --mem-resolver` writes it."""
        preload = "\n".join(f"  {key}: {jwt}" for key, jwt in self._accounts.items())
        return (
            f"operator: {self.jwt}\nsystem_account: {self._system}\n"
            f"resolver: MEMORY\nresolver_preload: {{\n{preload}\n}}\n"
        )

    def user(self, name, role, **claims):
        """A user signed with the key of `role`; `claims` are permissions of the user's own."""
        key = Key(USER)
        claims = {"type": "user", "issuer_account": self._peer.public} | claims
        return Credentials(self._signing[role].jwt(key.public, name, claims), key)
