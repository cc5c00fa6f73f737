//! Compares the final view of each user with the answers that clients received.
//!
//! A pure function from the account of the calls and the views of all users to faults.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::account::{Account, Held, Marks, Sent};
use super::fault::{Fault, Kind};
use peerd_core::limits::MARK_MAX;

mod attached;

#[cfg(test)]
mod tests;

/// One message as a history page shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// The sender.
    pub sender: String,
    /// Its name within the conversation, see [`super::stored::key`].
    pub local_id: String,
    /// Its text, if it is a Text message.
    pub text: String,
    /// `messageID`
    pub message_id: String,
    /// `messageSeq`
    pub seq: u64,
    /// `orderKey`
    pub order_key: u64,
}

/// One conversation as the list shows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Unread messages.
    pub unread: u64,
    /// Whether it is `DoNotDisturb`.
    pub muted: bool,
    /// Whether it is pinned.
    pub pinned: bool,
    /// The draft.
    pub draft: String,
    /// The numbers of its marks, ascending.
    pub marks: Vec<u8>,
    /// The newest message that the user sees.
    pub last_message_id: Option<String>,
}

/// What its two users have attached to a message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attached {
    /// Whether its receiver has confirmed that it was read.
    pub is_confirmed: bool,
    /// The types of the reactions to it, each with a user who reacted.
    pub reactions: BTreeSet<(String, String)>,
}

/// Everything that one user sees.
#[derive(Clone, Debug, Default)]
pub struct View {
    /// By the other user, in the order of peerd's pages.
    pub histories: BTreeMap<String, Vec<Line>>,
    /// By the other user, the messages whose content was removed for both, without their texts.
    pub removed: BTreeMap<String, Vec<Line>>,
    /// By `messageID`, of the messages to which anything is attached.
    pub attached: BTreeMap<String, Attached>,
    /// By the other user.
    pub conversations: BTreeMap<String, Summary>,
    /// Unread messages of the conversations that are not muted.
    pub total: u64,
    /// Unread messages of all conversations.
    pub total_with_muted: u64,
}

/// The views of all users, by user.
pub type Views = BTreeMap<String, View>;

/// Later than all calls.
const END: u64 = u64::MAX;

/// The faults of `views`, given the `account` of the clients; empty if there are none.
#[must_use]
pub fn faults(account: &Account, views: &Views) -> Vec<Fault> {
    let mut found = order_faults(account);
    let conversations = by_conversation(account);
    let users: BTreeSet<&str> = conversations.keys().map(|(user, _)| *user).collect();
    let unseen = users.into_iter().filter(|user| !views.contains_key(*user));
    found.extend(unseen.map(|user| Fault::new(Kind::Lost, format!("{user}: no view"))));
    for (user, view) in views {
        let others: BTreeSet<&str> = (conversations.keys())
            .filter(|(me, _)| *me == user)
            .map(|(_, other)| *other)
            .chain(view.histories.keys().map(String::as_str))
            .chain(view.conversations.keys().map(String::as_str))
            .collect();
        for other in others {
            let sent = conversations.get(&(user.as_str(), other)).map_or(&[][..], Vec::as_slice);
            let (marks, theirs) = (account.marks_of(user, other), account.marks_of(other, user));
            let side = Side { marks, theirs, views, user, other, sent };
            found
                .extend(side.faults().into_iter().map(|it| it.of(&format!("{user} with {other}"))));
        }
        found.extend(total_faults(view).into_iter().map(|fault| fault.of(user)));
    }
    found
}

/// The sends of each conversation, under both of its sides.
fn by_conversation(account: &Account) -> BTreeMap<(&str, &str), Vec<&Sent>> {
    let mut map: BTreeMap<(&str, &str), Vec<&Sent>> = BTreeMap::new();
    for sent in &account.sent {
        map.entry((&sent.from, &sent.to)).or_default().push(sent);
        map.entry((&sent.to, &sent.from)).or_default().push(sent);
    }
    map
}

/// A message must sort after all messages whose sends had been answered when its own began.
fn order_faults(account: &Account) -> Vec<Fault> {
    let mut senders: BTreeMap<&str, Vec<&Sent>> = BTreeMap::new();
    for sent in account.sent.iter().filter(|sent| sent.ack.is_some()) {
        senders.entry(&sent.from).or_default().push(sent);
    }
    let mut found = Vec::new();
    for (sender, mut sends) in senders {
        let mut answered: Vec<_> = sends
            .iter()
            .filter_map(|sent| sent.ack.as_ref().map(|ack| (ack.at, ack.order_key)))
            .collect();
        answered.sort_unstable();
        sends.sort_unstable_by_key(|sent| sent.started);
        let mut known = 0;
        let mut answers = answered.into_iter().peekable();
        for sent in sends {
            while let Some((_, key)) = answers.next_if(|(at, _)| *at < sent.started) {
                known = known.max(key);
            }
            if sent.ack.as_ref().is_some_and(|ack| ack.order_key <= known) {
                found.push(Fault::new(
                    Kind::Reordered,
                    format!(
                        "{sender}: {} does not sort after what was answered before it ({known})",
                        sent.local_id
                    ),
                ));
            }
        }
    }
    found
}

fn total_faults(view: &View) -> Vec<Fault> {
    let all: u64 = view.conversations.values().map(|c| c.unread).sum();
    let loud: u64 = view.conversations.values().filter(|c| !c.muted).map(|c| c.unread).sum();
    let mut found = Vec::new();
    if view.total != loud {
        found.push(Fault::new(
            Kind::WrongCount,
            format!("the total is {}, the sum of the conversations {loud}", view.total),
        ));
    }
    if view.total_with_muted != all {
        found.push(Fault::new(
            Kind::WrongCount,
            format!(
                "the total including muted is {}, the sum of all conversations {all}",
                view.total_with_muted
            ),
        ));
    }
    found
}

/// One user's side of one conversation.
struct Side<'a> {
    marks: Marks<'a>,
    /// The changes of the other's side.
    theirs: Marks<'a>,
    views: &'a Views,
    user: &'a str,
    other: &'a str,
    /// Both directions.
    sent: &'a [&'a Sent],
}

impl Side<'_> {
    fn faults(&self) -> Vec<Fault> {
        let mut found = self.content_faults();
        found.extend(self.loss_faults());
        found.extend(self.agreement_faults());
        found.extend(self.attached_faults());
        found.extend(self.sequence_faults(self.user));
        found.extend(self.sequence_faults(self.other));
        found.extend(self.summary_faults());
        found
    }

    fn lines(&self) -> &[Line] {
        self.lines_of(self.user, self.other)
    }

    fn lines_of(&self, user: &str, other: &str) -> &[Line] {
        let view = self.views.get(user);
        view.and_then(|view| view.histories.get(other)).map_or(&[], Vec::as_slice)
    }

    fn removed(&self) -> &[Line] {
        let view = self.views.get(self.user);
        view.and_then(|view| view.removed.get(self.other)).map_or(&[], Vec::as_slice)
    }

    /// Checks that every message was sent, appears once, is as answered, and that the order
    /// ascends.
    fn content_faults(&self) -> Vec<Fault> {
        let sent: HashMap<_, _> =
            self.sent.iter().map(|s| ((s.from.as_str(), s.local_id.as_str()), *s)).collect();
        let removed: BTreeSet<_> = self.removed().iter().map(|line| &line.message_id).collect();
        let mut found = Vec::new();
        let mut seen = BTreeSet::new();
        let mut newest = 0;
        for line in self.lines() {
            let id = &line.local_id;
            if !seen.insert((&line.sender, id)) {
                found.push(Fault::new(Kind::Doubled, format!("{id} is there twice")));
            }
            if line.order_key <= newest {
                found.push(Fault::new(Kind::Reordered, format!("{id} is not in ascending order")));
            }
            newest = newest.max(line.order_key);
            let Some(sent) = sent.get(&(line.sender.as_str(), id.as_str())) else {
                found.push(Fault::new(
                    Kind::Unsent,
                    format!("{id} of {} was never sent", line.sender),
                ));
                continue;
            };
            if removed.contains(&line.message_id) {
                if sent.revoked(END, END) == Held::No {
                    let text = format!("{id} is revoked, and its sender did not revoke it");
                    found.push(Fault::new(Kind::Lost, text));
                }
            } else if sent.revoked(END, END) == Held::Yes {
                found.push(Fault::new(Kind::Undeleted, format!("{id} was revoked")));
            } else if !sent.texts(END, END).contains(&line.text.as_str()) {
                found.push(Fault::new(
                    Kind::WrongContent,
                    format!("{id} has other content than was sent, or set last"),
                ));
            }
            found.extend(other_than_answered(line, sent));
        }
        for line in self.removed() {
            let sent = sent.get(&(line.sender.as_str(), line.local_id.as_str()));
            found.extend(sent.and_then(|sent| other_than_answered(line, sent)));
        }
        found
    }

    /// Checks that acknowledged messages exist, and deleted ones do not.
    fn loss_faults(&self) -> Vec<Fault> {
        let present: BTreeSet<_> = self.lines().iter().map(|line| &line.local_id).collect();
        let removed: BTreeSet<_> = self.removed().iter().map(|line| &line.local_id).collect();
        let mut found = Vec::new();
        for sent in self.sent {
            let here = present.contains(&sent.local_id);
            match self.marks.deleted(sent) {
                Held::No if sent.ack.is_some() && !here && !removed.contains(&sent.local_id) => {
                    found.push(Fault::new(
                        Kind::Lost,
                        format!("{} is lost: {:?}", sent.local_id, sent.ack),
                    ));
                }
                Held::Yes if here => {
                    let text = format!("{} was deleted", sent.local_id);
                    found.push(Fault::new(Kind::Undeleted, text));
                }
                Held::No | Held::Maybe | Held::Yes => {}
            }
        }
        found
    }

    /// Checks that both sides see the same messages, including those of unknown outcome.
    fn agreement_faults(&self) -> Vec<Fault> {
        let theirs: HashMap<_, _> = (self.lines_of(self.other, self.user).iter())
            .map(|line| (&line.local_id, line))
            .collect();
        let mine: BTreeSet<_> = self.lines().iter().map(|line| &line.local_id).collect();
        let differ = |line: &&Line| theirs.get(&line.local_id).is_some_and(|their| their != line);
        let mut found: Vec<_> = (self.lines().iter())
            .filter(differ)
            .map(|line| format!("{} is not the same on both sides", line.local_id))
            .map(|text| Fault::new(Kind::WrongContent, text))
            .collect();
        for sent in self.sent.iter().filter(|sent| sent.ack.is_none()) {
            let missing = theirs.contains_key(&sent.local_id) && !mine.contains(&sent.local_id);
            if missing && self.marks.deleted(sent) == Held::No {
                found.push(Fault::new(
                    Kind::Lost,
                    format!("{} is on the other side only", sent.local_id),
                ));
            }
        }
        found
    }

    /// Checks that the `messageSeq` of one sender rises from 1 without gap or repeat.
    fn sequence_faults(&self, sender: &str) -> Vec<Fault> {
        let mut found = Vec::new();
        let mut last = 0;
        let mut seqs = BTreeSet::new();
        for line in self.lines().iter().filter(|line| line.sender == sender) {
            if line.seq <= last {
                found.push(Fault::new(
                    Kind::Reordered,
                    format!("{sender}'s {} follows {last} in the order", line.seq),
                ));
            }
            last = line.seq;
            seqs.insert(line.seq);
        }
        seqs.extend(self.removed().iter().filter(|it| it.sender == sender).map(|it| it.seq));
        // Messages that this side deleted are known from its calls, or from the other side's view.
        let theirs = self.lines_of(self.other, self.user);
        for sent in self.sent.iter().filter(|sent| sent.from == sender) {
            if self.marks.deleted(sent) == Held::No {
                continue;
            }
            let shown = theirs.iter().find(|line| line.local_id == sent.local_id);
            seqs.extend(sent.ack.as_ref().map(|ack| ack.seq));
            seqs.extend(shown.map(|line| line.seq));
        }
        let mut expected = 1;
        for seq in seqs {
            if seq != expected {
                found.push(Fault::new(
                    Kind::Gap,
                    format!("{sender}'s messageSeq jumps from {} to {seq}", expected - 1),
                ));
            }
            expected = seq + 1;
        }
        found
    }

    /// Checks the conversation's counts against a recount of its messages.
    fn summary_faults(&self) -> Vec<Fault> {
        let view = self.views.get(self.user);
        let Some(summary) = view.and_then(|view| view.conversations.get(self.other)) else {
            let stored = self.sent.iter().any(|sent| sent.ack.is_some());
            let missing = stored || !self.lines().is_empty();
            let text = "not in the list".to_owned();
            let missing = missing && self.marks.delisted(self.sent) == Held::No;
            return if missing { vec![Fault::new(Kind::Lost, text)] } else { Vec::new() };
        };
        let mut found = Vec::new();
        let (least, most) = self.unread();
        if !(least..=most).contains(&summary.unread) {
            let unread = summary.unread;
            found.push(Fault::new(
                Kind::WrongCount,
                format!("unread is {unread}, the recount {least} to {most}"),
            ));
        }
        if !self.marks.may_be_muted().contains(&summary.muted) {
            found.push(Fault::new(Kind::WrongContent, format!("muted is {}", summary.muted)));
        }
        if self.marks.delisted(self.sent) == Held::Yes {
            found.push(Fault::new(Kind::Undeleted, "the conversation was deleted".to_owned()));
        }
        found.extend(self.preference_faults(summary));
        let newest = self.lines().last().map(|line| &line.message_id);
        if !self.marks.any_deleted() && summary.last_message_id.as_ref() != newest {
            let shown = &summary.last_message_id;
            found.push(Fault::new(
                Kind::WrongContent,
                format!("the last message is {shown:?} in the list, {newest:?} in history"),
            ));
        }
        found
    }

    /// The settings are those that the user set.
    fn preference_faults(&self, summary: &Summary) -> Vec<Fault> {
        let mut wrong = Vec::new();
        if !self.marks.may_be_pinned().contains(&summary.pinned) {
            wrong.push(format!("pinned is {}", summary.pinned));
        }
        // Without the text, which is private to the user.
        if !self.marks.drafts().contains(&summary.draft.as_str()) {
            wrong.push("the draft is not what was set".to_owned());
        }
        for number in 1..=MARK_MAX {
            let is_set = summary.marks.contains(&number);
            if !self.marks.may_be_marked(number).contains(&is_set) {
                wrong.push(format!("mark {number} is set: {is_set}"));
            }
        }
        wrong.into_iter().map(|text| Fault::new(Kind::WrongContent, text)).collect()
    }

    /// The least and the greatest possible unread count, by a recount of the received messages.
    fn unread(&self) -> (u64, u64) {
        let shown: BTreeSet<_> = (self.lines().iter())
            .chain(self.lines_of(self.other, self.user))
            .map(|line| &line.local_id)
            .collect();
        // A removed message is not unread any more.
        let removed: BTreeSet<_> = self.removed().iter().map(|line| &line.local_id).collect();
        let (mut least, mut most) = (0, 0);
        for sent in self.sent.iter().filter(|sent| sent.from == self.other && sent.counts) {
            let is_stored = sent.ack.is_some() || shown.contains(&sent.local_id);
            if !is_stored || removed.contains(&sent.local_id) {
                continue;
            }
            let gone = self.marks.deleted(sent);
            let read = self.marks.read(sent);
            most += u64::from(gone != Held::Yes && read != Held::Yes);
            least += u64::from(gone == Held::No && read == Held::No);
        }
        (least, most)
    }
}

/// Whether the place of a message differs from the answered one.
fn other_than_answered(line: &Line, sent: &Sent) -> Option<Fault> {
    let (ack, id) = (sent.ack.as_ref()?, &line.local_id);
    let is_same =
        (&ack.message_id, ack.seq, ack.order_key) == (&line.message_id, line.seq, line.order_key);
    let text = || format!("{id} is {line:?}, but {ack:?} was answered");
    (!is_same).then(|| Fault::new(Kind::WrongContent, text()))
}
