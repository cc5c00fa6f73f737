// Dialogs, one at a time.
import { signal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import type { ComponentChildren } from "preact";
import { ZIMMessageType } from "@peerd/client";
import type { ZIMMediaMessage } from "@peerd/client";
import type { Chat } from "../state/chat.js";
import type { Thread } from "../state/thread.js";
import { IconButton } from "./icons.js";

const SHORTCUTS: readonly (readonly [keys: string, action: string])[] = [
  ["Ctrl K", "Search conversations"],
  ["Alt ↑ / Alt ↓", "Previous or next conversation"],
  ["Enter", "Send"],
  ["Shift Enter", "New line"],
  ["↑ in an empty box", "Edit the last message"],
  ["Esc", "Cancel, or leave the conversation"],
  ["↑ ↓ among messages", "Previous or next message"],
  ["Enter on a message", "Actions of the message"],
  ["?", "These shortcuts"],
];

const content = signal<{ title: string; body: ComponentChildren } | undefined>(undefined);
const close = (): void => void (content.value = undefined);

export function DialogHost() {
  return content.value ? <Dialog {...content.value} /> : null;
}

function Dialog({ title, body }: { title: string; body: ComponentChildren }) {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    const before = document.activeElement as HTMLElement | null;
    dialog.current?.showModal();
    return () => before?.focus();
  }, []);
  return (
    <dialog ref={dialog} class="dialog" aria-labelledby="dialog-title" onClose={close}>
      <header>
        <h2 id="dialog-title">{title}</h2>
        <IconButton icon="close" label="Close" onClick={close} />
      </header>
      {body}
    </dialog>
  );
}

export function openShortcuts(): void {
  const rows = SHORTCUTS.map(([keys, action]) => (
    <div>
      <dt>{action}</dt>
      <dd>
        <kbd>{keys}</kbd>
      </dd>
    </div>
  ));
  content.value = { title: "Keyboard shortcuts", body: <dl class="shortcuts">{rows}</dl> };
}

export function confirm(title: string, text: string, action: string, run: () => void): void {
  const body = (
    <form
      method="dialog"
      onSubmit={() => {
        close();
        run();
      }}
    >
      <p>{text}</p>
      <div class="buttons">
        <button type="button" class="secondary" onClick={close}>
          Cancel
        </button>
        <button type="submit" class="primary dangerous">
          {action}
        </button>
      </div>
    </form>
  );
  content.value = { title, body };
}

export function openNewChat(chat: Chat): void {
  const submit = (event: SubmitEvent): void => {
    event.preventDefault();
    const userID = textOf(event, "user");
    close();
    if (userID) chat.open(userID);
  };
  const body = (
    <form onSubmit={submit}>
      <label class="field">
        User ID
        <input name="user" required maxLength={128} autocomplete="off" autofocus />
      </label>
      <p class="hint">The ID with which the other person logs in.</p>
      <div class="buttons">
        <button type="submit" class="primary">
          Open
        </button>
      </div>
    </form>
  );
  content.value = { title: "New conversation", body };
}

const KINDS = [
  [ZIMMessageType.Image, "Image"],
  [ZIMMessageType.File, "File"],
  [ZIMMessageType.Audio, "Audio"],
  [ZIMMessageType.Video, "Video"],
] as const;

export function openAttach(thread: Thread): void {
  const submit = (event: SubmitEvent): void => {
    event.preventDefault();
    const fileDownloadUrl = textOf(event, "url");
    const fileName = textOf(event, "name") || nameIn(fileDownloadUrl);
    const type = Number(textOf(event, "kind"));
    close();
    thread.sending.send({ type, fileDownloadUrl, fileName } as ZIMMediaMessage);
  };
  const body = (
    <form onSubmit={submit}>
      <p class="hint">
        peerd stores no files. Give the address of one that both of you can open; only the address
        is sent.
      </p>
      <fieldset class="field choices">
        <legend>Kind</legend>
        {KINDS.map(([type, label], index) => (
          <label>
            <input type="radio" name="kind" value={type} defaultChecked={index === 0} /> {label}
          </label>
        ))}
      </fieldset>
      <label class="field">
        Address
        <input
          name="url"
          type="url"
          required
          pattern="https?://.+"
          title="An address that begins with https:// or http://"
          placeholder="https://"
          autocomplete="off"
          autofocus
        />
      </label>
      <label class="field">
        Name (optional)
        <input name="name" maxLength={200} autocomplete="off" />
      </label>
      <div class="buttons">
        <button type="submit" class="primary">
          Send
        </button>
      </div>
    </form>
  );
  content.value = { title: "Send a file by its address", body };
}

const textOf = (event: SubmitEvent, name: string): string =>
  String(new FormData(event.currentTarget as HTMLFormElement).get(name) ?? "").trim();

function nameIn(url: string): string {
  try {
    return decodeURIComponent(new URL(url).pathname.split("/").at(-1) ?? "");
  } catch {
    return "";
  }
}
