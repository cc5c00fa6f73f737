// What the user must know: no connection, failures of calls.
import { useEffect, useState } from "preact/hooks";
import type { Chat } from "../state/chat.js";
import { Icon, IconButton } from "./icons.js";

function useIsOnline(): boolean {
  const [isOnline, setOnline] = useState(navigator.onLine);
  useEffect(() => {
    const update = (): void => setOnline(navigator.onLine);
    addEventListener("online", update);
    addEventListener("offline", update);
    return () => {
      removeEventListener("online", update);
      removeEventListener("offline", update);
    };
  }, []);
  return isOnline;
}

export function Notices({ chat }: { chat: Chat }) {
  const isOnline = useIsOnline();
  const isLost = !isOnline || chat.connection.value === "reconnecting";
  const notice = chat.notice.value;
  return (
    <div class="notices" role="status">
      {isLost && (
        <div class="notice offline" data-testid="offline">
          <span class="spinner" aria-hidden="true" />
          <p>
            <strong>{isOnline ? "Reconnecting…" : "You are offline."}</strong> What you send now is
            delivered when the connection is back.
          </p>
        </div>
      )}
      {notice && (
        <div class="notice failure" data-testid="notice">
          <Icon name="warning" />
          <p>
            <strong>{notice.title}.</strong> {notice.advice}
          </p>
          <IconButton icon="close" label="Close" onClick={() => (chat.notice.value = undefined)} />
        </div>
      )}
    </div>
  );
}
