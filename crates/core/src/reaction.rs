//! Reactions to a message: each of its two users may react with several types, and several times
//! with each.

use super::id::{Direction, UserId};
use super::limits::{REACTION_COUNT_MAX, REACTION_TYPES_MAX};
use super::rejection::Rejection;

/// A sixth of the maximum size of the reactions with one type in a body: IDs, names of fields, and
/// the type, of which JSON may write each byte as six.
pub const REACTION_BYTES: usize = 160;

/// A type of reaction to a message, and how often each of the two users reacted with it. At least
/// one of them did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reaction {
    /// The type: any text, for example an emoji.
    pub kind: String,
    /// How often the sender of the message reacted with it.
    pub by_sender: u64,
    /// How often its receiver did.
    pub by_receiver: u64,
}

impl Reaction {
    /// How often both reacted with it.
    #[must_use]
    pub const fn sum(&self) -> u64 {
        self.by_sender + self.by_receiver
    }

    /// How often it was used by the user for whom the message has this direction.
    #[must_use]
    pub const fn by(&self, direction: Direction) -> u64 {
        match direction {
            Direction::Send => self.by_sender,
            Direction::Receive => self.by_receiver,
        }
    }

    const fn by_mut(&mut self, direction: Direction) -> &mut u64 {
        match direction {
            Direction::Send => &mut self.by_sender,
            Direction::Receive => &mut self.by_receiver,
        }
    }
}

/// A change of the reactions of one user to a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReactionChange {
    /// The user.
    pub by: UserId,
    /// The types whose reactions were added or deleted.
    pub kinds: Vec<String>,
    /// Whether they were added.
    pub is_added: bool,
}

/// Adds a reaction, `increase` times; 0: once, unless the user reacted with this type before.
pub(super) fn add(
    reactions: &mut Vec<Reaction>,
    direction: Direction,
    kind: &str,
    increase: u64,
) -> Result<(), Rejection> {
    let known = reactions.iter().position(|reaction| reaction.kind == kind);
    let index = match known {
        Some(index) => index,
        None if reactions.len() >= REACTION_TYPES_MAX => {
            let problem = format!(
                "is one more type: the message has {REACTION_TYPES_MAX}, which is the maximum"
            );
            return Err(Rejection::invalid("reactionType", problem));
        }
        None => {
            reactions.push(Reaction { kind: kind.to_owned(), ..Reaction::default() });
            reactions.len() - 1
        }
    };
    let count = reactions[index].by_mut(direction);
    if increase == 0 && *count > 0 {
        return Err(Rejection::ReactionUnchanged);
    }
    let increased = count.saturating_add(increase.max(1));
    if increased > REACTION_COUNT_MAX {
        let problem = format!("would make more than {REACTION_COUNT_MAX} reactions of the type");
        return Err(Rejection::invalid("config.increaseCount", problem));
    }
    *count = increased;
    Ok(())
}

/// Deletes the reactions of a user with one type.
pub(super) fn delete(
    reactions: &mut Vec<Reaction>,
    direction: Direction,
    kind: &str,
) -> Result<(), Rejection> {
    let reacted = |reaction: &&mut Reaction| reaction.kind == kind && reaction.by(direction) > 0;
    let Some(reaction) = reactions.iter_mut().find(reacted) else {
        return Err(Rejection::ReactionUnchanged);
    };
    *reaction.by_mut(direction) = 0;
    reactions.retain(|reaction| reaction.sum() > 0);
    Ok(())
}

/// Deletes all reactions of a user. Returns whether there were any.
pub(super) fn delete_all(reactions: &mut Vec<Reaction>, direction: Direction) -> bool {
    let any = reactions.iter().any(|reaction| reaction.by(direction) > 0);
    for reaction in reactions.iter_mut() {
        *reaction.by_mut(direction) = 0;
    }
    reactions.retain(|reaction| reaction.sum() > 0);
    any
}

/// The types with which a user has reacted.
pub(super) fn kinds_of(reactions: &[Reaction], direction: Direction) -> Vec<String> {
    let reacted = reactions.iter().filter(|reaction| reaction.by(direction) > 0);
    reacted.map(|reaction| reaction.kind.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SENDER: Direction = Direction::Send;
    const RECEIVER: Direction = Direction::Receive;

    #[test]
    fn a_type_stays_until_nobody_has_it_and_types_keep_their_order() {
        let mut reactions = Vec::new();
        for (direction, kind) in [(SENDER, "a"), (RECEIVER, "b"), (RECEIVER, "a")] {
            add(&mut reactions, direction, kind, 0).expect("added");
        }
        assert_eq!(kinds_of(&reactions, RECEIVER), ["a", "b"]);
        delete(&mut reactions, SENDER, "a").expect("deleted");
        assert_eq!(reactions[0], Reaction { kind: "a".into(), by_sender: 0, by_receiver: 1 });
        assert_eq!(delete(&mut reactions, SENDER, "a"), Err(Rejection::ReactionUnchanged));
        assert!(delete_all(&mut reactions, RECEIVER) && reactions.is_empty());
        assert!(!delete_all(&mut reactions, RECEIVER));
    }

    #[test]
    fn a_repeat_needs_a_count() {
        let mut reactions = Vec::new();
        add(&mut reactions, SENDER, "a", 0).expect("added");
        assert_eq!(add(&mut reactions, SENDER, "a", 0), Err(Rejection::ReactionUnchanged));
        add(&mut reactions, SENDER, "a", 3).expect("added");
        add(&mut reactions, RECEIVER, "a", 2).expect("added");
        assert_eq!(reactions[0], Reaction { kind: "a".into(), by_sender: 4, by_receiver: 2 });
    }

    #[test]
    fn types_and_counts_have_bounds() {
        let mut reactions = Vec::new();
        for number in 0..REACTION_TYPES_MAX {
            add(&mut reactions, SENDER, &number.to_string(), 0).expect("added");
        }
        let full = add(&mut reactions, RECEIVER, "more", 0);
        assert!(matches!(full, Err(Rejection::InvalidParameter { .. })));
        add(&mut reactions, RECEIVER, "0", REACTION_COUNT_MAX).expect("added");
        let full = add(&mut reactions, RECEIVER, "0", 1);
        assert!(matches!(full, Err(Rejection::InvalidParameter { .. })));
        assert_eq!(reactions.len(), REACTION_TYPES_MAX);
        assert_eq!(reactions[0].by_receiver, REACTION_COUNT_MAX);
    }
}
