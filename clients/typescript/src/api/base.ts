// What the parts of the client share.
import type { CallOptions } from "../calls.js";
import type { Connect } from "../connection.js";
import { invalid, notLoggedIn } from "../errors.js";
import type { Method, Requests } from "../generated/requests.js";
import { Listeners } from "../listeners.js";
import { settings } from "../options.js";
import type { PeerdOptions, Settings } from "../options.js";
import type { Outbox } from "../outbox.js";
import type { Session } from "../session.js";
import { Store } from "../store.js";
import { ZIMConversationType } from "../types/enums.js";
import type { ZIMMessage } from "../types/messages.js";
import type { ZIM } from "../zim.js";

/** A session with its queue of messages. */
export interface Active {
  session: Session;
  outbox: Outbox;
}

/** The state of a client, and the calls of its session. */
export abstract class Base {
  /** @internal */
  protected active: Active | undefined;
  /** @internal */
  protected settings: Settings;
  /** @internal */
  protected readonly store = new Store();
  /** @internal */
  protected readonly listeners: Listeners;

  constructor(
    /** @internal */ protected readonly connect: Connect,
    /** @internal */ protected readonly given: PeerdOptions,
  ) {
    this.settings = settings(given);
    this.listeners = new Listeners((event, error) =>
      this.report(`a listener of ${event} failed`, error),
    );
  }

  /** Tells the application of a failure that belongs to no call. @internal */
  protected report(what: string, error: unknown): void {
    const message = `${what}: ${error instanceof Error ? error.message : String(error)}`;
    const code = 1;
    if (!message.startsWith("a listener of error")) {
      this.listeners.emit("error", this.zim, { code, message });
    }
  }

  /** @internal */
  protected get zim(): ZIM {
    return this as unknown as ZIM;
  }

  /** The session; rejects with 6000121 if there is none. @internal */
  protected get running(): Active {
    if (!this.active || this.active.session.ended.aborted) throw notLoggedIn();
    return this.active;
  }

  /** @internal */
  protected async call<Result, M extends Method = Method>(
    method: M,
    body: Requests[M],
    options?: CallOptions,
  ): Promise<Result> {
    return this.running.session.calls.call<Result, M>(method, body, options);
  }
}

/** The only type of conversation that peerd has. Others are refused with 6000001. */
export function peer(type: ZIMConversationType | undefined): 0 {
  if (type === undefined || type === ZIMConversationType.Peer) return 0;
  throw invalid("conversationType must be 0");
}

/** A message in the body of a call, where only its ID and conversation matter. */
export function named(message: ZIMMessage): {
  messageID: string;
  conversationID: string;
  conversationType: 0;
} {
  const { messageID = "", conversationID = "", conversationType } = message;
  return { messageID, conversationID, conversationType: peer(conversationType) };
}

/** A message in the body of a call about one conversation. */
export const nameOnly = ({ messageID = "" }: ZIMMessage): { messageID: string } => ({ messageID });
