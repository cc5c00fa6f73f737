// Shows what happened to messages while the client missed the events about it.
import type { Listeners } from "./listeners.js";
import type { Known } from "./store.js";
import {
  ZIMConversationType,
  ZIMMessageDeleteType,
  ZIMMessageDirection,
  ZIMMessagePinStatus,
  ZIMMessageType,
} from "./types/enums.js";
import type { ZIMMessage, ZIMMessageReaction, ZIMRevokeMessage } from "./types/messages.js";
import type { ZIM } from "./zim.js";

/** Compares messages as they were with their present state, and emits the events that fit. */
export function compare(
  zim: ZIM,
  listeners: Listeners,
  known: Known,
  before: ZIMMessage[],
  present: (messageID: string) => ZIMMessage | undefined,
): void {
  const gone: ZIMMessage[] = [];
  for (const old of before) {
    const now = present(old.messageID ?? "");
    if (!now) {
      gone.push(old);
      known.drop(old.messageID ?? "");
    } else {
      known.keep(now);
      compareOne(zim, listeners, old, now);
    }
  }
  if (gone.length > 0) {
    listeners.emit("messageDeleted", zim, {
      conversationID: known.conversationID,
      conversationType: ZIMConversationType.Peer,
      isDeleteConversationAllMessage: false,
      messageDeleteType: ZIMMessageDeleteType.MessageListDeleted,
      messageList: gone,
    });
  }
}

function compareOne(zim: ZIM, listeners: Listeners, old: ZIMMessage, now: ZIMMessage): void {
  const messageList = [now];
  if (now.type === ZIMMessageType.Revoke) {
    if (old.type === ZIMMessageType.Revoke) return;
    listeners.emit("messageRevokeReceived", zim, { messageList: [now as ZIMRevokeMessage] });
    return;
  }
  if (now.editedTime !== old.editedTime) listeners.emit("messageEdited", zim, { messageList });
  const reactions = changedReactions(old, now);
  if (reactions.length > 0) {
    const changeInfoList = [{ message: now, userChangeInfoList: [] }];
    listeners.emit("messageReactionsChanged", zim, { reactions, changeInfoList });
  }
  if (now.pinnedTime !== old.pinnedTime) {
    const pinStatus = pinChange(old, now);
    listeners.emit("messagePinStatusChanged", zim, { infos: [{ pinStatus, message: now }] });
  }
  if (now.receiptStatus !== old.receiptStatus) showReceipt(zim, listeners, now);
  if (JSON.stringify(now.repliedInfo) !== JSON.stringify(old.repliedInfo)) {
    listeners.emit("messageRepliedInfoChanged", zim, { messageList });
  }
  if (now.rootRepliedCount !== old.rootRepliedCount) {
    const { messageID = "", conversationID = "", rootRepliedCount: count = 0 } = now;
    const conversationType = ZIMConversationType.Peer;
    const infos = [{ messageID, conversationID, conversationType, count }];
    listeners.emit("messageRepliedCountChanged", zim, { infos });
  }
}

/** The types whose reactions changed, as they are now; those without any left have counts of 0. */
function changedReactions(old: ZIMMessage, now: ZIMMessage): ZIMMessageReaction[] {
  const was = new Map(old.reactions?.map((one) => [one.reactionType, one]));
  const is = new Map(now.reactions?.map((one) => [one.reactionType, one]));
  const changed = [...is.values()].filter(
    (one) => JSON.stringify(one) !== JSON.stringify(was.get(one.reactionType)),
  );
  const removed = [...was.values()].filter((one) => !is.has(one.reactionType));
  const empty = { totalCount: 0, sumCount: 0, isSelfIncluded: false, userList: [] };
  return [...changed, ...removed.map((one) => ({ ...one, ...empty }))];
}

function pinChange(old: ZIMMessage, now: ZIMMessage): ZIMMessagePinStatus {
  if (!now.pinnedTime) return ZIMMessagePinStatus.NotPinned;
  return old.pinnedTime ? ZIMMessagePinStatus.Updated : ZIMMessagePinStatus.Pinned;
}

function showReceipt(zim: ZIM, listeners: Listeners, now: ZIMMessage): void {
  const isOwn = now.direction === ZIMMessageDirection.Send;
  listeners.emit("messageReceiptChanged", zim, {
    infos: [
      {
        status: now.receiptStatus ?? 0,
        messageID: now.messageID ?? "",
        conversationID: now.conversationID ?? "",
        conversationType: ZIMConversationType.Peer,
        readMemberCount: isOwn ? 1 : 0,
        unreadMemberCount: 0,
        isSelfOperated: !isOwn,
        // The time is in queryMessageReceiptsInfo.
        readTime: 0,
      },
    ],
  });
}
