//! Decides which received messages are reported as delivered, and to whom.

use super::id::{OrderKey, UserId};
use super::privacy::Hidden;
use super::unreported::{Report, Unreported};
use super::user::User;

impl User {
    /// The next reports, to at most `most` authors: those known first. All messages up to `settled`
    /// have arrived. None is due to an author whom the user blocks, and none at all while the user
    /// hides read receipts or the online status, which a report would show.
    pub fn next_reports(&mut self, most: usize, settled: OrderKey) -> Vec<(UserId, Report)> {
        let Some(unreported) = &mut self.unreported else { return Vec::new() };
        let privacy = self.account.privacy;
        if privacy.hides(Hidden::ReadReceipts) || privacy.hides(Hidden::OnlineStatus) {
            **unreported = Unreported { is_running: true, ..Unreported::default() };
            unreported.next_up_to = Some(settled);
            return Vec::new();
        }
        if std::mem::take(&mut unreported.compares) {
            let conversations = self.conversations.iter();
            let newer = conversations.filter(|(_, known)| {
                let after = unreported.up_to.max(known.settings.receipts.sent);
                known.stored_received().is_some_and(|head| head.key > after)
            });
            unreported.looks.extend(newer.map(|(other, _)| other.clone()));
        }
        let mut reports = Vec::new();
        while reports.len() < most
            && let Some((author, messages)) = unreported.waiting.pop_first()
        {
            reports.push((author, Report::These(messages)));
        }
        while reports.len() < most
            && let Some(author) = unreported.looks.pop_first()
        {
            reports.push((author, Report::After(unreported.up_to)));
        }
        unreported.next_up_to = unreported.is_done().then_some(settled);
        reports.retain(|(author, _)| !self.blocked.contains(author));
        reports
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conversation::{Head, Mark};
    use crate::limits::{DELIVERED_AUTHORS_MAX, DELIVERED_BATCH_MAX};
    use crate::unreported::MessagePlace;

    fn user(id: &str) -> UserId {
        UserId::new(id, "userID").expect("a valid ID")
    }

    fn place(key: u64) -> MessagePlace {
        MessagePlace { key: OrderKey(key), seq: key }
    }

    fn bob() -> User {
        let mut bob = User::new(user("bob"));
        bob.unreported = Some(Box::default());
        bob
    }

    fn unreported(user: &mut User) -> &mut Unreported {
        user.unreported.as_mut().expect("set above")
    }

    #[test]
    fn a_message_is_reported_once_and_holds_the_position_back_until_then() {
        let mut bob = bob();
        assert!(!unreported(&mut bob).begin(), "nothing is left");
        assert_eq!(unreported(&mut bob).up_to(OrderKey(40)), OrderKey(40));
        unreported(&mut bob).note(&user("alice"), place(50), true);
        assert_eq!(unreported(&mut bob).up_to(OrderKey(60)), OrderKey::ZERO);
        assert!(unreported(&mut bob).begin() && !unreported(&mut bob).begin());
        let report = (user("alice"), Report::These(vec![place(50)]));
        assert_eq!(bob.next_reports(8, OrderKey(60)), [report]);
        assert_eq!(unreported(&mut bob).up_to(OrderKey(60)), OrderKey::ZERO);
        // One of an earlier key, and one of a later, arrive meanwhile.
        unreported(&mut bob).note(&user("carol"), place(55), true);
        unreported(&mut bob).note(&user("carol"), place(65), true);
        assert!(unreported(&mut bob).reported(Vec::new()));
        assert_eq!(unreported(&mut bob).up_to(OrderKey(70)), OrderKey(54));
        let report = (user("carol"), Report::These(vec![place(55), place(65)]));
        assert_eq!(bob.next_reports(8, OrderKey(70)), [report]);
        assert!(!unreported(&mut bob).reported(Vec::new()));
        assert_eq!(unreported(&mut bob).up_to(OrderKey(70)), OrderKey(70));
    }

    #[test]
    fn after_a_failure_or_without_a_session_the_log_is_read() {
        let mut bob = bob();
        unreported(&mut bob).loaded(OrderKey(30));
        let _ = bob.next_reports(8, OrderKey(40));
        unreported(&mut bob).note(&user("alice"), place(50), true);
        assert!(unreported(&mut bob).begin());
        assert_eq!(bob.next_reports(8, OrderKey(60)).len(), 1);
        assert!(!unreported(&mut bob).reported(vec![user("alice")]), "it stops");
        unreported(&mut bob).note(&user("carol"), place(58), false);
        assert!(unreported(&mut bob).begin());
        let after = Report::After(OrderKey(30));
        let both = [(user("alice"), after.clone()), (user("carol"), after)];
        assert_eq!(bob.next_reports(8, OrderKey(60)), both);
    }

    #[test]
    fn after_a_load_newer_conversations_are_examined() {
        let mut bob = bob();
        for (other, key) in [("alice", 31), ("carol", 30), ("dave", 32)] {
            let mark = Mark { seq: 1, counted: 1 };
            let head = Head { key: OrderKey(key), mark, stream_seq: 1, ..Head::BEFORE_FIRST };
            bob.update(&user(other), |known| known.adopt_received(head));
        }
        bob.update(&user("dave"), |known| known.settings.receipts.sent = OrderKey(32));
        unreported(&mut bob).loaded(OrderKey(30));
        assert_eq!(unreported(&mut bob).up_to(OrderKey(60)), OrderKey(30));
        let report = (user("alice"), Report::After(OrderKey(30)));
        assert_eq!(bob.next_reports(8, OrderKey(60)), [report]);
    }

    #[test]
    fn floods_are_bounded_and_who_hides_reports_nothing() {
        let mut bob = bob();
        for key in 1..=1000 {
            unreported(&mut bob).note(&user("alice"), place(key), true);
        }
        for number in 0..100 {
            unreported(&mut bob).note(&user(&format!("u{number}")), place(2000 + number), true);
        }
        assert_eq!(unreported(&mut bob).waiting.len(), DELIVERED_AUTHORS_MAX);
        assert_eq!(unreported(&mut bob).looks.len(), 101 - DELIVERED_AUTHORS_MAX);
        assert!(unreported(&mut bob).begin());
        let [(_, Report::These(first))] = &bob.next_reports(1, OrderKey(3000))[..] else {
            panic!("one author")
        };
        assert_eq!((first.len(), first[0]), (DELIVERED_BATCH_MAX, place(901)));
        assert!(unreported(&mut bob).reported(Vec::new()), "others are left");
        bob.account.privacy = bob.account.privacy.with(Hidden::OnlineStatus, true);
        assert_eq!(bob.next_reports(8, OrderKey(3000)), []);
        assert!(!unreported(&mut bob).reported(Vec::new()));
        assert_eq!(unreported(&mut bob).up_to(OrderKey(3000)), OrderKey(3000));
    }
}
