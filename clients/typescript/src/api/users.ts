// Users: profiles, privacy, status, block lists.
import type * as result from "../types/results.js";
import type { PeerdPrivacy } from "../types/own.js";
import type {
  ZIMBlacklistQueryConfig,
  ZIMSubscribedUserStatusQueryConfig,
  ZIMUserCustomStatusUpdateConfig,
  ZIMUserStatusSubscribeConfig,
  ZIMUsersInfoQueryConfig,
} from "../types/users.js";
import { Base } from "./base.js";

export abstract class Users extends Base {
  /** Sets the name that others see: at most 256 bytes, `""` takes it away. */
  async updateUserName(userName: string): Promise<result.ZIMUserNameUpdatedResult> {
    return this.call("update_user_name", { userName });
  }

  /** Sets the URL of the avatar: at most 500 bytes, `""` takes it away. */
  async updateUserAvatarUrl(userAvatarUrl: string): Promise<result.ZIMUserAvatarUrlUpdatedResult> {
    return this.call("update_user_avatar_url", { userAvatarUrl });
  }

  /** Sets data of the application about the user: at most 2,048 bytes. */
  async updateUserExtendedData(
    extendedData: string,
  ): Promise<result.ZIMUserExtendedDataUpdatedResult> {
    return this.call("update_user_extended_data", { extendedData });
  }

  /** Sets the custom status: at most 64 bytes, `duration` in seconds (0: a day). */
  async updateUserCustomStatus(
    customStatus: string,
    config?: ZIMUserCustomStatusUpdateConfig,
  ): Promise<result.ZIMUserCustomStatusUpdatedResult> {
    return this.call("update_user_custom_status", { customStatus, ...(config && { config }) });
  }

  /** peerd's own: sets what the user hides from others. Resolves with all settings. */
  async updateUserPrivacy(privacy: PeerdPrivacy): Promise<Required<PeerdPrivacy>> {
    return this.call("update_user_privacy", privacy);
  }

  /** Reads names, avatars and data of 1–10 users. */
  async queryUsersInfo(
    userIDs: string[],
    _config?: ZIMUsersInfoQueryConfig,
  ): Promise<result.ZIMUsersInfoQueriedResult> {
    return this.call("query_users_info", { userIDs });
  }

  /** Reads whether 1–100 users are online, on which platforms, and their custom status. */
  async queryUsersStatus(userIDs: string[]): Promise<result.ZIMUsersStatusQueriedResult> {
    return this.call("query_users_status", { userIDs });
  }

  /** Reads the own profile, rules and status. */
  async querySelfUserInfo(): Promise<result.ZIMSelfUserInfoQueriedResult> {
    return this.call("query_self_user_info", {});
  }

  /** Follows the status of 1–100 users, for `subscriptionDuration` minutes. */
  async subscribeUsersStatus(
    userIDs: string[],
    config: ZIMUserStatusSubscribeConfig,
  ): Promise<result.ZIMUsersStatusSubscribedResult> {
    return this.call("subscribe_users_status", { userIDs, config });
  }

  /** Ends subscriptions. A user that is not followed is no error. */
  async unsubscribeUsersStatus(
    userIDs: string[],
  ): Promise<result.ZIMUsersStatusUnsubscribedResult> {
    return this.call("unsubscribe_users_status", { userIDs });
  }

  /** Reads the status of the users whom the user follows. */
  async querySubscribedUserStatusList(
    config: ZIMSubscribedUserStatusQueryConfig = {},
  ): Promise<result.ZIMSubscribedUserStatusListQueriedResult> {
    return this.call("query_subscribed_user_status_list", { config });
  }

  /** Blocks 1–20 users: their messages to the user are refused with 6000284. */
  async addUsersToBlacklist(userIDs: string[]): Promise<result.ZIMBlacklistUsersAddedResult> {
    return this.call("add_users_to_blacklist", { userIDs });
  }

  /** Unblocks 1–20 users. */
  async removeUsersFromBlacklist(
    userIDs: string[],
  ): Promise<result.ZIMBlacklistUsersRemovedResult> {
    return this.call("remove_users_from_blacklist", { userIDs });
  }

  /** Reads a page of the own block list: 1–100 users. */
  async queryBlacklist(config: ZIMBlacklistQueryConfig): Promise<result.ZIMBlacklistQueriedResult> {
    return this.call("query_blacklist", { config });
  }

  /** Whether the user blocked that user. */
  async checkUserIsInBlacklist(userID: string): Promise<result.ZIMBlacklistCheckedResult> {
    return this.call("check_user_is_in_blacklist", { userID });
  }
}
