// Repeats of calls, and events beyond the bound, with a scripted connection.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Calls } from "../src/calls.js";
import type { CallOptions } from "../src/calls.js";
import type { Answer, Connection } from "../src/connection.js";
import { ENCODINGS } from "../src/encoding.js";
import { PeerError, Unanswered } from "../src/errors.js";
import { Inbox } from "../src/inbox.js";
import { Listeners } from "../src/listeners.js";
import { MAX_QUEUED_EVENTS, settings } from "../src/options.js";
import { Store } from "../src/store.js";
import { ZIMMessageType } from "../src/types/enums.js";
import type { ZIM } from "../src/zim.js";
import { until } from "./servers.js";

type Step = "lost" | "nobody" | { code: number; reason: string; retryAfterMs?: number } | object;

/** Calls whose attempts end as the steps say; the bodies that were sent, and the logins. */
function scripted(...steps: Step[]) {
  const bodies: unknown[] = [];
  let logins = 0;
  const request = (_: string, __: unknown, body: unknown): Promise<Answer> => {
    bodies.push(body);
    const step = steps.shift();
    if (step === "lost") return Promise.reject(new Unanswered("lost", true));
    if (step === "nobody") return Promise.reject(new Unanswered("nobody", false));
    const isFailure = typeof step === "object" && "code" in step;
    return Promise.resolve({ body: step, isFailure, isRepeated: false });
  };
  const calls = new Calls({ request } as unknown as Connection, settings(), {
    ended: new AbortController().signal,
    ready: () => Promise.resolve(),
    loginAgain: async () => void (logins += 1),
  });
  const call = (options?: CallOptions) => calls.call("heartbeat", {}, options);
  return { call, bodies, logins: () => logins };
}

const refusal = (code: number, reason: string) => ({ code, reason, message: reason });

test("a call is repeated for reasons that pass", async () => {
  const limited = { ...refusal(6000005, "rate_limited"), retryAfterMs: 20 };
  const { call, bodies, logins } = scripted(
    "lost",
    "nobody",
    limited,
    refusal(6000008, "outcome_unknown"),
    refusal(6000121, "not_logged_in"),
    { serverTime: 1 },
  );
  const began = Date.now();
  assert.deepEqual(await call(), { serverTime: 1 });
  assert.equal(bodies.length, 6);
  assert.equal(logins(), 1);
  assert.ok(Date.now() - began >= 20);
});

test("a refusal that stays is the answer, and tells of an earlier attempt", async () => {
  const { call, bodies } = scripted(refusal(6000208, "not_pinned"));
  await assert.rejects(call(), { code: 6000208, isAfterUnknownOutcome: false });
  assert.equal(bodies.length, 1);
  const doubtful = scripted("lost", refusal(6000208, "not_pinned"));
  await assert.rejects(doubtful.call(), { code: 6000208, isAfterUnknownOutcome: true });
});

test("what may have taken effect is not repeated, if it must not", async () => {
  const once = { isRepeatable: false };
  await assert.rejects(scripted("lost").call(once), { code: 6000105 });
  const unknown = refusal(6000008, "outcome_unknown");
  await assert.rejects(scripted(unknown).call(once), PeerError);
  // Nobody has it: a repeat is safe.
  assert.deepEqual(await scripted("nobody", {}).call(once), {});
});

test("a call ends in time, and a repeat may have another body", async () => {
  const never = scripted(...Array<Step>(100).fill("nobody"));
  await assert.rejects(never.call({ withinMs: 150 }), { code: 6000104 });
  const late = scripted("nobody", {});
  await late.call({ bodyOfRepeat: (ageMs) => ({ revision: ageMs }) as never });
  assert.ok((late.bodies[1] as { revision: number }).revision >= 50);
});

test("a revision may go back, after the restore of an older backup", async () => {
  const owner = {
    repair: () => Promise.resolve(5),
    readAfterCursor: () => Promise.resolve(),
    onKicked: () => undefined,
  };
  const listeners = new Listeners((_, error) => assert.fail(String(error)));
  const inbox = new Inbox({} as ZIM, listeners, new Store(), owner, (error) =>
    assert.fail(String(error)),
  );
  inbox.revision = 9;
  await inbox.repair(9);
  assert.equal(inbox.revision, 5);
});

test("events beyond the bound are read again, and shown once", async () => {
  const store = new Store();
  const shown: number[] = [];
  const listeners = new Listeners((_, error) => assert.fail(String(error)));
  listeners.add("peerMessageReceived", ((_: ZIM, body: { messageList: { messageSeq: number }[] }) =>
    shown.push(...body.messageList.map(({ messageSeq }) => messageSeq))) as never);
  const count = MAX_QUEUED_EVENTS + 500;
  const message = (seq: number) => ({
    type: ZIMMessageType.Text,
    messageID: `${seq}`,
    messageSeq: seq,
    orderKey: seq,
  });
  const since: number[] = [];
  const inbox: Inbox = new Inbox(
    {} as ZIM,
    listeners,
    store,
    {
      repair: (revision) => {
        since.push(revision);
        const all = Array.from({ length: count }, (_, at) => message(at + 1));
        inbox.showReceived("bob", all, true);
        return Promise.resolve(count);
      },
      readAfterCursor: () => assert.fail("there is no gap"),
      onKicked: () => assert.fail("nobody was kicked"),
    },
    (error) => assert.fail(String(error)),
  );
  inbox.revision = 0;
  for (let seq = 1; seq <= count; seq += 1) {
    const body = {
      messageList: [message(seq)],
      fromConversationID: "bob",
      info: { isOfflineMessage: false },
      revision: seq,
      previousRevision: seq - 1,
    };
    const { contentType } = ENCODINGS.json;
    inbox.push("peer.event.alice.peer_message_received", contentType, ENCODINGS.json.encode(body));
  }
  inbox.open();
  await until("all were shown", () => inbox.revision === count);
  assert.deepEqual(since, [MAX_QUEUED_EVENTS]);
  assert.deepEqual(
    shown,
    Array.from({ length: count }, (_, at) => at + 1),
  );
  assert.equal(inbox.revision, count);
});
