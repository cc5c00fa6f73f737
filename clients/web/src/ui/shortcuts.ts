// Keys that work everywhere on the page.
import { useEffect } from "preact/hooks";
import type { Chat } from "../state/chat.js";
import { openShortcuts } from "./dialogs.js";

export function useShortcuts(chat: Chat): void {
  useEffect(() => {
    const onKey = (event: KeyboardEvent): void => {
      if (event.defaultPrevented || document.querySelector("dialog[open]")) return;
      if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "k") {
        document.querySelector<HTMLElement>("#search")?.focus();
      } else if (event.altKey && event.key === "ArrowDown") {
        chat.step(1);
      } else if (event.altKey && event.key === "ArrowUp") {
        chat.step(-1);
      } else if (event.key === "Escape") {
        escape(chat);
      } else if (event.key === "?" && !isTyping(event.target)) {
        openShortcuts();
      } else {
        return;
      }
      event.preventDefault();
    };
    addEventListener("keydown", onKey);
    return () => removeEventListener("keydown", onKey);
  }, [chat]);
}

function escape(chat: Chat): void {
  const sending = chat.thread.value?.sending;
  if (sending?.replyTo.value || sending?.editing.value) sending.cancel();
  else leaveThread(chat);
}

/** Closes the open conversation; its place in the list has the focus then. */
export function leaveThread(chat: Chat): void {
  const id = chat.thread.value?.conversationID;
  chat.closeThread();
  if (!id) return;
  requestAnimationFrame(() =>
    document.querySelector<HTMLElement>(`[data-conversation="${CSS.escape(id)}"]`)?.focus(),
  );
}

const isTyping = (target: EventTarget | null): boolean =>
  target instanceof HTMLInputElement || target instanceof HTMLTextAreaElement;
