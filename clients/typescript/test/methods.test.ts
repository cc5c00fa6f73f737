// Each method and each event once, in both encodings, against a real peerd.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import {
  UNSUPPORTED_METHODS,
  ZIM,
  ZIMBlacklistChangeAction,
  ZIMConversationEvent,
  ZIMConversationNotificationStatus,
  ZIMErrorCode,
  ZIMMessageOrder,
  ZIMMessagePinStatus,
  ZIMMessageReceiptStatus,
  ZIMMessageSentStatus,
  ZIMMessageType,
  ZIMUserOnlineStatus,
} from "../src/node.js";
import type { EncodingName, ZIMCombineMessage, ZIMMessage } from "../src/node.js";
import { Nats, startPeerd, until } from "./servers.js";
import type { Peerd } from "./servers.js";
import { PEER, User, text, textOf, unique } from "./users.js";

let nats: Nats;
let peerd: Peerd;

before(async () => {
  nats = await Nats.start();
  peerd = await startPeerd(nats);
});
after(async () => {
  await peerd.close();
  await nats.close();
});

/** Two users, alice over WebSocket. */
async function pair(encoding: EncodingName): Promise<{ alice: User; bob: User }> {
  const alice = await User.login("alice", { servers: nats.webSocketUrl, encoding });
  const bob = await User.login("bob", { servers: nats.url, encoding });
  return { alice, bob };
}

/** Logs out, also after a failure, and checks that nothing failed beside the calls. */
async function using(users: User[], run: () => Promise<void>): Promise<void> {
  try {
    await run();
    for (const user of users) assert.deepEqual(user.events("error"), []);
  } finally {
    for (const user of users) await user.zim.logout();
  }
}

for (const encoding of ["msgpack", "json"] as const) {
  const each = (name: string, run: (alice: User, bob: User) => Promise<void>): void => {
    test(`${name} (${encoding})`, { timeout: 60_000 }, async () => {
      const { alice, bob } = await pair(encoding);
      await using([alice, bob], () => run(alice, bob));
    });
  };

  each("messages of all types arrive as they were sent", async (alice, bob) => {
    const url = "https://example.com/file";
    const media = { fileDownloadUrl: url, fileName: "file", fileSize: 7 };
    const messages: ZIMMessage[] = [
      text("Hello!"),
      { type: ZIMMessageType.Custom, message: "{}", subType: 3, searchedContent: "card" } as never,
      { type: ZIMMessageType.Image, ...media, originalImageWidth: 640 } as never,
      { type: ZIMMessageType.File, ...media } as never,
      { type: ZIMMessageType.Audio, ...media, audioDuration: 3 } as never,
      { type: ZIMMessageType.Video, ...media, videoDuration: 9 } as never,
      { type: ZIMMessageType.Multiple, messageInfoList: [text("one"), text("two")] } as never,
      {
        type: ZIMMessageType.Combine,
        title: "Notes",
        summary: "",
        messageList: [text("a")],
      } as never,
    ];
    for (const message of messages) {
      await alice.zim.sendMessage({ ...message }, bob.id, PEER, {});
    }
    const command = { type: ZIMMessageType.Command, message: new Uint8Array([0, 1, 255]) };
    await alice.zim.sendMessage(command as ZIMMessage, bob.id, PEER, {});
    await until("all arrived", () => bob.messages.length === messages.length + 1);
    for (const [at, sent] of messages.entries()) {
      const { message, ...rest } = bob.messages[at] as unknown as Record<string, unknown>;
      for (const [field, value] of Object.entries(sent)) {
        if (field === "messageList" || field === "messageInfoList") continue;
        assert.deepEqual({ message, ...rest }[field], value, field);
      }
    }
    assert.deepEqual((bob.messages.at(-1) as { message?: unknown }).message, command.message);
    // Fields that peerd leaves out have the defaults of the SDK.
    const [first] = bob.messages;
    assert.deepEqual(
      [first?.reactions, first?.editedTime, first?.pinnedUserID, first?.mentionedUserIDs],
      [[], 0, "", []],
    );
    const combine = bob.messages[7] as ZIMCombineMessage;
    const detail = await bob.zim.queryCombineMessageDetail(combine);
    assert.equal(textOf(detail.message.messageList[0] as ZIMMessage), "a");
  });

  each("the object that is sent shows its state", async (alice, bob) => {
    const message = text("Hello!");
    const sent = alice.zim.sendMessage(
      message as ZIMMessage,
      bob.id,
      PEER,
      {},
      {
        onMessageAttached: (attached) => {
          assert.equal(attached, message);
          assert.equal(attached.sentStatus, ZIMMessageSentStatus.Sending);
        },
      },
    );
    assert.equal((await sent).message, message);
    assert.equal((message as ZIMMessage).sentStatus, ZIMMessageSentStatus.Success);
    await alice.sees("messageSentStatusChanged", ({ infos }) => infos[0]?.status === 1);
    const refused = text(" ") as ZIMMessage;
    await assert.rejects(alice.zim.sendMessage(refused, bob.id, PEER, {}), {
      code: ZIMErrorCode.CommonModuleParamsInvalid,
    });
    assert.equal(refused.sentStatus, ZIMMessageSentStatus.Failed);
    // A failed message is shown in the history of this device, and can be sent again.
    const history = await alice.zim.queryHistoryMessage(bob.id, PEER, { count: 10, reverse: true });
    assert.deepEqual(history.messageList.map(textOf), ["Hello!", " "]);
    Object.assign(refused, { message: "corrected" });
    await alice.zim.sendMessage(refused, bob.id, PEER, { isRetrySend: true });
    const corrected = await alice.zim.queryHistoryMessage(bob.id, PEER, { count: 10 });
    assert.deepEqual(corrected.messageList.map(textOf), ["Hello!", "corrected"]);
  });

  each("history, deletions and queries by number", async (alice, bob) => {
    for (const one of ["1", "2", "3", "4"]) await alice.send(bob, one);
    const newest = await bob.zim.queryHistoryMessage(alice.id, PEER, { count: 2, reverse: true });
    assert.deepEqual(newest.messageList.map(textOf), ["3", "4"]);
    const [nextMessage] = newest.messageList;
    const page = { count: 2, reverse: true, ...(nextMessage && { nextMessage }) };
    const older = await bob.zim.queryHistoryMessage(alice.id, PEER, page);
    assert.deepEqual(older.messageList.map(textOf), ["1", "2"]);
    const byNumber = await bob.zim.queryMessages([2, 3], alice.id, PEER);
    assert.deepEqual(byNumber.messageList.map(textOf), ["2", "3"]);
    await bob.zim.deleteMessages(older.messageList, alice.id, PEER, {});
    const deleted = await bob.sees("messageDeleted", () => true);
    assert.deepEqual(deleted.messageList.map(textOf), ["1", "2"]);
    await bob.zim.deleteAllMessage(alice.id, PEER, {});
    await bob.sees("messageDeleted", (body) => body.isDeleteConversationAllMessage);
    await alice.send(bob, "5");
    await bob.zim.deleteAllConversationMessages({});
    const none = await bob.zim.queryHistoryMessage(alice.id, PEER, { count: 10, reverse: true });
    assert.deepEqual(none.messageList, []);
  });

  each("conversations and their settings", async (alice, bob) => {
    await alice.send(bob, "Hello!");
    await bob.sees("conversationChanged", ({ infoList }) => infoList[0]?.event === 0);
    await bob.sees(
      "conversationTotalUnreadMessageCountUpdated",
      (total) => total.totalUnreadMessageCount === 1,
    );
    const { conversationList } = await bob.zim.queryConversationList({ count: 10 }, {});
    assert.equal(conversationList[0]?.conversationName, "alice");
    const [nextConversation] = conversationList;
    const rest = { count: 10, ...(nextConversation && { nextConversation }) };
    assert.deepEqual((await bob.zim.queryConversationList(rest)).conversationList, []);
    await bob.zim.setConversationNotificationStatus(
      ZIMConversationNotificationStatus.DoNotDisturb,
      alice.id,
      PEER,
    );
    await bob.zim.updateConversationPinnedState(true, alice.id, PEER);
    await bob.zim.setConversationDraft("Dear", alice.id, PEER);
    await bob.zim.setConversationUnread(true, alice.id, PEER);
    const about = { conversationID: alice.id, conversationType: PEER };
    const marked = await bob.zim.setConversationMark(3, true, [about]);
    assert.deepEqual(marked.failedConversationInfos, []);
    const { conversation } = await bob.zim.queryConversation(alice.id, PEER);
    const { notificationStatus, isPinned, draft, isMarkedUnread, marks } = conversation;
    assert.deepEqual(
      { notificationStatus, isPinned, draft, isMarkedUnread, marks },
      { notificationStatus: 2, isPinned: true, draft: "Dear", isMarkedUnread: true, marks: [3] },
    );
    assert.equal(
      (await bob.zim.queryConversationPinnedList({ count: 10 })).conversationList.length,
      1,
    );
    const total = await bob.zim.queryConversationTotalUnreadMessageCount({});
    assert.deepEqual([total.unreadMessageCount, total.unreadMessageCountIncludingMuted], [0, 1]);
    const message = bob.messages[0] as ZIMMessage;
    await bob.zim.clearConversationUnreadMessageCount(alice.id, PEER, { upToMessage: message });
    await bob.zim.clearConversationUnreadMessageCount(alice.id, PEER);
    await bob.zim.clearConversationTotalUnreadMessageCount();
    await bob.zim.deleteConversation(alice.id, PEER, {});
    await bob.sees(
      "conversationChanged",
      ({ infoList }) => infoList[0]?.event === ZIMConversationEvent.Deleted,
    );
    await assert.rejects(bob.zim.queryConversation(alice.id, PEER), { code: 6000603 });
    await alice.zim.deleteAllConversations({});
    await alice.sees("conversationsAllDeleted", ({ count }) => count === 1);
  });

  each("receipts, edits, revocations and typing", async (alice, bob) => {
    const first = text("one") as ZIMMessage;
    await alice.zim.sendMessage(first, bob.id, PEER, { hasReceipt: true });
    const second = text("two") as ZIMMessage;
    await alice.zim.sendMessage(second, bob.id, PEER, { hasReceipt: true });
    await until("both arrived", () => bob.messages.length === 2);
    await bob.zim.sendMessageReceiptsRead([bob.messages[0] as ZIMMessage], alice.id, PEER);
    await alice.sees(
      "messageReceiptChanged",
      ({ infos }) => infos[0]?.messageID === first.messageID,
    );
    await bob.zim.sendConversationMessageReceiptRead(alice.id, PEER);
    await alice.sees(
      "conversationMessageReceiptChanged",
      ({ infos }) => infos[0]?.messageID === second.messageID,
    );
    const infos = await alice.zim.queryMessageReceiptsInfo([first, second], bob.id, PEER);
    assert.deepEqual(
      infos.infos.map(({ status }) => status),
      [ZIMMessageReceiptStatus.Done, ZIMMessageReceiptStatus.Done],
    );
    const edited = { ...first, message: "one!" } as ZIMMessage;
    assert.ok(((await alice.zim.editMessage(edited, {})).message.editedTime ?? 0) > 0);
    await bob.sees(
      "messageEdited",
      ({ messageList }) => textOf(messageList[0] as ZIMMessage) === "one!",
    );
    const revoked = await alice.zim.revokeMessage(second, { revokeExtendedData: "oops" });
    assert.equal(revoked.message.type, ZIMMessageType.Revoke);
    await bob.sees(
      "messageRevokeReceived",
      ({ messageList }) => messageList[0]?.revokeExtendedData === "oops",
    );
    await alice.zim.sendTyping(true, bob.id, PEER);
    await until("bob sees that alice types", () => bob.typing[0]?.fromUserID === alice.id);
  });

  each("reactions, pins and replies", async (alice, bob) => {
    const message = await alice.send(bob, "Lunch?");
    await until("it arrived", () => bob.messages.length === 1);
    const seen = bob.messages[0] as ZIMMessage;
    const added = await bob.zim.addMessageReaction("👍", seen);
    assert.equal(added.reaction.totalCount, 1);
    await alice.sees("messageReactionsChanged", ({ reactions }) => reactions[0]?.totalCount === 1);
    const config = { reactionType: "👍", count: 10, nextFlag: 0 };
    const users = await alice.zim.queryMessageReactionUserList(message, config);
    assert.deepEqual(users.userList, [{ userID: bob.id }]);
    assert.equal((await bob.zim.deleteMessageReaction("👍", seen)).reaction.totalCount, 0);
    await bob.zim.addMessageReaction("🎉", seen, { increaseCount: 2 });
    await bob.zim.deleteMessageAllReactions(seen);
    await bob.zim.pinMessage(seen, true, { disableAutoReplace: false });
    await alice.sees(
      "messagePinStatusChanged",
      ({ infos }) => infos[0]?.pinStatus === ZIMMessagePinStatus.Pinned,
    );
    const pinned = await alice.zim.queryPinnedMessageList(bob.id, PEER);
    assert.equal(pinned.messageList[0]?.pinnedUserID, bob.id);
    await alice.zim.pinMessage(message, false);
    const reply = await bob.zim.replyMessage(text("Gladly!"), seen, {});
    assert.equal(reply.message.repliedInfo?.messageID, message.messageID);
    await alice.sees("messageRepliedCountChanged", ({ infos }) => infos[0]?.count === 1);
    const tree = await alice.zim.queryMessageRepliedList(message, { count: 10, nextFlag: 0 });
    assert.equal(tree.rootRepliedInfo.repliedCount, 1);
    await alice.zim.revokeMessage(message);
    await bob.sees(
      "messageRepliedInfoChanged",
      ({ messageList }) => messageList[0]?.repliedInfo?.state === 1,
    );
  });

  each("users: profile, privacy, status, block list", async (alice, bob) => {
    await alice.zim.updateUserName("Alice Liddell");
    await alice.zim.updateUserAvatarUrl("https://example.com/alice.png");
    await alice.zim.updateUserExtendedData("curious");
    await alice.sees("userInfoUpdated", ({ info }) => info.extendedData === "curious");
    const profiles = await bob.zim.queryUsersInfo([alice.id, unique("nobody")], {});
    assert.equal(profiles.userList[0]?.baseInfo.userName, "Alice Liddell");
    assert.equal(profiles.errorUserList[0]?.reason, 6000011);
    assert.equal((await alice.zim.updateUserPrivacy({ hideTyping: true })).hideTyping, true);
    await alice.sees("userRuleUpdated", () => true);
    const subscribed = await bob.zim.subscribeUsersStatus([alice.id], { subscriptionDuration: 10 });
    assert.deepEqual(subscribed.errorUserList, []);
    await alice.zim.updateUserCustomStatus("on a train", { duration: 60 });
    await bob.sees(
      "userStatusUpdated",
      ({ userStatusList }) => userStatusList[0]?.customStatus === "on a train",
    );
    const statuses = await bob.zim.queryUsersStatus([alice.id]);
    assert.equal(statuses.userStatusList[0]?.onlineStatus, ZIMUserOnlineStatus.Online);
    const followed = await bob.zim.querySubscribedUserStatusList({ userIDs: [] });
    assert.equal(followed.userStatusSubscriptionList[0]?.userStatus.userID, alice.id);
    await bob.zim.unsubscribeUsersStatus([alice.id]);
    const self = await alice.zim.querySelfUserInfo();
    assert.equal(self.selfUserInfo.userStatus.customStatus, "on a train");
    await bob.zim.addUsersToBlacklist([alice.id]);
    await bob.sees("blacklistChanged", ({ action }) => action === ZIMBlacklistChangeAction.Added);
    assert.equal((await bob.zim.checkUserIsInBlacklist(alice.id)).isUserInBlacklist, true);
    assert.equal((await bob.zim.queryBlacklist({ count: 10 })).blacklist[0]?.userID, alice.id);
    await assert.rejects(alice.send(bob, "Hello?"), {
      code: ZIMErrorCode.MessageModuleSenderInBlacklist,
    });
    await bob.zim.removeUsersFromBlacklist([alice.id]);
    await alice.send(bob, "Hello!");
  });
}

test("what is done on this device", async () => {
  const { alice, bob } = await pair("msgpack");
  await using([alice, bob], async () => {
    await alice.send(bob, "Hello, Bob!");
    await alice.send(bob, "How are you?");
    await until("both arrived", () => bob.messages.length === 2);
    const inserted = await bob.zim.insertMessageToLocalDB(text("a note"), alice.id, PEER, bob.id);
    assert.equal(inserted.message.isUserInserted, true);
    const search = {
      count: 10,
      order: ZIMMessageOrder.Ascending,
      keywords: ["o"],
      messageTypes: [],
      subMessageTypes: [],
      senderUserIDs: [],
      startTime: 0,
      endTime: 0,
    };
    const found = await bob.zim.searchLocalMessages(alice.id, PEER, search);
    assert.deepEqual(found.messageList.map(textOf), ["Hello, Bob!", "How are you?", "a note"]);
    const page = await bob.zim.searchGlobalLocalMessages({ ...search, count: 2, order: 0 });
    assert.deepEqual(page.messageList.map(textOf), ["a note", "How are you?"]);
    const nextMessage = page.nextMessage as ZIMMessage;
    const next = await bob.zim.searchGlobalLocalMessages({ ...search, order: 0, nextMessage });
    assert.deepEqual(next.messageList.map(textOf), ["Hello, Bob!"]);
    await bob.sees(
      "conversationChanged",
      ({ infoList }) => infoList[0]?.conversation.unreadMessageCount === 2,
    );
    const conversations = await bob.zim.searchLocalConversations({
      ...search,
      mode: 0,
      totalConversationCount: 10,
      conversationMessageCount: 1,
    });
    assert.equal(conversations.conversationSearchInfoList[0]?.totalMessageCount, 3);
    const message = bob.messages[0] as ZIMMessage;
    await bob.zim.updateMessageLocalExtendedData("starred", message);
    const history = await bob.zim.queryHistoryMessage(alice.id, PEER, { count: 10, reverse: true });
    assert.deepEqual(history.messageList.map(textOf), ["Hello, Bob!", "How are you?", "a note"]);
    assert.equal(history.messageList[0]?.localExtendedData, "starred");
    await bob.zim.deleteMessages([inserted.message], alice.id, PEER, {});
    const local = { count: 10, reverse: true, mode: 2 as const };
    const kept = await bob.zim.queryHistoryMessage(alice.id, PEER, local);
    assert.deepEqual(kept.messageList.map(textOf), ["Hello, Bob!", "How are you?"]);
  });
});

test("media are uploaded by the application, and an upload can be cancelled", async () => {
  let isEndless = false;
  let isBroken = false;
  const alice = await User.login("alice", {
    servers: nats.url,
    upload: async (file, { onProgress, signal }) => {
      onProgress(file.size, file.size);
      if (isBroken) throw new Error("no space");
      if (isEndless) await new Promise((_, reject) => signal.addEventListener("abort", reject));
      return { fileDownloadUrl: "https://example.com/photo" };
    },
  });
  const bob = await User.login("bob", { servers: nats.url });
  await using([alice, bob], async () => {
    const file = new File(["bytes"], "photo.png");
    const image = () => ({ type: ZIMMessageType.Image, fileLocalPath: file }) as ZIMMessage;
    const sizes: number[] = [];
    await alice.zim.sendMediaMessage(
      image(),
      bob.id,
      PEER,
      {},
      {
        onMediaUploadingProgress: (_, current) => sizes.push(current),
      },
    );
    assert.deepEqual(sizes, [5]);
    await until("it arrived", () => bob.messages.length === 1);
    const { fileDownloadUrl, fileName, fileSize } = bob.messages[0] as unknown as Record<
      string,
      unknown
    >;
    assert.deepEqual(
      [fileDownloadUrl, fileName, fileSize],
      ["https://example.com/photo", "photo.png", 5],
    );
    const items = [text("two photos"), image(), image()];
    const multiple = { type: ZIMMessageType.Multiple, messageInfoList: items } as ZIMMessage;
    const progress: number[] = [];
    await alice.zim.sendMessage(
      multiple,
      bob.id,
      PEER,
      {},
      {
        onMultipleMediaUploadingProgress: (_, current, total, index) =>
          progress.push(current, total, index),
      },
    );
    assert.deepEqual(progress, [5, 10, 1, 10, 10, 2]);
    const partly = { ...multiple, messageInfoList: [text("one photo"), image()] } as ZIMMessage;
    isBroken = true;
    await alice.zim.sendMessage(partly, bob.id, PEER, {
      isAllowMultipleMessagePartialFailed: true,
    });
    assert.deepEqual((partly as { failedIndexList?: number[] }).failedIndexList, [1]);
    await assert.rejects(alice.zim.sendMessage(image(), bob.id, PEER, {}), /no space/);
    isBroken = false;
    isEndless = true;
    const cancelled = image();
    const sending = alice.zim.sendMessage(cancelled, bob.id, PEER, {});
    await alice.zim.cancelSendingMessage(cancelled, {});
    await assert.rejects(sending, { code: 6000206 });
    await assert.rejects(alice.zim.cancelSendingMessage(cancelled, {}), { code: 6000207 });
  });
});

test("what is not supported is refused with 6000013", async () => {
  const zim = new ZIM();
  for (const method of UNSUPPORTED_METHODS) {
    const refused = { code: ZIMErrorCode.CommonModuleUnsupportedRequest };
    await assert.rejects(async () => zim[method](), refused);
  }
  await assert.rejects(zim.queryConversationList({ count: 1 }), { code: 6000121 });
  assert.equal(ZIM.getVersion().split(".").length, 3);
});
