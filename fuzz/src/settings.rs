//! The configuration: a TOML text in which a line `PEERD__…=…` is an environment variable.

use peerd::config::read;

/// See [`super::Target::check`].
///
/// # Panics
///
/// If a property does not hold.
pub fn check(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let variable = |line: &str| line.starts_with("PEERD__");
    let variables = text.lines().filter(|line| variable(line));
    let variables: Vec<_> = variables.filter_map(|line| line.split_once('=')).collect();
    let rest: Vec<&str> = text.lines().filter(|line| !variable(line)).collect();
    let config = match read(&rest.join("\n"), &variables) {
        Ok(config) => config,
        Err(problems) => {
            assert!(!problems.0.is_empty(), "refused without a reason");
            assert!(problems.0.iter().all(|problem| !problem.is_empty()));
            return;
        }
    };
    let written = toml::to_string(&config).expect("a configuration is TOML");
    assert_eq!(read(&written, &[]).as_ref(), Ok(&config), "written, it is read as another");
    if let Err(problems) = config.settings() {
        assert!(!problems.0.is_empty(), "refused without a reason");
    }
    let shown = config.without_secrets();
    assert!(shown.nats.password.is_empty() || shown.nats.password == "(hidden)");
    for server in &shown.nats.servers {
        let Some((login, _)) = server.rsplit_once('@') else { continue };
        let scheme = login.strip_suffix("(hidden)").map(|scheme| scheme.trim_end_matches("://"));
        let is_plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphabetic());
        assert!(scheme.is_some_and(is_plain), "of a login is shown {login:?}");
    }
}

/// See [`super::Target::seeds`].
#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    let shipped = include_str!("../../config/peerd.toml");
    let mut seeds = vec![
        b"PEERD__NATS__SERVERS=nats://a:1,nats://user:secret@b:2\nPEERD__NATS__PASSWORD=0123\n"
            .to_vec(),
        b"partitions = 4\n[limits]\ntext_bytes = 100\nPEERD__LIMITS__TEXT_BYTES=200\n".to_vec(),
        b"[stream]\nstorage = \"memory\"\nreplicas = 3\n[log]\nformat = \"json\"\n".to_vec(),
    ];
    // A section of the shipped file each.
    seeds.extend(shipped.split("\n[").map(|part| {
        let is_section = !part.starts_with('#');
        [if is_section { "[" } else { "" }, part].concat().into_bytes()
    }));
    seeds
}
