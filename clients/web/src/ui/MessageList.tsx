// The messages in the window, with days, and the scrolling.
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { Fragment } from "preact";
import { dayOf, isSameDay } from "../format.js";
import type { Chat } from "../state/chat.js";
import type { Thread } from "../state/thread.js";
import { keyOf } from "../state/window.js";
import { Icon } from "./icons.js";
import { MessageView } from "./MessageView.js";

/** Pixels from an end of the list at which the next page is read. */
const LOAD_WITHIN_PX = 600;
/** Pixels from the bottom that still count as the end. */
const END_WITHIN_PX = 48;
/** Messages of one user within this time stand close together. */
const GROUP_MS = 5 * 60_000;

export function MessageList({ chat, thread }: { chat: Chat; thread: Thread }) {
  const scroller = useRef<HTMLDivElement>(null);
  const isScrolledUp = useScrolling(thread, scroller);
  const messages = thread.messages.value;
  const name = chat.conversations.nameOf(thread.conversationID);
  const last = messages.at(-1);
  const isEmpty = thread.hasLoaded.value && messages.length === 0;
  const [focused, setFocused] = useState("");
  const reachable = messages.some((one) => keyOf(one) === focused) ? focused : last && keyOf(last);

  return (
    <div class="thread-body">
      <div
        class="scroller"
        ref={scroller}
        role="region"
        aria-label={`Messages with ${name}`}
        aria-busy={!thread.hasLoaded.value}
        tabIndex={isEmpty ? 0 : -1}
      >
        {!thread.hasLoaded.value && (
          <div class="empty">
            <span class="spinner" aria-hidden="true" />
            <p>Reading the messages…</p>
          </div>
        )}
        {isEmpty && (
          <div class="empty">
            <h2>No messages yet</h2>
            <p>Say hello to {name}.</p>
          </div>
        )}
        <ol class="messages" onKeyDown={moveFocus}>
          {!thread.hasOlder.value && messages.length > 0 && (
            <li class="beginning">This is the beginning of your conversation with {name}.</li>
          )}
          {messages.map((message, index) => {
            const before = messages[index - 1];
            const { timestamp = 0 } = message;
            const isNewDay = !before || !isSameDay(before.timestamp ?? 0, timestamp);
            const isGrouped =
              !isNewDay &&
              before.senderUserID === message.senderUserID &&
              timestamp - (before.timestamp ?? 0) < GROUP_MS;
            const key = keyOf(message);
            return (
              <Fragment key={key}>
                {isNewDay && (
                  <li class="day">
                    <span>{dayOf(timestamp)}</span>
                  </li>
                )}
                {thread.firstUnread.value === key && <li class="first-unread">New messages</li>}
                <MessageView
                  chat={chat}
                  thread={thread}
                  message={message}
                  isGrouped={isGrouped}
                  isReachable={key === reachable}
                  onFocus={() => setFocused(key)}
                />
              </Fragment>
            );
          })}
        </ol>
      </div>
      {(isScrolledUp || thread.hasNewer.value) && (
        <button
          type="button"
          class="to-end"
          onClick={() => {
            thread.isAtEnd = true;
            if (thread.hasNewer.value) void thread.toEnd();
            scroller.current?.scrollTo({ top: scroller.current.scrollHeight });
          }}
        >
          <Icon name="down" size={18} />
          {thread.unseen.value > 0 ? `${thread.unseen.value} new` : "Newest"}
        </button>
      )}
    </div>
  );
}

/** Arrows move between messages. */
function moveFocus(event: KeyboardEvent): void {
  if (event.key !== "ArrowUp" && event.key !== "ArrowDown") return;
  const current = (event.target as HTMLElement).closest(".message");
  if (!current) return;
  const step = event.key === "ArrowUp" ? "previousElementSibling" : "nextElementSibling";
  let next = current[step];
  while (next && !next.classList.contains("message")) next = next[step];
  if (!next) return;
  event.preventDefault();
  (next as HTMLElement).focus();
}

/**
 * Keeps the end in view while the user is there, and otherwise the message at the top of the view
 * in its place, whatever is added above or below it. Returns whether the end is out of view.
 */
function useScrolling(thread: Thread, scroller: { current: HTMLDivElement | null }): boolean {
  const [isScrolledUp, setScrolledUp] = useState(false);
  const anchor = useRef<{ id: string; top: number } | undefined>(undefined);
  const messages = thread.messages.value;
  const target = thread.target.value;

  const loadMore = (): void => {
    const element = scroller.current;
    if (!element || !thread.hasLoaded.value) return;
    if (element.scrollTop < LOAD_WITHIN_PX && thread.hasOlder.value) void thread.loadOlder();
    else if (belowOf(element) < LOAD_WITHIN_PX && thread.hasNewer.value) void thread.loadNewer();
  };

  useEffect(() => {
    const element = scroller.current;
    if (!element) return;
    const onScroll = (): void => {
      thread.isAtEnd = belowOf(element) < END_WITHIN_PX && !thread.hasNewer.value;
      if (thread.isAtEnd) {
        thread.unseen.value = 0;
        thread.reading.markSoon();
      }
      setScrolledUp(belowOf(element) > element.clientHeight / 2);
      anchor.current = anchorOf(element);
      loadMore();
    };
    // The window, the keyboard of a phone or a picture changes the size.
    const resized = new ResizeObserver(() => settle(element, thread.isAtEnd, anchor.current));
    resized.observe(element);
    if (element.firstElementChild) resized.observe(element.querySelector("ol") ?? element);
    element.addEventListener("scroll", onScroll, { passive: true });
    return () => {
      resized.disconnect();
      element.removeEventListener("scroll", onScroll);
    };
  }, [thread]);

  useLayoutEffect(() => {
    const element = scroller.current;
    if (!element) return;
    if (target) {
      const found = element.querySelector(`[data-key="${CSS.escape(target)}"]`);
      found?.scrollIntoView({ block: "center" });
      thread.isAtEnd = belowOf(element) < END_WITHIN_PX && !thread.hasNewer.value;
    } else {
      settle(element, thread.isAtEnd, anchor.current);
    }
    anchor.current = anchorOf(element);
    const timer = setTimeout(loadMore);
    return () => clearTimeout(timer);
  }, [messages, target]);

  useEffect(() => {
    if (!target) return;
    const timer = setTimeout(() => (thread.target.value = undefined), 1600);
    return () => clearTimeout(timer);
  }, [target]);

  return isScrolledUp;
}

/** Pixels below the view. */
const belowOf = (element: HTMLElement): number =>
  element.scrollHeight - element.scrollTop - element.clientHeight;

function settle(
  element: HTMLElement,
  isAtEnd: boolean,
  anchor: { id: string; top: number } | undefined,
): void {
  if (isAtEnd) {
    element.scrollTop = element.scrollHeight;
    return;
  }
  const kept = anchor && element.querySelector(`[data-key="${CSS.escape(anchor.id)}"]`);
  if (kept) element.scrollTop += kept.getBoundingClientRect().top - anchor.top;
}

/** The first message in view, and where it is. */
function anchorOf(element: HTMLElement): { id: string; top: number } | undefined {
  const { top } = element.getBoundingClientRect();
  for (const message of element.querySelectorAll<HTMLElement>(".message")) {
    const box = message.getBoundingClientRect();
    if (box.bottom > top) return { id: message.dataset["key"] ?? "", top: box.top };
  }
  return undefined;
}
