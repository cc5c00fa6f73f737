//! `peerd --fisk-introspect`: the command line as data, in the form in which the `nats` command line
//! takes over the commands of a plugin (`nats plugins register chat /usr/local/bin/peerd`).

use std::collections::BTreeMap;
use std::process::ExitCode;

use clap::builder::StyledStr;
use clap::{Arg, ArgAction, Command, CommandFactory as _};
use serde::Serialize;

use super::{Arguments, EXIT_FAILURE, complain, print};

#[derive(Debug, Serialize)]
struct Application {
    name: String,
    help: String,
    version: String,
    cheats: BTreeMap<&'static str, &'static str>,
    flags: Vec<Flag>,
    commands: Vec<Subcommand>,
}

#[derive(Debug, Serialize)]
struct Subcommand {
    name: String,
    help: String,
    help_long: String,
    flags: Vec<Flag>,
    args: Vec<Argument>,
}

#[derive(Debug, Serialize)]
struct Flag {
    name: String,
    help: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    place_holder: Option<String>,
    boolean: bool,
    cumulative: bool,
}

#[derive(Debug, Serialize)]
struct Argument {
    name: String,
    help: String,
    required: bool,
    cumulative: bool,
}

/// The page that `nats cheat peerd` shows.
const CHEATS: &str = include_str!("introspect/cheats.md");

pub(super) fn run() -> ExitCode {
    match serde_json::to_string(&application()) {
        Ok(text) => {
            print(&text);
            ExitCode::SUCCESS
        }
        Err(error) => complain(EXIT_FAILURE, &error),
    }
}

fn application() -> Application {
    let command = Arguments::command();
    Application {
        name: command.get_name().to_owned(),
        help: text(command.get_about()),
        version: command.get_version().unwrap_or_default().to_owned(),
        cheats: BTreeMap::from([("peerd", CHEATS)]),
        flags: flags(&command),
        commands: command
            .get_subcommands()
            .filter(|it| !it.is_hide_set())
            .map(subcommand)
            .collect(),
    }
}

fn text(styled: Option<&StyledStr>) -> String {
    styled.map(ToString::to_string).unwrap_or_default()
}

fn subcommand(command: &Command) -> Subcommand {
    Subcommand {
        name: command.get_name().to_owned(),
        help: text(command.get_about()),
        help_long: text(command.get_after_help()),
        flags: flags(command),
        args: arguments(command),
    }
}

fn flags(command: &Command) -> Vec<Flag> {
    let flags = command.get_arguments().filter(|it| !it.is_positional() && !it.is_hide_set());
    let flag = |arg: &Arg| {
        let name = arg.get_long()?.to_owned();
        let boolean = !arg.get_action().takes_values();
        let value = arg.get_value_names().and_then(<[_]>::first).map(ToString::to_string);
        let help = text(arg.get_help());
        let cumulative = matches!(arg.get_action(), ArgAction::Append);
        let place_holder = value.filter(|_| !boolean);
        Some(Flag { name, help, place_holder, boolean, cumulative })
    };
    flags.filter_map(flag).collect()
}

/// The positional arguments. Several become one list: `nats` passes on those that are no list in no
/// particular order.
fn arguments(command: &Command) -> Vec<Argument> {
    let all: Vec<&Arg> = command.get_positionals().collect();
    match all[..] {
        [] => Vec::new(),
        [one] => vec![Argument {
            name: one.get_id().to_string(),
            help: text(one.get_help()),
            required: one.is_required_set(),
            cumulative: matches!(one.get_action(), ArgAction::Append),
        }],
        _ => {
            let names: Vec<&str> = all.iter().map(|arg| arg.get_id().as_str()).collect();
            vec![Argument {
                name: names.join("-"),
                help: all.iter().map(|arg| text(arg.get_help())).collect::<Vec<_>>().join("; "),
                required: all.iter().any(|arg| arg.is_required_set()),
                cumulative: true,
            }]
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_is_described() {
        let application = application();
        let names: Vec<&str> = application.commands.iter().map(|it| it.name.as_str()).collect();
        let expected = [
            "serve",
            "check-config",
            "streams",
            "schema",
            "new-seed",
            "call",
            "bench",
            "status",
            "audit",
            "verify",
            "watch",
        ];
        assert!(expected.iter().all(|name| names.contains(name)), "{names:?}");
        assert_eq!(names.len(), expected.len(), "{names:?}");
        assert!(!application.help.is_empty());
        for command in &application.commands {
            assert!(!command.help.is_empty(), "{command:?}");
            assert!(command.args.len() <= 1, "{command:?}");
        }
        let flags: Vec<&str> = application.flags.iter().map(|it| it.name.as_str()).collect();
        assert_eq!(flags, ["config", "context", "server", "credentials"]);
    }
}
