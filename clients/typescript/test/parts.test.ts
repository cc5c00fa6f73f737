// Parts of the client that need no server.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { Backoff } from "../src/backoff.js";
import { complete } from "../src/complete.js";
import { contentOf } from "../src/content.js";
import { expiryOf } from "../src/credentials.js";
import { ENCODINGS, fromBase64 } from "../src/encoding.js";
import { MAX_MESSAGES_OF_CONVERSATION, MAX_MISSING } from "../src/options.js";
import { Store } from "../src/store.js";
import { token } from "../src/subjects.js";
import { Tracker } from "../src/tracker.js";
import { VERSION } from "../src/version.js";

test("subject tokens are percent-encoded, the dot too", () => {
  const cases: [string, string][] = [
    ["alice", "alice"],
    ["a.b c", "a%2Eb%20c"],
    ["user@example.com", "user%40example%2Ecom"],
    ["(!)~_-", "%28%21%29~_-"],
  ];
  for (const [userID, encoded] of cases) assert.equal(token(userID), encoded);
});

test("a tracker shows each number once, late ones too", () => {
  const tracker = new Tracker();
  const shown = [5, 6, 6, 9, 7, 7, 8, 9, 3, 4, 2].filter((seq) => tracker.show(seq));
  assert.deepEqual(shown, [5, 6, 9, 7, 8, 3, 4, 2]);
  assert.equal(tracker.verdict(10), "next");
  assert.equal(tracker.verdict(12), "afterGap");
  // Of a large gap only the newest numbers may still come.
  tracker.show(20 + MAX_MISSING);
  assert.equal(tracker.verdict(12), "repeated");
  assert.equal(tracker.verdict(19 + MAX_MISSING), "late");
});

test("pauses double up to their maximum, with jitter", () => {
  const backoff = new Backoff(100, 1000);
  const bounds = [100, 200, 400, 800, 1000, 1000];
  for (const bound of bounds) {
    const pause = backoff.next();
    assert.ok(pause >= bound / 2 && pause <= bound, `${pause} of ${bound}`);
  }
  backoff.reset();
  assert.ok(backoff.next() <= 100);
});

test("both encodings carry bytes, and leave out what is undefined", () => {
  const body = { bytes: new Uint8Array([0, 200, 255]), left: undefined, text: "ü" };
  const json = ENCODINGS.json.decode(ENCODINGS.json.encode(body)) as Record<string, string>;
  assert.deepEqual(Object.keys(json), ["bytes", "text"]);
  assert.deepEqual(fromBase64(json["bytes"] ?? ""), body.bytes);
  const packed = ENCODINGS.msgpack.decode(ENCODINGS.msgpack.encode(body));
  assert.deepEqual(complete(packed), { bytes: body.bytes, text: "ü" });
});

test("bodies get the fields that peerd leaves out at their default", () => {
  const lastMessage = { type: 11, sentStatus: 1, fileDownloadUrl: "x", reactions: [] };
  const shown = complete({ conversationName: "Bob", lastMessage }) as Record<string, unknown>;
  assert.equal(shown["conversationAvatarUrl"], "");
  const { fileName, thumbnailWidth, editedTime } = shown["lastMessage"] as Record<string, unknown>;
  assert.deepEqual([fileName, thumbnailWidth, editedTime], ["", 0, 0]);
  const command = complete({ type: 2, sentStatus: 1, message: "AP8=" }) as { message: Uint8Array };
  assert.deepEqual(command.message, new Uint8Array([0, 255]));
});

test("only the content of a message object is sent", () => {
  const file = new File([], "photo.png");
  const image = {
    type: 11,
    fileLocalPath: file,
    fileDownloadUrl: "x",
    messageID: "1",
    timestamp: 2,
  };
  assert.deepEqual(contentOf(image as never), { type: 11, fileDownloadUrl: "x" });
  assert.throws(() => contentOf({ type: 31 }), { code: 6000001 });
});

test("the memory is bounded, and sorted by order key", () => {
  const known = new Store().of("bob");
  for (let at = 0; at < MAX_MESSAGES_OF_CONVERSATION + 10; at += 1) {
    const orderKey = (at * 7919) % 10_007;
    known.keep({ type: 1, messageID: `${at}`, orderKey });
  }
  assert.equal(known.size, MAX_MESSAGES_OF_CONVERSATION);
  const keys = known.messages.map(({ orderKey = 0 }) => orderKey);
  assert.deepEqual(
    keys,
    [...keys].sort((a, b) => a - b),
  );
});

test("the expiry of a JWT is read from it", () => {
  const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString("base64url");
  const jwt = `${part({ alg: "ed25519-nkey" })}.${part({ exp: 1_800_000_000 })}.signature`;
  assert.equal(expiryOf({ token: jwt }), 1_800_000_000_000);
  assert.equal(expiryOf({ token: "a.b.c" }), undefined);
  assert.equal(expiryOf({ password: "secret" }), undefined);
});

test("the version is that of the package", () => {
  const text = readFileSync(new URL("../../package.json", import.meta.url), "utf8");
  assert.equal((JSON.parse(text) as { version: string }).version, VERSION);
});

test("the entry for browsers needs nothing of Node", () => {
  const seen = new Set<string>();
  const visit = (url: URL): void => {
    if (seen.has(url.href)) return;
    seen.add(url.href);
    const source = readFileSync(url, "utf8");
    for (const [, target = ""] of source.matchAll(/from "([^"]+)"/g)) {
      if (target.startsWith(".")) visit(new URL(target, url));
      else assert.ok(["@nats-io/nats-core", "@msgpack/msgpack"].includes(target), target);
    }
  };
  visit(new URL("../src/browser.js", import.meta.url));
  assert.ok(seen.size > 20);
});
