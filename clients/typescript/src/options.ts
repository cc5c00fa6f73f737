// Options of the client, with their defaults and bounds.
import type { Credentials } from "./credentials.js";
import type { EncodingName } from "./encoding.js";
import type { ZIMMediaMessage } from "./types/messages.js";

/** Uploads a file and resolves with its URL, and other fields of the message to set. */
export type Upload = (
  file: File,
  context: {
    message: ZIMMediaMessage;
    onProgress: (currentBytes: number, totalBytes: number) => void;
    /** Aborts when `cancelSendingMessage` is called. */
    signal: AbortSignal;
  },
) => Promise<Partial<ZIMMediaMessage> & { fileDownloadUrl: string }>;

/** peerd's own options. They may be given to `ZIM.create` or to `login`; those of `login` win. */
export interface PeerdOptions extends Credentials {
  /** Addresses of nats-servers: `ws://` or `wss://` in browsers; in Node also `nats://`, `tls://`. */
  servers?: string | readonly string[];
  /** First part of all subjects. Default: `peer`. */
  subjectPrefix?: string;
  /** Encoding of this client's calls. Default: `msgpack`. Replies and events are read in both. */
  encoding?: EncodingName;
  /**
   * Names the device: a login with the same one replaces the earlier session. Default: kept in
   * `sessionStorage` if there is one, else a new one for each instance.
   */
  deviceID?: string;
  /** Name or number of the platform. Default: `web` in browsers, else the one of the machine. */
  platform?: string;
  /** Uploads files of media messages without a `fileDownloadUrl`. peerd stores no media. */
  upload?: Upload;
  /** Milliseconds within which `login` must succeed. Default: 30,000. */
  loginTimeoutMs?: number;
  /** Milliseconds within which a call must succeed, with its repeats. Default: 60,000. */
  callTimeoutMs?: number;
  /**
   * Milliseconds until a request counts as lost and is repeated. Default: 10,000. Not below 8,000
   * outside of tests: peerd waits up to 2 s for an owner and 5 s for the store.
   */
  requestTimeoutMs?: number;
  /**
   * Milliseconds for which a message may wait in the queue, after which it is Failed. Default:
   * 600,000. Later a person sends it again, with `isRetrySend`.
   */
  sendTimeoutMs?: number;
  /** Messages that may wait in the queue. Default: 1,000. */
  maxQueuedMessages?: number;
}

/** What `ZIM.create` takes. */
export interface ZIMAppConfig extends PeerdOptions {
  /** Ignored: a deployment of peerd is one application. */
  appID?: number;
}

/** What `login` takes. */
export interface ZIMLoginConfig extends PeerdOptions {
  /** The name that others see, at most 256 bytes; left out or empty: the present one. */
  userName?: string;
  /** Resolves at once and connects in the background. */
  isOfflineLogin?: boolean;
  /** At most 64 bytes, set after the login. */
  customStatus?: string;
  /** Seconds for which the custom status is valid; 0: a day. */
  customStatusDuration?: number;
}

export interface ZIMLogoutConfig {
  /** What this client keeps in memory is forgotten in any case. */
  isClearDB?: boolean;
}

export interface ZIMLogConfig {
  logLevel: "debug" | "info" | "warn" | "error" | "report" | "disable";
}

/** Milliseconds within which one server must take a connection. */
export const CONNECT_TIMEOUT_MS = 10_000;
/** Interval of pings of the connection. Two without an answer: the connection is dead. */
export const PING_INTERVAL_MS = 20_000;
/** peerd recognizes a repeat for 10 minutes, and with `isRetrySend` for a day: switch in between. */
export const RETRY_SEND_AFTER_MS = 300_000;
/** Calls of one client that are not answered. Further ones are refused with 6000004. */
export const MAX_CALLS = 1000;
/** Events that wait to be shown, and their bytes. If there are more, the client catches up. */
export const MAX_QUEUED_EVENTS = 2000;
export const MAX_QUEUED_EVENT_BYTES = 32 * 1024 * 1024;
/** Messages in memory for local searches, of each conversation and of all. */
export const MAX_MESSAGES_OF_CONVERSATION = 500;
export const MAX_MESSAGES = 20_000;
/** Conversations of which the client knows what was shown. The least recently changed are dropped. */
export const MAX_CONVERSATIONS = 2000;
/** `messageSeq` numbers of one sender that were never shown, and may still come. */
export const MAX_MISSING = 1000;
/** Missed messages of one conversation that are read and shown when catching up. */
export const MAX_CAUGHT_UP = 10_000;

export const DEFAULTS = {
  subjectPrefix: "peer",
  encoding: "msgpack" as EncodingName,
  loginTimeoutMs: 30_000,
  callTimeoutMs: 60_000,
  requestTimeoutMs: 10_000,
  sendTimeoutMs: 600_000,
  maxQueuedMessages: 1000,
};

/** The options with the defaults filled in. */
export type Settings = PeerdOptions & typeof DEFAULTS;

/** Merges options: later ones win, and `undefined` counts as left out. */
export function settings(...options: (PeerdOptions | undefined)[]): Settings {
  const given = options.flatMap((one) => Object.entries(one ?? {}));
  const known = given.filter(([, value]) => value !== undefined);
  return { ...DEFAULTS, ...(Object.fromEntries(known) as PeerdOptions) };
}
