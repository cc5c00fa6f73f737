// The part of a message object that is sent: its content, and what travels with it.
import type { ContentBodyWithMessageFields, SendConfigBody } from "./generated/requests.js";
import { invalid } from "./errors.js";
import { ZIMMessageType } from "./types/enums.js";
import type { ZIMMessageSendConfig } from "./types/message-configs.js";
import type { ZIMMessage } from "./types/messages.js";

const MEDIA = ["fileDownloadUrl", "fileName", "fileSize", "fileUID"];
const VIDEO = ["videoFirstFrameDownloadUrl", "videoFirstFrameWidth", "videoFirstFrameHeight"];
const SIZES = ["originalImage", "largeImage", "thumbnail"];
const IMAGE = SIZES.flatMap((of) => [`${of}Width`, `${of}Height`]);

/** The fields of the content of each type of message that may be sent. */
const FIELDS: Readonly<Record<number, readonly string[]>> = {
  [ZIMMessageType.Text]: ["message"],
  [ZIMMessageType.Command]: ["message"],
  [ZIMMessageType.Custom]: ["message", "subType", "searchedContent"],
  [ZIMMessageType.Image]: [...MEDIA, ...IMAGE, "thumbnailDownloadUrl", "largeImageDownloadUrl"],
  [ZIMMessageType.File]: MEDIA,
  [ZIMMessageType.Audio]: [...MEDIA, "audioDuration"],
  [ZIMMessageType.Video]: [...MEDIA, "videoDuration", ...VIDEO],
  [ZIMMessageType.Multiple]: ["messageInfoList"],
  [ZIMMessageType.Combine]: ["title", "summary", "messageList"],
};
/** What a message inside a Combine keeps beside its content. */
const OF_EXCERPT = ["messageID", "senderUserID", "timestamp", "extendedData"];

function pick(from: object, names: readonly string[]): Record<string, unknown> {
  const given = from as Record<string, unknown>;
  const known = names.filter((name) => given[name] !== undefined && given[name] !== null);
  return Object.fromEntries(known.map((name) => [name, given[name]]));
}

function content(message: { type: number }): Record<string, unknown> {
  const fields = FIELDS[message.type];
  if (!fields) throw invalid(`a message of type ${message.type} cannot be sent`);
  const picked = { type: message.type, ...pick(message, fields) } as Record<string, unknown>;
  if (message.type === ZIMMessageType.Multiple) {
    const { failedIndexList = [] } = message as { failedIndexList?: number[] };
    const items = list(picked["messageInfoList"]);
    const sent = items.filter((_, index) => !failedIndexList.includes(index));
    picked["messageInfoList"] = sent.map(content);
  }
  if (message.type === ZIMMessageType.Combine) {
    picked["messageList"] = list(picked["messageList"]).map((one) => ({
      ...pick(one, OF_EXCERPT),
      // A revoked message shows that it was revoked, and nothing else.
      ...(one.type === ZIMMessageType.Revoke ? { type: one.type } : content(one)),
    }));
  }
  return picked;
}

const list = (value: unknown): { type: number }[] =>
  Array.isArray(value) ? (value as { type: number }[]) : [];

/** The message in the body of a call. peerd checks its fields. */
export function contentOf(message: ZIMMessage): ContentBodyWithMessageFields {
  const rest = pick(message, ["localMessageID", "extendedData"]);
  return { ...content(message), ...rest } as ContentBodyWithMessageFields;
}

/** The configuration in the body of a call. */
export function configOf(config: ZIMMessageSendConfig): SendConfigBody {
  const flags = ["priority", "hasReceipt", "isRetrySend", "disableUnreadMessageCount"];
  const push = config.pushConfig ? { pushConfig: pushOf(config.pushConfig) } : {};
  return { ...pick(config, flags), ...push } as SendConfigBody;
}

const PUSH = ["title", "content", "payload", "resourcesID", "threadID", "enableBadge"];

function pushOf(push: object): Record<string, unknown> {
  return pick(push, [...PUSH, "badgeIncrement", "voIPConfig"]);
}
