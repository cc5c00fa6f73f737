import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { ZIM, ZIMConversationType, ZIMMessageType } from "../src/node.js";
import { Nats, Peerd, until } from "./servers.js";

let nats: Nats;
let peerd: Peerd;

before(async () => {
  nats = await Nats.start();
  peerd = await Peerd.start(nats);
});
after(async () => {
  await peerd.close();
  await nats.close();
});

test("a message arrives", async () => {
  const alice = new ZIM({ servers: nats.url });
  const bob = new ZIM({ servers: nats.webSocketUrl, encoding: "json" });
  const seen: string[] = [];
  bob.on("peerMessageReceived", (_, { messageList }) => {
    for (const message of messageList) if ("message" in message) seen.push(String(message.message));
  });
  bob.on("error", (_, error) => console.log(error));
  alice.on("error", (_, error) => console.log(error));
  await bob.login("bob", { userName: "Bob" });
  await alice.login("alice", { userName: "Alice" });
  const message = { type: ZIMMessageType.Text, message: "Hello!" };
  const sent = await alice.sendMessage(message, "bob", ZIMConversationType.Peer, {});
  assert.equal(sent.message.sentStatus, 1);
  assert.equal(sent.message, message);
  await until("bob has it", () => seen.length > 0);
  const list = await bob.queryConversationList({ count: 10 });
  assert.equal(list.conversationList[0]?.conversationName, "Alice");
  await alice.logout();
  await bob.logout();
});
