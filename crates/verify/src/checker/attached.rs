//! Checks what the two users of a conversation attached to its messages: read receipts, reactions.

use std::collections::{BTreeMap, BTreeSet};

use super::{Attached, Side};
use crate::account::{Held, Sent};
use crate::fault::{Fault, Kind};

impl Side<'_> {
    /// Checks that what is attached is what the two set last.
    pub(super) fn attached_faults(&self) -> Vec<Fault> {
        let sent: BTreeMap<_, _> =
            self.sent.iter().map(|it| ((it.from.as_str(), it.local_id.as_str()), *it)).collect();
        let view = self.views.get(self.user);
        let nothing = Attached::default();
        let mut found = Vec::new();
        for line in self.lines() {
            let Some(sent) = sent.get(&(line.sender.as_str(), line.local_id.as_str())) else {
                continue;
            };
            if sent.revoked(0, u64::MAX) != Held::No {
                continue;
            }
            let attached = view.and_then(|view| view.attached.get(&line.message_id));
            let attached = attached.unwrap_or(&nothing);
            if sent.from == self.user {
                found.extend(self.receipt_fault(sent, attached.is_confirmed));
            }
            found.extend(self.reaction_faults(sent, attached));
        }
        found
    }

    fn receipt_fault(&self, sent: &Sent, is_confirmed: bool) -> Option<Fault> {
        let held = if sent.has_receipt { self.theirs.confirmed(sent) } else { Held::No };
        let id = &sent.local_id;
        match held {
            Held::Yes if !is_confirmed => {
                Some(Fault::new(Kind::HalfReceipt, format!("the receipt of {id} is lost")))
            }
            Held::No if is_confirmed => {
                let text = format!("{id} is confirmed, and its receiver did not confirm it");
                Some(Fault::new(Kind::WrongContent, text))
            }
            Held::Yes | Held::Maybe | Held::No => None,
        }
    }

    fn reaction_faults(&self, sent: &Sent, attached: &Attached) -> Vec<Fault> {
        let types = sent.reacted.iter().filter_map(|it| it.kind.as_deref());
        let types: BTreeSet<&str> =
            types.chain(attached.reactions.iter().map(|(kind, _)| kind.as_str())).collect();
        let mut found = Vec::new();
        for kind in types {
            for by in [self.user, self.other] {
                let is_there = attached.reactions.contains(&(kind.to_owned(), by.to_owned()));
                if !sent.may_have_reacted(by, kind).contains(&is_there) {
                    let text = format!("{by} reacted to {} with {kind}: {is_there}", sent.local_id);
                    found.push(Fault::new(Kind::WrongContent, text));
                }
            }
        }
        found
    }
}
