// Types of what peerd has and the SDK has not.
import type { ZIMMessage } from "./messages.js";

/** Body of the event `typing`. */
export interface PeerdTypingEvent {
  /** Who is typing, or stopped. */
  fromUserID: string;
  isTyping: boolean;
}

/** What the user hides from others. A field that is left out stays as it is. */
export interface PeerdPrivacy {
  hideTyping?: boolean;
  hideReadReceipts?: boolean;
  hideOnlineStatus?: boolean;
}

/** How much of a conversation was read. */
export interface PeerdReadConfig {
  /** The last message that was read; left out: all of them. */
  upToMessage?: ZIMMessage;
}
