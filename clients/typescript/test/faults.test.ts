// Faults while messages are sent: nothing is lost, doubled or out of order.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { Proxy } from "./proxy.js";
import { Nats, startPeerd, until } from "./servers.js";
import type { Peerd } from "./servers.js";
import { User } from "./users.js";

let nats: Nats;
let peerd: Peerd;
const proxies: Proxy[] = [];

before(async () => {
  nats = await Nats.start();
  // A dead instance is noticed sooner, and so is a lost request.
  peerd = await startPeerd(nats, { "cluster.member_ttl_ms": 1000 });
});
after(async () => {
  for (const proxy of proxies) await proxy.close();
  await peerd.close();
  await nats.close();
});

async function behindProxy(name: string): Promise<{ user: User; proxy: Proxy }> {
  const proxy = await Proxy.start(nats.port);
  proxies.push(proxy);
  return { user: await User.login(name, { servers: proxy.url, requestTimeoutMs: 3000 }), proxy };
}

const numbered = (count: number, prefix: string): string[] =>
  Array.from({ length: count }, (_, at) => `${prefix} ${at + 1}`);

/** Sends all at once; resolves with the texts in the order of their keys. */
async function sendAll(from: User, to: User, texts: string[]): Promise<void> {
  const sent = await Promise.all(texts.map((text) => from.send(to, text)));
  const keys = sent.map(({ orderKey = 0 }) => orderKey);
  assert.deepEqual(
    keys,
    [...keys].sort((a, b) => a - b),
    "stored in the order of the sends",
  );
}

/** Lets `fault` happen once so many messages have arrived. */
async function once(user: User, count: number, fault: () => void | Promise<void>): Promise<void> {
  await until(`${count} messages arrived`, () => user.received.length >= count);
  await fault();
}

test("1,000 messages each way, through every fault", { timeout: 120_000 }, async () => {
  const alice = await behindProxy("alice");
  const bob = await behindProxy("bob");
  const toBob = numbered(1000, "to bob");
  const toAlice = numbered(1000, "to alice");
  const sends = Promise.all([
    sendAll(alice.user, bob.user, toBob),
    sendAll(bob.user, alice.user, toAlice),
  ]);
  await once(bob.user, 100, () => alice.proxy.cut());
  await once(bob.user, 200, () => bob.proxy.cut());
  await once(bob.user, 300, async () => {
    await nats.stop("SIGKILL");
    await nats.start();
  });
  await once(bob.user, 400, async () => {
    await peerd.stop("SIGKILL");
    await peerd.start();
  });
  await once(bob.user, 500, async () => {
    await peerd.stop("SIGTERM");
    await peerd.start();
  });
  await once(bob.user, 600, async () => {
    bob.proxy.block();
    await bob.user.isReconnecting();
    bob.proxy.restore();
  });
  await sends;
  await until("all arrived", () => bob.user.received.length >= toBob.length);
  await until("all arrived", () => alice.user.received.length >= toAlice.length);
  assert.deepEqual(bob.user.received, toBob);
  assert.deepEqual(alice.user.received, toAlice);
  const list = await alice.user.zim.queryConversationList({ count: 10 });
  assert.equal(list.conversationList[0]?.unreadMessageCount, 1000);
  await alice.user.zim.logout();
  await bob.user.zim.logout();
});
