//! Failpoints: faults that a test injects, to show that the checks find them.
//!
//! A test sets one for its own thread. In a release build [`is`] is always `false`, and the code
//! behind it is compiled out. Faults are injected where pure code is called, in `runtime` and
//! `cluster::heartbeat`, and by the simulation into its store and the messages that an instance
//! sends. Pure code has none: `peerd-core`, `peerd-protocol`, `wire`, and the decisions and
//! trackers of the other layers.

/// A fault that the simulation must find.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A message whose append has no acknowledgement is answered as stored.
    SuccessWithoutAck,
    /// The read mark is kept in memory and not stored.
    LostReadMark,
    /// The user's own messages count as unread.
    OwnMessagesCount,
    /// Any replica answers reads, however far behind it is.
    StaleCopy,
    /// An owner continues although it could not renew its lease.
    LeaseIgnored,
    /// A page of history begins with the anchor itself.
    PageOverlaps,
    /// A repeat is stored again.
    RepeatStored,
    /// A new owner does not read what a sender sent in the last second.
    RateForgotten,
    /// Events that a dead owner may not have published are not published again.
    NotRedelivered,
    /// A muted conversation counts in the total.
    MutedCounts,
    /// Records that another instance wrote go unnoticed.
    LateWriteUnnoticed,
    /// The event of a message goes to its sender.
    WrongReceiver,
    /// The block list is ignored.
    BlockIgnored,
    /// Order keys follow the wall clock, regardless of earlier keys.
    KeyGoesBack,
    /// A number of `messageSeq` is skipped at times.
    GapInSequence,
    /// The sender's owner delivers messages although another instance owns the sender.
    FormerOwnerSends,
    /// Sessions are kept in memory and not stored.
    LostSession,
    /// Revisions are order keys, regardless of the order of acknowledgements.
    RevisionGoesBack,
    /// A call beyond the limit of calls in progress is not answered.
    SilentAtTheBound,
    /// Content is logged.
    ContentLogged,
    /// An entry is written into the log.
    WrongStream,
    /// Each send reads the log.
    SendReadsTheLog,
    /// Messages that were deleted are shown.
    DeletedShown,
    /// Settings of a conversation are changed in memory and not stored.
    LostPreference,
    /// The deletion of a conversation is kept in memory and not stored.
    LostDeletion,
    /// The first conversation is left out of the changes since a revision.
    ChangeMissed,
    /// Reading up to a message reads everything.
    ReadTooFar,
    /// A message is searched by the number after its own.
    WrongNumber,
    /// Reactions are published and not stored.
    LostReaction,
    /// The sender of a message that its receiver changes does not look for the change.
    PageUnnamed,
    /// A blocked user may react to messages of the user who blocks.
    BlockedReacts,
    /// Events about reactions name the other user.
    WrongReactor,
    /// Read receipts are kept in memory and not stored.
    LostReceipt,
    /// Read receipts reach the author, and the reader's entry is not completed.
    HalfReceipt,
    /// Read receipts of a user whom the author blocked are taken.
    ReceiptOfBlocked,
    /// Read receipts are sent although one of the two users hides them.
    ReceiptDespitePrivacy,
    /// Messages that were delivered are not reported to their authors.
    DeliveryUnreported,
    /// The status of a user who hides it is shown.
    HiddenShown,
    /// A user whose sessions ended remains online.
    EndedSessionOnline,
    /// Custom statuses are kept in memory and not stored.
    LostStatus,
    /// A user who follows another is not shown a changed status.
    FollowerNotShown,
    /// A subscription that has expired counts.
    ExpiredFollowed,
    /// Subscriptions are kept in memory and not stored.
    LostSubscription,
    /// Pinned messages are kept in memory and not stored.
    LostPins,
    /// The user who does not keep the pins of a conversation does not look for them.
    PinUnnamed,
    /// A blocked user may pin messages.
    BlockedPins,
    /// Events about pins name the other user as the one who pinned.
    WrongPinner,
    /// A reply is published with its original and stored without.
    LostReference,
    /// Replies show originals that the user deleted.
    DeletedOriginalShown,
    /// Replies name the wrong sender of their original.
    WrongOriginal,
    /// The reply to a repeat does not say that it is one.
    RepeatUnmarked,
    /// A call that arrives at another instance than the owner is refused.
    NotForwarded,
    /// A reply to a reply begins a tree of its own.
    ForgottenRoot,
    /// Replies in the last pages of a tree are not counted.
    UncountedReply,
    /// The first reply is missing in the list of a tree.
    UnlistedReply,
}

impl Fault {
    /// All of them.
    pub const ALL: [Self; 55] = [
        Self::SuccessWithoutAck,
        Self::LostReadMark,
        Self::OwnMessagesCount,
        Self::StaleCopy,
        Self::LeaseIgnored,
        Self::PageOverlaps,
        Self::RepeatStored,
        Self::RateForgotten,
        Self::NotRedelivered,
        Self::MutedCounts,
        Self::LateWriteUnnoticed,
        Self::WrongReceiver,
        Self::BlockIgnored,
        Self::KeyGoesBack,
        Self::GapInSequence,
        Self::FormerOwnerSends,
        Self::LostSession,
        Self::RevisionGoesBack,
        Self::SilentAtTheBound,
        Self::ContentLogged,
        Self::WrongStream,
        Self::SendReadsTheLog,
        Self::DeletedShown,
        Self::LostPreference,
        Self::LostDeletion,
        Self::ChangeMissed,
        Self::ReadTooFar,
        Self::WrongNumber,
        Self::LostReaction,
        Self::PageUnnamed,
        Self::BlockedReacts,
        Self::WrongReactor,
        Self::LostReceipt,
        Self::HalfReceipt,
        Self::ReceiptOfBlocked,
        Self::ReceiptDespitePrivacy,
        Self::DeliveryUnreported,
        Self::HiddenShown,
        Self::EndedSessionOnline,
        Self::LostStatus,
        Self::FollowerNotShown,
        Self::ExpiredFollowed,
        Self::LostSubscription,
        Self::LostPins,
        Self::PinUnnamed,
        Self::BlockedPins,
        Self::WrongPinner,
        Self::LostReference,
        Self::DeletedOriginalShown,
        Self::WrongOriginal,
        Self::RepeatUnmarked,
        Self::NotForwarded,
        Self::ForgottenRoot,
        Self::UncountedReply,
        Self::UnlistedReply,
    ];
}

#[cfg(debug_assertions)]
thread_local! {
    static FAULT: std::cell::Cell<Option<Fault>> = const { std::cell::Cell::new(None) };
}

/// Sets or clears the fault of this thread.
#[cfg(debug_assertions)]
pub fn set(fault: Option<Fault>) {
    FAULT.set(fault);
}

/// Whether this thread has a fault.
#[cfg(debug_assertions)]
#[must_use]
pub fn is(fault: Fault) -> bool {
    FAULT.get() == Some(fault)
}

/// A release build has none.
#[cfg(not(debug_assertions))]
#[must_use]
pub const fn is(_fault: Fault) -> bool {
    false
}
