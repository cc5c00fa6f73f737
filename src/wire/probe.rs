//! What an instance answers to a probe: who it is, and which probe it answers. Somebody who replies
//! to everything that he sees knows neither.

/// The answer of an instance to the probe that asked for an answer on `reply_to`.
#[must_use]
pub fn answer(instance: &str, reply_to: &str) -> String {
    format!("{instance} {reply_to}")
}

/// Whether that is what the instance answers to the probe.
#[must_use]
pub fn is_answer(body: &[u8], instance: &str, reply_to: &str) -> bool {
    body == answer(instance, reply_to).as_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_instance_answers_its_probe() {
        let (instance, reply_to) = ("Fd6pKU2eCl6lgEk0JqW1mT", "_INBOX.x.7");
        assert!(is_answer(answer(instance, reply_to).as_bytes(), instance, reply_to));
        // Nobody's, an echo of the request, another's, that of an earlier probe.
        for other in ["", "ok", reply_to, "other _INBOX.x.7", "Fd6pKU2eCl6lgEk0JqW1mT _INBOX.x.6"] {
            assert!(!is_answer(other.as_bytes(), instance, reply_to), "{other}");
        }
    }
}
