// A TCP proxy before a nats-server, which cuts connections and loses events.
import { once } from "node:events";
import { connect, createServer } from "node:net";
import type { Server, Socket } from "node:net";

/** Whether the event on this subject is lost. */
export type IsLost = (subject: string) => boolean;

const CRLF = "\r\n";

/** Splits what a nats-server sends into its messages, and drops the events that are to be lost. */
class Frames {
  #rest = Buffer.alloc(0);

  /** Complete frames of what arrived, without the lost ones. */
  *take(data: Buffer, isLost: () => IsLost | undefined): Generator<Buffer> {
    this.#rest = Buffer.concat([this.#rest, data]);
    for (;;) {
      const end = this.#rest.indexOf(CRLF);
      if (end < 0) return;
      const line = this.#rest.subarray(0, end).toString();
      const words = line.split(" ");
      const isMessage = words[0] === "MSG" || words[0] === "HMSG";
      const length = end + 2 + (isMessage ? Number(words.at(-1)) + 2 : 0);
      if (this.#rest.length < length) return;
      const frame = this.#rest.subarray(0, length);
      this.#rest = this.#rest.subarray(length);
      const subject = words[1] ?? "";
      if (isMessage && subject.includes(".event.") && isLost()?.(subject)) continue;
      yield frame;
    }
  }
}

export class Proxy {
  readonly #sockets = new Set<Socket>();
  #isLost: IsLost | undefined;
  #isOpen = true;

  private constructor(
    private readonly server: Server,
    private readonly target: number,
  ) {
    server.on("connection", (client) => this.#serve(client));
  }

  static async start(target: number): Promise<Proxy> {
    const server = createServer().listen(0, "127.0.0.1");
    await once(server, "listening");
    return new Proxy(server, target);
  }

  get url(): string {
    const address = this.server.address();
    if (typeof address !== "object" || !address) throw new Error("the proxy is closed");
    return `nats://127.0.0.1:${address.port}`;
  }

  #serve(client: Socket): void {
    if (!this.#isOpen) {
      client.destroy();
      return;
    }
    const upstream = connect(this.target, "127.0.0.1");
    const frames = new Frames();
    client.on("data", (data) => upstream.write(data));
    upstream.on("data", (data) => {
      for (const frame of frames.take(data, () => this.#isLost)) client.write(frame);
    });
    for (const [one, other] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      this.#sockets.add(one);
      one.setNoDelay();
      one.on("error", () => other.destroy());
      one.on("close", () => {
        this.#sockets.delete(one);
        other.destroy();
      });
    }
  }

  /** Ends all connections at once. */
  cut(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  /** Ends all connections, and takes none until `restore`. */
  block(): void {
    this.#isOpen = false;
    this.cut();
  }

  restore(): void {
    this.#isOpen = true;
  }

  /** Loses events, or with `undefined` none any more. */
  lose(isLost: IsLost | undefined): void {
    this.#isLost = isLost;
  }

  async close(): Promise<void> {
    this.cut();
    this.server.close();
    await once(this.server, "close");
  }
}
