// The example application, between two users.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { after, before, test } from "node:test";
import { promisify } from "node:util";
import { Chat } from "../examples/quick-start.js";
import { ZIM } from "@peerd/client";
import type { ZIMTextMessage } from "@peerd/client";
import { Nats, startPeerd, until } from "./servers.js";
import type { Peerd } from "./servers.js";

let nats: Nats;
let peerd: Peerd;

before(async () => {
  nats = await Nats.start();
  peerd = await startPeerd(nats);
});
after(async () => {
  await peerd.close();
  await nats.close();
});

test("an application written for the SDK runs", async () => {
  const created = ZIM.create({ appID: 123 });
  assert.ok(created);
  const alice = new Chat(created);
  const bob = new Chat(new ZIM({ servers: nats.webSocketUrl }));
  await alice.open("alice", "Alice", { servers: nats.url });
  await bob.open("bob", "Bob", {});
  assert.equal(bob.screen.connection, 2);
  await alice.write("Hello, Bob!", "bob");
  await alice.write("How are you?", "bob");
  const texts = (chat: Chat): string[] =>
    chat.screen.messages.map((message) => (message as ZIMTextMessage).message);
  await until("bob sees both", () => texts(bob).length === 2 && bob.screen.unread === 2);
  assert.deepEqual(texts(bob), ["Hello, Bob!", "How are you?"]);
  assert.equal(bob.screen.conversations[0]?.conversationName, "Alice");
  await bob.openConversation("alice");
  await until("nothing is unread", () => bob.screen.unread === 0);
  await bob.write("Fine!", "alice");
  await until("alice sees the answer", () => texts(alice).length === 3);
  assert.deepEqual(texts(alice), ["Hello, Bob!", "How are you?", "Fine!"]);
  await bob.mute("alice");
  await until("the mute is shown", () => bob.screen.conversations[0]?.notificationStatus === 2);
  alice.close();
  bob.close();
});

test("the quick start of the README runs, and is shown as it is", async () => {
  const root = new URL("../../", import.meta.url);
  const file = new URL("examples/hello.mjs", root);
  const readme = readFileSync(new URL("README.md", root), "utf8");
  assert.ok(readme.includes(`\`\`\`js\n${readFileSync(file, "utf8")}\`\`\``), "README.md differs");
  const env = { ...process.env, NATS_URL: nats.url };
  const { stdout } = await promisify(execFile)("node", [file.pathname], { env, timeout: 30_000 });
  assert.equal(stdout, "Alice: Hello, Bob!\nBob: Hello, Alice!\n");
});
