//! Two users chat through NATS. Each step shows and checks something that peerd promises.
//!
//! `make demo` starts a nats-server and a peerd of its own on free ports, with a temporary store,
//! and leaves nothing behind. The exit code is 1 if a check failed.

#[path = "demo/failure.rs"]
mod failure;
#[path = "demo/screen.rs"]
mod screen;
#[path = "demo/stage.rs"]
mod stage;
#[path = "demo/steps.rs"]
mod steps;
#[path = "demo/stop.rs"]
mod stop;

use std::{process::ExitCode, time::Instant};

use peerd_testkit as support;

use crate::{
    failure::{panic_in_plain_words, report_failure},
    screen::{Look, Screen},
    stage::{Failed, Shown, Stage},
    stop::asked_to_stop,
};

/// The exit code of a program that Ctrl-C ended, as shells have it.
const INTERRUPTED: u8 = 130;
const LOG_LINES_SHOWN: usize = 15;

#[tokio::main]
async fn main() -> ExitCode {
    panic_in_plain_words();
    let mut playing = tokio::spawn(play(Screen::new()));
    tokio::select! {
        ended = &mut playing => match ended {
            Ok(Ok(())) => ExitCode::SUCCESS,
            Ok(Err(failed)) => {
                report_failure(&failed.to_string());
                ExitCode::FAILURE
            }
            // The hook has said why.
            Err(_) => ExitCode::FAILURE,
        },
        asked = asked_to_stop() => {
            // Ending the task drops the servers, which kills them.
            playing.abort();
            let _ = playing.await;
            if let Err(error) = asked {
                report_failure(&format!("cannot listen for signals: {error}"));
            }
            ExitCode::from(INTERRUPTED)
        }
    }
}

async fn play(screen: Screen) -> Result<(), Failed> {
    let started = Instant::now();
    screen.line(Look::Dim, "starting a nats-server and a peerd …");
    let mut stage = Stage::set(screen).await;
    screen.line(Look::Plain, &stage.whereabouts());
    screen.line(
        Look::Dim,
        "→ a user sends a message, ← the other user receives it; below, the other events of each user.",
    );
    let played = steps(screen, &mut stage).await;
    if played.is_err() {
        let log = stage.peerd.log();
        let lines: Vec<_> = log.lines().collect();
        let tail = lines[lines.len().saturating_sub(LOG_LINES_SHOWN)..].join("\n");
        screen.line(Look::Dim, &format!("\nthe end of peerd's log:\n{tail}"));
    }
    let shown = played?;
    let status = stage.peerd.terminate().await;
    if !status.success() {
        return Err(Failed(format!("peerd was stopped and ended with {status}")));
    }
    drop(stage);
    screen.line(
        Look::Heading,
        &format!(
            "\nAll {shown} steps passed, in {:.1} s; both servers have ended.",
            started.elapsed().as_secs_f64()
        ),
    );
    Ok(())
}

/// Plays all steps; returns their number.
async fn steps(screen: Screen, stage: &mut Stage) -> Result<usize, Failed> {
    let mut number = 0;
    let mut next = |title: &str| {
        number += 1;
        screen.step(number, title);
    };
    let done = |shown: Shown| shown.map(|text| screen.shown(&text));
    next("A conversation");
    done(steps::conversation(stage).await)?;
    next("Bob reads");
    done(steps::read(stage).await)?;
    next("Do Not Disturb");
    done(steps::mute(stage).await)?;
    next("Too fast");
    done(steps::rate(stage).await)?;
    next("Away, and back");
    done(steps::away(stage).await)?;
    next("A look back");
    done(steps::history(stage).await)?;
    next("Deleted on one side");
    done(steps::delete(stage).await)?;
    next("Second thoughts");
    done(steps::amend(stage).await)?;
    next("peerd dies");
    done(steps::kill(stage).await)?;
    Ok(number)
}
