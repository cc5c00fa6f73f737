// Where the user writes.
import { useEffect, useLayoutEffect, useRef } from "preact/hooks";
import { ZIMMessageType } from "@peerd/client";
import type { ZIMTextMessage } from "@peerd/client";
import { lineOf } from "../format.js";
import type { Chat } from "../state/chat.js";
import { MAX_TEXT_BYTES } from "../state/sending.js";
import type { Thread } from "../state/thread.js";
import { openAttach } from "./dialogs.js";
import { Icon, IconButton } from "./icons.js";
import { isOwn } from "./MessageView.js";

const MAX_HEIGHT_PX = 180;
/** Bytes that are left, below which the number is shown. */
const SHOWN_BELOW = 200;
const encoder = new TextEncoder();

export function Composer({ chat, thread }: { chat: Chat; thread: Thread }) {
  const box = useRef<HTMLTextAreaElement>(null);
  const { sending } = thread;
  const text = sending.text.value;
  const reply = sending.replyTo.value;
  const editing = sending.editing.value;
  const left = MAX_TEXT_BYTES - encoder.encode(text).length;
  const name = chat.conversations.nameOf(thread.conversationID);

  // A keyboard that covers half of a phone is not wanted before the user touches the box.
  useEffect(() => {
    if (matchMedia("(hover: hover)").matches) box.current?.focus();
  }, [thread]);
  useEffect(() => {
    if (reply || editing) box.current?.focus();
  }, [reply, editing]);
  useLayoutEffect(() => {
    const element = box.current;
    if (!element) return;
    element.style.height = "auto";
    element.style.height = `${Math.min(element.scrollHeight, MAX_HEIGHT_PX)}px`;
  }, [text]);

  const onKeyDown = (event: KeyboardEvent): void => {
    // While an input method composes, Enter chooses a word.
    if (event.isComposing) return;
    if (event.key === "Enter" && !event.shiftKey) {
      event.preventDefault();
      if (left >= 0) sending.submit();
    } else if (event.key === "ArrowUp" && !event.altKey && text === "" && editLast(thread)) {
      event.preventDefault();
    }
  };

  return (
    <form
      class="composer"
      onSubmit={(event) => {
        event.preventDefault();
        if (left >= 0) sending.submit();
        box.current?.focus();
      }}
    >
      {(reply || editing) && (
        <div class="context">
          <Icon name={editing ? "edit" : "reply"} size={18} />
          <p>
            <strong>
              {editing
                ? "Edit the message"
                : `Reply to ${reply && isOwn(reply) ? "yourself" : name}`}
            </strong>
            <span>{lineOf(editing ?? reply)}</span>
          </p>
          <IconButton icon="close" label="Cancel" onClick={() => sending.cancel()} />
        </div>
      )}
      <div class="composer-row">
        <IconButton
          icon="attach"
          label="Send a file by its address"
          onClick={() => openAttach(thread)}
        />
        <textarea
          ref={box}
          rows={1}
          placeholder="Message"
          aria-label={`Message to ${name}`}
          aria-describedby={left < SHOWN_BELOW ? "left" : undefined}
          value={text}
          onInput={(event) => sending.typed(event.currentTarget.value)}
          onKeyDown={onKeyDown}
          onBlur={() => sending.typing.stop()}
        />
        {left < SHOWN_BELOW && (
          <span id="left" class={left < 0 ? "left over" : "left"}>
            {left < 0 ? `${-left} bytes too long` : left}
          </span>
        )}
        <IconButton
          class="send"
          icon={editing ? "check" : "send"}
          label={editing ? "Save" : "Send"}
          isSubmit
          disabled={text.trim() === "" || left < 0}
          onClick={() => undefined}
        />
      </div>
    </form>
  );
}

/** Begins to edit the newest own text. */
function editLast(thread: Thread): boolean {
  const last = thread.messages.value.findLast(
    (one) => isOwn(one) && one.type === ZIMMessageType.Text,
  );
  // While it is being sent, an earlier message is not what the user means.
  if (!last?.messageID) return false;
  thread.sending.beginEdit(last as ZIMTextMessage);
  return true;
}
