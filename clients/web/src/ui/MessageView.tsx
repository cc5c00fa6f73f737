// One message.
import {
  ZIMMessageDirection,
  ZIMMessageReceiptStatus,
  ZIMMessageRepliedInfoState,
  ZIMMessageSentStatus,
  ZIMMessageType,
} from "@peerd/client";
import type { ZIMMessage, ZIMTextMessage } from "@peerd/client";
import { fullTimeOf, lineOf, timeOf } from "../format.js";
import type { Chat } from "../state/chat.js";
import type { Thread } from "../state/thread.js";
import { keyOf } from "../state/window.js";
import { Content } from "./Content.js";
import { confirm } from "./dialogs.js";
import { Icon } from "./icons.js";
import { closeMenu, openMenu } from "./menu.js";
import type { MenuItem } from "./menu.js";

const REACTIONS = ["👍", "❤️", "😂", "😮", "😢", "🎉"];

interface Props {
  chat: Chat;
  thread: Thread;
  message: ZIMMessage;
  isGrouped: boolean;
  isReachable: boolean;
  onFocus: () => void;
}

export const isOwn = (message: ZIMMessage): boolean =>
  message.direction === ZIMMessageDirection.Send;

export function MessageView({ chat, thread, message, isGrouped, isReachable, onFocus }: Props) {
  const own = isOwn(message);
  const isRevoked = message.type === ZIMMessageType.Revoke;
  const isTarget = thread.target.value === keyOf(message);
  const classes = ["message", own ? "own" : "other"];
  if (isGrouped) classes.push("grouped");
  if (isRevoked) classes.push("revoked");
  if (isTarget) classes.push("target");
  const open = (anchor: HTMLElement): void => openActions(anchor, thread, message);
  return (
    <li
      class={classes.join(" ")}
      data-key={keyOf(message)}
      data-message={message.messageID}
      tabIndex={isReachable ? 0 : -1}
      onFocus={onFocus}
      onKeyDown={(event) => {
        if (event.key !== "Enter" || event.target !== event.currentTarget) return;
        event.preventDefault();
        open(event.currentTarget);
      }}
      onContextMenu={(event) => {
        if (getSelection()?.isCollapsed === false) return;
        event.preventDefault();
        open(event.currentTarget.querySelector(".message-more") ?? event.currentTarget);
      }}
    >
      <span class="visually-hidden">
        {own ? "You" : chat.conversations.nameOf(thread.conversationID)}:
      </span>
      <div class="bubble-row">
        <div class="bubble">
          <Quote chat={chat} thread={thread} message={message} />
          <Content message={message} />
          <Meta message={message} />
        </div>
        <button
          type="button"
          class="message-more icon-button"
          tabIndex={-1}
          aria-label="Actions of the message"
          title="Actions"
          onClick={(event) => open(event.currentTarget)}
        >
          <Icon name="more" size={18} />
        </button>
      </div>
      <Reactions thread={thread} message={message} />
      <Failure thread={thread} message={message} />
    </li>
  );
}

function Quote({ chat, thread, message }: { chat: Chat; thread: Thread; message: ZIMMessage }) {
  const replied = message.repliedInfo;
  if (!replied) return null;
  const isThere = replied.state === ZIMMessageRepliedInfoState.Normal;
  const author =
    replied.senderUserID === chat.userID ? "You" : chat.conversations.nameOf(replied.senderUserID);
  return (
    <button
      type="button"
      class="quote"
      tabIndex={-1}
      disabled={!isThere}
      onClick={() => void thread.openAt(replied)}
    >
      <span class="quote-author">{author}</span>
      <span class="quote-line">
        {isThere ? lineOf(replied.messageInfo) : "The message is not there any more"}
      </span>
    </button>
  );
}

function Meta({ message }: { message: ZIMMessage }) {
  const { timestamp = 0, pinnedTime, editedTime, rootRepliedCount } = message;
  return (
    <span class="meta">
      {Boolean(pinnedTime) && (
        <span title="Pinned">
          <Icon name="pin" size={13} />
          <span class="visually-hidden">pinned</span>
        </span>
      )}
      {Boolean(editedTime) && <span>edited</span>}
      {Boolean(rootRepliedCount) && (
        <span>
          {rootRepliedCount} {rootRepliedCount === 1 ? "reply" : "replies"}
        </span>
      )}
      <time dateTime={new Date(timestamp).toISOString()} title={fullTimeOf(timestamp)}>
        {timeOf(timestamp)}
      </time>
      {isOwn(message) && <State message={message} />}
    </span>
  );
}

const STATES = {
  sending: ["clock", "sending"],
  failed: ["warning", "not sent"],
  read: ["checks", "read"],
  sent: ["check", "sent"],
} as const;

function stateOf({ sentStatus, receiptStatus }: ZIMMessage): keyof typeof STATES {
  if (sentStatus === ZIMMessageSentStatus.Sending) return "sending";
  if (sentStatus === ZIMMessageSentStatus.Failed) return "failed";
  return receiptStatus === ZIMMessageReceiptStatus.Done ? "read" : "sent";
}

function State({ message }: { message: ZIMMessage }) {
  const state = stateOf(message);
  const [icon, label] = STATES[state];
  return (
    <span class="state" data-state={state} title={label}>
      <Icon name={icon} size={15} />
      <span class="visually-hidden">{label}</span>
    </span>
  );
}

function Reactions({ thread, message }: { thread: Thread; message: ZIMMessage }) {
  const reactions = (message.reactions ?? []).filter((one) => one.totalCount > 0);
  if (reactions.length === 0) return null;
  return (
    <div class="reactions">
      {reactions.map(({ reactionType, totalCount, isSelfIncluded }) => (
        <button
          type="button"
          class="reaction"
          tabIndex={-1}
          aria-pressed={isSelfIncluded}
          aria-label={`${reactionType}, ${totalCount}`}
          onClick={() => void thread.sending.react(message, reactionType)}
        >
          {reactionType}
          {totalCount > 1 && <span>{totalCount}</span>}
        </button>
      ))}
    </div>
  );
}

function Failure({ thread, message }: { thread: Thread; message: ZIMMessage }) {
  if (message.sentStatus !== ZIMMessageSentStatus.Failed) return null;
  const words = thread.sending.failures.value.get(message.localMessageID ?? "");
  return (
    <p class="failed" data-testid="failed">
      <span>
        <strong>{words?.title ?? "Not sent"}.</strong> {words?.advice}
      </span>
      <button type="button" onClick={() => thread.sending.sendAgain(message)}>
        Send again
      </button>
      <button type="button" onClick={() => void thread.sending.delete(message)}>
        Discard
      </button>
    </p>
  );
}

function openActions(anchor: HTMLElement, thread: Thread, message: ZIMMessage): void {
  const items = actionsOf(thread, message);
  if (items.length === 0) return;
  const isStored = message.messageID && message.type !== ZIMMessageType.Revoke;
  const header = isStored ? <Choices thread={thread} message={message} /> : undefined;
  openMenu({ anchor, label: "Actions of the message", items, header });
}

function Choices({ thread, message }: { thread: Thread; message: ZIMMessage }) {
  return (
    <div class="choices-of-reactions" role="group" aria-label="Reactions">
      {REACTIONS.map((reaction) => (
        <button
          type="button"
          role="menuitem"
          aria-label={`React with ${reaction}`}
          onClick={() => {
            closeMenu();
            void thread.sending.react(message, reaction);
          }}
        >
          {reaction}
        </button>
      ))}
    </div>
  );
}

function actionsOf(thread: Thread, message: ZIMMessage): MenuItem[] {
  const { sending } = thread;
  const items: MenuItem[] = [];
  const isStored = Boolean(message.messageID);
  const isThere = isStored && message.type !== ZIMMessageType.Revoke;
  if (isThere)
    items.push({ label: "Reply", icon: "reply", run: () => sending.beginReply(message) });
  if (message.type === ZIMMessageType.Text) {
    const text = message as ZIMTextMessage;
    items.push({ label: "Copy", icon: "copy", run: () => void copy(text.message) });
    if (isThere && isOwn(message)) {
      items.push({ label: "Edit", icon: "edit", run: () => sending.beginEdit(text) });
    }
  }
  if (isThere) {
    const isPinned = Boolean(message.pinnedTime);
    items.push({
      label: isPinned ? "Unpin" : "Pin",
      icon: "pin",
      run: () => void sending.pin(message, !isPinned),
    });
  }
  items.push({
    label: "Delete for me",
    icon: "delete",
    isDangerous: true,
    run: () => void sending.delete(message),
  });
  if (isThere && isOwn(message)) {
    const title = "Remove this message for both of you?";
    items.push({
      label: "Remove for both",
      icon: "block",
      isDangerous: true,
      run: () =>
        confirm(title, "The other person may have read it already.", "Remove", () => {
          void sending.revoke(message);
        }),
    });
  }
  return items;
}

async function copy(text: string): Promise<void> {
  await navigator.clipboard?.writeText(text).catch(() => undefined);
}
