// Alice writes to Bob, and Bob answers: both in one process, as a first try.
import { ZIM, ZIMConversationType, ZIMMessageType } from "@peerd/client";

const servers = process.env.NATS_URL ?? "nats://127.0.0.1:4222";
const alice = new ZIM({ servers });
const bob = new ZIM({ servers });
const text = (message) => ({ type: ZIMMessageType.Text, message });

const answered = new Promise((resolve) => {
  alice.on("peerMessageReceived", (_, { messageList }) => resolve(messageList[0]));
});
bob.on("peerMessageReceived", async (zim, { messageList, fromConversationID }) => {
  for (const { message } of messageList) console.log(`Alice: ${message}`);
  await zim.sendMessage(text("Hello, Alice!"), fromConversationID, ZIMConversationType.Peer);
});

await alice.login("alice", { userName: "Alice", password: process.env.ALICE_PASSWORD });
await bob.login("bob", { userName: "Bob", password: process.env.BOB_PASSWORD });
await alice.sendMessage(text("Hello, Bob!"), "bob", ZIMConversationType.Peer);
console.log(`Bob: ${(await answered).message}`);

await alice.logout();
await bob.logout();
