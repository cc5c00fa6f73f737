// The chat client of docs/tutorial.md, for Node and browsers. Each region is a listing there.

// region imports
import { decode, encode } from "@msgpack/msgpack";
import { errors, headers } from "@nats-io/nats-core";
// endregion

// region token
// The subject token of a userID: percent-encoded, the dot too, with upper-case hex.
export function token(userID) {
  const hex = (c) => "%" + c.charCodeAt(0).toString(16).toUpperCase().padStart(2, "0");
  return encodeURIComponent(userID).replace(/[.!*'()]/g, hex);
}
// endregion

// region codecs
const toBase64 = (bytes) => btoa(String.fromCharCode(...bytes));

export const Json = {
  contentType: "application/json",
  encode: (body) =>
    new TextEncoder().encode(
      JSON.stringify(body, (_, value) => (value instanceof Uint8Array ? toBase64(value) : value)),
    ),
  decode: (data) => JSON.parse(new TextDecoder().decode(data)),
};

export const MessagePack = {
  contentType: "application/msgpack",
  encode: (body) => encode(body),
  decode: (data) => decode(data),
};

const codecOf = (msg) =>
  msg.headers.get("Content-Type") === Json.contentType ? Json : MessagePack;
// endregion

// region refused
// A call that peerd answered with an error.
export class Refused extends Error {
  constructor(body) {
    super(`${body.code} ${body.reason}: ${body.message}`);
    this.code = body.code;
    this.reason = body.reason;
    this.retryAfterMs = body.retryAfterMs ?? 0;
  }
}
// endregion

// region constants
const TEXT = 1;
const NOT_LOGGED_IN = 6000121;
// Longer than peerd takes at most: it waits up to 2 s for an owner and 5 s for the store.
const TIMEOUT_MS = 10_000;
const REPEATABLE = ["rate_limited", "overloaded", "store_unavailable", "outcome_unknown"];
const isUnanswered = (error) =>
  error instanceof errors.TimeoutError ||
  error instanceof errors.NoRespondersError ||
  (error instanceof errors.RequestError && error.isNoResponders());
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
// endregion

// One device of one user.
export class Client {
  // region connect
  constructor(userID, deviceID, codec = Json) {
    this.userID = userID;
    this.deviceID = deviceID;
    this.codec = codec;
    this.revision = undefined;
    this.unread = 0;
    this.conversations = new Map();
    this.messages = new Map(); // conversationID -> Map of messageID -> message
    this.lastSeq = new Map(); // conversationID + "/" + senderUserID -> the largest messageSeq
    this.state = Promise.resolve(); // one login or event at a time changes what is above
    this.onChange = () => {}; // draws the screen
  }

  // Options for both `connect` functions; `servers` is added.
  static options(userID, pass) {
    return {
      user: userID,
      pass,
      inboxPrefix: `_INBOX_${token(userID)}`,
      pingInterval: 20_000,
      maxReconnectAttempts: -1,
    };
  }

  // Takes a connection, of Node or of a browser, and logs in.
  async start(nc) {
    this.nc = nc;
    const events = nc.subscribe(`peer.event.${token(this.userID)}.*`);
    this.#inBackground(this.#readEvents(events));
    this.#inBackground(this.#followConnection());
    await nc.flush(); // the server has the subscription
    await this.#beginSession();
    this.heartbeats = setInterval(() => this.#heartbeat(), this.heartbeatMs);
  }
  // endregion

  // region background
  #inBackground(work) {
    work.catch((error) => console.error("peerd client:", error));
  }

  // Runs one piece of work after the other.
  #serially(work) {
    const done = this.state.then(work);
    this.state = done.catch(() => {});
    return done;
  }

  async close() {
    clearInterval(this.heartbeats);
    await this.nc.close();
  }
  // endregion

  // region call_once
  async callOnce(method, body) {
    const h = headers();
    h.set("Content-Type", this.codec.contentType);
    const subject = `peer.api.${token(this.userID)}.${method}`;
    const data = this.codec.encode(body);
    const reply = await this.nc.request(subject, data, { timeout: TIMEOUT_MS, headers: h });
    const answer = codecOf(reply).decode(reply.data);
    if (reply.headers.has("Nats-Service-Error-Code")) throw new Refused(answer);
    return answer;
  }
  // endregion

  // region call
  // Repeats a call until it succeeds, or is refused for a reason that will not pass.
  async call(method, body, withinMs = 60_000) {
    const deadline = Date.now() + withinMs;
    for (let pause = 100; ; pause = Math.min(2 * pause, 5000)) {
      let wait = pause;
      try {
        return await this.callOnce(method, body);
      } catch (error) {
        if (error instanceof Refused) {
          if (error.code === NOT_LOGGED_IN && method !== "login") await this.#logIn();
          else if (!REPEATABLE.includes(error.reason)) throw error;
          wait = Math.max(wait, error.retryAfterMs);
        } else if (!isUnanswered(error)) throw error;
        if (Date.now() + wait > deadline) throw error;
      }
      await sleep(wait);
    }
  }
  // endregion

  // region log_in
  #logIn() {
    const all = [...this.messages.values()].flatMap((messages) => [...messages.values()]);
    return this.call("login", {
      deviceID: this.deviceID,
      userName: this.userID[0].toUpperCase() + this.userID.slice(1),
      replayAfter: all.reduce((newest, message) => Math.max(newest, message.orderKey), 0),
    });
  }

  // After each connect and reconnect: logs in, and reads what changed meanwhile.
  #beginSession() {
    return this.#serially(async () => {
      const session = await this.#logIn();
      this.heartbeatMs = session.heartbeatIntervalMs;
      this.unread = session.totalUnreadMessageCount;
      if (session.revision !== this.revision) await this.#catchUp();
      this.revision = session.revision;
      this.onChange();
    });
  }
  // endregion

  // region reconnect
  async #followConnection() {
    for await (const status of this.nc.status()) {
      // The library has subscribed again.
      if (status.type === "reconnect") this.#inBackground(this.#beginSession());
    }
  }

  #heartbeat() {
    // The next one is soon.
    this.call("heartbeat", {}, this.heartbeatMs).catch(() => {});
  }
  // endregion

  // region send
  // Sends a text; gives up after a minute. Repeat it with the same ID, even tomorrow.
  async send(toUserID, text, localMessageID = crypto.randomUUID(), isRetrySend = false) {
    const message = { type: TEXT, message: text, localMessageID };
    const body = { toUserID, message, config: { isRetrySend } };
    return (await this.call("send_peer_message", body)).message;
  }
  // endregion

  // region keep
  // Keeps a message once; false if the device misses messages of its sender before it.
  #keep(peer, message) {
    if (!this.messages.has(peer)) this.messages.set(peer, new Map());
    this.messages.get(peer).set(message.messageID, message);
    const sender = `${peer}/${message.senderUserID}`;
    const last = this.lastSeq.get(sender);
    this.lastSeq.set(sender, Math.max(last ?? 0, message.messageSeq));
    return last === undefined || message.messageSeq <= last + 1;
  }

  history(peer) {
    const messages = this.messages.get(peer)?.values() ?? [];
    return [...messages].sort((a, b) => a.orderKey - b.orderKey);
  }
  // endregion

  // region on_event
  async #readEvents(events) {
    for await (const msg of events) {
      await this.#serially(() => this.#onEvent(msg)).catch((error) => console.error(error));
    }
  }

  async #onEvent(msg) {
    if (this.revision === undefined) return; // not logged in yet: the login reads everything
    const name = msg.subject.split(".").at(-1);
    const body = codecOf(msg).decode(msg.data);
    const isNew = body.revision > this.revision;
    const missedOne = isNew && body.previousRevision !== this.revision;
    if (missedOne || body.isContentOmitted) await this.#catchUp();
    this.revision = Math.max(this.revision, body.revision);
    await this.#apply(name, body);
    this.onChange();
  }

  async #apply(name, body) {
    switch (name) {
      case "bundle": // all events of one change, where peerd is configured so
        for (const { event, body: one } of body.events ?? []) await this.#apply(event, one);
        break;
      case "peer_message_received":
        for (const message of body.messageList ?? []) {
          await this.#add(body.fromConversationID, message);
        }
        break;
      case "conversation_changed":
        for (const { conversation } of body.infoList ?? []) {
          this.conversations.set(conversation.conversationID, conversation);
          // Messages that this user sent, on any device, arrive only here.
          const last = conversation.lastMessage;
          if (last) await this.#add(conversation.conversationID, last);
        }
        break;
      case "conversation_total_unread_message_count_updated":
        this.unread = body.totalUnreadMessageCount ?? this.unread;
        break;
      case "message_deleted":
        if (body.isDeleteConversationAllMessage) this.messages.delete(body.conversationID);
        for (const { messageID } of body.messageList) {
          this.messages.get(body.conversationID)?.delete(messageID);
        }
        break;
      case "connection_state_changed":
        break; // if body.sessionID is this device's: it was logged out, tell its user
    }
  }
  // endregion

  // region catch_up
  async #add(peer, message) {
    const known = this.history(peer);
    // From before what this device has read: it comes with `older`.
    if (known.length > 0 && message.orderKey < known[0].orderKey) return;
    if (!this.#keep(peer, message)) await this.#readAfter(peer, known.at(-1));
  }

  // Reads the conversation list, and the messages that this device does not have.
  async #catchUp() {
    const config = { count: 100 };
    for (;;) {
      const reply = await this.call("query_conversation_list", { config });
      const page = reply.conversationList;
      if (page.length === 0) break;
      for (const conversation of page) {
        const peer = conversation.conversationID;
        this.conversations.set(peer, conversation);
        const last = conversation.lastMessage;
        if (last && !this.messages.get(peer)?.has(last.messageID)) {
          await this.#readAfter(peer, this.history(peer).at(-1));
        }
      }
      config.nextConversation = page.at(-1);
    }
    const totals = await this.call("query_conversation_total_unread_message_count", {});
    this.unread = totals.unreadMessageCount;
  }

  // Pages forward from the newest message; of an unknown conversation, reads the newest page.
  async #readAfter(peer, newest) {
    const config = { count: 100, reverse: newest === undefined };
    if (newest) config.nextMessage = { messageID: newest.messageID };
    for (;;) {
      const page = await this.#historyPage(peer, config);
      for (const message of page) this.#keep(peer, message);
      if (page.length === 0 || newest === undefined) return;
      config.nextMessage = { messageID: page.at(-1).messageID };
    }
  }

  async #historyPage(conversationID, config) {
    return (await this.call("query_history_message", { conversationID, config })).messageList;
  }
  // endregion

  // region read
  // For scrolling back: the page before the oldest message that this device has.
  async older(peer) {
    const config = { count: 30, reverse: true };
    const oldest = this.history(peer)[0];
    if (oldest) config.nextMessage = { messageID: oldest.messageID };
    const page = await this.#historyPage(peer, config);
    for (const message of page) this.#keep(peer, message);
    return page;
  }

  async markRead(conversationID) {
    await this.call("clear_conversation_unread_message_count", { conversationID });
  }
  // endregion
}
