// Other users: whether they are online, and whether they are typing.
import { signal } from "@preact/signals";
import { ZIMUserOnlineStatus } from "@peerd/client";
import type { ZIM, ZIMUserStatus } from "@peerd/client";

/** Users of one call, see "Bounds" in docs/protocol.md. */
const USERS_PER_CALL = 100;
/** Users whose status is followed, see there. */
const MAX_FOLLOWED = 1000;
const SUBSCRIPTION_MINUTES = 24 * 60;
/** Well before the subscriptions expire. */
const RENEW_EVERY_MS = 12 * 3_600_000;
/** A user whose client says nothing more has stopped typing. */
const TYPING_MS = 6000;

export class People {
  readonly #status = signal<ReadonlyMap<string, ZIMUserStatus>>(new Map());
  readonly #typing = signal<ReadonlySet<string>>(new Set());
  readonly #timers = new Map<string, ReturnType<typeof setTimeout>>();
  readonly #followed = new Set<string>();
  readonly #renewal: ReturnType<typeof setInterval>;

  constructor(
    private readonly zim: ZIM,
    private readonly onFailure: (error: unknown) => void,
  ) {
    zim.on("userStatusUpdated", (_, { userStatusList }) => this.#keep(userStatusList));
    zim.on("typing", (_, { fromUserID, isTyping }) => this.#setTyping(fromUserID, isTyping));
    zim.on("peerMessageReceived", (_, { fromConversationID }) =>
      this.#setTyping(fromConversationID, false),
    );
    this.#renewal = setInterval(() => {
      const followed = [...this.#followed];
      this.#followed.clear();
      this.follow(followed);
    }, RENEW_EVERY_MS);
  }

  isOnline(userID: string): boolean {
    return this.#status.value.get(userID)?.onlineStatus === ZIMUserOnlineStatus.Online;
  }

  statusOf(userID: string): string {
    if (this.isTyping(userID)) return "typing…";
    const status = this.#status.value.get(userID);
    if (!status) return "";
    const online = status.onlineStatus === ZIMUserOnlineStatus.Online ? "online" : "offline";
    return status.customStatus ? `${online} · ${status.customStatus}` : online;
  }

  isTyping(userID: string): boolean {
    return this.#typing.value.has(userID);
  }

  /** Follows the status of users, once each. */
  follow(userIDs: readonly string[]): void {
    const fresh = userIDs.filter((id) => !this.#followed.has(id));
    for (let at = 0; at < fresh.length; at += USERS_PER_CALL) {
      if (this.#followed.size >= MAX_FOLLOWED) return;
      const some = fresh.slice(at, at + USERS_PER_CALL);
      for (const id of some) this.#followed.add(id);
      this.#follow(some).catch((error: unknown) => {
        for (const id of some) this.#followed.delete(id);
        this.onFailure(error);
      });
    }
  }

  async #follow(userIDs: string[]): Promise<void> {
    // An event shows the status of those only who were not followed before.
    const config = { subscriptionDuration: SUBSCRIPTION_MINUTES };
    await this.zim.subscribeUsersStatus(userIDs, config);
    this.#keep((await this.zim.queryUsersStatus(userIDs)).userStatusList);
  }

  #keep(list: readonly ZIMUserStatus[]): void {
    const status = new Map(this.#status.value);
    for (const one of list) {
      status.set(one.userID, one);
      if (one.onlineStatus !== ZIMUserOnlineStatus.Online) this.#setTyping(one.userID, false);
    }
    this.#status.value = status;
  }

  #setTyping(userID: string, isTyping: boolean): void {
    clearTimeout(this.#timers.get(userID));
    this.#timers.delete(userID);
    if (isTyping) {
      this.#timers.set(
        userID,
        setTimeout(() => this.#setTyping(userID, false), TYPING_MS),
      );
    }
    if (this.#typing.value.has(userID) === isTyping) return;
    const typing = new Set(this.#typing.value);
    if (isTyping) typing.add(userID);
    else typing.delete(userID);
    this.#typing.value = typing;
  }

  end(): void {
    clearInterval(this.#renewal);
    for (const timer of this.#timers.values()) clearTimeout(timer);
  }
}
