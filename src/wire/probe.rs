//! The reply of an instance to a probe: the instance's ID and the probe's reply subject. A
//! responder that replies to every message on the subject knows neither.

/// The instance's reply to the probe whose reply subject is `reply_to`.
#[must_use]
pub fn answer(instance: &str, reply_to: &str) -> String {
    format!("{instance} {reply_to}")
}

/// Whether a body is the instance's reply to the probe.
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
        // An empty reply, a foreign one, an echo of the request, another instance's, one to an
        // earlier probe.
        for other in ["", "ok", reply_to, "other _INBOX.x.7", "Fd6pKU2eCl6lgEk0JqW1mT _INBOX.x.6"] {
            assert!(!is_answer(other.as_bytes(), instance, reply_to), "{other}");
        }
    }
}
