// A user's session, and what belongs to it.
import { signal } from "@preact/signals";
import {
  ZIM,
  ZIMConnectionEvent,
  ZIMConnectionState,
  ZIMConversationNotificationStatus,
  ZIMConversationSyncState,
  ZIMConversationType,
} from "@peerd/client";
import type { ZIMConversation, ZIMMessage } from "@peerd/client";
import { lineOf } from "../format.js";
import type { Login } from "../login.js";
import { EXPIRED, INTERRUPTED, KICKED, inWords } from "../words.js";
import type { Words } from "../words.js";
import { Conversations } from "./conversations.js";
import { People } from "./people.js";
import { Thread } from "./thread.js";

const PEER = ZIMConversationType.Peer;
const LOGIN_TIMEOUT_MS = 10_000;

export type Connection = "connecting" | "connected" | "reconnecting";

const ENDED: Partial<Record<ZIMConnectionEvent, Words>> = {
  [ZIMConnectionEvent.KickedOut]: KICKED,
  [ZIMConnectionEvent.TokenExpired]: EXPIRED,
  [ZIMConnectionEvent.LoginInterrupted]: INTERRUPTED,
};

const isWords = (given: unknown): given is Words =>
  typeof given === "object" && given !== null && "advice" in given;

export class Chat {
  readonly connection = signal<Connection>("connecting");
  /** Shown above the page until it is closed. */
  readonly notice = signal<Words | undefined>(undefined);
  /** Read out by screen readers. */
  readonly announcement = signal("");
  readonly thread = signal<Thread | undefined>(undefined);
  readonly conversations: Conversations;
  readonly people: People;
  readonly userID: string;
  readonly #zim: ZIM;
  #hasBegun = false;
  #isLeaving = false;

  constructor(
    private readonly login: Login,
    private readonly onEnded: (why: Words | undefined) => void,
  ) {
    this.userID = login.user;
    this.#zim = new ZIM({ servers: login.server, loginTimeoutMs: LOGIN_TIMEOUT_MS });
    this.conversations = new Conversations(this.#zim);
    this.people = new People(this.#zim, this.fail);
    this.#zim.on("connectionStateChanged", (_, { state, event }) => this.#state(state, event));
    this.#zim.on("conversationSyncStateChanged", (_, { state }) => {
      if (state === ZIMConversationSyncState.Finished && this.#hasBegun) this.#synchronized();
    });
    this.#zim.on("tokenWillExpire", (_, { second }) => {
      const title = `Your login ends in ${second} seconds`;
      this.notice.value = { title, advice: "Get a new link or token in time." };
    });
    this.#zim.on("error", (_, error) => this.fail(error));
  }

  /** Shows a failure. */
  readonly fail = (error: unknown): void => {
    if (this.#isLeaving) return;
    this.notice.value = isWords(error) ? error : inWords(error);
  };

  async begin(): Promise<void> {
    const { user, token, password, name } = this.login;
    try {
      await this.#zim.login(user, {
        ...(token !== undefined && { token }),
        ...(password !== undefined && { password }),
        ...(name !== undefined && { userName: name }),
      });
    } catch (error) {
      this.#end(inWords(error));
      return;
    }
    this.#hasBegun = true;
    await this.loadConversations();
  }

  async loadConversations(): Promise<void> {
    try {
      await this.conversations.loadMore();
      this.people.follow(this.conversations.list.value.map((one) => one.conversationID));
    } catch (error) {
      this.fail(error);
    }
  }

  #state(state: ZIMConnectionState, event: ZIMConnectionEvent): void {
    if (state === ZIMConnectionState.Connected) this.connection.value = "connected";
    if (state === ZIMConnectionState.Reconnecting) this.connection.value = "reconnecting";
    // A login that fails is reported by its own error.
    if (state === ZIMConnectionState.Disconnected && this.#hasBegun) this.#end(ENDED[event]);
  }

  /** The client has caught up. */
  #synchronized(): void {
    if (!this.conversations.hasLoaded.value) void this.loadConversations();
    this.thread.value?.refresh().catch(this.fail);
  }

  open(conversationID: string): void {
    if (this.thread.value?.conversationID === conversationID) return;
    this.closeThread();
    const thread = new Thread(this.#zim, conversationID, this.conversations, this.fail, (message) =>
      this.#announce(message),
    );
    thread.sending.text.value = this.conversations.of(conversationID)?.draft ?? "";
    this.thread.value = thread;
    this.people.follow([conversationID]);
    thread.open().then(() => thread.reading.markSoon(), this.fail);
  }

  closeThread(): void {
    const thread = this.thread.value;
    if (!thread) return;
    thread.sending.saveDraft();
    thread.close();
    this.thread.value = undefined;
  }

  #announce(message: ZIMMessage): void {
    const name = this.conversations.nameOf(message.conversationID ?? "");
    this.announcement.value = `${name}: ${lineOf(message)}`;
  }

  /** What others do is known only while there is a connection. */
  isOnline(userID: string): boolean {
    return this.connection.value === "connected" && this.people.isOnline(userID);
  }

  /** Opens the conversation after or before the open one. */
  step(by: 1 | -1): void {
    const list = this.conversations.list.value;
    const at = list.findIndex((one) => one.conversationID === this.thread.value?.conversationID);
    const next = list[Math.min(list.length - 1, Math.max(0, at + by))];
    if (next) this.open(next.conversationID);
  }

  pin({ conversationID, isPinned }: ZIMConversation): void {
    this.#zim.updateConversationPinnedState(!isPinned, conversationID, PEER).catch(this.fail);
  }

  mute(conversationID: string, isMuted: boolean): void {
    const { Notify, DoNotDisturb } = ZIMConversationNotificationStatus;
    const status = isMuted ? DoNotDisturb : Notify;
    this.#zim.setConversationNotificationStatus(status, conversationID, PEER).catch(this.fail);
  }

  markUnread({ conversationID }: ZIMConversation): void {
    this.#zim.setConversationUnread(true, conversationID, PEER).catch(this.fail);
  }

  markRead({ conversationID }: ZIMConversation): void {
    this.#zim.clearConversationUnreadMessageCount(conversationID, PEER).catch(this.fail);
  }

  delete(conversationID: string): void {
    if (this.thread.value?.conversationID === conversationID) this.closeThread();
    this.#zim.deleteConversation(conversationID, PEER).catch(this.fail);
  }

  block(userID: string, isBlocked: boolean): void {
    const call = isBlocked
      ? this.#zim.addUsersToBlacklist([userID])
      : this.#zim.removeUsersFromBlacklist([userID]);
    call.catch(this.fail);
  }

  async leave(): Promise<void> {
    this.thread.value?.sending.saveDraft();
    this.#isLeaving = true;
    await this.#zim.logout();
    this.#end(undefined);
  }

  #end(why: Words | undefined): void {
    this.#isLeaving = true;
    this.people.end();
    this.thread.value?.close();
    this.onEnded(why);
  }
}
