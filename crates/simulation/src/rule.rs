//! The list of the rules, and how one is reported as broken.

/// The rules. The first ten are those of ARCHITECTURE, in the same order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rule {
    /// 1: no success before the store's acknowledgement.
    SuccessIsStored,
    /// 2: unread counts and totals equal a recount from the log.
    CountsEqualRecount,
    /// 3: a message that was accepted once is stored once.
    StoredOnce,
    /// 4: `messageSeq` has no gap and no repeat, and order keys rise with it.
    InSequence,
    /// 5: the rate limit.
    Rate,
    /// 6: two instances never both act for a partition.
    OneOwner,
    /// 7: every resource has a limit, and a call at the limit gets a reply.
    Bounded,
    /// 8: no message content in the logs.
    NoContentInLog,
    /// 9: records are only added, and each stream has only its own subjects.
    StoreIsKept,
    /// 10: the cost of a send.
    Cost,
    /// Each event goes to the user it concerns, and its content is correct.
    PublishedCorrectly,
    /// Every stored message is published to both sides, whichever instance crashes.
    PublishedAtAll,
    /// A user's events are in the order of their revisions.
    PublishedInOrder,
    /// A user who received an event also reads what it announced.
    NeverStale,
    /// Pages together show everything, each message once and in order.
    Pages,
    /// A user's changes persist: read marks, mutes, deletions, blocks, sessions.
    ChangesStay,
    /// Messages from blocked users are rejected.
    Blocked,
    /// A repeat gets the reply of the first send.
    Repeats,
    /// Without faults, no call fails for lack of an owner or a store.
    Served,
}

/// A broken rule.
#[derive(Clone, Debug)]
pub struct Broken {
    /// The rule.
    pub rule: Rule,
    /// A sentence that says what happened.
    pub why: String,
}
