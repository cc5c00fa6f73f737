// Accessibility in each state of the page, and the screenshots, which `make screenshots` writes.
import assert from "node:assert/strict";
import { mkdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";
import { after, afterEach, before, test } from "node:test";
import { World, conversation, last, openActions, write } from "./browser.mjs";

const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const SHOTS = fileURLToPath(new URL("../screenshots/", import.meta.url));
const PHONE = { width: 390, height: 844 };

let world;
before(async () => {
  world = await World.start();
  await furnish();
});
after(() => world?.stop());
afterEach(() => world.closeWindows());

/** Conversations to look at. */
async function furnish() {
  const names = { bob: "Bob Okafor", carol: "Carol Ruiz", dave: "Dave", erin: "Erin Wu" };
  const people = { ...names, mallory: "Design team bot", zoe: "Zoë Lindqvist" };
  await world.servers.call("alice", "login", { userName: "Alice", deviceID: "before" });
  for (const [user, userName] of Object.entries(people)) {
    await world.servers.call(user, "login", { userName, deviceID: "before" });
  }
  await world.send("mallory", "alice", "Build 214 is green.");
  await world.send("zoe", "alice", "Got the tickets! 🎉");
  await world.send("alice", "erin", "See you on Thursday then");
  await world.send("erin", "alice", "Perfect, I will bring the prototypes.");
  await world.send("dave", "alice", "Can you review my change today?");
  await world.send("carol", "alice", "The venue has confirmed for the 12th");
  await world.send("carol", "alice", "Shall I send the invitations?");
  await world.send("bob", "alice", "Morning! Did the move to the new cluster go well?");
  await world.send("alice", "bob", "It did. Three servers replaced one after another, under load.");
  await world.send("alice", "bob", "No message was lost, and nobody noticed.");
  await world.send("bob", "alice", "Nice. Are the figures somewhere?");
  await world.servers.call("alice", "update_conversation_pinned_state", {
    conversationID: "carol",
    isPinned: true,
  });
  await world.servers.call("alice", "set_conversation_notification_status", {
    conversationID: "mallory",
    status: 2,
  });
  await world.servers.call("alice", "clear_conversation_unread_message_count", {
    conversationID: "erin",
  });
  await world.servers.call("zoe", "logout", {});
}

async function check(page, what) {
  // Contrast is right only when transitions have ended; a spinner never ends.
  await page.evaluate(() => {
    const ends = (one) => one.effect?.getComputedTiming().endTime !== Infinity;
    const finished = document
      .getAnimations()
      .filter(ends)
      .map((one) => one.finished);
    return Promise.allSettled(finished).then(() => undefined);
  });
  await page.evaluate(AXE);
  const { violations } = await page.evaluate(() => globalThis.axe.run(document));
  const found = violations.map(
    ({ id, nodes }) =>
      `${id}: ${nodes.map((node) => node.html + node.failureSummary).join("\n  ")}`,
  );
  assert.deepEqual(found, [], what);
}

async function shoot(page, name) {
  if (!process.env.SCREENSHOTS) return;
  mkdirSync(SHOTS, { recursive: true });
  await page.screenshot({ path: `${SHOTS}${name}.png`, animations: "disabled" });
}

/** Alice in her conversation with Bob, in which something has happened. */
async function talk(options) {
  const alice = await world.login("alice", options);
  await conversation(alice, "bob").click();
  await last(alice, "Are the figures somewhere?").waitFor();
  return alice;
}

test("light: list, thread, menu, dialogs", async () => {
  const bob = await world.login("bob");
  await conversation(bob, "alice").click();
  const alice = await talk({ colorScheme: "light" });
  await openActions(alice, "Are the figures somewhere?");
  await check(alice, "the menu of a message");
  await alice.getByRole("menuitem", { name: "Reply" }).click();
  await check(alice, "a reply");
  await write(alice, "On the wiki: https://wiki.example.com/cluster");
  await last(alice, "On the wiki").locator("[data-state=read]").waitFor();
  await openActions(bob, "No message was lost");
  await bob.getByRole("menuitem", { name: "React with 👍" }).click();
  await last(alice, "No message was lost").locator(".reaction").waitFor();
  await write(bob, "Thanks! I’ll put them into Friday’s report.");
  await last(alice, "Friday’s report").waitFor();
  await bob.getByPlaceholder("Message").pressSequentially("One more");
  await alice.getByTestId("status").getByText("typing…").waitFor();
  await alice.getByPlaceholder("Message").fill("Let me know what");
  await alice.mouse.move(700, 5);
  await conversation(alice, "bob").getByTestId("badge").waitFor({ state: "detached" });
  await check(alice, "a conversation");
  await shoot(alice, "light");
  await alice.getByPlaceholder("Message").fill("");
  await alice.getByRole("button", { name: "Send a file by its address" }).click();
  await check(alice, "the dialog for files");
});

test("dark: thread, search", async () => {
  const alice = await talk({ colorScheme: "dark" });
  await alice.mouse.move(700, 5);
  await check(alice, "a conversation in the dark");
  await shoot(alice, "dark");
  await alice.keyboard.press("Control+k");
  await alice.keyboard.type("nobody");
  await alice.getByText("Write to “nobody”").waitFor();
  await check(alice, "a search without a result");
});

test("phone: list, thread", async () => {
  const alice = await world.login("alice", { viewport: PHONE, hasTouch: true, isMobile: true });
  await check(alice, "the list on a phone");
  await conversation(alice, "bob").tap();
  await last(alice, "Friday’s report").waitFor();
  await check(alice, "the conversation on a phone");
  await shoot(alice, "phone");
  await alice.getByRole("button", { name: "Back to the conversations" }).tap();
  await conversation(alice, "carol").waitFor();
  const width = await alice.evaluate(() => document.documentElement.scrollWidth);
  assert.ok(width <= PHONE.width, "nothing is wider than the screen");
});

test("empty and failed states", async () => {
  await world.servers.call("bob", "delete_all_conversations");
  const bob = await world.login("bob", { colorScheme: "dark" });
  await bob.getByText("Write your first message").waitFor();
  await check(bob, "no conversations");
  const stranger = await world.window();
  await stranger.goto(world.link("bob", { password: "wrong" }));
  await stranger.getByTestId("login-notice").waitFor();
  await check(stranger, "a refused login");
  const alice = await talk({ colorScheme: "light" });
  await world.servers.nats.stop();
  await alice.getByTestId("offline").waitFor();
  await write(alice, "Written offline");
  await last(alice, "Written offline").waitFor();
  await check(alice, "offline");
  await world.servers.startNats();
  await last(alice, "Written offline").locator("[data-state=sent]").waitFor();
});
