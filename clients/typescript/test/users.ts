// Users of a test, and what they see.
import { ZIM, ZIMConnectionState, ZIMConversationType, ZIMMessageType } from "../src/node.js";
import type { PeerdOptions, ZIMEventHandler, ZIMMessage, ZIMTextMessage } from "../src/node.js";
import { until } from "./servers.js";

export const PEER = ZIMConversationType.Peer;

let serial = 0;

/** A name that no other user of the test process has. */
export const unique = (name: string): string => `${name}-${(serial += 1)}`;

export const text = (message: string): ZIMTextMessage => ({ type: ZIMMessageType.Text, message });

export const textOf = (message: ZIMMessage): string => (message as ZIMTextMessage).message;

type Event = keyof ZIMEventHandler;
type Body<E extends Event> = Parameters<ZIMEventHandler[E]>[1];

/** A logged-in user that records events. */
export class User {
  readonly zim: ZIM;
  /** Texts of the received messages, in the order in which they were shown. */
  readonly received: string[] = [];
  readonly messages: ZIMMessage[] = [];
  readonly #events = new Map<string, unknown[]>();

  constructor(
    readonly id: string,
    options: PeerdOptions,
  ) {
    this.zim = new ZIM(options);
    this.zim.on("peerMessageReceived", (_, { messageList }) => {
      this.messages.push(...messageList);
      this.received.push(...messageList.map(textOf));
    });
    for (const event of RECORDED) {
      this.zim.on(event, (_: ZIM, body: unknown) => this.#list(event).push(body));
    }
    this.zim.on("typing", (_, body) => this.#list("typing").push(body));
  }

  static async login(name: string, options: PeerdOptions): Promise<User> {
    const user = new User(unique(name), options);
    await user.zim.login(user.id, { userName: name });
    return user;
  }

  #list(event: string): unknown[] {
    const list = this.#events.get(event) ?? [];
    this.#events.set(event, list);
    return list;
  }

  /** The bodies of an event so far. */
  events<E extends Event>(event: E): Body<E>[] {
    return this.#list(event) as Body<E>[];
  }

  get typing(): { fromUserID: string; isTyping: boolean }[] {
    return this.#list("typing") as { fromUserID: string; isTyping: boolean }[];
  }

  /** The state of the connection that was shown last. */
  get state(): ZIMConnectionState | undefined {
    return this.events("connectionStateChanged").at(-1)?.state;
  }

  /** Waits for an event that fits, among those that came and come. */
  async sees<E extends Event>(event: E, fits: (body: Body<E>) => boolean): Promise<Body<E>> {
    return until(`${this.id} sees ${event}`, () => this.events(event).find(fits));
  }

  async isConnected(): Promise<void> {
    await until(`${this.id} is connected`, () => this.state === ZIMConnectionState.Connected);
  }

  async isReconnecting(): Promise<void> {
    await until(`${this.id} is reconnecting`, () => this.state === ZIMConnectionState.Reconnecting);
  }

  /** The finished rounds of catching up. */
  get synced(): number {
    return this.events("conversationSyncStateChanged").filter(({ state }) => state === 1).length;
  }

  async send(to: User, message: string): Promise<ZIMMessage> {
    return (await this.zim.sendMessage(text(message), to.id, PEER, {})).message;
  }
}

const RECORDED = [
  "error",
  "tokenWillExpire",
  "connectionStateChanged",
  "userInfoUpdated",
  "userRuleUpdated",
  "userStatusUpdated",
  "conversationChanged",
  "conversationTotalUnreadMessageCountUpdated",
  "conversationMessageReceiptChanged",
  "conversationsAllDeleted",
  "conversationSyncStateChanged",
  "receivePeerMessage",
  "messageSentStatusChanged",
  "messageReceiptChanged",
  "messageRevokeReceived",
  "messageReactionsChanged",
  "messageDeleted",
  "messageRepliedInfoChanged",
  "messageRepliedCountChanged",
  "messageEdited",
  "messagePinStatusChanged",
  "blacklistChanged",
] as const;
