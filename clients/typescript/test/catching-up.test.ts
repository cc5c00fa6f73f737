// Events that the client missed, while it was away or because they were lost.
import assert from "node:assert/strict";
import { after, afterEach, before, beforeEach, test } from "node:test";
import { ZIMConversationEvent, ZIMMessageType } from "../src/node.js";
import type { ZIMMessage } from "../src/node.js";
import { Proxy } from "./proxy.js";
import { Nats, startPeerd, until } from "./servers.js";
import type { Peerd } from "./servers.js";
import { PEER, User, text, textOf } from "./users.js";

let nats: Nats;
let peerd: Peerd;
let proxy: Proxy;
let alice: User;
let bob: User;

before(async () => {
  nats = await Nats.start();
  peerd = await startPeerd(nats);
});
after(async () => {
  await peerd.close();
  await nats.close();
});
beforeEach(async () => {
  proxy = await Proxy.start(nats.port);
  alice = await User.login("alice", { servers: nats.url });
  bob = await User.login("bob", { servers: proxy.url });
});
afterEach(async () => {
  await alice.zim.logout();
  await bob.zim.logout();
  await proxy.close();
});

/** Lets bob be away while something happens. */
async function away(run: () => Promise<void>): Promise<void> {
  proxy.block();
  await bob.isReconnecting();
  await run();
  const synced = bob.synced;
  proxy.restore();
  await until("bob has caught up", () => bob.synced > synced);
}

test("a lost event is noticed by the next one, and nothing is shown twice", async () => {
  await alice.send(bob, "1");
  await until("it arrived", () => bob.received.length === 1);
  for (const lost of ["peer_message_received", "conversation_changed", ""]) {
    const before = bob.received.length;
    proxy.lose((subject) => subject.endsWith(lost));
    await alice.send(bob, `${before + 1}`);
    // Events are published before the reply; a call of bob comes after them on his connection.
    await bob.zim.querySelfUserInfo();
    proxy.lose(undefined);
    await alice.send(bob, `${before + 2}`);
    await until("both arrived", () => bob.received.length === before + 2);
  }
  assert.deepEqual(bob.received, ["1", "2", "3", "4", "5", "6", "7"]);
  await bob.sees(
    "conversationChanged",
    ({ infoList }) => infoList[0]?.conversation.unreadMessageCount === 7,
  );
});

test("messages that came while the client was away are shown once and in order", async () => {
  await alice.send(bob, "before");
  await until("it arrived", () => bob.received.length === 1);
  const missed = Array.from({ length: 230 }, (_, at) => `missed ${at}`);
  const carol = await User.login("carol", { servers: nats.url });
  await away(async () => {
    await Promise.all(missed.map((one) => alice.send(bob, one)));
    await carol.send(bob, "Hello from Carol!");
  });
  await alice.send(bob, "after");
  await until("all arrived", () => bob.received.includes("after"));
  const ofAlice = bob.messages.filter((message) => message.senderUserID === alice.id).map(textOf);
  assert.deepEqual(ofAlice, ["before", ...missed, "after"]);
  assert.ok(bob.received.includes("Hello from Carol!"));
  const added = bob.events("conversationChanged").flatMap(({ infoList }) => infoList);
  const ofCarol = added.find(({ conversation }) => conversation.conversationID === carol.id);
  assert.equal(ofCarol?.event, ZIMConversationEvent.Added);
  await carol.zim.logout();
});

test("what happened to known messages meanwhile is shown", async () => {
  const sent: ZIMMessage[] = [];
  for (const one of ["edited", "revoked", "reacted", "pinned", "deleted", "receipt"]) {
    const message = text(one) as ZIMMessage;
    await alice.zim.sendMessage(message, bob.id, PEER, { hasReceipt: true });
    sent.push(message);
  }
  await until("all arrived", () => bob.messages.length === sent.length);
  const [edited, revoked, reacted, pinned] = sent as [
    ZIMMessage,
    ZIMMessage,
    ZIMMessage,
    ZIMMessage,
  ];
  const [deleted, receipt] = bob.messages.slice(4) as [ZIMMessage, ZIMMessage];
  const other = new User(bob.id, { servers: nats.url });
  await other.zim.login(bob.id, {});
  await away(async () => {
    await alice.zim.editMessage({ ...edited, message: "edited!" } as ZIMMessage, {});
    await alice.zim.revokeMessage(revoked);
    await alice.zim.addMessageReaction("👍", reacted);
    await alice.zim.pinMessage(pinned, true);
    await other.zim.deleteMessages([deleted], alice.id, PEER, {});
    await other.zim.sendMessageReceiptsRead([receipt], alice.id, PEER);
  });
  const is = (message: ZIMMessage | undefined, other: ZIMMessage): boolean =>
    message?.messageID === other.messageID;
  await bob.sees("messageEdited", (body) => is(body.messageList[0], edited));
  await bob.sees("messageRevokeReceived", (body) => is(body.messageList[0], revoked));
  await bob.sees("messageReactionsChanged", (body) => body.reactions[0]?.totalCount === 1);
  await bob.sees("messagePinStatusChanged", (body) => is(body.infos[0]?.message, pinned));
  await bob.sees("messageDeleted", (body) => is(body.messageList[0], deleted));
  await bob.sees("messageReceiptChanged", (body) => body.infos[0]?.messageID === receipt.messageID);
  await other.zim.logout();
});

test("a conversation that another device deleted meanwhile is shown as deleted", async () => {
  await alice.send(bob, "Hello!");
  await bob.sees("conversationChanged", () => true);
  const other = new User(bob.id, { servers: nats.url });
  await other.zim.login(bob.id, {});
  await away(() => other.zim.deleteConversation(alice.id, PEER, {}).then(() => undefined));
  await bob.sees(
    "conversationChanged",
    ({ infoList }) => infoList[0]?.event === ZIMConversationEvent.Deleted,
  );
  await bob.sees(
    "conversationTotalUnreadMessageCountUpdated",
    (body) => body.totalUnreadMessageCount === 0,
  );
  await other.zim.logout();
});

test("messages that were sent while the connection was lost are queued", async () => {
  proxy.block();
  await bob.isReconnecting();
  const messages = ["one", "two", "three"].map((one) => text(one) as ZIMMessage);
  const sends = messages.map((message) => bob.zim.sendMessage(message, alice.id, PEER, {}));
  const command = { type: ZIMMessageType.Command, message: new Uint8Array([1]) } as ZIMMessage;
  const sendOfCommand = bob.zim.sendMessage(command, alice.id, PEER, {});
  assert.deepEqual(
    messages.map(({ sentStatus }) => sentStatus),
    [0, 0, 0],
  );
  proxy.restore();
  await Promise.all([...sends, sendOfCommand]);
  assert.deepEqual(
    messages.map(({ sentStatus }) => sentStatus),
    [1, 1, 1],
  );
  await until("all arrived", () => alice.messages.length === 4);
  const texts = alice.messages.filter(({ type }) => type === ZIMMessageType.Text).map(textOf);
  assert.deepEqual(texts, ["one", "two", "three"]);
});

test("a queued message fails when its time is over, and is stored once when sent again", async () => {
  const carol = new User("carol", { servers: proxy.url, sendTimeoutMs: 1, maxQueuedMessages: 2 });
  await carol.zim.login("carol", {});
  proxy.block();
  await carol.isReconnecting();
  const message = text("late") as ZIMMessage;
  const queued = [message, text("later") as ZIMMessage].map((one) =>
    carol.zim.sendMessage(one, alice.id, PEER, {}),
  );
  // The queue is full.
  await assert.rejects(carol.zim.sendMessage(text("last"), alice.id, PEER, {}), { code: 6000004 });
  for (const send of queued) await assert.rejects(send, { code: 6000104 });
  assert.equal(message.sentStatus, 2);
  await carol.sees("messageSentStatusChanged", ({ infos }) => infos[0]?.message === message);
  await carol.zim.logout();
  proxy.restore();
  const again = new User("carol", { servers: nats.url });
  await again.zim.login("carol", {});
  const first = await again.zim.sendMessage(message, alice.id, PEER, { isRetrySend: true });
  const repeat = { ...message, messageID: "" } as ZIMMessage;
  const second = await again.zim.sendMessage(repeat, alice.id, PEER, { isRetrySend: true });
  assert.equal(first.message.messageID, second.message.messageID);
  await until("it arrived", () => alice.received.includes("late"));
  await again.zim.logout();
});
