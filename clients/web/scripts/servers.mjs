// A nats-server with WebSocket, a peerd, and the built page, on free ports of this machine, with a
// temporary store. NATS_SERVER and PEERD name the binaries.
import { randomBytes } from "node:crypto";
import { relative } from "node:path";
import { fileURLToPath } from "node:url";
import { connect } from "@nats-io/transport-node";
import { Nats, Peerd, until } from "../../typescript/dist/testing.js";
import { servePage } from "./static.mjs";

export { until };

const HOST = "127.0.0.1";
const USERS = fileURLToPath(new URL("../../../deploy/nats/users.conf", import.meta.url));

export const newPassword = () => `p${randomBytes(12).toString("hex")}`;

/** The users of deploy/nats/users.conf, with a password each. */
export function staticUsers() {
  const names = ["peerd", "operator", "alice", "bob"];
  const passwords = Object.fromEntries(names.map((name) => [name, newPassword()]));
  const environment = Object.fromEntries(
    names.map((name) => [`${name.toUpperCase()}_PASSWORD`, passwords[name]]),
  );
  const configuration = (folder) => `include "${relative(folder, USERS)}"`;
  const login = (name) => ({ user: name, pass: passwords[name] });
  return { passwords, environment, configuration, login };
}

export class Servers {
  /** `users` as from `staticUsers`; `options` are those of peerd. */
  static async start(users, options = {}) {
    const servers = new Servers();
    try {
      await servers.#start(users, options);
    } catch (error) {
      await servers.stop();
      throw error;
    }
    return servers;
  }

  async #start(users, options) {
    this.nats = await Nats.start(users.configuration, users.environment);
    const { url, webSocketUrl, folder } = this.nats;
    Object.assign(this, { url, webSocketUrl });
    const login = users.login("operator");
    const own = users.passwords && {
      "nats.user": "peerd",
      "nats.password": users.passwords.peerd,
    };
    this.peerd = await Peerd.start(
      this.nats,
      { ...users.peerd?.(folder), ...own, ...options },
      login,
    );
    const reconnect = { maxReconnectAttempts: -1, reconnectTimeWait: 100 };
    this.operator = await connect({ servers: url, ...login, ...reconnect });
  }

  /** Starts it again. What is sent before the operator is connected again is lost. */
  async startNats() {
    await this.nats.start();
    await until("peerd serves the operator", () =>
      this.operator.request("$SRV.PING.peerd", "", { timeout: 1000 }).then(
        () => true,
        () => false,
      ),
    );
  }

  /** Rejects when one of the processes ends by itself. */
  async ended() {
    await Promise.race([this.nats.ended(), this.peerd.ended()]);
  }

  /** Calls peerd as a user, with the rights of the operator. */
  async call(user, method, body = {}) {
    const subject = `peer.api.${user}.${method}`;
    const reply = await this.operator.request(subject, JSON.stringify(body), { timeout: 10_000 });
    if (reply.headers?.has("Nats-Service-Error")) throw new Error(`${method}: ${reply.string()}`);
    return reply.json();
  }

  async stop() {
    await this.operator?.close();
    this.page?.close();
    await this.peerd?.close();
    await this.nats?.close();
  }

  /** Serves the built page, and resolves with its address. */
  async servePage() {
    this.page = await servePage(HOST);
    return this.page.url;
  }
}

/** The link that opens the page for a user. */
export function linkOf(page, login) {
  return `${page}#${new URLSearchParams(login)}`;
}
