// A nats-server and a peerd for tests: on free ports, in temporary folders, until they are closed.
//
//     const server = await startPeerd();
//
// The binaries are those that the environment names in NATS_SERVER and PEERD, or on the PATH.
import { execFileSync, spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { randomInt } from "node:crypto";
import { once } from "node:events";
import { accessSync, constants, mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import { closeSync, statSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { delimiter, join, resolve } from "node:path";
import { connect } from "@nats-io/transport-node";
import type { ConnectionOptions } from "@nats-io/transport-node";

/** Options of peerd, by their names in peerd.toml: `limits.messages_per_second`. */
export type Options = Readonly<Record<string, string | number | boolean>>;
/** Variables of an environment. */
export type Environment = Readonly<Record<string, string>>;
/** Credentials for NATS. */
export type Login = Pick<ConnectionOptions, "user" | "pass" | "token" | "authenticator">;

const HOST = "127.0.0.1";
const DEADLINE_MS = 30_000;
const POLL_MS = 5;
/** Older servers ignore parts of the configuration of streams that peerd relies on. */
const MINIMUM = [2, 12] as const;

/** Waits for a condition; a value other than undefined and false is the result. */
export async function until<T>(
  what: string,
  condition: () => T | undefined | false | Promise<T | undefined | false>,
): Promise<T> {
  const deadline = Date.now() + DEADLINE_MS;
  for (;;) {
    const value = await condition();
    if (value !== undefined && value !== false) return value;
    if (Date.now() > deadline) throw new Error(`did not happen: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}

/** The path of a binary: as named, or the first on the PATH. */
function find(name: string): string | undefined {
  const folders = name.includes("/") ? [""] : (process.env.PATH ?? "").split(delimiter);
  return folders
    .map((folder) => resolve(folder, name))
    .find((path) => {
      try {
        accessSync(path, constants.X_OK);
        return statSync(path).isFile();
      } catch {
        return false;
      }
    });
}

/** The path of the daemon. */
export function peerdBinary(): string {
  const name = process.env.PEERD || "peerd";
  const path = find(name);
  if (path) return path;
  throw new Error(`no ${name}: put peerd on the PATH, or name its binary with PEERD`);
}

/** The path of a nats-server that is new enough. */
export function natsServerBinary(): string {
  const name = process.env.NATS_SERVER || "nats-server";
  const path = find(name);
  const version = path ? execFileSync(path, ["-v"], { encoding: "utf8" }).trim() : "";
  const [, major = 0, minor = 0] = (/v(\d+)\.(\d+)/.exec(version) ?? []).map(Number);
  const isNew = major > MINIMUM[0] || (major === MINIMUM[0] && minor >= MINIMUM[1]);
  if (path && isNew) return path;
  const found = path ? `${path} is ${version || "no nats-server"}` : `no ${name}`;
  throw new Error(
    `no nats-server ${MINIMUM.join(".")} or later (${found}): ` +
      "put one on the PATH, or name its binary with NATS_SERVER",
  );
}

/**
 * A port that stays free while its server is restarted: the system gives the ports from 32768 on to
 * connections and to servers that ask for any.
 */
async function freePort(): Promise<number> {
  return until("a port is free", async () => {
    const port = randomInt(10_000, 32_000);
    const server = createServer().listen(port, HOST);
    const isFree = await once(server, "listening").then(
      () => true,
      () => false,
    );
    server.close();
    return isFree && port;
  });
}

/** A child process in a folder of its own, with its output in a file. */
abstract class Server {
  readonly folder: string;
  #child: ChildProcess | undefined;

  protected constructor(
    private readonly name: string,
    private readonly command: string,
    private readonly parameters: string[],
  ) {
    this.folder = mkdtempSync(join(tmpdir(), `${name}-`));
  }

  protected abstract environment(): Environment;
  protected abstract isReady(): Promise<boolean>;

  /** Starts it, again after an end, and resolves when it is ready. */
  async start(): Promise<void> {
    writeFileSync(this.#logFile, "");
    const log = openSync(this.#logFile, "a");
    // The server must not see settings of the shell that runs the tests.
    const clean = Object.entries(process.env).filter(([name]) => !/^(PEERD|NATS)/.test(name));
    this.#child = spawn(this.command, this.parameters, {
      cwd: this.folder,
      env: { ...Object.fromEntries(clean), ...this.environment() },
      stdio: ["ignore", log, log],
    });
    closeSync(log);
    await once(this.#child, "spawn");
    await until(`${this.name} is ready`, async () => {
      this.#mustRun();
      return this.isReady();
    });
    this.#mustRun();
  }

  /** Ends it: in order, or as a crash would with SIGKILL. */
  async stop(signal: NodeJS.Signals = "SIGTERM"): Promise<void> {
    const child = this.#child;
    if (!child || hasEnded(child)) return;
    const exited = once(child, "exit");
    child.kill(signal);
    await exited;
  }

  /** Rejects when it ends by itself. */
  async ended(): Promise<never> {
    if (this.#child && !hasEnded(this.#child)) await once(this.#child, "exit");
    throw new Error(`${this.name} ended:\n${this.log}`);
  }

  /** Ends it, and removes its folder. */
  async close(): Promise<void> {
    await this.stop("SIGKILL");
    rmSync(this.folder, { recursive: true, force: true });
  }

  /** The end of what it wrote since its start. */
  get log(): string {
    return readFileSync(this.#logFile, "utf8").slice(-4000);
  }

  get #logFile(): string {
    return join(this.folder, "log");
  }

  get isRunning(): boolean {
    return this.#child !== undefined && !hasEnded(this.#child);
  }

  #mustRun(): void {
    if (!this.isRunning) throw new Error(`${this.name} ended:\n${this.log}`);
  }
}

const hasEnded = ({ exitCode, signalCode }: ChildProcess): boolean =>
  exitCode !== null || signalCode !== null;

/** A nats-server with TCP and WebSocket ports that stay the same when it is started again. */
export class Nats extends Server {
  /** @internal The instances on it that were not closed. */
  readonly peerds = new Set<Peerd>();

  private constructor(
    readonly port: number,
    readonly webSocketPort: number,
    private readonly variables: Environment,
  ) {
    super("nats-server", natsServerBinary(), ["-c", "nats.conf"]);
  }

  /** `more` is added to the configuration, for example users; it may use the `variables`. */
  static async start(
    more: string | ((folder: string) => string) = "",
    variables: Environment = {},
  ): Promise<Nats> {
    const nats = new Nats(await freePort(), await freePort(), variables);
    const configuration = `
      listen: "${HOST}:${nats.port}"
      websocket { host: "${HOST}", port: ${nats.webSocketPort}, no_tls: true }
      jetstream { store_dir: "store" }
      ${typeof more === "string" ? more : more(nats.folder)}`;
    writeFileSync(join(nats.folder, "nats.conf"), configuration);
    return started(nats);
  }

  get url(): string {
    return `nats://${HOST}:${this.port}`;
  }

  get webSocketUrl(): string {
    return `ws://${HOST}:${this.webSocketPort}`;
  }

  protected environment(): Environment {
    return this.variables;
  }

  protected async isReady(): Promise<boolean> {
    return this.log.includes("Server is ready");
  }
}

/** A peerd on a nats-server. */
export class Peerd extends Server {
  private constructor(
    private readonly nats: Nats,
    private readonly options: Options,
    private readonly login: Login,
  ) {
    super("peerd", peerdBinary(), ["serve"]);
    nats.peerds.add(this);
  }

  /** If users need a login, `options` has that of peerd, and `login` one that may ping it. */
  static async start(nats: Nats, options: Options = {}, login: Login = {}): Promise<Peerd> {
    return started(new Peerd(nats, options, login));
  }

  protected environment(): Environment {
    const options = Object.entries({ "nats.servers": this.nats.url, ...this.options });
    const variable = (name: string): string => name.toUpperCase().replaceAll(".", "__");
    return Object.fromEntries(
      options.map(([name, value]) => [`PEERD__${variable(name)}`, String(value)]),
    );
  }

  /** All that run on this nats-server answer a ping of service discovery. */
  protected async isReady(): Promise<boolean> {
    const running = [...this.nats.peerds].filter((peerd) => peerd.isRunning).length;
    const nats = await connect({ servers: this.nats.url, ...this.login });
    const ping = { strategy: "count", maxMessages: running, maxWait: 500 } as const;
    let answers = 0;
    try {
      for await (const _ of await nats.requestMany("$SRV.PING.peerd", "", ping)) answers += 1;
    } catch {
      return false; // nobody answers yet
    } finally {
      await nats.close();
    }
    return answers >= running;
  }

  override async close(): Promise<void> {
    await super.close();
    this.nats.peerds.delete(this);
  }
}

async function started<S extends Server>(server: S): Promise<S> {
  try {
    await server.start();
    return server;
  } catch (error) {
    await server.close();
    throw error;
  }
}

/** A nats-server and a peerd. */
export class Servers {
  constructor(
    readonly nats: Nats,
    readonly peerd: Peerd,
  ) {}

  get url(): string {
    return this.nats.url;
  }

  get webSocketUrl(): string {
    return this.nats.webSocketUrl;
  }

  /** Ends both, and removes what they stored. */
  async close(): Promise<void> {
    await this.peerd.close();
    await this.nats.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}

/** What `startPeerd` takes. */
export interface StartOptions {
  /** Options of peerd, by their names in peerd.toml. */
  options?: Options;
  /** Added to the configuration of nats-server. */
  configuration?: string;
  /** Credentials that may ping peerd, if `configuration` has users. */
  login?: Login;
}

/** Starts both. */
export async function startPeerd(start: StartOptions = {}): Promise<Servers> {
  const nats = await Nats.start(start.configuration);
  try {
    return new Servers(nats, await Peerd.start(nats, start.options, start.login));
  } catch (error) {
    await nats.close();
    throw error;
  }
}
