// Sending messages.
import { configOf, contentOf } from "../content.js";
import { PeerError, invalid } from "../errors.js";
import { isLateRepeat } from "../outbox.js";
import { randomID } from "../random.js";
import { ZIMErrorCode } from "../types/codes.js";
import {
  ZIMConversationType,
  ZIMMessageDirection,
  ZIMMessageSentStatus,
  ZIMMessageType,
} from "../types/enums.js";
import type { CallOptions } from "../calls.js";
import type {
  ZIMMediaMessageSendNotification,
  ZIMMessageSendConfig,
  ZIMMessageSendNotification,
  ZIMSendingMessageCancelConfig,
} from "../types/message-configs.js";
import type { ZIMMediaMessage, ZIMMessage, ZIMMultipleMessage } from "../types/messages.js";
import type * as result from "../types/results.js";
import { nameOnly, peer } from "./base.js";
import { Messages } from "./messages.js";

type Sent = result.ZIMMessageSentResult;

export abstract class Sending extends Messages {
  readonly #uploads = new Map<ZIMMessage, AbortController>();

  /**
   * Sends a message of any type but Revoke. The message waits in a bounded queue until peerd has
   * stored it, also while the connection is lost; `sentStatus` of the given object changes from
   * Sending to Success or Failed, and `messageSentStatusChanged` tells so. To send a failed message
   * again, give the same object with `isRetrySend`: it is stored once. A Command waits for the
   * connection, too, but is not repeated once it may have been delivered.
   */
  async sendMessage(
    message: ZIMMessage,
    toConversationID: string,
    conversationType: ZIMConversationType,
    config: ZIMMessageSendConfig = {},
    notification?: ZIMMessageSendNotification,
  ): Promise<Sent> {
    peer(conversationType);
    const call = (options: CallOptions): Promise<Sent> =>
      this.call("send_message", this.#body(message, toConversationID, config), {
        ...options,
        bodyOfRepeat: (ageMs) => this.#body(message, toConversationID, config, ageMs),
      });
    return this.#send(message, toConversationID, config, notification, call);
  }

  /** The same as `sendMessage`, under its older name for media. */
  async sendMediaMessage(
    message: ZIMMediaMessage,
    toConversationID: string,
    conversationType: ZIMConversationType,
    config: ZIMMessageSendConfig = {},
    notification?: ZIMMediaMessageSendNotification,
  ): Promise<Sent> {
    return this.sendMessage(message, toConversationID, conversationType, config, notification);
  }

  /** Sends a message that replies to an earlier one of the conversation. */
  async replyMessage(
    message: ZIMMessage,
    toOriginalMessage: ZIMMessage,
    config: ZIMMessageSendConfig = {},
    notification?: ZIMMessageSendNotification,
  ): Promise<Sent> {
    const to = toOriginalMessage.conversationID ?? "";
    const original = { toOriginalMessage: nameOnly(toOriginalMessage), conversationID: to };
    const body = (ageMs = 0) => {
      const { message: content, config: sent } = this.#body(message, to, config, ageMs);
      return { message: content, config: sent, ...original };
    };
    const call = (options: CallOptions): Promise<Sent> =>
      this.call("reply_message", body(), { ...options, bodyOfRepeat: body });
    return this.#send(message, to, config, notification, call);
  }

  /** Ends the upload of a message whose file is being uploaded. The send fails with 6000206. */
  async cancelSendingMessage(
    message: ZIMMessage,
    _config?: ZIMSendingMessageCancelConfig,
  ): Promise<void> {
    const upload = this.#uploads.get(message);
    if (!upload) {
      const code = ZIMErrorCode.MessageModuleCancelSendingMessageFailed;
      throw new PeerError({ code, message: "no file of this message is being uploaded" });
    }
    upload.abort();
  }

  #body(message: ZIMMessage, to: string, config: ZIMMessageSendConfig, ageMs = 0) {
    const isRetrySend = config.isRetrySend || isLateRepeat(ageMs);
    return {
      toConversationID: to,
      message: contentOf(message),
      config: configOf({ ...config, ...(isRetrySend && { isRetrySend }) }),
    };
  }

  async #send(
    message: ZIMMessage,
    to: string,
    config: ZIMMessageSendConfig,
    notification: ZIMMessageSendNotification | undefined,
    call: (options: CallOptions) => Promise<Sent>,
  ): Promise<Sent> {
    const { session, outbox } = this.running;
    contentOf(message);
    this.#prepare(message, to, session.userID, config);
    if (message.type === ZIMMessageType.Command) {
      notification?.onMessageAttached?.(message);
      const { message: sent } = await call({ isRepeatable: false }).catch((error: unknown) => {
        throw this.#failed(message, error);
      });
      return { message: Object.assign(message, sent) };
    }
    this.store.keep(message);
    notification?.onMessageAttached?.(message);
    try {
      await this.#upload(message, config, notification);
      const send = async (options: CallOptions): Promise<ZIMMessage> =>
        (await call(options)).message;
      const stored = await outbox.add({ message, conversationID: to, send });
      return { message: this.#stored(message, stored) };
    } catch (error) {
      throw this.#failed(message, error);
    }
  }

  /** The object that the application gave is the one that changes. */
  #prepare(message: ZIMMessage, to: string, from: string, config: ZIMMessageSendConfig): void {
    // An object that was sent already is a new message, unless it is sent again on purpose.
    const isKept = message.localMessageID && (config.isRetrySend || !message.messageID);
    const newest = this.store.peek(to)?.newestKey ?? 0;
    Object.assign(message, {
      localMessageID: isKept ? message.localMessageID : randomID(),
      messageID: "",
      messageSeq: 0,
      senderUserID: from,
      conversationID: to,
      conversationType: ZIMConversationType.Peer,
      direction: ZIMMessageDirection.Send,
      sentStatus: ZIMMessageSentStatus.Sending,
      timestamp: Date.now(),
      orderKey: newest + 1,
    });
  }

  #stored(message: ZIMMessage, stored: ZIMMessage): ZIMMessage {
    const known = this.store.of(message.conversationID ?? "");
    known.drop(`local ${message.localMessageID ?? ""}`);
    Object.assign(message, stored);
    known.keep(message);
    this.#tell(message, "");
    return message;
  }

  #failed(message: ZIMMessage, error: unknown): unknown {
    message.sentStatus = ZIMMessageSentStatus.Failed;
    this.#tell(message, error instanceof Error ? error.message : String(error));
    return error;
  }

  #tell(message: ZIMMessage, reason: string): void {
    const status = message.sentStatus ?? ZIMMessageSentStatus.Failed;
    this.listeners.emit("messageSentStatusChanged", this.zim, {
      infos: [{ status, message, reason }],
    });
  }

  /** Uploads the files of a message, or of the items of a Multiple, that have no URL yet. */
  async #upload(
    message: ZIMMessage,
    config: ZIMMessageSendConfig,
    notification: ZIMMessageSendNotification | undefined,
  ): Promise<void> {
    const multiple = message as ZIMMultipleMessage;
    const isMultiple = message.type === ZIMMessageType.Multiple;
    const items = (isMultiple ? (multiple.messageInfoList ?? []) : [message]) as ZIMMediaMessage[];
    const waiting = [...items.entries()].filter(
      ([, item]) => item.fileLocalPath && !item.fileDownloadUrl,
    );
    if (waiting.length === 0) return;
    const aborted = new AbortController();
    this.#uploads.set(message, aborted);
    const total = waiting.reduce((sum, [, item]) => sum + (item.fileLocalPath?.size ?? 0), 0);
    let done = 0;
    const failed: number[] = [];
    try {
      for (const [index, item] of waiting) {
        const upload = this.#uploadOne(item, aborted.signal, (current, size) => {
          const all = done + current;
          if (!isMultiple) notification?.onMediaUploadingProgress?.(message, current, size);
          const report = notification?.onMultipleMediaUploadingProgress;
          if (isMultiple) report?.(multiple, all, total, index, current, size);
        });
        await upload.catch((error: unknown) => {
          const isAllowed = isMultiple && config.isAllowMultipleMessagePartialFailed;
          if (!isAllowed || aborted.signal.aborted || failed.length + 1 === items.length)
            throw error;
          failed.push(index);
        });
        done += item.fileLocalPath?.size ?? 0;
      }
      // These items are not sent.
      if (isMultiple) multiple.failedIndexList = failed;
    } finally {
      this.#uploads.delete(message);
    }
  }

  async #uploadOne(
    message: ZIMMediaMessage,
    signal: AbortSignal,
    onProgress: (current: number, total: number) => void,
  ): Promise<void> {
    const { upload } = this.settings;
    const file = message.fileLocalPath;
    if (!file) return;
    if (!upload) throw invalid("fileLocalPath needs the `upload` option: peerd stores no media");
    try {
      const uploaded = await upload(file, { message, onProgress, signal });
      Object.assign(message, { fileName: file.name, fileSize: file.size }, uploaded);
    } catch (error) {
      throw signal.aborted ? cancelled() : error;
    }
    if (signal.aborted) throw cancelled();
  }
}

const cancelled = (): PeerError =>
  new PeerError({
    code: ZIMErrorCode.MessageModuleSendMessageFailedForCancelled,
    message: "the send was cancelled",
  });
