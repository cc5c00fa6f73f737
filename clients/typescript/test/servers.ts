// A nats-server and a peerd of a test, as processes. Waits are for conditions, with a deadline.
import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { randomInt } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect } from "@nats-io/transport-node";

export const DEADLINE_MS = 30_000;
const POLL_MS = 5;

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

function binary(variable: string): string {
  const path = process.env[variable];
  if (!path) throw new Error(`${variable} must name the binary`);
  return path;
}

/**
 * A port that stays free while its server is restarted: the system gives the ports from 32768 on to
 * connections and to servers that ask for any.
 */
async function freePort(): Promise<number> {
  return until("a port is free", async () => {
    const port = randomInt(10_000, 32_000);
    const server = createServer().listen(port, "127.0.0.1");
    const isFree = await once(server, "listening").then(
      () => true,
      () => false,
    );
    server.close();
    return isFree && port;
  });
}

/** A child process, with its output in a file. */
class Process {
  #child: ChildProcess | undefined;

  constructor(
    private readonly command: string,
    private readonly parameters: string[],
    private readonly folder: string,
    private readonly environment: Record<string, string>,
  ) {}

  start(): void {
    const log = openSync(join(this.folder, "log"), "a");
    // The daemon must not see settings of the shell that runs the tests.
    const clean = Object.entries(process.env).filter(([name]) => !name.startsWith("PEERD"));
    this.#child = spawn(this.command, this.parameters, {
      cwd: this.folder,
      env: { ...Object.fromEntries(clean), ...this.environment },
      stdio: ["ignore", log, log],
    });
  }

  async end(signal: NodeJS.Signals): Promise<void> {
    const child = this.#child;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const exited = once(child, "exit");
    child.kill(signal);
    await exited;
  }

  get log(): string {
    return readFileSync(join(this.folder, "log"), "utf8").slice(-4000);
  }

  mustRun(): void {
    if (this.#child?.exitCode != null) throw new Error(`${this.command} ended:\n${this.log}`);
  }
}

/** A nats-server with TCP and WebSocket ports that stay the same when it is started again. */
export class Nats {
  private constructor(
    readonly port: number,
    readonly webSocketPort: number,
    private readonly process: Process,
    private readonly folder: string,
  ) {}

  /** `more` is added to the configuration, for example users. */
  static async start(more = ""): Promise<Nats> {
    const folder = mkdtempSync(join(tmpdir(), "peerd-nats-"));
    const [port, webSocketPort] = [await freePort(), await freePort()];
    const configuration = `
      listen: "127.0.0.1:${port}"
      websocket { host: "127.0.0.1", port: ${webSocketPort}, no_tls: true }
      jetstream { store_dir: "${folder}/store" }
      ${more}`;
    writeFileSync(join(folder, "nats.conf"), configuration);
    const process = new Process(binary("NATS_SERVER"), ["-c", "nats.conf"], folder, {});
    const nats = new Nats(port, webSocketPort, process, folder);
    await nats.start();
    return nats;
  }

  get url(): string {
    return `nats://127.0.0.1:${this.port}`;
  }

  get webSocketUrl(): string {
    return `ws://127.0.0.1:${this.webSocketPort}`;
  }

  async start(): Promise<void> {
    this.process.start();
    await until("nats-server listens", () => {
      this.process.mustRun();
      return this.process.log.includes("Server is ready");
    });
  }

  async stop(signal: NodeJS.Signals = "SIGTERM"): Promise<void> {
    await this.process.end(signal);
    // The next start writes its own line.
    writeFileSync(join(this.folder, "log"), "");
  }

  async close(): Promise<void> {
    await this.stop("SIGKILL");
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** A peerd on a nats-server. */
export class Peerd {
  private constructor(
    private readonly nats: Nats,
    private readonly process: Process,
    private readonly folder: string,
    private readonly login: { user?: string; pass?: string },
  ) {}

  /** `environment` has options of its configuration. */
  static async start(
    nats: Nats,
    environment: Record<string, string> = {},
    login: { user?: string; pass?: string } = {},
  ): Promise<Peerd> {
    const folder = mkdtempSync(join(tmpdir(), "peerd-"));
    const process = new Process(binary("PEERD"), ["serve"], folder, {
      PEERD__NATS__SERVERS: nats.url,
      // The rate is a matter of peerd's own tests; here it would only make them slow.
      PEERD__LIMITS__MESSAGES_PER_SECOND: "2000",
      PEERD__LIMITS__AMENDMENTS_PER_SECOND: "1000",
      ...environment,
    });
    const peerd = new Peerd(nats, process, folder, login);
    await peerd.start();
    return peerd;
  }

  async start(): Promise<void> {
    this.process.start();
    const nats = await connect({ servers: this.nats.url, ...this.login });
    await until("peerd serves", async () => {
      this.process.mustRun();
      return nats.request("$SRV.PING.peerd", "", { timeout: 1000 }).then(
        () => true,
        () => false,
      );
    });
    await nats.close();
  }

  async stop(signal: NodeJS.Signals = "SIGTERM"): Promise<void> {
    await this.process.end(signal);
  }

  get log(): string {
    return this.process.log;
  }

  async close(): Promise<void> {
    await this.stop("SIGKILL");
    rmSync(this.folder, { recursive: true, force: true });
  }
}
