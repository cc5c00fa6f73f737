// A small application as it would be written for the ZIM web SDK: two devices chat. Only the import
// and the login differ from an application of that SDK; `servers` and `token` say where peerd's NATS
// is, and who the user is.
import {
  ZIM,
  ZIMConversationNotificationStatus,
  ZIMConversationType,
  ZIMMessageQueryMode,
  ZIMMessageType,
} from "@peerd/client";
import type {
  PeerdOptions,
  ZIMConversation,
  ZIMMessage,
  ZIMMessageSendConfig,
  ZIMTextMessage,
} from "@peerd/client";

/** The screen of the application: what a page would draw. */
export interface Screen {
  connection: number;
  unread: number;
  conversations: ZIMConversation[];
  messages: ZIMMessage[];
}

const CONFIG: ZIMMessageSendConfig = { priority: 2 };

/** The chat of one user. */
export class Chat {
  readonly screen: Screen = { connection: 0, unread: 0, conversations: [], messages: [] };

  constructor(private readonly zim: ZIM) {
    zim.on("error", (_, error) => console.error(error.code, error.message));
    zim.on("connectionStateChanged", (_, { state }) => {
      this.screen.connection = state;
    });
    zim.on("peerMessageReceived", (_, { messageList }) => this.show(messageList));
    zim.on("conversationChanged", (_, { infoList }) => {
      for (const { conversation } of infoList) this.replace(conversation);
    });
    zim.on("conversationTotalUnreadMessageCountUpdated", (_, { totalUnreadMessageCount }) => {
      this.screen.unread = totalUnreadMessageCount;
    });
  }

  /** Shows messages once each, in the order of their keys. */
  private show(messages: ZIMMessage[]): void {
    const known = new Map(this.screen.messages.map((message) => [message.localMessageID, message]));
    for (const message of messages) known.set(message.localMessageID, message);
    this.screen.messages = [...known.values()].sort(
      (a, b) => (a.orderKey ?? 0) - (b.orderKey ?? 0),
    );
  }

  private replace(conversation: ZIMConversation): void {
    const others = this.screen.conversations.filter(
      ({ conversationID }) => conversationID !== conversation.conversationID,
    );
    this.screen.conversations = [conversation, ...others];
  }

  /** Opens the application: logs in and reads the conversation list. */
  async open(userID: string, userName: string, login: PeerdOptions): Promise<void> {
    await this.zim.login(userID, { userName, ...login });
    const { conversationList } = await this.zim.queryConversationList({ count: 100 });
    this.screen.conversations = conversationList;
  }

  /** Opens a conversation: reads its newest messages, and marks them as read. */
  async openConversation(conversationID: string): Promise<void> {
    const { messageList } = await this.zim.queryHistoryMessage(
      conversationID,
      ZIMConversationType.Peer,
      { count: 30, reverse: true, mode: ZIMMessageQueryMode.General },
    );
    this.show(messageList);
    await this.zim.clearConversationUnreadMessageCount(conversationID, ZIMConversationType.Peer);
  }

  /** Sends a text, which is shown at once. */
  async write(text: string, toUserID: string): Promise<void> {
    const message: ZIMTextMessage = { type: ZIMMessageType.Text, message: text };
    await this.zim.sendMessage(message, toUserID, ZIMConversationType.Peer, CONFIG, {
      onMessageAttached: (attached) => this.show([attached]),
    });
  }

  async mute(conversationID: string): Promise<void> {
    await this.zim.setConversationNotificationStatus(
      ZIMConversationNotificationStatus.DoNotDisturb,
      conversationID,
      ZIMConversationType.Peer,
    );
  }

  close(): void {
    this.zim.logout();
    this.zim.destroy();
  }
}
