// Fills in what bodies leave out at its default, so that results have all fields of the SDK.
import { fromBase64 } from "./encoding.js";
import { ZIMMessageType } from "./types/enums.js";

type Fields = Record<string, unknown>;

const MEDIA: Fields = { fileName: "", fileSize: 0, fileUID: "" };
const IMAGE: Fields = {
  ...MEDIA,
  thumbnailDownloadUrl: "",
  largeImageDownloadUrl: "",
  originalImageWidth: 0,
  originalImageHeight: 0,
  largeImageWidth: 0,
  largeImageHeight: 0,
  thumbnailWidth: 0,
  thumbnailHeight: 0,
};
const VIDEO: Fields = {
  ...MEDIA,
  videoDuration: 0,
  videoFirstFrameDownloadUrl: "",
  videoFirstFrameWidth: 0,
  videoFirstFrameHeight: 0,
};

/** Fields of the content of each type of message. */
const CONTENT: Readonly<Record<number, Fields>> = {
  [ZIMMessageType.Image]: IMAGE,
  [ZIMMessageType.File]: MEDIA,
  [ZIMMessageType.Audio]: { ...MEDIA, audioDuration: 0 },
  [ZIMMessageType.Video]: VIDEO,
  [ZIMMessageType.Combine]: { title: "", summary: "" },
  [ZIMMessageType.Custom]: { subType: 0, searchedContent: "" },
};

const message = (): Fields => ({
  isUserInserted: false,
  localExtendedData: "",
  isBroadcastMessage: false,
  mentionedUserIDs: [],
  isMentionAll: false,
  isGroupTargetedMessage: false,
  editorUserID: "",
  editedTime: 0,
  reactions: [],
  pinnedUserID: "",
  pinnedTime: 0,
  rootRepliedCount: 0,
});

const CONVERSATION: Fields = { conversationAvatarUrl: "", conversationAlias: "" };

/** A reply or an event with all fields of the SDK, and the bytes of Commands as bytes. */
export function complete(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(complete);
  // A copy, because the bytes are a part of what the connection has read.
  if (value instanceof Uint8Array) return Uint8Array.from(value);
  if (typeof value !== "object" || value === null) return value;
  const fields: Fields = {};
  for (const [name, field] of Object.entries(value)) fields[name] = complete(field);
  if ("conversationName" in fields) return { ...CONVERSATION, ...fields };
  if ("sentStatus" in fields) return { ...message(), ...content(fields) };
  // Messages inside others, and originals of replies, have a type and content only.
  return typeof fields["type"] === "number" ? content(fields) : fields;
}

function content(fields: Fields): Fields {
  const { type, message } = fields;
  if (type === ZIMMessageType.Command && typeof message === "string") {
    return { ...fields, message: fromBase64(message) };
  }
  return { ...CONTENT[type as number], ...fields };
}
