// Events in the order of their revisions, each message once, without gaps.
import { complete } from "./complete.js";
import { encodingOf } from "./encoding.js";
import type { Listeners } from "./listeners.js";
import { MAX_QUEUED_EVENTS, MAX_QUEUED_EVENT_BYTES } from "./options.js";
import type { Store } from "./store.js";
import type * as shape from "./types/events.js";
import { ZIMConversationEvent, ZIMMessageDeleteType, ZIMMessageDirection } from "./types/enums.js";
import type { ZIMMessage } from "./types/messages.js";
import type { ZIM } from "./zim.js";

/** What each event has beside its body. */
interface Revised {
  revision: number;
  previousRevision: number;
  isContentOmitted?: boolean;
}

interface Queued {
  name: string;
  body: Revised;
  bytes: number;
  /** A repair that ended later has shown the conversations of this event. */
  isCovered: boolean;
}

interface Bundle extends Revised {
  events?: { event: string; body: object }[];
}

/** What the inbox needs of the session. */
export interface InboxOwner {
  /** Reads and shows what changed since the revision; resolves with the present one. */
  repair(since: number): Promise<number>;
  /** Reads and shows the messages of a conversation after its cursor. */
  readAfterCursor(conversationID: string): Promise<void>;
  /** A session of the user was kicked. */
  onKicked(sessionID: string): void;
}

/** Events whose conversations a repair has shown already. */
const ABOUT_CONVERSATIONS = new Set([
  "conversation_changed",
  "conversation_total_unread_message_count_updated",
]);

const camelCase = (name: string): string =>
  name.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());

export class Inbox {
  /** The revision up to which everything was shown; undefined before the first login. */
  revision: number | undefined;

  /** Events were dropped, or could not be shown: a repair must read them. */
  get isIncomplete(): boolean {
    return this.#isIncomplete;
  }

  #queue: Queued[] = [];
  #bytes = 0;
  #isIncomplete = false;
  #isOpen = false;
  #draining: Promise<void> | undefined;

  constructor(
    private readonly zim: ZIM,
    private readonly listeners: Listeners,
    private readonly store: Store,
    private readonly owner: InboxOwner,
    private readonly onFailure: (error: unknown) => void,
  ) {}

  /** Takes an event as it arrived. While the inbox is closed, events wait. */
  push(subject: string, contentType: string | undefined, data: Uint8Array): void {
    const isFull =
      this.#queue.length >= MAX_QUEUED_EVENTS || this.#bytes + data.length > MAX_QUEUED_EVENT_BYTES;
    if (isFull) {
      // What is dropped here is read again by a repair.
      this.#isIncomplete = true;
      return;
    }
    const body = complete(encodingOf(contentType).decode(data)) as Revised;
    const name = subject.slice(subject.lastIndexOf(".") + 1);
    this.#queue.push({ name, body, bytes: data.length, isCovered: false });
    this.#bytes += data.length;
    this.#drain();
  }

  /** Shows what waits, and from now on everything. */
  open(): void {
    this.#isOpen = true;
    this.#drain();
  }

  /** Keeps events from now on; resolves when the present one has been shown. */
  async pause(): Promise<void> {
    this.#isOpen = false;
    await this.#draining;
  }

  /** Everything up to this revision was shown, also by events that wait. */
  covered(revision: number): void {
    this.revision = Math.max(this.revision ?? 0, revision);
    for (const queued of this.#queue) {
      if (queued.body.revision <= revision) queued.isCovered = true;
    }
  }

  #drain(): void {
    if (!this.#isOpen || this.#draining) return;
    this.#draining = this.#drainAll().finally(() => {
      this.#draining = undefined;
      if (this.#queue.length > 0) this.#drain();
    });
  }

  async #drainAll(): Promise<void> {
    while (this.#isOpen) {
      const queued = this.#queue.shift();
      if (!queued) break;
      this.#bytes -= queued.bytes;
      try {
        await this.#take(queued);
      } catch (error) {
        this.#isIncomplete = true;
        this.onFailure(error);
      }
    }
    if (this.#isOpen && this.#isIncomplete && this.revision !== undefined) {
      // If this fails, the connection is lost, and the next login repairs.
      await this.repair(this.revision).catch(this.onFailure);
    }
  }

  /** Shows what changed since a revision. */
  async repair(since: number): Promise<void> {
    const wasIncomplete = this.#isIncomplete;
    this.#isIncomplete = false;
    try {
      const revision = await this.owner.repair(since);
      // peerd's store may have gone back to an earlier state.
      if (revision < since) this.revision = revision;
      this.covered(revision);
    } catch (error) {
      this.#isIncomplete ||= wasIncomplete;
      throw error;
    }
  }

  async #take(queued: Queued): Promise<void> {
    const { body } = queued;
    const last = this.revision ?? 0;
    const isGap = body.revision > last && body.previousRevision !== last;
    if (isGap || body.isContentOmitted) {
      await this.repair(last);
      if (body.revision <= (this.revision ?? 0)) queued.isCovered = true;
    }
    if (!body.isContentOmitted) await this.#showAll(queued);
    // Not before: after a failure, a repair begins at the revision before.
    this.revision = Math.max(this.revision ?? 0, body.revision);
  }

  async #showAll({ name, body, isCovered }: Queued): Promise<void> {
    if (name !== "bundle") return this.#show(name, body, isCovered);
    for (const one of (body as Bundle).events ?? []) {
      await this.#show(one.event, { ...one.body, ...revisionsOf(body) }, isCovered);
    }
  }

  async #show(name: string, body: unknown, isCovered: boolean): Promise<void> {
    if (isCovered && ABOUT_CONVERSATIONS.has(name)) return;
    switch (name) {
      case "peer_message_received":
        return this.#received(body as shape.ZIMEventOfConversationMessageReceivedResult);
      case "conversation_changed":
        this.#conversations(body as shape.ZIMEventOfConversationChangedResult);
        break;
      case "conversations_all_deleted":
        for (const known of this.store.all) known.conversation = undefined;
        break;
      case "message_deleted":
        this.#deleted(body as shape.ZIMEventOfMessageDeletedResult);
        break;
      case "message_edited":
      case "message_revoke_received":
      case "message_replied_info_changed":
        for (const message of (body as { messageList: ZIMMessage[] }).messageList) {
          this.store.keep(message);
        }
        break;
      case "message_pin_status_changed":
        for (const info of (body as shape.ZIMEventOfMessagePinStatusChangedResult).infos) {
          this.store.keep(info.message);
        }
        break;
      case "message_reactions_changed":
        for (const info of (body as shape.ZIMEventOfMessageReactionsChangedResult).changeInfoList) {
          this.store.keep(info.message);
        }
        break;
      case "connection_state_changed":
        this.owner.onKicked((body as { sessionID: string }).sessionID);
        return; // The client shows the state of its own connection.
    }
    this.listeners.emit(camelCase(name) as "error", this.zim, body as never);
  }

  /** Shows those messages that were not shown before. */
  async #received(body: shape.ZIMEventOfConversationMessageReceivedResult): Promise<void> {
    const known = this.store.of(body.fromConversationID);
    for (const message of body.messageList) {
      const verdict = known.shown.verdict(message.messageSeq ?? 0);
      const isMissing = verdict === "afterGap" && !body.info.isOfflineMessage;
      // What is read here is shown before this message, and this message perhaps with it.
      if (isMissing && known.cursor) await this.owner.readAfterCursor(body.fromConversationID);
    }
    this.showReceived(body.fromConversationID, body.messageList, body.info.isOfflineMessage);
  }

  /** Shows messages of one conversation in one event, without those that were shown before. */
  showReceived(conversationID: string, messages: ZIMMessage[], isOfflineMessage: boolean): void {
    const known = this.store.of(conversationID);
    const fresh = messages.filter((message) => {
      // Commands have no number: each is delivered once.
      if (!message.messageSeq) return true;
      if (!known.shown.show(message.messageSeq)) return false;
      known.keep(message);
      known.advance(message);
      return true;
    });
    if (fresh.length === 0) return;
    const body = { messageList: fresh, fromConversationID: conversationID };
    this.listeners.emit("receivePeerMessage", this.zim, body);
    const info = { isOfflineMessage };
    this.listeners.emit("peerMessageReceived", this.zim, { ...body, info });
  }

  #conversations(body: shape.ZIMEventOfConversationChangedResult): void {
    for (const { event, conversation } of body.infoList) {
      const known = this.store.of(conversation.conversationID);
      const isDeleted = event === ZIMConversationEvent.Deleted;
      known.conversation = isDeleted ? undefined : conversation;
      const last = conversation.lastMessage;
      if (!last) continue;
      known.keep(last);
      // Received messages are shown by an event of their own.
      if (last.direction === ZIMMessageDirection.Send) known.advance(last);
    }
  }

  #deleted(body: shape.ZIMEventOfMessageDeletedResult): void {
    const isEverywhere =
      body.messageDeleteType === ZIMMessageDeleteType.AllConversationMessagesDeleted;
    if (isEverywhere) {
      for (const known of this.store.all) known.dropAll();
      return;
    }
    const known = this.store.of(body.conversationID);
    if (body.isDeleteConversationAllMessage) known.dropAll();
    for (const message of body.messageList) known.drop(message.messageID ?? "");
  }
}

const revisionsOf = ({ revision, previousRevision }: Revised): Revised => ({
  revision,
  previousRevision,
});
