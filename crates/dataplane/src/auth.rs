//! Authentication: the credentials in CONNECT, and the signature of the server's nonce.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use nkeys::KeyPair;

use crate::address::Address;
use crate::error::ConnectError;
use crate::info::Identity;
use crate::options::Credentials;

/// The credentials for CONNECT, with the server's nonce signed where they need a signature.
pub(crate) async fn identity(
    credentials: &Credentials,
    address: &Address,
    nonce: &str,
) -> Result<Identity, ConnectError> {
    match credentials {
        Credentials::None => Ok(match (&address.user, &address.password) {
            (Some(token), None) => {
                Identity { auth_token: Some(token.clone()), ..Identity::default() }
            }
            (user, pass) => {
                Identity { user: user.clone(), pass: pass.clone(), ..Identity::default() }
            }
        }),
        Credentials::Token(token) => {
            Ok(Identity { auth_token: Some(token.clone()), ..Identity::default() })
        }
        Credentials::UserAndPassword(user, password) => Ok(Identity {
            user: Some(user.clone()),
            pass: Some(password.clone()),
            ..Identity::default()
        }),
        Credentials::Nkey(seed) => {
            let key = key(seed)?;
            let sig = Some(sign(&key, nonce)?);
            Ok(Identity { nkey: Some(key.public_key()), sig, ..Identity::default() })
        }
        Credentials::Text(text) => of_text(text, nonce),
        Credentials::File(path) => {
            let file = |error| ConnectError::File { path: path.clone(), error };
            let text = tokio::fs::read_to_string(path).await.map_err(file)?;
            of_text(&text, nonce).map_err(|error| {
                file(std::io::Error::new(std::io::ErrorKind::InvalidData, error.to_string()))
            })
        }
    }
}

fn of_text(text: &str, nonce: &str) -> Result<Identity, ConnectError> {
    let part = |name: &str| {
        let problem = || ConnectError::Credentials(format!("the credentials have no {name}"));
        part(text, name).ok_or_else(problem)
    };
    let (jwt, seed) = (part("NATS USER JWT")?, part("USER NKEY SEED")?);
    let sig = Some(sign(&key(seed)?, nonce)?);
    Ok(Identity { jwt: Some(jwt.to_owned()), sig, ..Identity::default() })
}

/// The line between `-----BEGIN <name>-----` and the next line of dashes.
fn part<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    let mut lines = text.lines().map(str::trim);
    lines.find(|line| line.trim_matches('-').trim() == format!("BEGIN {name}"))?;
    lines.find(|line| !line.is_empty()).filter(|line| !line.starts_with("---"))
}

fn key(seed: &str) -> Result<KeyPair, ConnectError> {
    let problem = |error| ConnectError::Credentials(format!("the nkey seed is invalid: {error}"));
    KeyPair::from_seed(seed.trim()).map_err(problem)
}

fn sign(key: &KeyPair, nonce: &str) -> Result<String, ConnectError> {
    let problem = |error| ConnectError::Credentials(format!("the nkey cannot sign: {error}"));
    key.sign(nonce.as_bytes()).map(|sig| URL_SAFE_NO_PAD.encode(sig)).map_err(problem)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn creds(jwt: &str, seed: &str) -> String {
        format!(
            "-----BEGIN NATS USER JWT-----\n{jwt}\n------END NATS USER JWT------\n\n\
             ****** IMPORTANT ******\n-----BEGIN USER NKEY SEED-----\r\n{seed}\r\n\
             ------END USER NKEY SEED------\n"
        )
    }

    #[tokio::test]
    async fn credentials_are_read_and_the_nonce_is_signed() {
        let address = Address::parse("host").expect("an address");
        let key = KeyPair::new_user();
        let seed = key.seed().expect("a seed");
        let text = Credentials::Text(creds("ey.J.x", &seed));
        let made = identity(&text, &address, "nonce").await.expect("an identity");
        assert_eq!(made.jwt.as_deref(), Some("ey.J.x"));
        let sig = URL_SAFE_NO_PAD.decode(made.sig.expect("a signature")).expect("base64");
        key.verify(b"nonce", &sig).expect("its own signature");
        let made = identity(&Credentials::Nkey(seed), &address, "n").await.expect("an identity");
        assert_eq!(made.nkey, Some(key.public_key()));
    }

    #[tokio::test]
    async fn invalid_credentials_are_reported_without_showing_them() {
        let address = Address::parse("host").expect("an address");
        for text in [String::new(), creds("", "SU"), creds("ey", "SUsecret"), creds("ey", "")] {
            let error = identity(&Credentials::Text(text), &address, "n").await;
            let error = error.expect_err("no credentials").to_string();
            assert!(!error.contains("secret"), "{error}");
        }
        let missing = Credentials::File("/nowhere/x.creds".into());
        let error = identity(&missing, &address, "n").await.expect_err("no file");
        assert!(error.to_string().contains("/nowhere/x.creds"), "{error}");
    }

    #[tokio::test]
    async fn without_credentials_those_in_the_address_are_used() {
        let of = async |text| {
            let address = Address::parse(text).expect("an address");
            identity(&Credentials::None, &address, "").await.expect("an identity")
        };
        assert_eq!(of("nats://t@h").await.auth_token.as_deref(), Some("t"));
        let both = of("nats://u:p@h").await;
        assert_eq!((both.user.as_deref(), both.pass.as_deref()), (Some("u"), Some("p")));
        assert!(of("h").await == Identity::default());
    }
}
