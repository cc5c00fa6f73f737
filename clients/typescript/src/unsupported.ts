// What the SDK has and peerd has not.
import { unsupported } from "./errors.js";

/**
 * The methods of ZIM 2.29 that are not supported: of rooms, groups, calls and friends, rules of
 * offline pushes, and functions without a documented meaning. Each rejects with 6000013.
 */
export const UNSUPPORTED_METHODS = [
  "acceptFriendApplication",
  "acceptGroupInviteApplication",
  "acceptGroupJoinApplication",
  "addFriend",
  "beginRoomAttributesBatchOperation",
  "callAccept",
  "callCancel",
  "callEnd",
  "callExperimentalAPI",
  "callInvite",
  "callJoin",
  "callQuit",
  "callReject",
  "callingInvite",
  "checkFriendsRelation",
  "createGroup",
  "createRoom",
  "deleteFriends",
  "deleteGroupAttributes",
  "deleteRoomAttributes",
  "dismissGroup",
  "endRoomAttributesBatchOperation",
  "enterRoom",
  "inviteUsersIntoGroup",
  "joinGroup",
  "joinRoom",
  "kickGroupMembers",
  "leaveAllRoom",
  "leaveGroup",
  "leaveRoom",
  "muteGroup",
  "muteGroupMembers",
  "queryCallInvitationList",
  "queryFriendApplicationList",
  "queryFriendList",
  "queryFriendsInfo",
  "queryGroupAllAttributes",
  "queryGroupApplicationList",
  "queryGroupAttributes",
  "queryGroupInfo",
  "queryGroupList",
  "queryGroupMemberCount",
  "queryGroupMemberInfo",
  "queryGroupMemberList",
  "queryGroupMemberMutedList",
  "queryGroupMessageReceiptReadMemberList",
  "queryGroupMessageReceiptUnreadMemberList",
  "queryRoomAllAttributes",
  "queryRoomMemberAttributesList",
  "queryRoomMemberList",
  "queryRoomMembers",
  "queryRoomMembersAttributes",
  "queryRoomOnlineMemberCount",
  "rejectFriendApplication",
  "rejectGroupInviteApplication",
  "rejectGroupJoinApplication",
  "searchLocalFriends",
  "searchLocalGroupMembers",
  "searchLocalGroups",
  "sendFriendApplication",
  "sendGroupInviteApplications",
  "sendGroupJoinApplication",
  "setGroupAttributes",
  "setGroupMemberNickname",
  "setGroupMemberRole",
  "setRoomAttributes",
  "setRoomMembersAttributes",
  "switchRoom",
  "transferGroupOwner",
  "updateFriendAlias",
  "updateFriendAttributes",
  "updateGroupAlias",
  "updateGroupAvatarUrl",
  "updateGroupBeInviteMode",
  "updateGroupInviteMode",
  "updateGroupJoinMode",
  "updateGroupName",
  "updateGroupNotice",
  "updateUserBadge",
  "updateUserOfflinePushRule",
] as const;

/** Returns undefined in the SDK, and therefore throws. */
const SYNCHRONOUS: ReadonlySet<string> = new Set(["beginRoomAttributesBatchOperation"]);

/** Methods that reject with 6000013. */
export type UnsupportedMethods = Record<
  (typeof UNSUPPORTED_METHODS)[number],
  (...parameters: unknown[]) => Promise<never>
>;

/** Adds the unsupported methods to the prototype of the client. */
export function refuseUnsupported(prototype: object): void {
  for (const method of UNSUPPORTED_METHODS) {
    const refuse = SYNCHRONOUS.has(method)
      ? (): never => {
          throw unsupported(method);
        }
      : (): Promise<never> => Promise.reject(unsupported(method));
    Object.defineProperty(prototype, method, { value: refuse, writable: true });
  }
}
