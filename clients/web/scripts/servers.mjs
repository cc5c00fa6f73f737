// A nats-server with WebSocket, a peerd, and the built page, on free ports of this machine, with a
// temporary store. NATS_SERVER and PEERD name the binaries.
import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { connect } from "@nats-io/transport-node";
import { servePage } from "./static.mjs";

const DEADLINE_MS = 30_000;
const POLL_MS = 10;
const HOST = "127.0.0.1";
const USERS = fileURLToPath(new URL("../../../deploy/nats/users.conf", import.meta.url));

/** Waits for a condition; a value other than undefined and false is the result. */
export async function until(what, condition) {
  const deadline = Date.now() + DEADLINE_MS;
  for (;;) {
    const value = await condition();
    if (value !== undefined && value !== false) return value;
    if (Date.now() > deadline) throw new Error(`did not happen: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}

async function freePort() {
  const server = createServer().listen(0, HOST);
  await once(server, "listening");
  const { port } = server.address();
  server.close();
  await once(server, "close");
  return port;
}

/** A child process with its output in a file. */
class Process {
  #child;

  constructor(command, parameters, folder, environment) {
    Object.assign(this, { command, parameters, folder, environment });
    this.logFile = join(folder, `${parameters[0] === "serve" ? "peerd" : "nats"}.log`);
  }

  start() {
    writeFileSync(this.logFile, "");
    const log = openSync(this.logFile, "a");
    // The daemon must not see settings of the shell that runs this.
    const clean = Object.entries(process.env).filter(([name]) => !name.startsWith("PEERD"));
    this.#child = spawn(this.command, this.parameters, {
      cwd: this.folder,
      env: { ...Object.fromEntries(clean), ...this.environment },
      stdio: ["ignore", log, log],
    });
    this.#child.on("error", (error) => writeFileSync(log, String(error)));
  }

  get log() {
    return readFileSync(this.logFile, "utf8").slice(-4000);
  }

  mustRun() {
    const { exitCode, signalCode, pid } = this.#child;
    if (exitCode === null && signalCode === null && pid) return;
    throw new Error(`${this.command} ended:\n${this.log}`);
  }

  /** Rejects when it ends by itself. */
  async ended() {
    await once(this.#child, "exit");
    this.mustRun();
  }

  async stop(signal = "SIGTERM") {
    const child = this.#child;
    if (!child?.pid || child.exitCode !== null || child.signalCode !== null) return;
    const exited = once(child, "exit");
    child.kill(signal);
    await exited;
  }
}

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
  /** `users` as from `staticUsers`; `options` are environment variables of peerd. */
  static async start(users, options = {}) {
    const servers = new Servers();
    servers.folder = mkdtempSync(join(tmpdir(), "peerd-web-"));
    try {
      await servers.#start(users, options);
    } catch (error) {
      await servers.stop();
      throw error;
    }
    return servers;
  }

  async #start(users, options) {
    const { folder } = this;
    const [port, webSocketPort] = [await freePort(), await freePort()];
    this.url = `nats://${HOST}:${port}`;
    this.webSocketUrl = `ws://${HOST}:${webSocketPort}`;
    const configuration = `
      listen: "${HOST}:${port}"
      websocket { host: "${HOST}", port: ${webSocketPort}, no_tls: true }
      jetstream { store_dir: "store" }
      ${users.configuration(folder)}`;
    writeFileSync(join(folder, "nats.conf"), configuration);
    const nats = binary("NATS_SERVER");
    this.nats = new Process(nats, ["-c", "nats.conf"], folder, users.environment ?? {});
    await this.startNats();
    this.peerd = new Process(binary("PEERD"), ["serve"], folder, {
      PEERD__NATS__SERVERS: this.url,
      ...users.peerd?.(folder),
      ...(users.passwords && {
        PEERD__NATS__USER: "peerd",
        PEERD__NATS__PASSWORD: users.passwords.peerd,
      }),
      ...options,
    });
    this.peerd.start();
    const login = users.login("operator");
    const reconnect = { maxReconnectAttempts: -1, reconnectTimeWait: 100 };
    this.operator = await connect({ servers: this.url, ...login, ...reconnect });
    await this.#untilServed();
  }

  /** Resolves once the operator's connection is up and peerd answers on it. */
  async #untilServed() {
    await until("peerd serves", async () => {
      this.peerd.mustRun();
      const ping = this.operator.request("$SRV.PING.peerd", "", { timeout: 1000 });
      return ping.then(
        () => true,
        () => false,
      );
    });
  }

  async startNats() {
    this.nats.start();
    await until("nats-server listens", () => {
      this.nats.mustRun();
      return this.nats.log.includes("Server is ready");
    });
    // What is sent before the operator is connected again is lost.
    if (this.operator) await this.#untilServed();
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
    await this.peerd?.stop();
    await this.nats?.stop();
    rmSync(this.folder, { recursive: true, force: true });
  }

  /** Serves the built page, and resolves with its address. */
  async servePage() {
    this.page = await servePage(HOST);
    return this.page.url;
  }
}

function binary(variable) {
  const path = process.env[variable];
  if (!path) throw new Error(`${variable} must name the binary`);
  // Each process runs in the folder of its files.
  return path.includes("/") ? resolve(path) : path;
}

/** The link that opens the page for a user. */
export function linkOf(page, login) {
  return `${page}#${new URLSearchParams(login)}`;
}
