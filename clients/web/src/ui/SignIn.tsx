// The form for the login, and why the last session ended.
import { useEffect, useRef } from "preact/hooks";
import type { AppState } from "../state/app.js";
import type { Login } from "../login.js";
import { Icon } from "./icons.js";

export function SignIn({ app }: { app: AppState }) {
  const form = useRef<HTMLFormElement>(null);
  const notice = app.notice.value;
  const { user = "", server = "" } = app.given;
  useEffect(() => {
    const first = user && server ? "secret" : "user";
    form.current?.querySelector<HTMLInputElement>(`[name=${first}]`)?.focus();
  }, []);

  const submit = (event: SubmitEvent): void => {
    event.preventDefault();
    const given = new FormData(event.currentTarget as HTMLFormElement);
    const text = (name: string): string => String(given.get(name) ?? "").trim();
    const login: Login = { user: text("user"), server: text("server") };
    const secret = text("secret");
    if (secret) login[given.get("kind") === "token" ? "token" : "password"] = secret;
    app.enter(login);
  };

  return (
    <main class="sign-in">
      <form class="card" ref={form} onSubmit={submit}>
        <p class="brand">
          <span class="brand-mark" aria-hidden="true">
            <Icon name="unread" />
          </span>
          peerd
        </p>
        <h1>Log in</h1>
        {notice ? (
          <div class="card-notice" role="alert" data-testid="login-notice">
            <Icon name="warning" />
            <p>
              <strong>{notice.title}.</strong> {notice.advice}
            </p>
          </div>
        ) : (
          <p class="hint">A link with your login opens this page without the form.</p>
        )}
        <label class="field">
          User ID
          <input name="user" defaultValue={user} required maxLength={128} autocomplete="username" />
        </label>
        <label class="field">
          Server
          <input
            name="server"
            type="url"
            defaultValue={server}
            placeholder="wss://chat.example.com"
            pattern="wss?://.+"
            title="An address that begins with ws:// or wss://"
            required
          />
        </label>
        <fieldset class="field secret">
          <legend>Log in with</legend>
          <label>
            <input type="radio" name="kind" value="password" defaultChecked /> Password
          </label>
          <label>
            <input type="radio" name="kind" value="token" /> Token
          </label>
          <input
            name="secret"
            type="password"
            aria-label="Password or token"
            autocomplete="current-password"
          />
        </fieldset>
        <button class="primary" type="submit">
          Log in
        </button>
      </form>
    </main>
  );
}
