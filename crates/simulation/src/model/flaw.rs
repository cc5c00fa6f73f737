//! Intended errors of the model.

/// An intended error of the model, to verify that the comparison detects it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// None: the model is right.
    None,
    /// A user's own messages count as unread.
    OwnMessagesCount,
    /// Deleted messages stay unread.
    DeletedStaysUnread,
    /// Muted conversations count in the total.
    MutedMovesTotal,
    /// Histories show deleted messages.
    HistoryShowsDeleted,
    /// The rate limit is one message higher.
    OneMoreInASecond,
    /// Repeats are recognized for half the time.
    RepeatsAreForgottenEarly,
    /// Every message begins its conversation.
    EveryMessageIsTheFirst,
    /// Pushes are sent in muted conversations.
    PushesWakeTheMuted,
    /// One session more is allowed.
    OneMoreSession,
    /// A replay begins a millisecond earlier.
    ReplayGoesBackFurther,
    /// A device may have several sessions.
    DeviceCountsTwice,
    /// A replay ignores the newest message of the device.
    DevicesMissTheSame,
    /// Events ignore the encoding of sessions.
    EventsIgnoreSessions,
    /// The block list is sorted by ID.
    BlocksGoByName,
    /// Blocked users may send.
    BlockedMaySend,
    /// The mark as unread stays when its user sends.
    UnreadMarkStays,
    /// Deleted conversations stay in the list.
    DeletedIsListed,
    /// Reading up to a message reads everything.
    ReadsEverything,
    /// Revoked messages stay unread.
    RevokedStaysUnread,
    /// Edits change nothing that is stored.
    EditsAreForgotten,
    /// A user may react again with the same type.
    ReactsTwice,
    /// Deleting all reactions deletes those of the other user, too.
    DeletesOthersReactions,
    /// Read receipts are sent although one of the two users hides them.
    ReceiptsIgnorePrivacy,
    /// Only the author of a message sees that it was read.
    ReceiptsAreForgotten,
    /// Users who hide their status are shown as online.
    HiddenIsShown,
    /// A custom status never expires.
    CustomStatusStays,
    /// Subscriptions never expire.
    SubscriptionsStay,
    /// A new subscription shows nothing.
    NewIsNotShown,
    /// Any number of messages can be pinned.
    PinsAreUnbounded,
    /// Only who pins a message sees it.
    PinsAreOwn,
    /// Pinning again keeps the time.
    PinsKeepTheirTime,
    /// Replies show their originals as they were sent.
    OriginalsStay,
    /// No event shows the replies to a message that changes.
    RepliesGoUnnoticed,
    /// A reply to a reply begins a tree of its own.
    RootsAreForgotten,
    /// No event shows the number of replies.
    CountsGoUnnoticed,
}
