// The open conversation: a window of its messages, which follows the events.
import { signal } from "@preact/signals";
import {
  ZIMConversationType,
  ZIMMessageDirection,
  ZIMMessageQueryMode,
  ZIMMessageReceiptStatus,
} from "@peerd/client";
import type { PeerdEventHandler, ZIM, ZIMEventHandler, ZIMMessage } from "@peerd/client";
import type { Conversations } from "./conversations.js";
import { Reading } from "./reading.js";
import { Sending } from "./sending.js";
import type { Words } from "../words.js";
import {
  MAX_MESSAGES,
  PAGE,
  firstStored,
  isUpTo,
  keyOf,
  lastStored,
  merge,
  refreshed,
  replace,
} from "./window.js";
import type { Messages } from "./window.js";

type Handlers = ZIMEventHandler & PeerdEventHandler;
const PEER = ZIMConversationType.Peer;

export class Thread {
  readonly messages = signal<Messages>([]);
  readonly hasLoaded = signal(false);
  readonly hasOlder = signal(true);
  readonly hasNewer = signal(false);
  /** The key of the message to scroll to and to point out. */
  readonly target = signal<string | undefined>(undefined);
  /** The key of the first message that was unread when the conversation was opened. */
  readonly firstUnread = signal<string | undefined>(undefined);
  readonly pinned = signal<Messages>([]);
  readonly isBlocked = signal(false);
  /** Messages that arrived while the end of the conversation was not in view. */
  readonly unseen = signal(0);
  readonly reading: Reading;
  readonly sending: Sending;

  /** Set by the view. */
  isAtEnd = true;
  #isClosed = false;
  #loading = Promise.resolve();
  #waiting = 0;
  readonly #off: (() => void)[] = [];

  constructor(
    readonly zim: ZIM,
    readonly conversationID: string,
    readonly conversations: Conversations,
    readonly onFailure: (error: unknown | Words) => void,
    private readonly announce: (message: ZIMMessage) => void,
  ) {
    this.reading = new Reading(this);
    this.sending = new Sending(this);
    this.#follow();
  }

  /** Shows the end of the conversation. */
  async open(): Promise<void> {
    const readSeq = this.conversations.of(this.conversationID)?.readMessageSeq ?? 0;
    const isUnread = (this.conversations.of(this.conversationID)?.unreadMessageCount ?? 0) > 0;
    await this.toEnd();
    const first = this.messages.value.find(
      (one) => one.direction === ZIMMessageDirection.Receive && (one.messageSeq ?? 0) > readSeq,
    );
    if (first && isUnread) this.firstUnread.value = keyOf(first);
    const pinned = await this.zim.queryPinnedMessageList(this.conversationID, PEER);
    const blocked = await this.zim.checkUserIsInBlacklist(this.conversationID);
    if (this.#isClosed) return;
    this.pinned.value = pinned.messageList;
    this.isBlocked.value = blocked.isUserInBlacklist;
  }

  async toEnd(): Promise<void> {
    await this.#loadInto(async () => {
      const page = await this.#page({ reverse: true });
      this.messages.value = page;
      this.hasOlder.value = page.length > 0;
      this.hasNewer.value = false;
      this.unseen.value = 0;
      this.hasLoaded.value = true;
    });
  }

  /** Scrolling asks often: while something is read already, nothing more is asked. */
  async loadOlder(): Promise<void> {
    if (this.#waiting > 0) return;
    await this.#loadInto(async () => {
      const first = firstStored(this.messages.value);
      if (!first || !this.hasOlder.value) return;
      const page = await this.#page({ reverse: true, nextMessage: first });
      if (page.length === 0) this.hasOlder.value = false;
      const all = merge(this.messages.value, page);
      if (all.length > MAX_MESSAGES) this.hasNewer.value = true;
      this.messages.value = all.slice(0, MAX_MESSAGES);
    });
  }

  async loadNewer(): Promise<void> {
    if (this.#waiting > 0) return;
    await this.#loadInto(async () => {
      const last = lastStored(this.messages.value);
      if (!last || !this.hasNewer.value) return;
      const page = await this.#page({ reverse: false, nextMessage: last });
      if (page.length === 0) {
        this.hasNewer.value = false;
        this.unseen.value = 0;
        this.#keepLocal();
        return;
      }
      const all = merge(this.messages.value, page);
      if (all.length > MAX_MESSAGES) this.hasOlder.value = true;
      this.messages.value = all.slice(-MAX_MESSAGES);
    });
  }

  /** Shows a message with those around it. */
  async openAt(message: { messageID?: string }): Promise<void> {
    const { messageID } = message;
    const isHere = (one: ZIMMessage): boolean => one.messageID === messageID;
    if (!this.messages.value.some(isHere)) {
      await this.#loadInto(async () => {
        const older = await this.#page({ reverse: true, nextMessage: message as ZIMMessage });
        const last = lastStored(older);
        const newer = await this.#page({ reverse: false, ...(last && { nextMessage: last }) });
        this.messages.value = merge(older, newer);
        this.hasOlder.value = older.length > 0;
        this.hasNewer.value = true;
      });
    }
    const found = this.messages.value.find(isHere);
    this.target.value = found && keyOf(found);
  }

  /** Reads the end again, after the connection was lost. */
  async refresh(): Promise<void> {
    if (!this.hasLoaded.value) return this.open();
    if (this.hasNewer.value) return;
    await this.#loadInto(async () => {
      // Before the window is looked at: messages may arrive meanwhile.
      const page = await this.#page({ reverse: true });
      const { list, isJoined } = refreshed(this.messages.value, page);
      this.messages.value = list;
      if (!isJoined) this.hasOlder.value = true;
    });
    this.reading.markSoon();
  }

  /** One after another; a failure is shown, and the next scroll tries again. */
  #loadInto(load: () => Promise<void>): Promise<void> {
    this.#waiting += 1;
    this.#loading = this.#loading.then(async () => {
      try {
        if (!this.#isClosed) await load();
      } catch (error) {
        if (!this.#isClosed) this.onFailure(error);
      } finally {
        this.#waiting -= 1;
      }
    });
    return this.#loading;
  }

  async #page(config: { reverse: boolean; nextMessage?: ZIMMessage }): Promise<Messages> {
    const given = { count: PAGE, ...config };
    const page = await this.zim.queryHistoryMessage(this.conversationID, PEER, given);
    return page.messageList;
  }

  /** Shows the messages of this device that peerd does not have, at the end. */
  #keepLocal(): void {
    const config = { count: PAGE, reverse: true, mode: ZIMMessageQueryMode.OnlyLocal };
    this.zim.queryHistoryMessage(this.conversationID, PEER, config).then(({ messageList }) => {
      this.add(messageList.filter((message) => !message.messageID));
    }, this.onFailure);
  }

  #follow(): void {
    this.#on("peerMessageReceived", (body) => {
      if (body.fromConversationID === this.conversationID) this.#received(body.messageList);
    });
    this.#on("conversationChanged", ({ infoList }) => {
      for (const { conversation } of infoList) this.#sentElsewhere(conversation.lastMessage);
    });
    this.#on("messageSentStatusChanged", ({ infos }) => this.add(infos.map((one) => one.message)));
    this.#on("messageEdited", ({ messageList }) => this.replace(messageList));
    this.#on("messageRevokeReceived", ({ messageList }) => this.replace(messageList));
    this.#on("messageRepliedInfoChanged", ({ messageList }) => this.replace(messageList));
    this.#on("messageReactionsChanged", ({ changeInfoList }) =>
      this.replace(changeInfoList.map((one) => one.message)),
    );
    this.#on("messagePinStatusChanged", ({ infos }) => {
      const changed = infos.map((one) => one.message);
      this.replace(changed);
      if (changed.some((one) => one.conversationID === this.conversationID)) this.#readPinned();
    });
    this.#on("messageDeleted", (body) => {
      const isAll = body.isDeleteConversationAllMessage;
      if (body.conversationID && body.conversationID !== this.conversationID) return;
      const gone = new Set(body.messageList.map((one) => one.messageID));
      const isLeft = ({ messageID }: ZIMMessage): boolean => !isAll && !gone.has(messageID);
      this.messages.value = this.messages.value.filter(isLeft);
      this.pinned.value = this.pinned.value.filter(isLeft);
    });
    this.#on("messageRepliedCountChanged", ({ infos }) => {
      const counts = new Map(infos.map((one) => [one.messageID, one.count]));
      this.#change(
        ({ messageID = "" }) => counts.has(messageID),
        (one) => ({ ...one, rootRepliedCount: counts.get(one.messageID ?? "") ?? 0 }),
      );
    });
    this.#followReceipts();
    this.#on("blacklistChanged", ({ userList, action }) => {
      const isOther = userList.some((one) => one.userID === this.conversationID);
      if (isOther) this.isBlocked.value = action === 0;
    });
  }

  #followReceipts(): void {
    const done = (one: ZIMMessage): ZIMMessage =>
      Object.assign(one, { receiptStatus: ZIMMessageReceiptStatus.Done });
    const isWaiting = (one: ZIMMessage, isSelfOperated: boolean): boolean =>
      one.receiptStatus === ZIMMessageReceiptStatus.Processing &&
      (one.direction === ZIMMessageDirection.Receive) === isSelfOperated;
    this.#on("conversationMessageReceiptChanged", ({ infos }) => {
      for (const info of infos) {
        if (info.conversationID !== this.conversationID) continue;
        this.#change(
          (one) => isWaiting(one, info.isSelfOperated) && isUpTo(one, info.messageID),
          done,
        );
      }
    });
    this.#on("messageReceiptChanged", ({ infos }) => {
      const ids = new Set(infos.map((one) => one.messageID));
      this.#change(({ messageID = "" }) => ids.has(messageID), done);
    });
  }

  #on<E extends keyof Handlers>(event: E, listener: (body: Parameters<Handlers[E]>[1]) => void) {
    const handler = (_: ZIM, body: Parameters<Handlers[E]>[1]): void => listener(body);
    this.zim.on(event as "error", handler as never);
    this.#off.push(() => this.zim.off(event as "error", handler as never));
  }

  #received(messages: Messages): void {
    for (const message of messages) this.announce(message);
    this.add(messages);
    if (!this.isAtEnd || this.hasNewer.value) this.unseen.value += messages.length;
    this.reading.markSoon();
  }

  /** A message that this user sent on another device. */
  #sentElsewhere(last: ZIMMessage | undefined): void {
    if (last?.conversationID !== this.conversationID) return;
    if (last.direction === ZIMMessageDirection.Send) this.add([last]);
  }

  #readPinned(): void {
    this.zim.queryPinnedMessageList(this.conversationID, PEER).then(({ messageList }) => {
      this.pinned.value = messageList;
    }, this.onFailure);
  }

  /** Adds messages at the end, if the end is in the window. */
  add(messages: Messages): void {
    const own = messages.filter((one) => one.conversationID === this.conversationID);
    if (own.length === 0 || !this.hasLoaded.value) return;
    const keys = new Set(this.messages.value.map(keyOf));
    const isKnown = own.every((one) => keys.has(keyOf(one)));
    if (this.hasNewer.value && !isKnown) return;
    const all = merge(this.messages.value, own);
    if (all.length <= MAX_MESSAGES) {
      this.messages.value = all;
    } else if (this.isAtEnd) {
      this.hasOlder.value = true;
      this.messages.value = all.slice(-MAX_MESSAGES);
    } else {
      // What the user looks at stays; what is new is read on the way back to the end.
      this.hasNewer.value = true;
      this.messages.value = all.slice(0, MAX_MESSAGES);
    }
  }

  replace(changed: Messages): void {
    this.messages.value = replace(this.messages.value, changed);
    this.pinned.value = replace(this.pinned.value, changed);
  }

  remove(message: ZIMMessage): void {
    const key = keyOf(message);
    this.messages.value = this.messages.value.filter((one) => keyOf(one) !== key);
  }

  #change(which: (one: ZIMMessage) => boolean, change: (one: ZIMMessage) => ZIMMessage): void {
    this.messages.value = this.messages.value.map((one) => (which(one) ? change(one) : one));
  }

  close(): void {
    this.#isClosed = true;
    this.sending.typing.stop();
    for (const off of this.#off) off();
  }
}
