// Two people in two windows.
import assert from "node:assert/strict";
import { after, afterEach, before, beforeEach, test } from "node:test";
import { until } from "../scripts/servers.mjs";
import { World, conversation, last, openActions, type, write } from "./browser.mjs";

let world;
before(async () => (world = await World.start()));
after(() => world?.stop());
beforeEach(() => world.clean());
afterEach(() => world.closeWindows());

/** Alice and Bob in their conversation, after a first message. */
async function together() {
  const alice = await world.login("alice");
  const bob = await world.login("bob");
  await alice.getByRole("button", { name: "New conversation" }).first().click();
  await alice.getByLabel("User ID").fill("bob");
  await alice.getByRole("button", { name: "Open" }).click();
  await write(alice, "Hello, Bob!");
  await conversation(bob, "alice").click();
  await last(bob, "Hello, Bob!").waitFor();
  return { alice, bob };
}

test("messages go both ways, with receipts and typing", async () => {
  const { alice, bob } = await together();
  await last(alice, "Hello, Bob!").locator("[data-state=read]").waitFor();
  await type(bob, "Hello, Al");
  await alice.getByTestId("status").getByText("typing…").waitFor();
  await bob.getByPlaceholder("Message").fill("");
  await alice.getByTestId("status").getByText("online").waitFor();
  await write(bob, "Hello, Alice!");
  await last(alice, "Hello, Alice!").waitFor();
  await last(bob, "Hello, Alice!").locator("[data-state=read]").waitFor();
  await alice.waitForFunction(() => document.title === "peerd");
  await until("both have read all", async () => {
    const totals = ["alice", "bob"].map((user) =>
      world.servers.call(user, "query_conversation_total_unread_message_count"),
    );
    return (await Promise.all(totals)).every((total) => total.unreadMessageCount === 0);
  });
  assert.match(await alice.getByTestId("announcement").textContent(), /Bob: Hello, Alice!/);
});

test("unread messages show in the badge and the title, until they are read", async () => {
  const { alice, bob } = await together();
  await bob.keyboard.press("Escape");
  await bob.getByText("Choose a conversation").waitFor();
  await write(alice, "one");
  await write(alice, "two");
  await conversation(bob, "alice").getByTestId("badge").getByText("2").waitFor();
  await bob.waitForFunction(() => document.title === "(2) peerd");
  await conversation(bob, "alice").click();
  await bob.getByText("New messages").waitFor();
  await bob.waitForFunction(() => document.title === "peerd");
  await conversation(bob, "alice").getByTestId("badge").waitFor({ state: "detached" });
});

test("a muted conversation counts, and does not change the title", async () => {
  const { alice, bob } = await together();
  await bob.keyboard.press("Escape");
  await conversation(bob, "alice").click({ button: "right" });
  await bob.getByRole("menuitem", { name: "Mute" }).click();
  await conversation(bob, "alice").getByText("muted").waitFor({ state: "attached" });
  await write(alice, "psst");
  await conversation(bob, "alice").getByTestId("badge").getByText("1").waitFor();
  assert.equal(await bob.title(), "peerd");
});

test("pin, mark as unread, search, delete a conversation", async () => {
  const { bob } = await together();
  for (const user of ["carol", "dave"]) await world.servers.call(user, "login");
  await world.send("carol", "bob", "From Carol");
  await world.send("dave", "bob", "From Dave");
  await conversation(bob, "dave").waitFor();
  const first = bob.locator(".conversation-item").first();
  await first.locator("[data-conversation=dave]").waitFor();
  await conversation(bob, "carol").click({ button: "right" });
  await bob.getByRole("menuitem", { name: "Pin to the top" }).click();
  await first.locator("[data-conversation=carol]").waitFor();
  await conversation(bob, "dave").click({ button: "right" });
  await bob.getByRole("menuitem", { name: "Mark as read" }).click();
  await conversation(bob, "dave").getByTestId("badge").waitFor({ state: "detached" });
  await bob.keyboard.press("Control+k");
  await bob.keyboard.type("dav");
  await conversation(bob, "carol").waitFor({ state: "detached" });
  assert.equal(await conversation(bob, "dave").count(), 1);
  await bob.keyboard.press("Escape");
  await conversation(bob, "carol").click({ button: "right" });
  await bob.getByRole("menuitem", { name: "Delete conversation" }).click();
  await bob.getByRole("button", { name: "Delete", exact: true }).click();
  await conversation(bob, "carol").waitFor({ state: "detached" });
});

test("edit, reply, react, pin and revoke", async () => {
  const { alice, bob } = await together();
  await write(alice, "Lunch at noom?");
  // A message that is still being sent cannot be edited.
  await last(alice, "Lunch at noom?").locator("[data-state=sent], [data-state=read]").waitFor();
  await alice.getByPlaceholder("Message").press("ArrowUp");
  assert.equal(await alice.getByPlaceholder("Message").inputValue(), "Lunch at noom?");
  await write(alice, "Lunch at noon?");
  await last(bob, "Lunch at noon?").getByText("edited").waitFor();

  await openActions(bob, "Lunch at noon?");
  await bob.getByRole("menuitem", { name: "Reply" }).click();
  await write(bob, "Yes!");
  await last(alice, "Yes!").locator(".quote").getByText("Lunch at noon?").waitFor();
  await openActions(alice, "Yes!");
  await alice.getByRole("menuitem", { name: "React with 🎉" }).click();
  await last(bob, "Yes!").locator(".reaction", { hasText: "🎉" }).waitFor();

  await openActions(bob, "Yes!");
  await bob.getByRole("menuitem", { name: "Pin", exact: true }).click();
  await alice.locator(".pinned", { hasText: "Yes!" }).waitFor();

  await write(alice, "Oops");
  await last(bob, "Oops").waitFor();
  await openActions(alice, "Oops");
  await alice.getByRole("menuitem", { name: "Remove for both" }).click();
  await alice.getByRole("button", { name: "Remove", exact: true }).click();
  await last(bob, "Message removed").waitFor();
  await openActions(bob, "Yes!");
  await bob.getByRole("menuitem", { name: "Delete for me" }).click();
  await bob.locator(".message", { hasText: "Yes!" }).waitFor({ state: "detached" });
  assert.equal(await last(alice, "Yes!").count(), 1);
});

test("media are sent by their address, and loaded only on demand", async () => {
  const { alice, bob } = await together();
  const requests = [];
  bob.on("request", (request) => requests.push(request.url()));
  await alice.getByRole("button", { name: "Send a file by its address" }).click();
  await alice.getByRole("textbox", { name: "Address" }).fill("https://files.example.com/a/cat.png");
  await alice.getByRole("button", { name: "Send", exact: true }).last().click();
  const picture = last(bob, "cat.png");
  await picture.getByText("files.example.com").waitFor();
  assert.deepEqual(requests, []);
  await bob.route("https://files.example.com/**", (route) => route.abort());
  await picture.getByRole("button", { name: "Show" }).click();
  await picture.getByText("could not be loaded").waitFor();
  assert.deepEqual(requests, ["https://files.example.com/a/cat.png"]);
});

test("a reload stays logged in, keeps the draft, and the address shows no login", async () => {
  const { alice, bob } = await together();
  assert.equal(new URL(alice.url()).hash, "");
  await type(alice, "to be continued");
  await alice.keyboard.press("Escape");
  await conversation(alice, "bob").getByText("to be continued").waitFor();
  await alice.reload();
  await conversation(alice, "bob").getByText("to be continued").click();
  await last(alice, "Hello, Bob!").waitFor();
  assert.equal(await alice.getByPlaceholder("Message").inputValue(), "to be continued");
  await alice.getByPlaceholder("Message").press("Enter");
  await last(bob, "to be continued").waitFor();
  await until("the draft is gone", async () => {
    const body = { conversationID: "bob" };
    const { conversation } = await world.servers.call("alice", "query_conversation", body);
    return conversation.draft === "";
  });
});

test("a blocked person is told so in words, and a failed message can be sent again", async () => {
  const { alice, bob } = await together();
  await bob.getByRole("button", { name: "Actions for Alice" }).last().click();
  await bob.getByRole("menuitem", { name: "Block" }).click();
  await bob.getByRole("button", { name: "Block", exact: true }).click();
  await bob.getByText("You blocked this person").waitFor();
  await write(alice, "Are you there?");
  await alice.getByTestId("failed").getByText("does not take messages from you").waitFor();
  await bob.getByRole("button", { name: "Unblock" }).click();
  await bob.getByPlaceholder("Message").waitFor();
  await alice.getByRole("button", { name: "Send again" }).click();
  await last(bob, "Are you there?").waitFor();
  await alice.getByTestId("failed").waitFor({ state: "detached" });
  assert.equal(await bob.locator(".message", { hasText: "Are you there?" }).count(), 1);
});

test("the keyboard alone is enough", async () => {
  const { alice, bob } = await together();
  await world.servers.call("carol", "login");
  await world.send("carol", "alice", "From Carol");
  await conversation(alice, "carol").waitFor();
  await alice.keyboard.press("Alt+ArrowUp");
  await last(alice, "From Carol").waitFor();
  await alice.keyboard.press("Alt+ArrowDown");
  await last(alice, "Hello, Bob!").waitFor();
  await alice.locator(".message").last().focus();
  await alice.keyboard.press("Enter");
  await alice.getByRole("menu").waitFor();
  await alice.keyboard.press("ArrowDown");
  await alice.keyboard.press("Escape");
  await alice.getByRole("menu").waitFor({ state: "detached" });
  const focused = await alice.evaluate(() => document.activeElement?.className ?? "");
  assert.match(focused, /message/);
  await alice.keyboard.press("?");
  await alice.getByText("Keyboard shortcuts").waitFor();
  await alice.keyboard.press("Escape");
  await alice.getByText("Keyboard shortcuts").waitFor({ state: "detached" });
  assert.deepEqual([...alice.failures, ...bob.failures], []);
});
