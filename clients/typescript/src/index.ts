// What the package exports, in Node and in browsers.
export type { Credentials } from "./credentials.js";
export type { EncodingName } from "./encoding.js";
export { PeerError } from "./errors.js";
export type { ZIMError } from "./errors.js";
export { UNSUPPORTED_EVENTS } from "./handlers.js";
export type { PeerdEventHandler, ZIMEventHandler } from "./handlers.js";
export type {
  PeerdOptions,
  Upload,
  ZIMAppConfig,
  ZIMLogConfig,
  ZIMLoginConfig,
  ZIMLogoutConfig,
} from "./options.js";
export * from "./types/codes.js";
export type * from "./types/conversations.js";
export * from "./types/enums.js";
export type * from "./types/events.js";
export type * from "./types/message-configs.js";
export type * from "./types/messages.js";
export type * from "./types/own.js";
export type * from "./types/results.js";
export type * from "./types/users.js";
export { UNSUPPORTED_METHODS } from "./unsupported.js";
export { ZIM } from "./zim.js";
