// Whether a user is logged in, or what the form for it shows.
import { signal } from "@preact/signals";
import { forgetLogin, keepLogin, takeLogin } from "../login.js";
import type { Login } from "../login.js";
import type { Words } from "../words.js";
import { Chat } from "./chat.js";

export class AppState {
  readonly chat = signal<Chat | undefined>(undefined);
  /** Why the last session ended, or why the login failed. */
  readonly notice = signal<Words | undefined>(undefined);
  /** What the form begins with. */
  given: Partial<Login> = {};

  constructor() {
    this.#takeLink();
    // A link that is opened in the same tab changes only the fragment.
    addEventListener("hashchange", () => this.#takeLink());
    addEventListener("pagehide", () => this.chat.value?.thread.value?.sending.saveDraft());
  }

  #takeLink(): void {
    const login = takeLogin();
    if (login) this.enter(login);
  }

  enter(login: Login): void {
    keepLogin(login);
    this.given = { user: login.user, server: login.server };
    this.notice.value = undefined;
    const before = this.chat.value;
    const chat: Chat = new Chat(login, (why) => {
      if (this.chat.value !== chat) return;
      forgetLogin();
      this.notice.value = why;
      this.chat.value = undefined;
    });
    this.chat.value = chat;
    void before?.leave();
    void chat.begin();
  }
}
