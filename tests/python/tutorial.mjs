// Runs the JavaScript listings of docs/tutorial.md: the client on Node, and the browser's bundle
// over WebSocket, with a document that holds what the page needs of one.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { pathToFileURL } from "node:url";

const folder = pathToFileURL(`${process.argv[2]}/`);
const { Client, MessagePack, Refused, token } = await import(new URL("chat.mjs", folder));
const { connectNode } = await import(new URL("node.mjs", folder));
const browser = await import(new URL("public/browser.js", folder));
const { NATS_URL, NATS_WS_URL } = process.env;

// Long, because a call waits and is repeated by itself.
const DEADLINE_MS = 60_000;
const texts = (client, peer) => client.history(peer).map(({ message }) => message);
const node = async (user, device, codec) => {
  const client = new Client(user, device, codec);
  await connectNode(client, NATS_URL, `${user}-secret`);
  return client;
};

async function until(what, condition) {
  const deadline = Date.now() + DEADLINE_MS;
  while (!condition()) {
    assert(Date.now() < deadline, `did not happen: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

// As much of a document as the listing uses.
function fakeDocument() {
  const list = { lines: [], replaceChildren: (...lines) => (list.lines = lines) };
  const form = {
    elements: { text: { value: "" } },
    addEventListener: (_, listener) => (form.submit = listener),
  };
  return {
    list,
    form,
    querySelector: (selector) => (selector === "form" ? form : list),
    createElement: () => ({ textContent: "" }),
  };
}

for (const [userID, encoded] of JSON.parse(await readFile(new URL("tokens.json", folder)))) {
  assert.equal(token(userID), encoded);
}

const alice = await node("alice", "node");
const document = fakeDocument();
const bob = await browser.showChat(document, NATS_WS_URL);
const shown = () => document.list.lines.at(-1)?.textContent;

const sent = await alice.send("bob", "Hello, browser!");
await until("bob's page shows the message", () => shown() === "alice: Hello, browser!");
document.form.elements.text.value = "Hello, Node!";
await document.form.submit({ preventDefault() {} });
await until("alice has the answer", () => texts(alice, "bob").at(-1) === "Hello, Node!");
await until("bob's page shows the answer", () => shown() === "bob: Hello, Node!");

await until("a total", () => bob.unread > 0 && alice.unread > 0);
await bob.markRead("alice");
await until("nothing unread", () => bob.unread === 0);

const repeated = await alice.send("bob", "Hello, browser!", sent.localMessageID, true);
assert.equal(repeated.messageID, sent.messageID);
await assert.rejects(alice.send("bob", " "), (error) => error instanceof Refused);
const fast = await Promise.all([...Array(12).keys()].map((n) => alice.send("bob", `fast ${n}`)));
assert.equal(new Set(fast.map(({ messageID }) => messageID)).size, 12);

// Another device of alice, in the other encoding and over WebSocket.
const tablet = new browser.Client("alice", "tablet", browser.MessagePack);
await browser.connectBrowser(tablet, NATS_WS_URL, "alice-secret");
assert.deepEqual(texts(tablet, "bob"), texts(alice, "bob").slice(-100));
await tablet.send("bob", "from the tablet");
await until("own sends of others", () => texts(alice, "bob").at(-1) === "from the tablet");

// A reconnect: a login, and what was missed.
await tablet.nc.reconnect();
await alice.send("bob", "while the tablet was away");
await until("a catch-up", () => texts(tablet, "bob").at(-1) === "while the tablet was away");

// An event that was lost.
class Lossy {
  constructor(nc) {
    this.nc = nc;
    for (const name of ["request", "flush", "status", "close"]) {
      this[name] = (...args) => nc[name](...args);
    }
  }
  async *subscribe(subject) {
    for await (const msg of this.nc.subscribe(subject)) {
      if (!new TextDecoder().decode(msg.data).includes("lost on the way")) yield msg;
    }
  }
}
const plain = await node("bob", "plain");
const lossy = new Client("bob", "lossy");
await lossy.start(new Lossy(plain.nc));
await alice.send("bob", "lost on the way");
await until("the message", () => texts(plain, "alice").at(-1) === "lost on the way");
assert.notEqual(texts(lossy, "alice").at(-1), "lost on the way");
await alice.send("bob", "arrives");
await until("mended", () => texts(lossy, "alice").slice(-2).join() === "lost on the way,arrives");

for (const client of [alice, bob, tablet, lossy, plain]) await client.close();
void MessagePack;
