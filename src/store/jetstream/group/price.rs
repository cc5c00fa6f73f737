//! What storing some appends takes, singly and as a batch, as measured.

use std::time::Duration;

/// So often the way that is not taken is tried again: disks and their load change.
const TRIED_AGAIN: u32 = 256;
/// What a new measurement counts against those before it.
const WEIGHT: f64 = 0.25;
/// Groups whose sizes are within a factor of two cost about the same for each append.
const CLASSES: usize = 16;

/// How a group is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// Each append by itself, all at once.
    Singly,
    /// As one atomic batch.
    Together,
}

/// What a group of about one size takes, in seconds for each append. `None`: not measured.
#[derive(Clone, Copy, Debug, Default)]
struct Price {
    singly: Option<f64>,
    together: Option<f64>,
    groups: u32,
}

/// What groups take, by size.
#[derive(Debug, Default)]
pub(super) struct Prices {
    by_size: [Price; CLASSES],
}

impl Way {
    const fn other(self) -> Self {
        match self {
            Self::Singly => Self::Together,
            Self::Together => Self::Singly,
        }
    }
}

impl Prices {
    /// How to store a group of so many.
    pub(super) fn choose(&mut self, size: usize) -> Way {
        // Nobody to share with.
        let Some(price) = self.of(size).filter(|_| size > 1) else { return Way::Singly };
        let cheaper = match (price.singly, price.together) {
            (None, _) => return Way::Singly,
            (_, None) => return Way::Together,
            (Some(singly), Some(together)) if singly <= together => Way::Singly,
            (Some(_), Some(_)) => Way::Together,
        };
        price.groups = (price.groups + 1) % TRIED_AGAIN;
        if price.groups == 0 { cheaper.other() } else { cheaper }
    }

    /// Notes what storing a group took.
    pub(super) fn note(&mut self, size: usize, way: Way, took: Duration) {
        let Some(price) = self.of(size) else { return };
        let price = match way {
            Way::Singly => &mut price.singly,
            Way::Together => &mut price.together,
        };
        #[expect(clippy::cast_precision_loss, reason = "a group has some hundreds")]
        let each = took.as_secs_f64() / size as f64;
        *price = Some(price.map_or(each, |before| before + (each - before) * WEIGHT));
    }

    fn of(&mut self, size: usize) -> Option<&mut Price> {
        let class = usize::try_from(size.checked_ilog2()?).ok()?;
        self.by_size.get_mut(class)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// Stores groups of one size at given prices for a while; answers how many went together.
    fn run(prices: &mut Prices, size: u32, single: Duration, batch: Duration) -> usize {
        let groups = 0..TRIED_AGAIN * 4;
        let together = groups.filter(|_| {
            let size_of = usize::try_from(size).unwrap_or_default();
            let way = prices.choose(size_of);
            let took = if way == Way::Singly { single * size } else { batch };
            prices.note(size_of, way, took);
            way == Way::Together
        });
        together.count()
    }

    #[test]
    fn the_cheaper_way_is_taken_and_the_other_tried_now_and_then() {
        let mut prices = Prices::default();
        let all = usize::try_from(TRIED_AGAIN * 4).unwrap_or_default();
        assert_eq!(run(&mut prices, 1, MS, MS), 0, "alone");
        let together = run(&mut prices, 2, MS, MS * 4);
        assert!((1..=5).contains(&together), "{together}");
        let singly = all - run(&mut prices, 64, MS, MS * 8);
        assert!((1..=5).contains(&singly), "{singly}");
    }

    #[test]
    fn a_disk_that_has_become_slower_is_noticed() {
        let mut prices = Prices::default();
        assert!(run(&mut prices, 32, MS / 10, MS * 5) <= 5);
        assert!(run(&mut prices, 32, MS, MS * 5) > usize::try_from(TRIED_AGAIN).unwrap_or(0));
    }

    #[test]
    fn nothing_and_too_much_have_no_price() {
        let mut prices = Prices::default();
        assert_eq!(prices.choose(0), Way::Singly);
        prices.note(0, Way::Singly, MS);
        assert_eq!(prices.choose(1 << 40), Way::Singly);
        prices.note(1 << 40, Way::Together, MS);
    }
}
