//! Applies amendments to records that were read from a log. No other code does. If no page of the
//! records may have amendments, nothing more is read.
//!
//! A reader sees a log without holes: the stub in the page of amendments takes the place of an
//! erased record.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};

use super::items::{Item, Page, Pair, Raw, Slot};
use super::{LoadError, Storage};
use crate::storage::amendments;
use crate::store::{ReadError, Start, Store, StreamId};
use peerd_core::amendment::{AmendmentPage, Change, Removed};
use peerd_core::conversation::{Head, Mark};
use peerd_core::id::{Partition, UserId};
use peerd_core::pages::{AmendedPages, first_of_page, page_number};
use peerd_protocol::subject::Token;

/// Pages of amendments that one read requests.
const PAGES_AT_ONCE: usize = 16;

/// The pages of a pair that were read, by number; an empty one if there is none.
type Pages = BTreeMap<u64, AmendmentPage>;

/// Records of a pair's log, before amendments are applied.
pub(super) struct RawPage {
    pub(super) records: Vec<Raw>,
    pub(super) count: u64,
    pub(super) next: Option<u64>,
}

impl<S: Store> Storage<'_, S> {
    /// The amendments of a page, and the sequence of their entry (0: none), for a change. An
    /// unreadable page is an error: it must not be replaced.
    pub async fn amendments(
        &self,
        pair: &Pair,
        number: u64,
    ) -> Result<(AmendmentPage, u64), LoadError> {
        let (stream, subject) =
            (StreamId::State(pair.partition), self.amendments_key(pair, number));
        let records = self.last(stream, vec![subject]).await?;
        let Some(record) = records.first() else { return Ok((AmendmentPage::default(), 0)) };
        Ok((amendments::decode(&record.payload)?, record.stream_seq))
    }

    /// When the message of a carrier was first stored, from its page of amendments; the carrier's
    /// own time if the page does not have it.
    pub(super) async fn first_stored_ms(
        &self,
        pair: &Pair,
        carrier: &Removed,
    ) -> Result<u64, ReadError> {
        let number = page_number(carrier.seq());
        let mut known = Pages::new();
        self.know(pair, &mut known, std::iter::once(number)).await?;
        let page = known.get(&number);
        let amendment = page.and_then(|page| page.get(carrier.seq(), carrier.key()));
        Ok(match amendment.map(|amendment| &amendment.change) {
            Some(Change::Removed(first)) => first.stored_ms,
            Some(Change::None | Change::Replaced(_) | Change::Unknown(_)) | None => {
                carrier.stored_ms
            }
        })
    }

    fn amendments_key(&self, pair: &Pair, number: u64) -> String {
        let (receiver, sender) = (Token::of(&pair.receiver), Token::of(&pair.sender));
        amendments::key(self.subjects, pair.partition, &receiver, &sender, number)
    }

    /// Reads these entries. An unreadable one counts as empty: its messages are shown as they were
    /// first stored.
    async fn read_amendments(
        &self,
        partition: Partition,
        subjects: Vec<String>,
    ) -> Result<HashMap<String, AmendmentPage>, ReadError> {
        let stream = StreamId::State(partition);
        let mut pages = HashMap::with_capacity(subjects.len());
        for record in self.last(stream, subjects).await? {
            let page = amendments::decode(&record.payload).unwrap_or_else(|error| {
                self.leave_out(stream, &record, &error);
                AmendmentPage::default()
            });
            pages.insert(record.subject, page);
        }
        Ok(pages)
    }

    /// Reads those of these pages that were not read yet.
    async fn know(
        &self,
        pair: &Pair,
        known: &mut Pages,
        numbers: impl Iterator<Item = u64>,
    ) -> Result<(), ReadError> {
        let missing = numbers.filter(|number| !known.contains_key(number));
        let missing: HashMap<String, u64> =
            missing.map(|number| (self.amendments_key(pair, number), number)).collect();
        if missing.is_empty() {
            return Ok(());
        }
        let subjects = missing.keys().cloned().collect();
        let mut read = self.read_amendments(pair.partition, subjects).await?;
        known.extend(
            missing
                .into_iter()
                .map(|(key, number)| (number, read.remove(&key).unwrap_or_default())),
        );
        Ok(())
    }

    /// Applies amendments to single records of a partition's log, without filling holes. `amended`
    /// has the pages of a pair that may have amendments.
    pub async fn amended(
        &self,
        partition: Partition,
        records: Vec<(UserId, UserId, Raw)>,
        amended: impl Fn(&UserId, &UserId) -> AmendedPages,
    ) -> Result<Vec<Item>, ReadError> {
        let mut by_entry: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for (index, (sender, receiver, record)) in records.iter().enumerate() {
            let Item::Slot(slot) = &record.0 else { continue };
            let number = page_number(slot.seq());
            if amended(sender, receiver).contains(number) {
                let tokens = (Token::of(receiver), Token::of(sender));
                let key = amendments::key(self.subjects, partition, &tokens.0, &tokens.1, number);
                by_entry.entry(key).or_default().push(index);
            }
        }
        let mut items: Vec<Item> = records.into_iter().map(|(.., Raw(item))| item).collect();
        let entries: Vec<(String, Vec<usize>)> = by_entry.into_iter().collect();
        for chunk in entries.chunks(PAGES_AT_ONCE) {
            let subjects = chunk.iter().map(|(key, _)| key.clone()).collect();
            let pages = self.read_amendments(partition, subjects).await?;
            for (key, indices) in chunk {
                let Some(page) = pages.get(key) else { continue };
                for index in indices {
                    apply(&mut items[*index], page);
                }
            }
        }
        Ok(items)
    }

    /// Applies amendments to records of a pair and fills their holes. Returns at most `limit`
    /// items, so the result may end before the records do.
    pub(super) async fn fold(
        &self,
        pair: &Pair,
        amended: &AmendedPages,
        (from, limit): (Start, usize),
        RawPage { records, count, next }: RawPage,
    ) -> Result<Page, ReadError> {
        let mut items: Vec<Item> = records.into_iter().map(|Raw(item)| item).collect();
        let slots = items.iter().filter_map(slot_of);
        let ends = slots.clone().min().zip(slots.max());
        if let Some((first, last)) = ends.filter(|_| !amended.is_empty()) {
            let mut known = Pages::new();
            let pages = amended.within(page_number(first.0)..=page_number(last.0));
            self.know(pair, &mut known, pages.take(PAGES_AT_ONCE)).await?;
            let edge = items.iter().filter_map(Edge::of).find(|edge| edge.place == first.1);
            let mut holes = match edge {
                Some(edge) => {
                    self.holes_before(pair, amended, (from, limit, edge), &mut known).await?
                }
                None => VecDeque::new(),
            };
            let mut pages = amended.within(page_number(first.0)..=page_number(last.0));
            // Records after more holes than requested are cut off below.
            while holes.len() <= limit {
                let chunk: Vec<u64> = pages.by_ref().take(PAGES_AT_ONCE).collect();
                if chunk.is_empty() {
                    break;
                }
                self.know(pair, &mut known, chunk.iter().copied()).await?;
                for page in chunk.iter().filter_map(|number| known.remove(number)) {
                    for item in &mut items {
                        apply(item, &page);
                    }
                    let removed = page.removed().filter(|it| is_between(first, last, it));
                    holes.extend(removed.cloned());
                }
            }
            fill(&mut items, holes);
        }
        drop_carried(&mut items);
        let is_cut = items.len() > limit;
        items.truncate(limit);
        let cut = items.last().filter(|_| is_cut).map(|last| last.stream_seq() + 1);
        Ok(Page { items, count, next: cut.or(next) })
    }

    /// The number of holes between a message and the newest record, which is unreadable. The pages
    /// with amendments are unknown, so the pages after the message are read.
    pub(super) async fn holes_after(
        &self,
        pair: &Pair,
        head: Option<Head>,
        end: u64,
    ) -> Result<u64, ReadError> {
        let (seq, place) = head.map_or((0, 0), |head| (head.mark.seq, head.stream_seq));
        let mut known = Pages::new();
        let number = page_number(seq + 1);
        self.know(pair, &mut known, number..=number + 1).await?;
        let is_between = |removed: &&Removed| {
            removed.seq() > seq && (place + 1..end).contains(&removed.stream_seq)
        };
        let removed = known.values().flat_map(AmendmentPage::removed).filter(is_between);
        Ok(removed.count() as u64)
    }

    /// The holes directly before the first message that was read, where reading began. Holes whose
    /// records would have aged out by now are left out: pages of amendments do not age with their
    /// messages, and such a hole would be mistaken for the oldest remaining message.
    async fn holes_before(
        &self,
        pair: &Pair,
        amended: &AmendedPages,
        (from, limit, mut edge): (Start, usize, Edge),
        known: &mut Pages,
    ) -> Result<VecDeque<Removed>, ReadError> {
        let mut holes = VecDeque::new();
        if from == Start::Seq(edge.place) {
            return Ok(holes);
        }
        let first = edge.seq();
        let is_reached = |removed: &Removed| {
            let is_left = self.aged_ms.is_none_or(|aged_ms| removed.stored_ms > aged_ms);
            is_left
                && match from {
                    Start::Seq(seq) => removed.stream_seq >= seq,
                    Start::TimeMs(ms) => removed.stored_ms >= ms,
                }
        };
        while edge.seq() > 1 {
            let pages = (0..=page_number(edge.before.seq)).rev();
            let pages = pages.take_while(|number| amended.contains(*number));
            let pages: Vec<u64> = pages.take(PAGES_AT_ONCE).collect();
            if pages.is_empty() {
                break;
            }
            // Usually there are holes in one page at most.
            let count = if edge.seq() == first { 1 } else { PAGES_AT_ONCE };
            self.know(pair, known, pages.iter().take(count).copied()).await?;
            for number in pages.into_iter().take(count) {
                let Some(page) = known.get(&number) else { return Ok(holes) };
                let bound = edge.seq();
                for removed in page.removed().rev().filter(|removed| removed.seq() < bound) {
                    if !edge.follows(removed) || !is_reached(removed) {
                        return Ok(holes);
                    }
                    edge = Edge::of_hole(removed);
                    holes.push_front(removed.clone());
                    // If there are too many, the first are kept.
                    holes.truncate(limit.saturating_add(1));
                }
                if edge.seq() != first_of_page(number) {
                    return Ok(holes);
                }
                if number < page_number(first) {
                    known.remove(&number);
                }
            }
        }
        Ok(holes)
    }
}

/// All records of a pair in the order of the log, with amendments applied and holes filled.
#[must_use]
pub fn whole(records: Vec<Raw>, pages: &BTreeMap<u64, AmendmentPage>) -> Vec<Item> {
    let mut items: Vec<Item> = records.into_iter().map(|Raw(item)| item).collect();
    for page in pages.values() {
        for item in &mut items {
            apply(item, page);
        }
    }
    let slots = items.iter().filter_map(slot_of);
    let ends = slots.clone().min().zip(slots.max());
    let edge = |(_, place)| items.iter().filter_map(Edge::of).find(|edge| edge.place == place);
    if let Some((first, last)) = ends
        && let Some(mut edge) = edge(first)
    {
        let removed = || pages.values().flat_map(AmendmentPage::removed);
        let mut holes: VecDeque<Removed> =
            removed().filter(|removed| is_between(first, last, removed)).cloned().collect();
        for removed in pages.values().rev().flat_map(|page| page.removed().rev()) {
            if edge.follows(removed) {
                edge = Edge::of_hole(removed);
                holes.push_front(removed.clone());
            }
        }
        fill(&mut items, holes);
    }
    drop_carried(&mut items);
    items
}

/// `messageSeq` and sequence of a readable item.
const fn slot_of(item: &Item) -> Option<(u64, u64)> {
    match item {
        Item::Slot(slot) => Some((slot.seq(), slot.stream_seq())),
        Item::Unreadable { .. } => None,
    }
}

/// Whether a removed message was between the first and the last message read, each given by its
/// `messageSeq` and its sequence.
fn is_between(first: (u64, u64), last: (u64, u64), removed: &Removed) -> bool {
    (first.0..=last.0).contains(&removed.seq())
        && (first.1 + 1..last.1).contains(&removed.stream_seq)
}

/// The beginning of the records read: the sequence of the first message, and the mark of its sender
/// before.
#[derive(Clone, Copy)]
struct Edge {
    before: Mark,
    place: u64,
}

impl Edge {
    /// At a message or a stub.
    fn of(item: &Item) -> Option<Self> {
        match item {
            Item::Slot(slot) => Some(Self::at(slot.head().mark, slot.counts(), slot.stream_seq())),
            Item::Unreadable { .. } => None,
        }
    }

    fn of_hole(removed: &Removed) -> Self {
        Self::at(removed.stub.mark, removed.stub.counts, removed.stream_seq)
    }

    fn at(mark: Mark, counts: bool, place: u64) -> Self {
        let counted = mark.counted.saturating_sub(u64::from(counts));
        Self { before: Mark { seq: mark.seq.saturating_sub(1), counted }, place }
    }

    /// The `messageSeq` of the first message.
    const fn seq(self) -> u64 {
        self.before.seq + 1
    }

    /// Whether a removed message directly precedes the first. An equal number is not enough: after
    /// the log was emptied, numbering continues above the remembered numbers, and counting begins
    /// anew.
    fn follows(self, removed: &Removed) -> bool {
        removed.stub.mark == self.before && removed.stream_seq < self.place
    }
}

/// Applies the amendment of a message. A carrier gets the revocation of its message.
fn apply(item: &mut Item, page: &AmendmentPage) {
    let Item::Slot(slot) = item else { return };
    let Some(amendment) = page.get(slot.seq(), slot.key()) else { return };
    let (stream_seq, stored_ms) = (slot.stream_seq(), slot.stored_ms());
    let amended = match (&amendment.change, slot) {
        (Change::Removed(removed), _) => {
            Slot::Removed(Removed { stream_seq, stored_ms, ..removed.clone() })
        }
        (Change::None | Change::Replaced(_) | Change::Unknown(_), Slot::Message(found)) => {
            Slot::Message(found.clone().amended(amendment))
        }
        (Change::None | Change::Replaced(_) | Change::Unknown(_), Slot::Removed(_)) => return,
    };
    *item = Item::Slot(amended);
}

/// Inserts the stubs of removed messages at the places of their records, unless these or their
/// carriers exist.
fn fill(items: &mut Vec<Item>, holes: VecDeque<Removed>) {
    if holes.is_empty() {
        return;
    }
    let there: HashSet<u64> = items.iter().filter_map(slot_of).map(|(seq, _)| seq).collect();
    let holes = holes.into_iter().filter(|removed| !there.contains(&removed.seq()));
    items.extend(holes.map(|removed| Item::Slot(Slot::Removed(removed))));
    items.sort_by_key(Item::stream_seq);
}

/// Leaves out a message whose carrier follows: its record is about to be erased.
fn drop_carried(items: &mut Vec<Item>) {
    let carrier = |item: &Item| match item {
        Item::Slot(Slot::Removed(removed)) => Some((removed.seq(), removed.key())),
        Item::Slot(Slot::Message(_)) | Item::Unreadable { .. } => None,
    };
    if items.iter().all(|item| carrier(item).is_none()) {
        return;
    }
    let following = items.iter().skip(1).map(carrier).collect::<Vec<_>>();
    let mut following = following.into_iter();
    items.retain(|item| {
        let next = following.next().flatten();
        let is_carried = |slot: &Slot| next == Some((slot.seq(), slot.key()));
        !matches!(item, Item::Slot(slot) if is_carried(slot))
    });
}
