// The open conversation.
import { useEffect } from "preact/hooks";
import { isMuted } from "../state/conversations.js";
import { lineOf } from "../format.js";
import type { Chat } from "../state/chat.js";
import type { Thread } from "../state/thread.js";
import { Avatar } from "./Avatar.js";
import { Composer } from "./Composer.js";
import { conversationItems } from "./ConversationList.js";
import { confirm, openNewChat } from "./dialogs.js";
import { Icon, IconButton } from "./icons.js";
import { openMenu } from "./menu.js";
import { MessageList } from "./MessageList.js";
import { leaveThread } from "./shortcuts.js";

export function ThreadView({ chat, thread }: { chat: Chat; thread: Thread }) {
  useEffect(() => {
    const mark = (): void => {
      if (document.visibilityState === "visible") thread.reading.markSoon();
      else thread.sending.saveDraft();
    };
    document.addEventListener("visibilitychange", mark);
    return () => document.removeEventListener("visibilitychange", mark);
  }, [thread]);
  return (
    <>
      <Header chat={chat} thread={thread} />
      <Pinned thread={thread} />
      <MessageList chat={chat} thread={thread} />
      {thread.isBlocked.value ? (
        <p class="blocked">
          You blocked this person, who cannot write to you.
          <button
            type="button"
            class="secondary"
            onClick={() => chat.block(thread.conversationID, false)}
          >
            Unblock
          </button>
        </p>
      ) : (
        <Composer chat={chat} thread={thread} />
      )}
    </>
  );
}

function Header({ chat, thread }: { chat: Chat; thread: Thread }) {
  const { conversationID } = thread;
  const name = chat.conversations.nameOf(conversationID);
  const isConnected = chat.connection.value === "connected";
  const status = isConnected ? chat.people.statusOf(conversationID) : "";
  const muted = isMuted(chat.conversations.of(conversationID));
  return (
    <header class="thread-header">
      <IconButton
        class="back"
        icon="back"
        label="Back to the conversations"
        onClick={() => leaveThread(chat)}
      />
      <Avatar userID={conversationID} name={name} isOnline={chat.isOnline(conversationID)} />
      <div class="thread-title">
        <h2>
          {name}
          {muted && (
            <span class="conversation-mark">
              <Icon name="mute" size={15} />
              <span class="visually-hidden">muted</span>
            </span>
          )}
        </h2>
        <p
          class={chat.people.isTyping(conversationID) ? "thread-status typing" : "thread-status"}
          data-testid="status"
        >
          {status}
        </p>
      </div>
      <IconButton
        icon="more"
        label={`Actions for ${name}`}
        onClick={(event) => openThreadMenu(event.currentTarget as HTMLElement, chat, thread)}
      />
    </header>
  );
}

function openThreadMenu(anchor: HTMLElement, chat: Chat, thread: Thread): void {
  const { conversationID } = thread;
  const conversation = chat.conversations.of(conversationID);
  const isBlocked = thread.isBlocked.value;
  const block = {
    label: isBlocked ? "Unblock" : "Block",
    icon: "block",
    isDangerous: !isBlocked,
    run: () => {
      if (isBlocked) chat.block(conversationID, false);
      else
        confirm(
          `Block ${chat.conversations.nameOf(conversationID)}?`,
          "Messages from this person will be refused until you unblock.",
          "Block",
          () => chat.block(conversationID, true),
        );
    },
  } as const;
  const items = conversation ? conversationItems(chat, conversation) : [];
  openMenu({ anchor, label: "Actions for the conversation", items: [...items, block] });
}

/** The last pinned message; a click shows it in its place. */
function Pinned({ thread }: { thread: Thread }) {
  const [first, ...rest] = thread.pinned.value;
  if (!first) return null;
  return (
    <button type="button" class="pinned" onClick={() => void thread.openAt(first)}>
      <Icon name="pin" size={16} />
      <span class="pinned-line">{lineOf(first)}</span>
      {rest.length > 0 && <span class="pinned-more">and {rest.length} more</span>}
    </button>
  );
}

export function Empty({ chat }: { chat: Chat }) {
  const { hasLoaded, list } = chat.conversations;
  if (!hasLoaded.value) {
    return (
      <div class="empty" role="status">
        <span class="spinner" aria-hidden="true" />
        <p>{chat.connection.value === "connecting" ? "Connecting…" : "Reading your messages…"}</p>
      </div>
    );
  }
  const isFirst = list.value.length === 0;
  return (
    <div class="empty">
      <span class="empty-mark" aria-hidden="true">
        <Icon name="unread" size={32} />
      </span>
      <h2>{isFirst ? "Write your first message" : "Choose a conversation"}</h2>
      <p>
        {isFirst
          ? "All you need is the user ID of the other person."
          : "Or begin a new one with a user ID."}
      </p>
      <button type="button" class="primary" onClick={() => openNewChat(chat)}>
        New conversation
      </button>
    </div>
  );
}
