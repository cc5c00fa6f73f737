//! Two users chat through NATS. Each step shows and checks something that peerd promises.
//!
//! `make demo` starts a nats-server and a peerd of its own on free ports, with a temporary store,
//! and leaves nothing behind. The exit code is 1 if a check failed.

#[path = "demo/screen.rs"]
mod screen;
#[path = "demo/stage.rs"]
mod stage;
#[path = "demo/steps.rs"]
mod steps;

use std::{process::ExitCode, time::Instant};

use peerd_testkit::{
    self as support,
    faults::failure::Failure,
    program::{interrupted, until_stopped},
};

use crate::{
    screen::{Look, Screen},
    stage::{Shown, Stage},
};

const LOG_LINES_SHOWN: usize = 15;

#[tokio::main]
async fn main() -> ExitCode {
    until_stopped(Box::pin(play(Screen::new()))).await.unwrap_or_else(interrupted)
}

async fn play(screen: Screen) -> Result<bool, Failure> {
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
        return Err(format!("peerd was stopped and ended with {status}").into());
    }
    drop(stage);
    screen.line(
        Look::Heading,
        &format!(
            "\nAll {shown} steps passed, in {:.1} s; both servers have ended.",
            started.elapsed().as_secs_f64()
        ),
    );
    Ok(true)
}

/// Plays all steps; returns their number.
async fn steps(screen: Screen, stage: &mut Stage) -> Result<usize, Failure> {
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
