// The list of conversations, and the number of unread messages.
import { computed, signal } from "@preact/signals";
import { ZIMConversationEvent, ZIMConversationNotificationStatus } from "@peerd/client";
import type { ZIM, ZIMConversation, ZIMConversationChangeInfo } from "@peerd/client";

const PAGE = 50;
/** Conversations in memory. Those that changed longest ago are dropped. */
const MAX_CONVERSATIONS = 1000;

const byPlace = (a: ZIMConversation, b: ZIMConversation): number =>
  Number(b.isPinned) - Number(a.isPinned) || b.orderKey - a.orderKey;

export const isMuted = (conversation: ZIMConversation | undefined): boolean =>
  conversation?.notificationStatus === ZIMConversationNotificationStatus.DoNotDisturb;

export class Conversations {
  readonly #known = signal<ReadonlyMap<string, ZIMConversation>>(new Map());
  #next: ZIMConversation | undefined;
  #loading: Promise<void> | undefined;

  /** Pinned ones first, then the newest. */
  readonly list = computed(() => [...this.#known.value.values()].sort(byPlace));
  readonly hasLoaded = signal(false);
  readonly isComplete = signal(false);
  /** Unread messages, without those of muted conversations. */
  readonly total = signal(0);

  constructor(private readonly zim: ZIM) {
    zim.on("conversationChanged", (_, { infoList }) => this.#take(infoList));
    zim.on("conversationsAllDeleted", () => void this.reload());
    zim.on("conversationTotalUnreadMessageCountUpdated", (_, body) => {
      this.total.value = body.totalUnreadMessageCount;
    });
  }

  of(conversationID: string): ZIMConversation | undefined {
    return this.#known.value.get(conversationID);
  }

  nameOf(conversationID: string): string {
    return this.of(conversationID)?.conversationName || conversationID;
  }

  /** Reads the next page; one at a time. */
  loadMore(): Promise<void> {
    if (this.isComplete.value) return Promise.resolve();
    this.#loading ??= this.#load().finally(() => (this.#loading = undefined));
    return this.#loading;
  }

  async #load(): Promise<void> {
    const next = this.#next ? { nextConversation: this.#next } : {};
    const page = await this.zim.queryConversationList({ count: PAGE, ...next });
    const { conversationList } = page;
    this.#next = conversationList.at(-1) ?? this.#next;
    this.isComplete.value =
      conversationList.length === 0 || this.#known.value.size >= MAX_CONVERSATIONS;
    this.#keep(conversationList);
    this.hasLoaded.value = true;
  }

  async reload(): Promise<void> {
    await this.#loading;
    this.#known.value = new Map();
    this.#next = undefined;
    this.isComplete.value = false;
    await this.loadMore();
  }

  #keep(conversations: readonly ZIMConversation[]): void {
    const known = new Map(this.#known.value);
    for (const conversation of conversations) known.set(conversation.conversationID, conversation);
    this.#known.value = known;
    if (known.size <= MAX_CONVERSATIONS) return;
    this.#known.value = new Map(
      this.list.value.slice(0, MAX_CONVERSATIONS).map((one) => [one.conversationID, one]),
    );
  }

  #take(infoList: readonly ZIMConversationChangeInfo[]): void {
    const isDeleted = ({ event }: ZIMConversationChangeInfo): boolean =>
      event === ZIMConversationEvent.Deleted;
    const deleted = new Set(
      infoList.filter(isDeleted).map((one) => one.conversation.conversationID),
    );
    if (deleted.size > 0) {
      const left = [...this.#known.value].filter(([id]) => !deleted.has(id));
      this.#known.value = new Map(left);
    }
    this.#keep(infoList.filter((info) => !isDeleted(info)).map((info) => info.conversation));
  }
}
