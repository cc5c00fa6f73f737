//! Where pages of history ended, so that the page before one that was just read is not looked for.

use std::collections::VecDeque;

use crate::domain::conversation::PagePointers;
use crate::domain::id::{OrderKey, UserId};
use crate::domain::message::Direction;

/// Places that are remembered of a user: each device pages through one conversation at a time.
const PLACES_MAX: usize = 8;

/// Where one direction goes on towards older messages; `None`: there are none.
pub(super) type Start = (Direction, Option<PagePointers>);

/// Where pages of history ended, the latest last.
#[derive(Debug, Default)]
pub(super) struct Places {
    latest: VecDeque<Place>,
}

#[derive(Debug)]
struct Place {
    other: UserId,
    /// The oldest message of the page.
    before: OrderKey,
    starts: Vec<Start>,
}

impl Places {
    /// Notes where reading goes on before the message `before` of the conversation with `other`.
    pub(super) fn note(&mut self, other: UserId, before: OrderKey, starts: Vec<Start>) {
        self.latest.retain(|place| place.before != before || place.other != other);
        if self.latest.len() == PLACES_MAX {
            self.latest.pop_front();
        }
        self.latest.push_back(Place { other, before, starts });
    }

    /// Where reading goes on, if that is known.
    pub(super) fn find(&self, other: &UserId, before: OrderKey) -> Vec<Start> {
        let mut places = self.latest.iter();
        let place = places.find(|place| place.before == before && place.other == *other);
        place.map(|place| place.starts.clone()).unwrap_or_default()
    }

    /// Forgets all places: the store may not be what it was.
    pub(super) fn clear(&mut self) {
        self.latest = VecDeque::new();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(name: &str) -> UserId {
        UserId::new(name, "user").expect("a user ID")
    }

    const fn starts(first: u64) -> [Start; 1] {
        [(Direction::Send, Some(PagePointers { first, previous: 0 }))]
    }

    #[test]
    fn the_latest_are_known_and_no_more_of_them_than_the_bound() {
        let mut places = Places::default();
        let last = PLACES_MAX as u64 + 1;
        for key in 1..=last {
            places.note(user("bob"), OrderKey(key), starts(key).to_vec());
        }
        assert_eq!(places.find(&user("bob"), OrderKey(1)), [], "the bound");
        assert_eq!(places.find(&user("bob"), OrderKey(2)), starts(2));
        assert_eq!(places.find(&user("bob"), OrderKey(last)), starts(last));
        assert_eq!(places.find(&user("carol"), OrderKey(last)), [], "of another conversation");
        assert_eq!(places.latest.len(), PLACES_MAX);
        places.clear();
        assert_eq!(places.find(&user("bob"), OrderKey(last)), []);
    }

    #[test]
    fn the_same_place_is_noted_once() {
        let mut places = Places::default();
        for first in [3, 4] {
            places.note(user("bob"), OrderKey(9), starts(first).to_vec());
        }
        assert_eq!(places.find(&user("bob"), OrderKey(9)), starts(4));
        assert_eq!(places.latest.len(), 1);
    }
}
