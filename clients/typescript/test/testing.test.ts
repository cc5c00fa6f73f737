// The servers that the package starts for the tests of applications.
import assert from "node:assert/strict";
import { chmodSync, existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { ZIM, ZIMConversationType } from "../src/node.js";
import { Peerd, natsServerBinary, peerdBinary, startPeerd } from "../src/testing.js";
import { text } from "./users.js";

test("one line starts both, and nothing is left of them", async () => {
  const server = await startPeerd({ options: { "limits.messages_per_second": 1 } });
  try {
    const alice = new ZIM({ servers: server.url });
    await alice.login("alice", {});
    const send = () => alice.sendMessage(text("Hello!"), "bob", ZIMConversationType.Peer);
    assert.equal((await send()).message.messageSeq, 1);
    const other = await Peerd.start(server.nats);
    await server.peerd.stop();
    assert.equal((await send()).message.messageSeq, 2);
    await other.close();
    await alice.logout();
  } finally {
    await server.close();
  }
  assert.ok(!existsSync(server.nats.folder) && !existsSync(server.peerd.folder));
});

test("a missing binary is an error that names the remedy", async (context) => {
  const folder = mkdtempSync(join(tmpdir(), "peerd-"));
  const before = { ...process.env };
  context.after(() => {
    Object.assign(process.env, before);
    rmSync(folder, { recursive: true });
  });
  process.env.PEERD = "no-such-peerd";
  assert.throws(peerdBinary, /put peerd on the PATH, or name its binary with PEERD/);
  const old = join(folder, "nats-server");
  writeFileSync(old, "#!/bin/sh\necho nats-server: v2.11.9\n");
  chmodSync(old, 0o755);
  process.env.NATS_SERVER = old;
  assert.throws(natsServerBinary, /is nats-server: v2\.11\.9\): put one on the PATH, or name/);
  delete process.env.NATS_SERVER;
  process.env.PATH = "/nowhere";
  assert.throws(natsServerBinary, /no nats-server 2\.12 or later \(no nats-server\)/);
});

test("a server that does not start shows its log", async () => {
  const options = { "limits.messages_per_second": "many" };
  await assert.rejects(startPeerd({ options }), /peerd ended:[^]*messages_per_second/);
});
