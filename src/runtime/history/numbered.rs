//! Messages by their `messageSeq`, and single messages by their ID.
//!
//! There is no index from numbers to stream sequences. But both rise together, so that a search by
//! interpolation and bisection needs few reads, however long the history is.

use std::sync::Arc;

use super::Reader;
use super::direction::{DirectionView, TWO_PAGES};
use crate::bus::Bus;
use crate::failpoint::{self, Fault};
use crate::runtime::tuning::NUMBER_READS_MAX;
use crate::runtime::users::LoadError;
use crate::storage::reads::{Found, Slot};
use crate::store::{Start, Store};
use peerd_core::conversation::Head;
use peerd_core::id::{Direction, MessageId};
use peerd_core::limits::PAGE_MESSAGES;
use peerd_core::message::Message;

impl<S: Store, B: Bus> Reader<'_, S, B> {
    /// The messages with these ascending numbers that the user sees, of one direction or of both,
    /// oldest first.
    pub(in crate::runtime) async fn numbered(
        &mut self,
        seqs: &[u64],
        only: Option<Direction>,
    ) -> Result<Vec<Arc<Message>>, LoadError> {
        let views = self.views.iter().filter(|view| only.is_none_or(|only| view.direction == only));
        let views: Vec<DirectionView> = views.cloned().collect();
        let mut messages = Vec::new();
        for view in &views {
            let is_stored = |seq: &u64| *seq > view.cleared && *seq <= view.head.mark.seq;
            let shift = u64::from(failpoint::is(Fault::WrongNumber));
            let seqs = seqs.iter().map(|seq| seq + shift);
            let mut left: Vec<u64> = seqs.filter(is_stored).collect();
            while let Some(first) = left.first().copied() {
                let found = self.with_number(view, first).await?;
                let reached = found.last().map_or(first, Slot::seq).max(first);
                let is_wanted = |slot: &Slot| left.contains(&slot.seq());
                let wanted: Vec<Found> = found
                    .into_iter()
                    .filter(is_wanted)
                    .filter_map(|slot| slot.shown(&view.pair))
                    .collect();
                left.retain(|seq| *seq > reached);
                let visible = self.visible(view, wanted).await?.into_iter();
                messages.extend(visible.map(|found| view.shown(found.stored.message)));
            }
        }
        messages.sort_unstable_by_key(|message| message.key);
        self.show_pins(&mut messages).await?;
        Ok(messages)
    }

    /// A message of the conversation that the user sees.
    pub(in crate::runtime) async fn one(
        &mut self,
        message: MessageId,
    ) -> Result<Option<Arc<Message>>, LoadError> {
        for view in self.views.clone() {
            if view.pair.partition != message.partition() || message.key() > view.head.key {
                continue;
            }
            let last = self.last_at(&view, message.key()).await?;
            let last = last.and_then(|slot| slot.shown(&view.pair));
            let found = last.filter(|last| last.key() == message.key()).into_iter().collect();
            if let Some(found) = self.visible(&view, found).await?.pop() {
                let mut found = [view.shown(found.stored.message)];
                self.show_pins(&mut found).await?;
                let [found] = found;
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// Up to two pages of a direction, with the message of that number if it exists.
    pub(super) async fn with_number(
        &self,
        view: &DirectionView,
        seq: u64,
    ) -> Result<Vec<Slot>, LoadError> {
        // The message is in this range of the stream; the number before the first is known.
        let (mut low, mut high, mut before) = (1, view.head.stream_seq, 0);
        let mut after = view.head;
        for tries in 0..NUMBER_READS_MAX {
            if let Some(start) = page_of(&after, seq) {
                return self.reads().read(view, Start::Seq(start), TWO_PAGES).await;
            }
            if low > high {
                break;
            }
            let middle = low + (high - low) / 2;
            let guess =
                if tries % 2 == 0 { guess((low, high), (before, &after), seq) } else { middle };
            let found = self.reads().read(view, Start::Seq(guess), 1).await?;
            match found.into_iter().next() {
                Some(found) if found.seq() >= seq => {
                    after = found.head();
                    high = guess - 1;
                }
                Some(found) if seq - found.seq() < TWO_PAGES as u64 => {
                    let start = Start::Seq(found.stream_seq());
                    return self.reads().read(view, start, TWO_PAGES).await;
                }
                Some(found) => (low, before) = (found.stream_seq() + 1, found.seq()),
                None => high = guess - 1,
            }
        }
        Ok(Vec::new())
    }
}

/// The start of a page with a number at or before that of a known message: its own page or the
/// previous one.
const fn page_of(known: &Head, seq: u64) -> Option<u64> {
    let page = PAGE_MESSAGES as u64;
    let first = known.mark.seq.saturating_sub(1) / page * page + 1;
    if known.mark.seq == seq {
        Some(known.stream_seq)
    } else if seq >= first && seq <= known.mark.seq {
        Some(known.page.first)
    } else if seq < first && seq + page >= first && known.page.previous > 0 {
        Some(known.page.previous)
    } else {
        None
    }
}

/// The stream sequence of a number if messages were evenly spread.
fn guess((low, high): (u64, u64), (before, after): (u64, &Head), seq: u64) -> u64 {
    let (span, numbers) =
        (u128::from(high - low), u128::from(after.mark.seq.saturating_sub(before)));
    let into = u128::from(seq.saturating_sub(before + 1));
    let into = (span * into).checked_div(numbers).unwrap_or_default();
    low + u64::try_from(into.min(span)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use peerd_core::conversation::{Mark, PagePointers};

    fn head(seq: u64) -> Head {
        Head {
            mark: Mark { seq, counted: seq },
            stream_seq: 10 * seq,
            page: PagePointers { first: 640, previous: 320 },
            ..Head::BEFORE_FIRST
        }
    }

    #[test]
    fn a_message_points_to_its_page_and_the_one_before() {
        let known = head(70);
        let pages = [31, 32, 33, 64, 65, 70, 71].map(|seq| page_of(&known, seq));
        let (none, previous, own) = (None, Some(320), Some(640));
        assert_eq!(pages, [none, none, previous, previous, own, Some(700), none]);
    }

    #[test]
    fn a_guess_lies_between_the_bounds() {
        for (low, high, before, seq) in
            [(1, 1, 0, 1), (1, 1000, 0, 70), (5, 9, 60, 61), (1, 7, 0, 1)]
        {
            let guess = guess((low, high), (before, &head(70)), seq);
            assert!((low..=high).contains(&guess), "{guess}");
        }
        assert_eq!(guess((1, 701), (0, &head(70)), 36), 351);
    }
}
