// Times, days and short texts.
import { ZIMMessageType } from "@peerd/client";
import type {
  ZIMCombineMessageLiteInfo,
  ZIMMediaMessageLiteInfo,
  ZIMMessageLiteInfo,
} from "@peerd/client";

const DAY_MS = 86_400_000;
const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });
const weekday = new Intl.DateTimeFormat(undefined, { weekday: "long" });
const date = new Intl.DateTimeFormat(undefined, { dateStyle: "long" });
const shortDate = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short" });
const full = new Intl.DateTimeFormat(undefined, { dateStyle: "full", timeStyle: "short" });

const startOfDay = (ms: number): number => new Date(ms).setHours(0, 0, 0, 0);
/** Days are counted by the calendar: an hour more or less for daylight saving is rounded away. */
const daysAgo = (ms: number): number =>
  Math.round((startOfDay(Date.now()) - startOfDay(ms)) / DAY_MS);

export const timeOf = (ms: number): string => clock.format(ms);
export const fullTimeOf = (ms: number): string => full.format(ms);
export const isSameDay = (a: number, b: number): boolean => startOfDay(a) === startOfDay(b);

/** The heading above the messages of a day. */
export function dayOf(ms: number): string {
  const days = daysAgo(ms);
  if (days === 0) return "Today";
  if (days === 1) return "Yesterday";
  return days > 1 && days < 7 ? weekday.format(ms) : date.format(ms);
}

/** The time in the list of conversations. */
export function shortTimeOf(ms: number): string {
  const days = daysAgo(ms);
  if (days === 0) return timeOf(ms);
  if (days === 1) return "Yesterday";
  return days > 1 && days < 7 ? weekday.format(ms) : shortDate.format(ms);
}

const MEDIA_NAMES: Readonly<Record<number, string>> = {
  [ZIMMessageType.Image]: "Image",
  [ZIMMessageType.File]: "File",
  [ZIMMessageType.Audio]: "Audio",
  [ZIMMessageType.Video]: "Video",
};

export const mediaNameOf = (type: number): string | undefined => MEDIA_NAMES[type];

/** A message in one line, in lists, quotes and announcements. */
export function lineOf(message: ZIMMessageLiteInfo | undefined): string {
  if (!message) return "No messages";
  switch (message.type) {
    case ZIMMessageType.Text:
      return (message as { message?: string }).message?.replace(/\s+/g, " ") ?? "";
    case ZIMMessageType.Revoke:
      return "Message removed";
    case ZIMMessageType.Combine:
      return (message as ZIMCombineMessageLiteInfo).title || "Forwarded messages";
    case ZIMMessageType.Multiple:
      return "Several items";
  }
  const media = mediaNameOf(message.type);
  if (!media) return "A message of this application";
  const { fileName } = message as ZIMMediaMessageLiteInfo;
  return fileName ? `${media}: ${fileName}` : media;
}

export function bytesOf(count: number): string {
  if (count < 1024) return `${count} B`;
  const units = ["kB", "MB", "GB"];
  let value = count / 1024;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${value.toFixed(value < 10 ? 1 : 0)} ${units[unit]}`;
}
