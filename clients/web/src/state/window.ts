// The part of a conversation that is in memory: a list of messages, ascending by order key.
import { ZIMMessageDirection } from "@peerd/client";
import type { ZIMMessage } from "@peerd/client";

/** Messages of a page. */
export const PAGE = 50;
/** Messages of the window. Beyond it, pages at the far end are dropped and read again on demand. */
export const MAX_MESSAGES = 200;

export type Messages = readonly ZIMMessage[];

/** The key of a message: an own one has it before peerd has given it an ID. */
export function keyOf(message: ZIMMessage): string {
  const isOwn = message.direction === ZIMMessageDirection.Send;
  return isOwn && message.localMessageID
    ? `local ${message.localMessageID}`
    : (message.messageID ?? "");
}

const byOrder = (a: ZIMMessage, b: ZIMMessage): number => (a.orderKey ?? 0) - (b.orderKey ?? 0);

/** Adds messages; those that are there already are replaced. */
export function merge(list: Messages, more: Messages): Messages {
  const found = new Map(list.map((message) => [keyOf(message), message]));
  for (const message of more) found.set(keyOf(message), message);
  return [...found.values()].sort(byOrder);
}

/** Replaces those messages that are in the window. */
export function replace(list: Messages, changed: Messages): Messages {
  const found = new Map(changed.map((message) => [message.messageID, message]));
  return list.map((message) => (message.messageID && found.get(message.messageID)) || message);
}

export const isStored = (message: ZIMMessage): boolean => Boolean(message.messageID);
export const firstStored = (list: Messages): ZIMMessage | undefined => list.find(isStored);
export const lastStored = (list: Messages): ZIMMessage | undefined => list.findLast(isStored);

/**
 * The window after the newest page was read again, in which messages may be missing that were
 * deleted meanwhile. If the page does not touch the window, the page takes its place.
 */
export function refreshed(list: Messages, page: Messages): { list: Messages; isJoined: boolean } {
  const from = firstStored(page)?.orderKey ?? Infinity;
  const to = lastStored(page)?.orderKey ?? -Infinity;
  const last = lastStored(list)?.orderKey ?? -Infinity;
  if (last < from) return { list: page, isJoined: false };
  const kept = list.filter((message) => {
    const { orderKey = 0 } = message;
    return !isStored(message) || orderKey < from || orderKey > to;
  });
  return { list: merge(kept, page), isJoined: true };
}

/** Whether a message is up to another one in the order of the conversation. */
export function isUpTo(message: ZIMMessage, lastID: string): boolean {
  // An ID is the order key and the partition, in decimal digits of different length.
  return isStored(message) && BigInt(message.messageID ?? 0) <= BigInt(lastID);
}
