"""Starts each configuration of deploy/nats, with a peerd that has the permissions given there.

The files are used as they are, but for the ports, which are random, and for options that are
commented out.
"""

import asyncio
import contextlib
import re
import shlex
import socket
import ssl
import subprocess
import time
from argparse import ArgumentParser
from dataclasses import dataclass, field

import nats.errors
from client import DEADLINE_S, Json
from conftest import PASSWORDS, POLL_S, ROOT, connection, credentials, peerd, running_nats_server
from nkey import Operator

NATS = ROOT / "deploy" / "nats"
# Commented out in the files.
MAPPING = ('# include "mapping.conf"', '# "peer.part.*.')
GATEWAY = ('# { include "push-gateway.conf" }',)
LEAF_NODES = ('# { include "leaf-nodes.conf" }',)


@dataclass
class Deployment:
    """A running configuration: the server that users connect to, and peerd somewhere behind it."""

    name: str
    server: object
    # The listener that users connect to.
    listener: str
    # The options of a connection as a NATS user.
    login: object
    # Options of all connections.
    options: dict = field(default_factory=dict)
    # The server that peerd connects to, if it is another one.
    hub: object = None
    operator: Operator = None
    peerd: object = None
    url: str = ""

    def connect(self, user, **options):
        options = self.options | self.login(user) | options
        inbox = f"_INBOX_leaf.{user}" if self.name == "leaf" else f"_INBOX_{user}"
        return connection(self.url, inbox_prefix=inbox, **options)

    def refused(self, subject):
        """A pattern of the subject that the server names when it refuses to publish."""
        call = re.fullmatch(r"peer\.api\.([^.]+)\.([^.]+)", subject)
        if self.name == "mapping" and call:
            user, method = map(re.escape, call.groups())
            return rf"peer\.part\.\d+\.{user}\.{method}"
        return re.escape(subject)


def configuration(folder, uncommented=()):
    """Copies the configurations to a folder, with random ports of this machine."""
    copies = folder / "conf"
    copies.mkdir(parents=True)
    for source in NATS.glob("*.conf"):
        text = re.sub(r'(listen|http): "[\d.]+:\d+"', r'\1: "127.0.0.1:-1"', source.read_text())
        for option in uncommented:
            text = text.replace(option, option.removeprefix("# "))
        (copies / source.name).write_text(text)
    return copies


def start(stack, folder, name, uncommented=(), **environment):
    file = configuration(folder, uncommented) / f"{name}.conf"
    return stack.enter_context(
        running_nats_server(folder, "-c", str(file), **PASSWORDS, **environment)
    )


def port_of(server, listener):
    """The port of a listener that is not in the file of ports."""
    [port] = re.findall(rf"Listening for {listener} .*:(\d+)\n", server.logged())
    return int(port)


def password_of_peerd():
    return {"PEERD__NATS__USER": "peerd", "PEERD__NATS__PASSWORD": PASSWORDS["PEERD_PASSWORD"]}


def simple(stack, folder, name, listener="nats", file=None, uncommented=(), **environment):
    """A server whose users are those of users.conf."""
    server = start(stack, folder, file or name, uncommented, **environment)
    return Deployment(name, server, listener, credentials)


def mapping(stack, folder, listener):
    return simple(stack, folder, "mapping", listener, "nats-server", MAPPING)


def gateway(stack, folder, listener):
    return simple(stack, folder, "gateway", listener, "nats-server", GATEWAY)


def tls(stack, folder, listener):
    subprocess.run([NATS / "test-ca", folder / "ca"], check=True)
    ca = folder / "ca"
    files = {"TLS_CERT": str(ca / "server.crt"), "TLS_KEY": str(ca / "server.key")}
    deployment = simple(stack, folder, "tls", listener, **files)
    deployment.options = {"tls": ssl.create_default_context(cafile=ca / "ca.crt")}
    for name, url in deployment.server.urls.items():
        scheme = {"nats": "tls", "websocket": "wss"}[name]
        deployment.server.urls[name] = re.sub(r"^\w+:", f"{scheme}:", url)
    return deployment


def cluster(stack, folder, listener):
    with contextlib.ExitStack() as sockets:
        reserved = [sockets.enter_context(socket.socket()) for _ in range(3)]
        for each in reserved:
            each.bind(("127.0.0.1", 0))
        ports = [each.getsockname()[1] for each in reserved]
    password = PASSWORDS["ROUTE_PASSWORD"]
    routes = {
        f"ROUTE_{n}": f"nats://route:{password}@127.0.0.1:{port}" for n, port in enumerate(ports, 1)
    }
    servers = []
    for n, port in enumerate(ports, 1):
        node = folder / f"nats-{n}"
        file = configuration(node) / "cluster.conf"
        arguments = ("-c", str(file), "--cluster", f"nats://127.0.0.1:{port}")
        environment = PASSWORDS | routes | {"NODE_NAME": f"nats-{n}"}
        servers.append(stack.enter_context(running_nats_server(node, *arguments, **environment)))
    return Deployment("cluster", servers[0], listener, credentials)


def accounts(stack, folder, listener):
    server = start(stack, folder, "accounts")

    def login(user):
        # The backend acts for bob.
        return credentials("app" if user == "bob" else user)

    return Deployment("accounts", server, listener, login)


def hub_url(hub):
    """The URL to which sites connect."""
    return f"nats-leaf://leaf:{PASSWORDS['LEAF_PASSWORD']}@127.0.0.1:{port_of(hub, 'leafnode')}"


def leaf(stack, folder, listener):
    hub = start(stack, folder / "hub", "hub", LEAF_NODES)
    site = start(stack, folder / "site", "leaf", HUB_URL=hub_url(hub))
    return Deployment("leaf", site, listener, credentials, hub=hub)


def subjects_of(text):
    return text.split(",")


def scopes():
    """The scopes of the signing keys that the README makes with `nsc`, by role."""
    text = (ROOT / "deploy" / "README.md").read_text().replace("\\\n", " ")
    parser = ArgumentParser()
    for option in ("--account", "--role", "--sk", "--response-ttl"):
        parser.add_argument(option)
    for option in ("--allow-pub", "--deny-pub", "--allow-sub"):
        parser.add_argument(option, type=subjects_of, action="extend", default=[])
    parser.add_argument("--allow-pub-response", type=int)
    found = {}
    for line in text.splitlines():
        if line.startswith("nsc edit signing-key"):
            its = parser.parse_args(shlex.split(line)[3:])
            scope = {
                "pub": {"allow": its.allow_pub, "deny": its.deny_pub},
                "sub": {"allow": its.allow_sub},
                **dict.fromkeys(("subs", "data", "payload"), -1),
            }
            if its.allow_pub_response:
                assert its.response_ttl == "1m"
                scope["resp"] = {"max": its.allow_pub_response, "ttl": 60 * 10**9}
            found[its.role] = scope
    return found


def jwt(stack, folder, listener):
    operator = Operator(scopes())
    copies = configuration(folder)
    (copies / "operator.conf").write_text(operator.config())
    arguments = ("-c", str(copies / "jwt.conf"))
    server = stack.enter_context(running_nats_server(folder, *arguments))

    def login(user):
        role = "user" if user in ("alice", "bob") else user
        return operator.user(user, role).options()

    return Deployment("jwt", server, listener, login, operator=operator)


DEPLOYMENTS = {
    "mapping": mapping,
    "gateway": gateway,
    "tls": tls,
    "cluster": cluster,
    "accounts": accounts,
    "leaf": leaf,
    "jwt": jwt,
}


def settings_of_peerd(deployment, folder):
    if deployment.operator:
        file = folder / "peerd.creds"
        file.write_text(deployment.operator.user("peerd", "peerd").file())
        return {"PEERD__NATS__CREDENTIALS_FILE": str(file)}
    settings = password_of_peerd()
    if deployment.name == "tls":
        settings["PEERD__NATS__TLS_REQUIRED"] = "true"
        settings["PEERD__NATS__TLS_CA_FILE"] = str(folder / "ca" / "ca.crt")
    if deployment.name == "cluster":
        settings["PEERD__STREAM__REPLICAS"] = "3"
    return settings


@contextlib.contextmanager
def deployed(folder, name, listener="nats"):
    """The configuration `name` with its users on `listener`, and a peerd on it."""
    with contextlib.ExitStack() as stack:
        make = DEPLOYMENTS.get(name)
        if make:
            deployment = make(stack, folder, listener)
        else:
            deployment = simple(stack, folder, name, listener)
        deployment.url = deployment.server.urls[listener]
        server = deployment.hub or deployment.server
        login = deployment.options | deployment.login("operator")
        settings = settings_of_peerd(deployment, folder)
        (folder / "peerd").mkdir()
        deployment.peerd = stack.enter_context(
            peerd(folder / "peerd", server.urls["nats"], Json, login=login, **settings)
        )
        asyncio.run(until_users_are_served(deployment))
        yield deployment


async def until_users_are_served(deployment):
    """The server of the users knows of peerd some time after that of peerd."""
    deadline = time.monotonic() + DEADLINE_S
    async with deployment.connect("alice") as nc:
        while time.monotonic() < deadline:
            with contextlib.suppress(nats.errors.NoRespondersError):
                return await nc.request("peer.api.alice.login", b"{}", timeout=DEADLINE_S)
            await asyncio.sleep(POLL_S)
    raise TimeoutError("alice reaches no peerd")
