// Sessions: credentials and their renewal, kicks, several devices and listeners, bundles.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { credsAuthenticator } from "@nats-io/nats-core";
import { connect } from "@nats-io/transport-node";
import { ZIM, ZIMConnectionEvent, ZIMConnectionState } from "../src/node.js";
import type { ZIMMessage } from "../src/node.js";
import { Operator } from "./jwts.js";
import { Nats, startPeerd, until } from "./servers.js";
import type { Peerd } from "./servers.js";
import type { Login, Options } from "../src/testing.js";
import { PEER, User, text, textOf } from "./users.js";

/** Servers for the tests of a group. */
function servers(
  configuration: string,
  options: Options = {},
  login: Login = {},
): { nats: () => Nats } {
  let nats: Nats | undefined;
  let peerd: Peerd | undefined;
  before(async () => {
    nats = await Nats.start(configuration);
    peerd = await startPeerd(nats, options, login);
  });
  after(async () => {
    await peerd?.close();
    await nats?.close();
  });
  return { nats: () => nats ?? assert.fail("not started") };
}

describe("user and password", () => {
  const user = (name: string): string => `{
    user: "${name}", password: "${name}-secret"
    permissions: {
      publish: { allow: [ "peer.api.${name}.>" ] }
      subscribe: { allow: [ "peer.event.${name}.>", "_INBOX_${name}.>" ] }
    }
  }`;
  const { nats } = servers(
    `authorization { users: [ { user: peerd, password: secret }, ${user("alice")}, ${user("bob")} ] }`,
    { "nats.user": "peerd", "nats.password": "secret" },
    { user: "peerd", pass: "secret" },
  );

  test("a user has the permissions of the documentation, and no more", async () => {
    const options = { servers: nats().url };
    const [alice, bob] = [new User("alice", options), new User("bob", options)];
    await alice.zim.login("alice", { password: "alice-secret" });
    await bob.zim.login("bob", { password: "bob-secret" });
    await alice.send(bob, "Hello!");
    await until("it arrived", () => bob.received.length === 1);
    const wrong = new ZIM(options);
    await assert.rejects(wrong.login("alice", { password: "wrong" }), { code: 6000103 });
    const other = { user: "alice", password: "alice-secret" };
    await assert.rejects(wrong.login("bob", other), { code: 6000103 });
    await assert.rejects(alice.zim.login("bob", {}), { code: 6000111 });
    await alice.zim.login("alice", {});
    await alice.zim.logout();
    await bob.zim.logout();
    assert.equal(alice.state, ZIMConnectionState.Disconnected);
    await assert.rejects(alice.send(bob, "Hello?"), { code: 6000121 });
  });

  test("without a server, a login fails in time, and an offline login goes on", async () => {
    const options = { servers: "nats://127.0.0.1:1", loginTimeoutMs: 50 };
    const zim = new ZIM(options);
    await assert.rejects(zim.login("alice", {}), { code: 6000104 });
    const alice = new User("alice", { servers: nats().url, password: "alice-secret" });
    await alice.zim.login("alice", { isOfflineLogin: true });
    assert.equal(alice.state, ZIMConnectionState.Connecting);
    const sent = await alice.zim.sendMessage(text("early"), "bob", PEER, {});
    assert.equal(sent.message.sentStatus, 1);
    await alice.zim.logout();
  });
});

describe("credentials that expire", () => {
  // Long enough for a login on a busy machine.
  const LIFETIME_S = 5;
  const operator = new Operator();
  const folder = mkdtempSync(join(tmpdir(), "peerd-creds-"));
  const file = join(folder, "peerd.creds");
  const creds = operator.creds();
  writeFileSync(file, creds);
  after(() => rmSync(folder, { recursive: true }));
  const { nats } = servers(
    operator.configuration,
    { "nats.credentials_file": file },
    { authenticator: credsAuthenticator(new TextEncoder().encode(creds)) },
  );

  test("a renewed token keeps the session, and an expired one ends it", async () => {
    const alice = new User("alice", { servers: nats().url });
    let renewed = 0;
    alice.zim.on("tokenWillExpire", (zim, { second }) => {
      assert.ok(second <= 30);
      renewed += 1;
      if (renewed === 1) void zim.renewToken(operator.creds("alice", 3600));
    });
    const bob = new User("bob", { servers: nats().url });
    await alice.zim.login("alice", { token: operator.creds("alice", LIFETIME_S) });
    await bob.zim.login("bob", { token: operator.creds("bob", LIFETIME_S) });
    const end = await bob.sees("connectionStateChanged", ({ state }) => state === 0);
    assert.equal(end.event, ZIMConnectionEvent.TokenExpired);
    // The server ended bob's connection, and has not ended alice's.
    await until("alice is back", () => alice.events("connectionStateChanged").length >= 4);
    await alice.zim.querySelfUserInfo();
    assert.equal(alice.state, ZIMConnectionState.Connected);
    await alice.zim.logout();
    await assert.rejects(bob.zim.querySelfUserInfo(), { code: 6000121 });
    await bob.zim.login("bob", { token: operator.creds("bob") });
    await bob.zim.logout();
  });
});

describe("bundled events, and the rate of peerd's defaults", () => {
  const { nats } = servers("", {
    "events.bundle": true,
    "limits.messages_per_second": 10,
  });

  test("the queue sends as fast as peerd allows", async () => {
    const alice = await User.login("alice", { servers: nats().url });
    const bob = await User.login("bob", { servers: nats().url });
    const texts = Array.from({ length: 25 }, (_, at) => `${at}`);
    await Promise.all(texts.map((one) => alice.send(bob, one)));
    await until("all arrived", () => bob.received.length === texts.length);
    assert.deepEqual(bob.received, texts);
    await alice.zim.logout();
    await bob.zim.logout();
  });

  test("each event of a bundle is shown", async () => {
    const alice = await User.login("alice", { servers: nats().url });
    const bob = await User.login("bob", { servers: nats().url, encoding: "json" });
    await alice.send(bob, "Hello!");
    await bob.sees(
      "conversationTotalUnreadMessageCountUpdated",
      (body) => body.totalUnreadMessageCount === 1,
    );
    assert.deepEqual(bob.received, ["Hello!"]);
    await bob.sees("conversationChanged", ({ infoList }) => infoList[0]?.event === 0);
    await alice.sees("conversationChanged", ({ infoList }) => infoList[0]?.event === 0);
    await alice.zim.logout();
    await bob.zim.logout();
  });
});

describe("devices and listeners", () => {
  const { nats } = servers("", { "session.max_sessions": 2 });

  test("several listeners see each event, and one that throws disturbs none", async () => {
    const alice = await User.login("alice", { servers: nats().url });
    const bob = await User.login("bob", { servers: nats().url });
    const seen: string[] = [];
    const note = (of: string) => (_: ZIM, body: { messageList: ZIMMessage[] }) =>
      void seen.push(`${of}: ${body.messageList.map(textOf).join()}`);
    const [first, second] = [note("first"), note("second")];
    bob.zim.on("peerMessageReceived", first);
    bob.zim.on("peerMessageReceived", () => {
      throw new Error("broken");
    });
    bob.zim.on("peerMessageReceived", second);
    bob.zim.on("peerMessageReceived", second);
    bob.zim.on("receivePeerMessage", note("older name"));
    await alice.send(bob, "1");
    await until("all saw it", () => seen.length === 3);
    assert.deepEqual(seen, ["older name: 1", "first: 1", "second: 1"]);
    await bob.sees("error", ({ message }) => message.includes("broken"));
    bob.zim.off("peerMessageReceived", first);
    await alice.send(bob, "2");
    await until("the rest saw it", () => seen.length === 5);
    assert.deepEqual(seen.slice(3), ["older name: 2", "second: 2"]);
    bob.zim.off("peerMessageReceived");
    await alice.send(bob, "3");
    await until("the older name saw it", () => seen.length === 6);
    await alice.zim.logout();
    await bob.zim.logout();
  });

  test("both encodings, and own sends on another device", async () => {
    const alice = await User.login("alice", { servers: nats().url, encoding: "json" });
    const other = new User(alice.id, { servers: nats().url, encoding: "msgpack" });
    await other.zim.login(alice.id, {});
    const bob = await User.login("bob", { servers: nats().url });
    await alice.send(bob, "Hello!");
    await other.sees("conversationChanged", ({ infoList }) => {
      const last = infoList[0]?.conversation.lastMessage;
      return last !== undefined && textOf(last) === "Hello!";
    });
    await bob.send(alice, "Hello, Alice!");
    await until("both have it", () => alice.received.length + other.received.length === 2);
    for (const user of [alice, other, bob]) await user.zim.logout();
  });

  test("the earliest session is kicked", async () => {
    const devices: User[] = [];
    for (const deviceID of ["one", "two", "three"]) {
      const device = new User("carol", { servers: nats().url, deviceID });
      await device.zim.login("carol", {});
      devices.push(device);
    }
    const [first, second, third] = devices as [User, User, User];
    const end = await first.sees("connectionStateChanged", ({ state }) => state === 0);
    assert.equal(end.event, ZIMConnectionEvent.KickedOut);
    await assert.rejects(first.zim.querySelfUserInfo(), { code: 6000121 });
    assert.equal(second.state, ZIMConnectionState.Connected);
    await second.zim.logout();
    await third.zim.logout();
  });

  test("a session that ended at peerd is begun again", async () => {
    const dave = new User("dave", { servers: nats().url });
    await dave.zim.login("dave", { customStatus: "here", customStatusDuration: 60 });
    const other = new User("dave", { servers: nats().url });
    await other.zim.login("dave", {});
    // A logout without a session ID ends all sessions.
    const nc = await connect({ servers: nats().url });
    await nc.request("peer.api.dave.logout", "{}");
    await nc.close();
    const self = await dave.zim.querySelfUserInfo();
    assert.equal(self.selfUserInfo.userStatus.customStatus, "here");
    await dave.zim.logout();
    await other.zim.logout();
  });

  test("messages of the offline time are shown at the login", async () => {
    const alice = await User.login("alice", { servers: nats().url });
    const bob = await User.login("bob", { servers: nats().url });
    await bob.zim.logout();
    await alice.send(bob, "while you were away");
    await bob.zim.login(bob.id, {});
    await until("it arrived", () => bob.received.length === 1);
    assert.deepEqual(bob.received, ["while you were away"]);
    await alice.zim.logout();
    await bob.zim.logout();
  });
});

test("create makes one client, until it is destroyed", () => {
  const zim = ZIM.create({ appID: 0 });
  assert.equal(ZIM.create(0), null);
  assert.equal(ZIM.getInstance(), zim);
  zim?.destroy();
  assert.equal(ZIM.getInstance(), null);
});
