// The connection to NATS: requests, the subscription to events, and its state.
import { errors, headers } from "@nats-io/nats-core";
import type { ConnectionOptions, Msg, NatsConnection } from "@nats-io/nats-core";
import { Backoff, pause } from "./backoff.js";
import { authenticate } from "./credentials.js";
import type { Credentials } from "./credentials.js";
import { encodingOf } from "./encoding.js";
import type { Encoding } from "./encoding.js";
import { Unanswered, invalid, networkError, tokenRefused } from "./errors.js";
import { CONNECT_TIMEOUT_MS, PING_INTERVAL_MS } from "./options.js";
import type { Settings } from "./options.js";
import { Subjects } from "./subjects.js";

/** Opens a connection: of Node or of a browser. */
export type Connect = (options: ConnectionOptions) => Promise<NatsConnection>;

/** Told of what happens to the connection. */
export interface ConnectionListener {
  onEvent(msg: Msg): void;
  onLost(): void;
  onRestored(): void;
  /** The connection will not return by itself. */
  onClosed(error: Error | undefined): void;
}

/** A reply as it arrived. */
export interface Answer {
  body: unknown;
  isFailure: boolean;
  isRepeated: boolean;
}

export class Connection {
  readonly #subjects: Subjects;
  readonly #waiting = new Set<(lost: Unanswered) => void>();
  readonly #reconnects = new Backoff();
  #nats: NatsConnection | undefined;
  #isUp = false;
  #isClosing = false;

  constructor(
    private readonly connect: Connect,
    private readonly settings: Settings,
    private readonly userID: string,
    private readonly credentials: () => Credentials,
    private readonly listener: ConnectionListener,
  ) {
    this.#subjects = new Subjects(settings.subjectPrefix, userID);
  }

  get isUp(): boolean {
    return this.#isUp;
  }

  /** Connects, with repeats until the signal aborts, and subscribes to the user's events. */
  async open(signal: AbortSignal): Promise<void> {
    if (!this.settings.servers?.length) throw invalid("`servers` is missing");
    const backoff = new Backoff();
    let last: unknown;
    while (!signal.aborted) {
      try {
        return await this.#openOnce();
      } catch (error) {
        if (isRefused(error)) throw tokenRefused(messageOf(error));
        last = error;
      }
      await pause(backoff.next(), signal);
    }
    throw networkError(`no connection to NATS: ${messageOf(last)}`);
  }

  async #openOnce(): Promise<void> {
    const nats = await this.connect({
      servers: [this.settings.servers ?? []].flat() as string[],
      authenticator: authenticate(this.credentials, this.userID),
      inboxPrefix: this.#subjects.inbox,
      pingInterval: PING_INTERVAL_MS,
      timeout: CONNECT_TIMEOUT_MS,
      maxReconnectAttempts: -1,
      reconnectDelayHandler: () => this.#reconnects.current(),
      noAsyncTraces: true,
    });
    if (this.#isClosing) return nats.close();
    this.#nats = nats;
    this.#isUp = true;
    void this.#follow(nats);
    nats.subscribe(this.#subjects.events, {
      callback: (error, msg) => {
        if (!error) this.listener.onEvent(msg);
      },
    });
    try {
      await nats.flush(); // The server has the subscription.
    } catch (error) {
      this.#nats = undefined;
      this.#isUp = false;
      await nats.close();
      throw error;
    }
  }

  async #follow(nats: NatsConnection): Promise<void> {
    let refusal: Error | undefined;
    void nats.closed().then((error) => {
      if (this.#nats === nats) this.#closed(refusal ?? error ?? undefined);
    });
    for await (const status of nats.status()) {
      if (status.type === "error" && isRefused(status.error)) refusal = status.error;
      if (status.type === "disconnect") this.#lost();
      // The library asks for the delay several times for each attempt.
      if (status.type === "reconnecting") this.#reconnects.next();
      if (status.type === "reconnect") {
        this.#reconnects.reset();
        refusal = undefined;
        this.#isUp = true;
        this.listener.onRestored();
      }
    }
  }

  #lost(): void {
    if (!this.#isUp) return;
    this.#isUp = false;
    for (const fail of [...this.#waiting]) fail(new Unanswered("the connection was lost", true));
    if (!this.#isClosing) this.listener.onLost();
  }

  #closed(error: Error | undefined): void {
    this.#lost();
    if (!this.#isClosing) this.listener.onClosed(error);
  }

  /** One request. Rejects with `Unanswered` if there is no reply. */
  async request(method: string, encoding: Encoding, body: unknown): Promise<Answer> {
    const nats = this.#nats;
    if (!nats || !this.#isUp) throw new Unanswered("not connected", false);
    const sent = headers();
    sent.set("Content-Type", encoding.contentType);
    const request = nats.request(this.#subjects.call(method), encoding.encode(body), {
      timeout: this.settings.requestTimeoutMs,
      headers: sent,
    });
    const reply = await this.#unlessLost(request);
    const contentType = reply.headers?.get("Content-Type");
    return {
      body: encodingOf(contentType).decode(reply.data),
      isFailure: reply.headers?.has("Nats-Service-Error-Code") ?? false,
      isRepeated: reply.headers?.get("Peer-Duplicate") === "true",
    };
  }

  /** A request that waits when the connection is lost gets no answer any more. */
  #unlessLost(request: Promise<Msg>): Promise<Msg> {
    return new Promise((resolve, reject) => {
      this.#waiting.add(reject);
      const settle = (): void => void this.#waiting.delete(reject);
      request.then(
        (reply) => {
          settle();
          resolve(reply);
        },
        (error: unknown) => {
          settle();
          reject(unanswered(error));
        },
      );
    });
  }

  /** Connects again, with the credentials of the moment. */
  async reconnect(): Promise<void> {
    await this.#nats?.reconnect();
  }

  async close(): Promise<void> {
    this.#isClosing = true;
    await this.#nats?.close();
  }
}

const messageOf = (error: unknown): string =>
  error instanceof Error ? error.message : String(error);

/** Whether the server refused the credentials. */
export function isRefused(error: unknown): boolean {
  return (
    error instanceof errors.AuthorizationError ||
    error instanceof errors.UserAuthenticationExpiredError
  );
}

function unanswered(error: unknown): Error {
  if (error instanceof errors.TimeoutError) return new Unanswered("no reply in time", true);
  const isNobody =
    error instanceof errors.NoRespondersError ||
    (error instanceof errors.RequestError && error.isNoResponders());
  if (isNobody) return new Unanswered("no peerd runs", false);
  const cause = error instanceof errors.RequestError ? error.cause : error;
  if (cause instanceof errors.PermissionViolationError) return tokenRefused(cause.message);
  return new Unanswered(messageOf(error), true);
}
