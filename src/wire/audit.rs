//! The answer of a user's owner to an audit request. Both go over `peer.part.<p>.<user>`, as all
//! requests between instances do. MessagePack arrays that begin with a version.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::block;
use super::packed::{self, EncodeError, RecordError, version};
use crate::domain::audit::{Difference, Subject};
use crate::domain::id::UserId;

/// The most differences that are reported for one user.
pub const DIFFERENCES_MAX: usize = 256;
const ANSWER: &str = "answer to an audit";
/// Distinguishes this answer from an owner's other answers.
const MARK: u8 = 40;

/// The result of the audit of one user.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Audited {
    /// Conversations that were recounted.
    pub conversations: u64,
    /// Messages that were read for the recount.
    pub messages: u64,
    /// Values that do not follow from the log.
    pub differences: Vec<Difference>,
    /// Stored messages that cannot be decoded, by subject and sequence.
    pub unreadable: Vec<String>,
    /// Conversations whose counts were corrected because the store no longer has some of their
    /// messages.
    pub corrected: u64,
}

#[derive(Serialize, Deserialize)]
struct AnswerV1<'a> {
    version: u8,
    mark: u8,
    /// The reason why there was no audit; empty where there was one.
    #[serde(borrow)]
    problem: &'a str,
    conversations: u64,
    messages: u64,
    #[serde(borrow)]
    differences: Vec<DifferenceV1<'a>>,
    /// The first release writes neither this field nor the next.
    #[serde(default)]
    unreadable: Vec<String>,
    #[serde(default)]
    corrected: u64,
}

#[derive(Serialize, Deserialize)]
struct DifferenceV1<'a>(#[serde(borrow)] &'a str, #[serde(borrow)] &'a str, u64, u64);

/// Encodes an answer: the result of the audit, or the reason why there was none.
pub fn encode_answer(answer: Result<&Audited, &String>) -> Result<Bytes, EncodeError> {
    let none = Audited::default();
    let (audited, problem) = match answer {
        Ok(audited) => (audited, ""),
        Err(problem) => (&none, problem.as_str()),
    };
    let differences = audited.differences.iter().take(DIFFERENCES_MAX).map(|difference| {
        let Difference { other, subject, expected, found } = difference;
        let other = other.as_ref().map_or("", UserId::as_str);
        DifferenceV1(other, subject.name(), *expected, *found)
    });
    let answer = AnswerV1 {
        version: 1,
        mark: MARK,
        problem,
        conversations: audited.conversations,
        messages: audited.messages,
        differences: differences.collect(),
        unreadable: audited.unreadable.iter().take(DIFFERENCES_MAX).cloned().collect(),
        corrected: audited.corrected,
    };
    block::written(|out| rmp_serde::encode::write(out, &answer))
}

/// Decodes an answer.
pub fn decode_answer(bytes: &[u8]) -> Result<Result<Audited, String>, RecordError> {
    match version(bytes, ANSWER)? {
        1 => {}
        other => return Err(RecordError::new(ANSWER, format!("its version {other} is unknown"))),
    }
    let broken = || RecordError::new(ANSWER, "it is not a version 1 answer");
    let answer: AnswerV1 = packed::from_slice(bytes).map_err(|_| broken())?;
    if answer.mark != MARK || answer.differences.len() > DIFFERENCES_MAX {
        return Err(broken());
    }
    if !answer.problem.is_empty() {
        return Ok(Err(answer.problem.to_owned()));
    }
    let differences =
        answer.differences.into_iter().map(|DifferenceV1(other, subject, expected, found)| {
            let other = if other.is_empty() { None } else { Some(UserId::new(other, "other")) };
            let subject = Subject::ALL.into_iter().find(|known| known.name() == subject);
            Ok(Difference {
                other: other.transpose().map_err(|_| broken())?,
                subject: subject.ok_or_else(broken)?,
                expected,
                found,
            })
        });
    Ok(Ok(Audited {
        conversations: answer.conversations,
        messages: answer.messages,
        differences: differences.collect::<Result<_, RecordError>>()?,
        unreadable: answer.unreadable,
        corrected: answer.corrected,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_round_trips() {
        let all = Subject::ALL.into_iter().enumerate().map(|(number, subject)| Difference {
            other: (number > 1).then(|| UserId::new("bob", "other").unwrap()),
            subject,
            expected: number as u64,
            found: 1 << 40,
        });
        let differences = all.collect();
        let (unreadable, corrected) = (Vec::new(), 0);
        let mut audited =
            Audited { conversations: 3, messages: 70_000, differences, unreadable, corrected };
        for (unreadable, corrected) in
            [(Vec::new(), 0), (Vec::new(), 7), (vec!["peer.log.0.bob.alice 7".to_owned()], 0)]
        {
            (audited.unreadable, audited.corrected) = (unreadable, corrected);
            let bytes = encode_answer(Ok(&audited)).unwrap();
            assert_eq!(decode_answer(&bytes), Ok(Ok(audited.clone())));
        }
        let problem = "no".to_owned();
        let bytes = encode_answer(Err(&problem)).unwrap();
        assert_eq!(decode_answer(&bytes), Ok(Err(problem)));
    }

    #[test]
    fn a_refusal_by_the_owner_is_not_an_answer_to_an_audit() {
        let refusal: super::super::delivery::Answer =
            Err(super::super::failure::Failure::StoreUnavailable.into());
        let bytes = super::super::delivery::encode_answer(&refusal).unwrap();
        assert!(decode_answer(&bytes).is_err());
        assert!(decode_answer(b"").is_err());
    }
}
