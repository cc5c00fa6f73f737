// The list of conversations, with search.
import { useEffect, useRef, useState } from "preact/hooks";
import { ZIMMessageDirection, ZIMMessageSentStatus } from "@peerd/client";
import type { ZIMConversation } from "@peerd/client";
import { lineOf, shortTimeOf } from "../format.js";
import type { Chat } from "../state/chat.js";
import { isMuted } from "../state/conversations.js";
import { Avatar } from "./Avatar.js";
import { confirm, openNewChat, openShortcuts } from "./dialogs.js";
import { Icon, IconButton } from "./icons.js";
import { openMenu } from "./menu.js";
import type { MenuItem } from "./menu.js";

export function ConversationList({ chat }: { chat: Chat }) {
  const [query, setQuery] = useState("");
  const { list, hasLoaded } = chat.conversations;
  const found = list.value.filter((one) => matches(one, query));
  const wanted = query.trim();
  const isNew = wanted !== "" && !list.value.some((one) => one.conversationID === wanted);
  return (
    <nav class="list" aria-label="Conversations">
      <header class="list-header">
        <Avatar userID={chat.userID} name={chat.userID} />
        <h2>{chat.userID}</h2>
        <IconButton icon="compose" label="New conversation" onClick={() => openNewChat(chat)} />
        <IconButton icon="more" label="More" onClick={(event) => openOwnMenu(event, chat)} />
      </header>
      <div class="search">
        <Icon name="search" size={18} />
        <input
          id="search"
          type="search"
          placeholder="Search"
          aria-label="Search conversations"
          autocomplete="off"
          value={query}
          onInput={(event) => setQuery(event.currentTarget.value)}
          onKeyDown={(event) => {
            if (event.key === "Escape" && query) {
              event.preventDefault();
              setQuery("");
            }
          }}
        />
      </div>
      <ul class="conversations">
        {found.map((one) => (
          <Item chat={chat} conversation={one} key={one.conversationID} />
        ))}
        {isNew && hasLoaded.value && (
          <li>
            <button type="button" class="conversation new" onClick={() => chat.open(wanted)}>
              <Avatar userID={wanted} name="+" />
              <span class="conversation-text">
                <span class="conversation-name">Write to “{wanted}”</span>
                <span class="conversation-line">Begin a conversation with this user ID</span>
              </span>
            </button>
          </li>
        )}
      </ul>
      {hasLoaded.value && list.value.length === 0 && !isNew && (
        <p class="list-empty">No conversations yet.</p>
      )}
      {!query && <More chat={chat} />}
    </nav>
  );
}

const matches = (one: ZIMConversation, query: string): boolean =>
  [one.conversationName, one.conversationID, lineOf(one.lastMessage)].some((text) =>
    text.toLowerCase().includes(query.trim().toLowerCase()),
  );

/** Reads the next page when the end of the list comes into view. */
function More({ chat }: { chat: Chat }) {
  const { hasLoaded, isComplete, list } = chat.conversations;
  const end = useRef<HTMLDivElement>(null);
  const isNeeded = hasLoaded.value && !isComplete.value;
  const { length } = list.value;
  useEffect(() => {
    if (!isNeeded || !end.current) return;
    const observer = new IntersectionObserver(([entry]) => {
      if (entry?.isIntersecting) void chat.loadConversations();
    });
    observer.observe(end.current);
    return () => observer.disconnect();
  }, [isNeeded, length]);
  return <div class="list-end" ref={end} />;
}

function Item({ chat, conversation }: { chat: Chat; conversation: ZIMConversation }) {
  const { conversationID, conversationName, unreadMessageCount, isMarkedUnread } = conversation;
  const isOpen = chat.thread.value?.conversationID === conversationID;
  const name = conversationName || conversationID;
  // What arrives before the user's eyes is being marked as read.
  const isSeen = isOpen && chat.thread.value?.unseen.value === 0;
  const isUnread = !isSeen && (unreadMessageCount > 0 || Boolean(isMarkedUnread));
  const muted = isMuted(conversation);
  return (
    <li class="conversation-item">
      <button
        type="button"
        class={isUnread ? "conversation unread" : "conversation"}
        aria-current={isOpen ? "true" : undefined}
        data-conversation={conversationID}
        onClick={() => chat.open(conversationID)}
        onContextMenu={(event) => {
          event.preventDefault();
          openConversationMenu(event.currentTarget, chat, conversation);
        }}
      >
        <Avatar userID={conversationID} name={name} isOnline={chat.isOnline(conversationID)} />
        <span class="conversation-text">
          <span class="conversation-top">
            <span class="conversation-name">{name}</span>
            <time class="conversation-time">
              {conversation.lastMessage?.timestamp &&
                shortTimeOf(conversation.lastMessage.timestamp)}
            </time>
          </span>
          <span class="conversation-bottom">
            <Line chat={chat} conversation={conversation} />
            {muted && <Mark icon="mute" label="muted" />}
            {conversation.isPinned && <Mark icon="pin" label="pinned" />}
            {isUnread && (
              <span class={muted ? "badge muted" : "badge"} data-testid="badge">
                {unreadMessageCount > 999 ? "999+" : unreadMessageCount || ""}
                <span class="visually-hidden"> unread</span>
              </span>
            )}
          </span>
        </span>
      </button>
      <IconButton
        class="conversation-more"
        icon="more"
        label={`Actions for ${name}`}
        onClick={(event) =>
          openConversationMenu(event.currentTarget as HTMLElement, chat, conversation)
        }
      />
    </li>
  );
}

function Mark({ icon, label }: { icon: "mute" | "pin"; label: string }) {
  return (
    <span class="conversation-mark">
      <Icon name={icon} size={15} />
      <span class="visually-hidden">{label}</span>
    </span>
  );
}

function Line({ chat, conversation }: { chat: Chat; conversation: ZIMConversation }) {
  const { conversationID, draft, lastMessage } = conversation;
  if (chat.people.isTyping(conversationID)) {
    return <span class="conversation-line typing">typing…</span>;
  }
  const isOpen = chat.thread.value?.conversationID === conversationID;
  if (draft && !isOpen) {
    return (
      <span class="conversation-line">
        <span class="draft">Draft: </span>
        {draft}
      </span>
    );
  }
  const isOwn = lastMessage?.direction === ZIMMessageDirection.Send;
  const isFailed = lastMessage?.sentStatus === ZIMMessageSentStatus.Failed;
  return (
    <span class="conversation-line">
      {isOwn && (isFailed ? "Not sent: " : "You: ")}
      {lineOf(lastMessage)}
    </span>
  );
}

export function conversationItems(chat: Chat, conversation: ZIMConversation): MenuItem[] {
  const { conversationID, isPinned, unreadMessageCount, isMarkedUnread } = conversation;
  const muted = isMuted(conversation);
  const isUnread = unreadMessageCount > 0 || isMarkedUnread;
  return [
    {
      label: isPinned ? "Unpin" : "Pin to the top",
      icon: "pin",
      run: () => chat.pin(conversation),
    },
    {
      label: muted ? "Unmute" : "Mute",
      icon: muted ? "bell" : "mute",
      run: () => chat.mute(conversationID, !muted),
    },
    isUnread
      ? { label: "Mark as read", icon: "check", run: () => chat.markRead(conversation) }
      : { label: "Mark as unread", icon: "unread", run: () => chat.markUnread(conversation) },
    {
      label: "Delete conversation",
      icon: "delete",
      isDangerous: true,
      run: () =>
        confirm(
          "Delete this conversation?",
          "It disappears from your list. The other person keeps it.",
          "Delete",
          () => chat.delete(conversationID),
        ),
    },
  ];
}

function openConversationMenu(
  anchor: HTMLElement,
  chat: Chat,
  conversation: ZIMConversation,
): void {
  const name = conversation.conversationName || conversation.conversationID;
  openMenu({
    anchor,
    label: `Actions for ${name}`,
    items: conversationItems(chat, conversation),
  });
}

function openOwnMenu(event: MouseEvent, chat: Chat): void {
  openMenu({
    anchor: event.currentTarget as HTMLElement,
    label: "More",
    items: [
      { label: "Keyboard shortcuts", icon: "keyboard", run: openShortcuts },
      { label: "Log out", icon: "leave", run: () => void chat.leave() },
    ],
  });
}
