// A session: login, heartbeats, reconnects, and the state of the connection.
import type { Msg } from "@nats-io/nats-core";
import { Backoff, pause } from "./backoff.js";
import { Calls } from "./calls.js";
import { Connection, isRefused } from "./connection.js";
import type { Connect } from "./connection.js";
import { expiryOf } from "./credentials.js";
import type { Credentials } from "./credentials.js";
import { PeerError, notLoggedIn, timedOut, tokenRefused } from "./errors.js";
import { Inbox } from "./inbox.js";
import type { Listeners } from "./listeners.js";
import type { Settings } from "./options.js";
import { Repair } from "./repair.js";
import type { Store } from "./store.js";
import { ZIMConnectionEvent, ZIMConnectionState, ZIMConversationSyncState } from "./types/enums.js";
import type { ZIM } from "./zim.js";

/** The reply to a login. */
interface LoggedIn {
  sessionID: string;
  heartbeatIntervalMs: number;
  totalUnreadMessageCount: number;
  revision: number;
}

/** How many seconds before credentials expire `tokenWillExpire` is emitted. */
const TOLD_BEFORE_S = 30;
/** The longest delay of a timer. */
const MAX_TIMER_MS = 2 ** 31 - 1;

export class Session {
  readonly calls: Calls;
  readonly #connection: Connection;
  readonly #inbox: Inbox;
  readonly #repair: Repair;
  readonly #ended = new AbortController();
  #state: ZIMConnectionState = ZIMConnectionState.Disconnected;
  #sessionID = "";
  #heartbeats: ReturnType<typeof setInterval> | undefined;
  #expiry: ReturnType<typeof setTimeout> | undefined;
  #begun: Promise<void> | undefined;
  #loggingIn: Promise<LoggedIn> | undefined;
  readonly #waiting = new Set<() => void>();
  #isReady = false;

  constructor(
    private readonly zim: ZIM,
    readonly userID: string,
    private readonly userName: string | undefined,
    private readonly settings: Settings,
    store: Store,
    private readonly listeners: Listeners,
    connect: Connect,
    private credentials: Credentials,
    private readonly onFailure: (error: unknown) => void,
  ) {
    this.#connection = new Connection(connect, settings, userID, () => this.credentials, {
      onEvent: (msg) => this.#onEvent(msg),
      onLost: () => this.#onLost(),
      onRestored: () => this.#onRestored(),
      onClosed: (error) => this.#onClosed(error),
    });
    this.calls = new Calls(this.#connection, settings, {
      ended: this.ended,
      ready: (signal) => this.#ready(signal),
      loginAgain: () => this.#loginAgain(),
    });
    this.#repair = new Repair(zim, this.calls, store, listeners, () => this.#inbox);
    this.#inbox = new Inbox(
      zim,
      listeners,
      store,
      {
        repair: (since) => this.#repairShown(since),
        readAfterCursor: (conversationID) => this.#repair.readAfterCursor(conversationID),
        onKicked: (sessionID) => this.#onKicked(sessionID),
      },
      onFailure,
    );
  }

  get state(): ZIMConnectionState {
    return this.#state;
  }

  /** Aborts when the session has ended. */
  get ended(): AbortSignal {
    return this.#ended.signal;
  }

  /** Connects and logs in. An offline login goes on trying. */
  async begin(withinMs: number | undefined): Promise<void> {
    this.#show(ZIMConnectionState.Connecting, ZIMConnectionEvent.ActiveLogin);
    const deadline = new AbortController();
    const timer = withinMs ? setTimeout(() => deadline.abort(), withinMs) : undefined;
    const stop = (): void => deadline.abort();
    this.ended.addEventListener("abort", stop);
    try {
      await this.#connection.open(deadline.signal);
      await this.#enter(deadline.signal);
    } catch (error) {
      const isLate = deadline.signal.aborted && !this.ended.aborted;
      const event = isLate ? ZIMConnectionEvent.LoginTimeout : ZIMConnectionEvent.LoginInterrupted;
      await this.#end(event);
      throw isLate && !(error instanceof PeerError) ? timedOut("the login took too long") : error;
    } finally {
      clearTimeout(timer);
      this.ended.removeEventListener("abort", stop);
    }
  }

  /** Logs in, and shows what this client missed. */
  async #enter(signal: AbortSignal): Promise<void> {
    const session = await this.#login(signal);
    this.#follow(session);
    this.#open();
    this.#show(ZIMConnectionState.Connected, ZIMConnectionEvent.Success);
    this.#begun = this.#catchUp(session).catch(this.onFailure);
  }

  /** One login at a time. */
  #login(signal?: AbortSignal): Promise<LoggedIn> {
    this.#loggingIn ??= this.#loginOnce(signal).finally(() => (this.#loggingIn = undefined));
    return this.#loggingIn;
  }

  async #loginOnce(signal?: AbortSignal): Promise<LoggedIn> {
    const { deviceID, platform } = this.settings;
    const replayAfter = this.#inbox.revision;
    const session: LoggedIn = await this.calls.call(
      "login",
      {
        ...(this.userName && { userName: this.userName }),
        ...(deviceID && { deviceID }),
        ...(platform && { platform }),
        // Revisions are order keys. A first login gets what the user missed.
        ...(replayAfter && { replayAfter }),
      },
      { isOfSession: true, ...(signal && { signal }) },
    );
    this.#sessionID = session.sessionID;
    return session;
  }

  #follow(session: LoggedIn): void {
    clearInterval(this.#heartbeats);
    this.#heartbeats = setInterval(() => this.#heartbeat(), session.heartbeatIntervalMs);
    this.#watchExpiry();
  }

  #heartbeat(): void {
    if (!this.#isReady) return;
    // The next one is soon. A session that ended meanwhile is begun again by the call.
    this.calls.call("heartbeat", {}, { withinMs: 1000 }).catch(() => undefined);
  }

  async #catchUp(session: LoggedIn): Promise<void> {
    const last = this.#inbox.revision;
    if (last === undefined) {
      this.#showSync(ZIMConversationSyncState.Started);
      this.#inbox.revision = session.revision;
      const { totalUnreadMessageCount } = session;
      this.listeners.emit("conversationTotalUnreadMessageCountUpdated", this.zim, {
        totalUnreadMessageCount,
      });
      this.#showSync(ZIMConversationSyncState.Finished);
    } else if (last !== session.revision || this.#inbox.isIncomplete) {
      await this.#inbox.repair(last);
    } else {
      this.#showSync(ZIMConversationSyncState.Started);
      this.#showSync(ZIMConversationSyncState.Finished);
    }
    if (this.#isReady) this.#inbox.open();
  }

  /** Repairs until it succeeds, or the connection is lost: then the next login does it. */
  async #repairShown(since: number): Promise<number> {
    const backoff = new Backoff();
    for (;;) {
      this.#showSync(ZIMConversationSyncState.Started);
      try {
        const revision = await this.#repair.since(since);
        this.#showSync(ZIMConversationSyncState.Finished);
        return revision;
      } catch (error) {
        this.#showSync(ZIMConversationSyncState.Failed);
        if (!this.#isReady || this.ended.aborted) throw error;
        if (isNotLoggedIn(error)) await this.#login();
        await pause(backoff.next(), this.ended);
      }
    }
  }

  #showSync(state: ZIMConversationSyncState): void {
    this.listeners.emit("conversationSyncStateChanged", this.zim, { state });
  }

  #onEvent(msg: Msg): void {
    try {
      this.#inbox.push(msg.subject, msg.headers?.get("Content-Type"), msg.data);
    } catch (error) {
      this.onFailure(error);
    }
  }

  #onLost(): void {
    this.#isReady = false;
    if (this.ended.aborted || this.#state === ZIMConnectionState.Connecting) return;
    this.#show(ZIMConnectionState.Reconnecting, ZIMConnectionEvent.LoginInterrupted);
  }

  /** The library has subscribed again; events from before the login wait until it is done. */
  #onRestored(): void {
    if (this.#state === ZIMConnectionState.Connecting) return;
    void this.#return().catch(this.onFailure);
  }

  async #return(): Promise<void> {
    await this.#inbox.pause();
    await this.#begun;
    const backoff = new Backoff();
    while (this.#connection.isUp && !this.ended.aborted) {
      try {
        return await this.#enter(this.ended);
      } catch (error) {
        if (!this.ended.aborted) this.onFailure(error);
      }
      await pause(backoff.next(), this.ended);
    }
  }

  #onClosed(error: Error | undefined): void {
    // Some errors of the library hide that the server refused the credentials.
    const isExpired = (expiryOf(this.credentials) ?? Infinity) <= Date.now();
    void this.#end(
      isExpired || isRefused(error)
        ? ZIMConnectionEvent.TokenExpired
        : ZIMConnectionEvent.LoginInterrupted,
    );
  }

  #onKicked(sessionID: string): void {
    if (sessionID === this.#sessionID) void this.#end(ZIMConnectionEvent.KickedOut);
  }

  async #loginAgain(): Promise<void> {
    this.#follow(await this.#login());
  }

  #open(): void {
    this.#isReady = true;
    for (const go of [...this.#waiting]) go();
  }

  /** Resolves when calls can be made, or when the signal aborts. */
  async #ready(signal: AbortSignal): Promise<void> {
    if (this.ended.aborted) throw notLoggedIn();
    if (this.#isReady || signal.aborted) return;
    await new Promise<void>((resolve) => {
      const go = (): void => {
        this.#waiting.delete(go);
        signal.removeEventListener("abort", go);
        resolve();
      };
      this.#waiting.add(go);
      signal.addEventListener("abort", go);
    });
    if (this.ended.aborted) throw notLoggedIn();
  }

  #watchExpiry(): void {
    clearTimeout(this.#expiry);
    const expiry = expiryOf(this.credentials);
    if (expiry === undefined) return;
    const tell = (): void => {
      const second = Math.max(0, Math.round((expiry - Date.now()) / 1000));
      this.listeners.emit("tokenWillExpire", this.zim, { second });
    };
    const inMs = Math.max(0, expiry - Date.now() - TOLD_BEFORE_S * 1000);
    if (inMs <= MAX_TIMER_MS) this.#expiry = setTimeout(tell, inMs);
  }

  /** Connects with new credentials, and resolves when the session is back. */
  async renew(credentials: Credentials): Promise<void> {
    this.credentials = credentials;
    this.#isReady = false;
    await this.#connection.reconnect();
    const deadline = AbortSignal.timeout(this.settings.loginTimeoutMs);
    await this.#ready(deadline).catch(() => {
      throw tokenRefused("the new credentials were refused");
    });
    if (deadline.aborted) throw timedOut("the new credentials were not accepted in time");
  }

  /** Ends the session at peerd, as far as it can be reached, and closes the connection. */
  async logout(): Promise<void> {
    const sessionID = this.#sessionID;
    if (this.#isReady && sessionID) {
      const within = { withinMs: 2000, isOfSession: true };
      await this.calls.call("logout", { sessionID }, within).catch(() => undefined);
    }
    await this.#end(ZIMConnectionEvent.Success);
  }

  async #end(event: ZIMConnectionEvent): Promise<void> {
    if (this.ended.aborted) return;
    this.#isReady = false;
    clearInterval(this.#heartbeats);
    clearTimeout(this.#expiry);
    this.#ended.abort();
    for (const go of [...this.#waiting]) go();
    this.#show(ZIMConnectionState.Disconnected, event);
    await this.#connection.close();
  }

  #show(state: ZIMConnectionState, event: ZIMConnectionEvent): void {
    if (this.#state === state) return;
    this.#state = state;
    this.listeners.emit("connectionStateChanged", this.zim, { state, event, extendedData: "{}" });
  }
}

const isNotLoggedIn = (error: unknown): boolean =>
  error instanceof PeerError && error.reason === "not_logged_in";
