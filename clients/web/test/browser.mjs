// A Chromium, and users in windows of their own.
import { chromium } from "playwright-core";
import { Servers, linkOf, staticUsers } from "../scripts/servers.mjs";

const FLAGS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];
const WAIT_MS = 15_000;

export function launch() {
  const executablePath = process.env.CHROMIUM ?? "/usr/bin/chromium";
  return chromium.launch({ executablePath, args: FLAGS });
}

/** Servers, a page and a browser for the tests of a file. */
export class World {
  static async start(users = staticUsers(), options = {}) {
    const world = new World();
    world.users = users;
    world.servers = await Servers.start(users, {
      // The rate is a matter of peerd's own tests; here it would only make them slow.
      "limits.messages_per_second": 1000,
      ...options,
    });
    world.page = await world.servers.servePage();
    world.browser = await launch();
    return world;
  }

  /** Opens a window, as another person would on another machine. */
  async window(options = {}) {
    const context = await this.browser.newContext({
      viewport: { width: 1180, height: 760 },
      ...options,
    });
    context.setDefaultTimeout(WAIT_MS);
    const page = await context.newPage();
    const failures = [];
    page.on("pageerror", (error) => failures.push(String(error)));
    page.on("console", (message) => {
      if (message.text().includes("Content Security Policy")) failures.push(message.text());
    });
    page.failures = failures;
    return page;
  }

  link(user, more = {}) {
    const password = this.users.passwords[user];
    return linkOf(this.page, { user, server: this.servers.webSocketUrl, password, ...more });
  }

  /** A window in which a user is logged in. */
  async login(user, options) {
    const page = await this.window(options);
    const name = user[0].toUpperCase() + user.slice(1);
    await page.goto(this.link(user, { name }));
    await page.getByRole("navigation", { name: "Conversations" }).waitFor();
    await page.locator(".list-empty, .conversation").first().waitFor();
    return page;
  }

  /** Sends a text as a user of another client. */
  send(from, to, message) {
    return this.servers.call(from, "send_peer_message", {
      toUserID: to,
      message: { type: 1, message },
      config: { hasReceipt: true },
    });
  }

  /** Removes what earlier tests left. */
  async clean() {
    for (const user of ["alice", "bob"]) {
      await this.servers.call(user, "login", { deviceID: "clean" });
      await this.servers.call(user, "delete_all_conversation_messages");
      await this.servers.call(user, "delete_all_conversations");
    }
  }

  async closeWindows() {
    for (const context of this.browser.contexts()) await context.close();
  }

  async stop() {
    await this.browser?.close();
    await this.servers?.stop();
  }
}

export const conversation = (page, userID) => page.locator(`[data-conversation="${userID}"]`);

/** The last message with a text. */
export const last = (page, text) => page.locator(".message", { hasText: text }).last();

export async function type(page, text) {
  await page.getByPlaceholder("Message").fill("");
  await page.getByPlaceholder("Message").pressSequentially(text);
}

export async function write(page, text) {
  await page.getByPlaceholder("Message").fill(text);
  await page.getByPlaceholder("Message").press("Enter");
}

export async function openActions(page, text) {
  await last(page, text).hover();
  await last(page, text).getByRole("button", { name: "Actions of the message" }).click();
}
