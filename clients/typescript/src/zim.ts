// The client: its creation, its events, its session.
import { Local } from "./api/local.js";
import type { Connect } from "./connection.js";
import type { Credentials } from "./credentials.js";
import { PeerError, invalid } from "./errors.js";
import type { ZIMError } from "./errors.js";
import type { PeerdEventHandler, ZIMEventHandler } from "./handlers.js";
import { settings } from "./options.js";
import type {
  PeerdOptions,
  ZIMAppConfig,
  ZIMLogConfig,
  ZIMLoginConfig,
  ZIMLogoutConfig,
} from "./options.js";
import { Outbox } from "./outbox.js";
import { randomID } from "./random.js";
import { Session } from "./session.js";
import { ZIMErrorCode } from "./types/codes.js";
import type { ZIMGeofencingType } from "./types/enums.js";
import type * as result from "./types/results.js";
import type { ZIMUserInfo } from "./types/users.js";
import { refuseUnsupported } from "./unsupported.js";
import type { UnsupportedMethods } from "./unsupported.js";
import { VERSION } from "./version.js";

/** What differs between Node and browsers. */
export interface Environment {
  connect: Connect;
  /** Default of the option `platform`. */
  platform: string;
}

let environment: Environment | undefined;
let instance: ZIM | undefined;

/** Set by the entry of the package. @internal */
export function setEnvironment(given: Environment): void {
  environment = given;
}

function required(): Environment {
  if (!environment) throw new Error("import the client from the package, not from a file in it");
  return environment;
}

/** One user's client. `ZIM.create` makes the one of an application; `new ZIM` any number. */
export class ZIM extends Local {
  /** The user whose data is in memory. */
  #userID = "";
  /** The last login. */
  #beginning: Promise<void> = Promise.resolve();

  constructor(options: PeerdOptions = {}) {
    super(required().connect, options);
  }

  /** The version of this package. */
  static getVersion(): string {
    return VERSION;
  }

  /** Creates the client of the application; null if there is one. */
  static create(appConfig: number | ZIMAppConfig): ZIM | null {
    if (instance) return null;
    instance = new ZIM(typeof appConfig === "number" ? {} : appConfig);
    return instance;
  }

  /** The client that `create` made. */
  static getInstance(): ZIM | null {
    return instance ?? null;
  }

  /** Accepted, without effect. */
  static setAdvancedConfig(_key: string, _value: string): void {}

  /** Accepted, without effect: the option `servers` says where to connect. */
  static setGeofencingConfig(_areaList: number[], _type: ZIMGeofencingType): boolean {
    return true;
  }

  /** Accepted, without effect: this client writes no log. */
  setLogConfig(_config: ZIMLogConfig): void {}

  /** Accepted, without effect: this client writes no log. */
  async uploadLog(): Promise<void> {}

  /** Logs out, and forgets everything. */
  destroy(): void {
    void this.logout().finally(() => this.listeners.clear());
    if (instance === this) instance = undefined;
  }

  /** Adds a listener. Unlike in the SDK, several listeners of an event are called. */
  on<K extends keyof ZIMEventHandler>(type: K, listener: ZIMEventHandler[K]): void;
  on<K extends keyof PeerdEventHandler>(type: K, listener: PeerdEventHandler[K]): void;
  on(type: string, listener: (...parameters: never[]) => void): void {
    this.listeners.add(type, listener);
  }

  /** Removes a listener, or all of the event. */
  off<K extends keyof ZIMEventHandler>(type: K, listener?: ZIMEventHandler[K]): void;
  off<K extends keyof PeerdEventHandler>(type: K, listener?: PeerdEventHandler[K]): void;
  off(type: string, listener?: (...parameters: never[]) => void): void {
    this.listeners.remove(type, listener);
  }

  /**
   * Connects to NATS as this user and begins a session at peerd. Rejects with 6000103 if NATS refuses
   * the credentials, 6000111 if another user is logged in, 6000104 or 6000105 if there is no
   * connection or answer in time.
   */
  async login(userInfo: ZIMUserInfo, token: string): Promise<void>;
  async login(userID: string, config: ZIMLoginConfig): Promise<void>;
  async login(user: ZIMUserInfo | string, more: ZIMLoginConfig | string): Promise<void> {
    const userID = typeof user === "string" ? user : user.userID;
    const name = typeof user === "string" ? undefined : user.userName;
    const config = typeof more === "string" ? { token: more } : more;
    const userName = "userName" in config ? config.userName : name;
    if (!userID) throw invalid("userID is missing");
    if (this.active && !this.active.session.ended.aborted) {
      if (this.active.session.userID === userID) return this.#beginning;
      const code = ZIMErrorCode.NetworkModuleUserHasAlreadyLogged;
      throw new PeerError({ code, message: "another user is logged in" });
    }
    this.#beginning = this.#begin(userID, userName, config);
    return this.#beginning;
  }

  async #begin(
    userID: string,
    userName: string | undefined,
    config: ZIMLoginConfig,
  ): Promise<void> {
    this.settings = settings(
      { deviceID: deviceOf(userID), platform: required().platform },
      this.given,
      config,
    );
    if (this.#userID !== userID) this.store.clear();
    this.#userID = userID;
    const session = new Session(
      this,
      userID,
      userName,
      this.settings,
      this.store,
      this.listeners,
      this.connect,
      credentialsOf(this.settings),
      (error) => this.report("the session failed", error),
    );
    this.active = { session, outbox: new Outbox(this.settings, session.ended) };
    if (config.isOfflineLogin) {
      session.begin(undefined).catch((error: unknown) => this.report("the login failed", error));
      return;
    }
    await session.begin(this.settings.loginTimeoutMs);
    if (config.customStatus) {
      const duration = config.customStatusDuration ?? 0;
      await this.updateUserCustomStatus(config.customStatus, { duration });
    }
  }

  /** Ends the session and closes the connection. Calls after that reject with 6000121. */
  async logout(_config?: ZIMLogoutConfig): Promise<void> {
    const active = this.active;
    this.active = undefined;
    await active?.session.logout();
  }

  /** Connects again with a new token, see `Credentials`. Resolves when the session is back. */
  async renewToken(token: string): Promise<result.ZIMTokenRenewedResult> {
    await this.running.session.renew({ token });
    return { token };
  }
}

// The unsupported methods, see there.
export interface ZIM extends UnsupportedMethods {}
refuseUnsupported(ZIM.prototype);

function credentialsOf(given: Credentials): Credentials {
  const { token, user, password, creds, authenticator } = given;
  return {
    ...(token !== undefined && { token }),
    ...(user !== undefined && { user }),
    ...(password !== undefined && { password }),
    ...(creds !== undefined && { creds }),
    ...(authenticator !== undefined && { authenticator }),
  };
}

/** The ID of this device: of a tab in a browser, else of this login. */
function deviceOf(userID: string): string {
  const key = `peerd.deviceID.${userID}`;
  try {
    const kept = globalThis.sessionStorage?.getItem(key);
    if (kept) return kept;
    const made = randomID();
    globalThis.sessionStorage?.setItem(key, made);
    return made;
  } catch {
    return randomID(); // A page may be denied its storage.
  }
}

export type { ZIMError };
