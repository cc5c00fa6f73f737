// What goes wrong, in words: no connection, kicked, wrong and expired logins.
import assert from "node:assert/strict";
import { after, afterEach, before, test } from "node:test";
import { linkOf } from "../scripts/servers.mjs";
import { World, conversation, last, write } from "./browser.mjs";
import { tokenUsers } from "./tokens.mjs";

let world;
let tokens;
before(async () => {
  world = await World.start();
  tokens = await tokenUsers();
});
after(() => world?.stop());
afterEach(() => world.closeWindows());

test("offline and back: what was written meanwhile arrives, once", async () => {
  const alice = await world.login("alice");
  const bob = await world.login("bob");
  await world.send("alice", "bob", "Before");
  await conversation(alice, "bob").click();
  await conversation(bob, "alice").click();
  await last(bob, "Before").waitFor();
  await world.servers.nats.stop();
  await alice.getByTestId("offline").waitFor();
  await write(alice, "Written offline");
  await last(alice, "Written offline").locator("[data-state=sending]").waitFor();
  await world.servers.startNats();
  await last(bob, "Written offline").waitFor();
  await last(alice, "Written offline").locator("[data-state=read]").waitFor();
  await alice.getByTestId("offline").waitFor({ state: "detached" });
  assert.equal(await bob.locator(".message", { hasText: "Written offline" }).count(), 1);
});

test("a browser without a network says so", async () => {
  const alice = await world.login("alice");
  await alice.context().setOffline(true);
  await alice.getByText("You are offline.").waitFor();
  await alice.context().setOffline(false);
  await alice.getByTestId("offline").waitFor({ state: "detached" });
});

test("who is logged out by other devices learns why, and can log in again", async () => {
  const alice = await world.login("alice");
  for (let device = 0; device < 10; device += 1) {
    await world.servers.call("alice", "login", { deviceID: `device ${device}` });
  }
  await alice.getByTestId("login-notice").getByText("too many devices").waitFor();
  assert.equal(await alice.getByLabel("User ID").inputValue(), "alice");
  await alice.getByLabel("Password or token").fill(world.users.passwords.alice);
  await alice.getByRole("button", { name: "Log in" }).click();
  await alice.getByRole("navigation", { name: "Conversations" }).waitFor();
  await alice.getByRole("button", { name: "More", exact: true }).click();
  await alice.getByRole("menuitem", { name: "Log out" }).click();
  await alice.getByRole("heading", { name: "Log in" }).waitFor();
  await alice.reload();
  await alice.getByRole("heading", { name: "Log in" }).waitFor();
});

test("a wrong password is refused in words", async () => {
  const alice = await world.window();
  await alice.goto(world.link("alice", { password: "wrong" }));
  await alice.getByTestId("login-notice").getByText("The login was refused").waitFor();
  assert.equal(new URL(alice.url()).hash, "");
});

test("a server that cannot be reached is named as the cause", async () => {
  const alice = await world.window();
  await alice.goto(world.link("alice", { server: "ws://127.0.0.1:9" }));
  await alice.getByTestId("login-notice").getByText("No connection").waitFor({ timeout: 25_000 });
});

test("tokens: a good one enters, a wrong one is refused, an expired one ends the session", async () => {
  const other = await World.start(tokens);
  try {
    const link = (token) =>
      linkOf(other.page, { user: "alice", server: other.servers.webSocketUrl, token });
    const wrong = await other.window();
    await wrong.goto(link(await (await tokenUsers()).token("alice", 60)));
    await wrong.getByTestId("login-notice").getByText("The login was refused").waitFor();
    const expired = await other.window();
    await expired.goto(link(await tokens.token("alice", -60)));
    await expired.getByTestId("login-notice").getByText("The login was refused").waitFor();
    const alice = await other.window();
    await alice.goto(link(await tokens.token("alice", 4)));
    await alice.getByRole("heading", { name: "alice" }).waitFor();
    await alice.getByTestId("notice").getByText("Your login ends").waitFor();
    await alice.getByTestId("login-notice").getByText("Your login has expired").waitFor();
  } finally {
    await other.stop();
  }
});
