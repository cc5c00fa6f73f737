// A long conversation: pages, a bounded window, a place that stays.
import assert from "node:assert/strict";
import { after, afterEach, before, test } from "node:test";
import { World, conversation, last, write } from "./browser.mjs";

const COUNT = 500;
/** The bound of the window, see src/state/window.ts. */
const MAX_MESSAGES = 200;

let world;
before(async () => {
  world = await World.start();
  await world.clean();
  for (let n = 1; n <= COUNT; n += 1) await world.send("alice", "bob", `Message ${n}.`);
});
after(() => world?.stop());
afterEach(() => world.closeWindows());

const shown = (page) => page.locator(".message").count();

/** Scrolls until a message is in the window; each step waits for the page that it asked for. */
async function scrollTo(page, text, isUp) {
  const wanted = page.locator(".message", { hasText: text });
  for (let step = 0; step < 60 && (await wanted.count()) === 0; step += 1) {
    const keys = await page
      .locator(".message")
      .evaluateAll((all) => all.map((one) => one.dataset.key));
    await page.locator(".scroller").evaluate((element, up) => {
      element.scrollTop = up ? 0 : element.scrollHeight;
    }, isUp);
    await page.waitForFunction(
      ([first, end]) => {
        const all = document.querySelectorAll(".message");
        return all[0]?.dataset.key !== first || all[all.length - 1]?.dataset.key !== end;
      },
      [keys[0], keys.at(-1)],
    );
    assert.ok((await shown(page)) <= MAX_MESSAGES, "the window is bounded");
  }
  await wanted.waitFor();
}

test("500 messages are paged up and down, and the window stays bounded", async () => {
  const bob = await world.login("bob");
  await conversation(bob, "alice").click();
  await last(bob, `Message ${COUNT}.`).waitFor();
  assert.ok((await shown(bob)) < COUNT);
  await scrollTo(bob, "Message 1.", true);
  await bob.locator(".scroller").evaluate((element) => (element.scrollTop = 0));
  await bob.getByText("This is the beginning").waitFor();
  await scrollTo(bob, `Message ${COUNT}.`, false);
  assert.ok((await shown(bob)) <= MAX_MESSAGES);
});

test("the place stays while older messages are added and new ones arrive", async () => {
  const bob = await world.login("bob");
  await conversation(bob, "alice").click();
  await last(bob, `Message ${COUNT}.`).waitFor();
  await scrollTo(bob, "Message 300.", true);
  const message = bob.locator(".message", { hasText: "Message 300." });
  await message.evaluate((element) => element.scrollIntoView({ block: "center" }));
  // The page before, if the middle is near an end of the window.
  await bob.locator(".scroller[aria-busy=false]").waitFor();
  const topOf = async () => (await message.boundingBox()).y;
  const before = await topOf();
  await world.send("alice", "bob", "While you read");
  await bob.getByRole("button", { name: "1 new" }).waitFor();
  assert.ok(Math.abs((await topOf()) - before) < 2, "the message moved");
  await bob.getByRole("button", { name: "1 new" }).click();
  await last(bob, "While you read").waitFor();
});

test("what is sent while far from the end is shown at the end", async () => {
  const bob = await world.login("bob");
  await conversation(bob, "alice").click();
  await last(bob, "While you read").waitFor();
  await scrollTo(bob, "Message 100.", true);
  await write(bob, "Back at the end");
  await last(bob, "Back at the end").locator("[data-state=sent]").waitFor();
  await bob.locator(".message", { hasText: "While you read" }).waitFor();
});
