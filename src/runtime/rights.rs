//! Asks the server at the start for the permissions of peerd's NATS user, so that a missing one is
//! reported then, and not when it is first needed.

use peerd_dataplane::Publish;
use serde::Deserialize;
use tokio::time::timeout;

use super::permissions::{Permissions, USER_INFO};
use super::tuning::RIGHTS_TIMEOUT;
use crate::link::{DataConnection, Operation, Violation};
use peerd_protocol::subject::matches;

#[derive(Debug, Deserialize)]
struct Answer {
    data: Option<User>,
}

#[derive(Debug, Deserialize)]
struct User {
    permissions: Option<Rights>,
}

#[derive(Debug, Default, Deserialize)]
struct Rights {
    publish: Option<Subjects>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Subjects {
    allow: Vec<String>,
    deny: Vec<String>,
}

/// The violations to expect: subjects that peerd must publish to and may not. Empty if the
/// server does not answer.
pub(super) async fn missing(
    connection: &DataConnection,
    permissions: &Permissions,
) -> Vec<Violation> {
    let reply = connection.client.new_reply_subject();
    let request = Publish {
        subject: USER_INFO.as_bytes(),
        reply: Some(reply.as_bytes()),
        ..Publish::default()
    };
    let asked = connection.client.request(&request, |_| true);
    let answer = tokio::select! {
        _ = connection.link.forbidden(|violation| violation.subject == USER_INFO) => return vec![],
        answer = timeout(RIGHTS_TIMEOUT, asked) => answer,
    };
    let Ok(Ok(answer)) = answer else { return vec![] };
    let user = serde_json::from_slice::<Answer>(&answer.payload).ok().and_then(|it| it.data);
    let Some(rights) = user.and_then(|user| user.permissions) else { return vec![] };
    rights.missing(permissions.published())
}

impl Rights {
    fn missing(&self, subjects: Vec<String>) -> Vec<Violation> {
        let Some(publish) = &self.publish else { return vec![] };
        let forbidden = subjects.into_iter().filter(|subject| !publish.covers(subject));
        forbidden.map(|subject| Violation { operation: Operation::Publish, subject }).collect()
    }
}

impl Subjects {
    fn covers(&self, subject: &str) -> bool {
        let is_any = |patterns: &[String]| patterns.iter().any(|it| matches(it, subject));
        (self.allow.is_empty() || is_any(&self.allow)) && !is_any(&self.deny)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_permission_is_found() {
        let body = br#"{"server":{},"data":{"user":"p","account":"A","permissions":{
            "publish":{"allow":["peer.event.>","peer.log.*.*.*","$JS.API.>"],
                       "deny":["$JS.API.STREAM.DELETE.*"]},
            "subscribe":{"allow":["_INBOX.>"]},"responses":{"max":1}}}}"#;
        let answer: Answer = serde_json::from_slice(body).expect("readable");
        let rights = answer.data.and_then(|data| data.permissions).expect("permissions");
        let missing = rights.missing(Permissions::new("peer", "_INBOX").published());
        let missing: Vec<&str> = missing.iter().map(|it| it.subject.as_str()).collect();
        let expected = ["peer.push.a", "peer.part.0.a.b", "peer.state.0.a.account"];
        assert_eq!(missing[..3], expected, "{missing:?}");
        assert!(!missing.contains(&"peer.event.a.b"), "{missing:?}");
    }

    #[test]
    fn without_configured_permissions_everything_is_allowed() {
        assert!(Rights::default().missing(vec!["a.b".into()]).is_empty());
        let deny = Subjects { allow: vec![], deny: vec!["a.>".into()] };
        assert!(deny.covers("b") && !deny.covers("a.b") && deny.covers("a"));
    }
}
