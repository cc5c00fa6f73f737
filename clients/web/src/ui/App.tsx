// The whole page: the form for the login, or the chat.
import { useSignalEffect } from "@preact/signals";
import type { AppState } from "../state/app.js";
import type { Chat } from "../state/chat.js";
import { ConversationList } from "./ConversationList.js";
import { DialogHost } from "./dialogs.js";
import { MenuHost } from "./menu.js";
import { Notices } from "./Notices.js";
import { SignIn } from "./SignIn.js";
import { Empty, ThreadView } from "./ThreadView.js";
import { useShortcuts } from "./shortcuts.js";

export function App({ app }: { app: AppState }) {
  const chat = app.chat.value;
  useSignalEffect(() => {
    const unread = app.chat.value?.conversations.total.value ?? 0;
    document.title = unread > 0 ? `(${unread}) peerd` : "peerd";
  });
  return chat ? <ChatPage chat={chat} key={chat.userID} /> : <SignIn app={app} />;
}

function ChatPage({ chat }: { chat: Chat }) {
  useShortcuts(chat);
  const thread = chat.thread.value;
  return (
    <main class="page" data-open={thread ? "thread" : "list"}>
      <h1 class="visually-hidden">Messages</h1>
      <Notices chat={chat} />
      <ConversationList chat={chat} />
      <section class="pane" aria-label="Conversation">
        {thread ? (
          <ThreadView chat={chat} thread={thread} key={thread.conversationID} />
        ) : (
          <Empty chat={chat} />
        )}
      </section>
      <div class="visually-hidden" aria-live="polite" data-testid="announcement">
        {chat.announcement.value}
      </div>
      <MenuHost />
      <DialogHost />
    </main>
  );
}
