//! The requests of a responder whose appends are in progress: a bounded number, each found by the
//! number at the end of the acknowledgement's subject.

use std::time::{Duration, Instant};

use super::numbers::count;

/// How long to wait for an acknowledgement, so that a lost one does not take a place for ever.
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Debug)]
struct Place<T> {
    number: u64,
    since: Instant,
    request: T,
}

/// A ring of places, in the order in which they are taken.
#[derive(Debug)]
pub(super) struct Places<T> {
    places: Vec<Option<Place<T>>>,
    next: u64,
}

impl<T> Places<T> {
    /// A ring of `count` places, at least one.
    pub(super) fn new(count: usize) -> Self {
        Self { places: (0..count.max(1)).map(|_| None).collect(), next: 0 }
    }

    fn at(&mut self, number: u64) -> Option<&mut Option<Place<T>>> {
        let place = number % count(self.places.len());
        self.places.get_mut(usize::try_from(place).ok()?)
    }

    /// Whether the next request has a place. A request that has waited too long loses its own.
    pub(super) fn has_room(&mut self, now: Instant) -> bool {
        let next = self.next;
        let taken = self.at(next).and_then(|place| place.as_ref());
        taken.is_none_or(|taken| now.saturating_duration_since(taken.since) > PATIENCE)
    }

    /// Takes the next place; returns its number.
    pub(super) fn take(&mut self, now: Instant, request: T) -> u64 {
        let number = self.next;
        self.next += 1;
        if let Some(place) = self.at(number) {
            *place = Some(Place { number, since: now, request });
        }
        number
    }

    /// Frees the place of a number and returns its request; `None` if it lost the place.
    pub(super) fn finish(&mut self, number: u64) -> Option<T> {
        let place = self.at(number)?;
        let is_it = place.as_ref().is_some_and(|taken| taken.number == number);
        if is_it { place.take().map(|taken| taken.request) } else { None }
    }
}

/// The number at the end of the subject of an acknowledgement.
pub(super) fn number_of(subject: &str) -> Option<u64> {
    subject.rsplit_once('.')?.1.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_found_by_their_number_in_any_order_until_all_places_are_taken() {
        let (mut places, now) = (Places::new(2), Instant::now());
        let (one, two) = (places.take(now, "one"), places.take(now, "two"));
        assert!(!places.has_room(now));
        assert_eq!(places.finish(two), Some("two"));
        assert!(!places.has_room(now), "the next place in turn is taken");
        assert_eq!(places.finish(one), Some("one"));
        assert_eq!((places.finish(one), places.finish(7)), (None, None));
        assert!(places.has_room(now));
        let three = places.take(now, "three");
        assert_eq!((places.finish(one), places.finish(three)), (None, Some("three")));
    }

    #[test]
    fn a_lost_acknowledgement_does_not_take_a_place_for_ever() {
        let (mut places, now) = (Places::new(1), Instant::now());
        let lost = places.take(now, "lost");
        let later = now + PATIENCE + Duration::from_millis(1);
        assert!(!places.has_room(now + PATIENCE) && places.has_room(later));
        let next = places.take(later, "next");
        assert_eq!((places.finish(lost), places.finish(next)), (None, Some("next")));
    }

    #[test]
    fn the_number_is_the_last_token() {
        assert_eq!(number_of("_INBOX.abc.17"), Some(17));
        assert_eq!((number_of("_INBOX.abc.x"), number_of("17")), (None, None));
    }
}
