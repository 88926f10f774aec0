//! `top`: the agents as they are now, each second anew.

mod frame;
mod keys;
mod screen;
mod source;

use std::io::{self, IsTerminal};
use std::process::ExitCode;
use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;

use super::arguments::Top;
use super::failure::Failure;
use super::reach::Reach;
use crate::exit::Code;
use crate::output::Output;
pub(super) use frame::Order;
use frame::{Frame, View};
use keys::Key;
use screen::{News, Screen};
use source::{Snapshot, Source};

/// How often everything is looked at.
const EVERY: Duration = Duration::from_secs(1);

pub(super) async fn top(reach: &Reach, asked: &Top, output: &Output) -> Result<ExitCode, Failure> {
    let mut source = Source::new(reach);
    let mut view = View { order: asked.sort, ..View::default() };
    // Who is refused or finds nobody is told so as by every other command.
    let first = source.refresh(&view, usize::MAX).await?;
    if asked.once || output.is_json() || !io::stdout().is_terminal() {
        return once(first, &view, output);
    }
    let screen = Screen::enter(output)?;
    let code = live(&mut source, first, &mut view, screen).await?;
    Ok(code.into())
}

fn once(snapshot: Snapshot, view: &View, output: &Output) -> Result<ExitCode, Failure> {
    let Snapshot { totals, mut rows } = snapshot;
    view.sort(&mut rows);
    if output.is_json() {
        output.json(&json!({ "totals": totals, "agents": rows }))?;
    } else {
        output.line(&frame::totals(&totals))?;
        output.table(&frame::table(&rows))?;
    }
    Ok(Code::Done.into())
}

/// Shows what there is until somebody ends it.
async fn live(
    source: &mut Source<'_>,
    mut shown: Snapshot,
    view: &mut View,
    mut screen: Screen<'_>,
) -> Result<Code, Failure> {
    let (mut due, mut trouble) = (Instant::now() + EVERY, None);
    loop {
        view.sort(&mut shown.rows);
        let visible = draw(&mut screen, &shown, view, trouble.as_ref())?;
        let (wanted, then) = (view.clone(), due);
        let refreshing = async {
            tokio::time::sleep_until(then).await;
            source.refresh(&wanted, visible).await
        };
        tokio::pin!(refreshing);
        // Whatever the daemon is at: keys are heard.
        let refreshed = loop {
            tokio::select! {
                refreshed = &mut refreshing => break refreshed,
                news = screen.news() => match news {
                    News::Key(Key::Quit) | News::Gone => return Ok(Code::Done),
                    News::Ended(code) => return Ok(code),
                    News::Key(key) => view.press(key, shown.rows.len()),
                    News::Redraw => {}
                },
            }
            view.sort(&mut shown.rows);
            draw(&mut screen, &shown, view, trouble.as_ref())?;
        };
        due = Instant::now() + EVERY;
        match refreshed {
            Ok(snapshot) => (shown, trouble) = (snapshot, None),
            Err(failure) if source::may_pass(&failure) => {
                let since = trouble.map_or_else(Instant::now, |(since, _)| since);
                trouble = Some((since, failure));
            }
            Err(failure) => return Err(failure),
        }
    }
}

/// Draws what fits; how many agents that are.
fn draw(
    screen: &mut Screen<'_>,
    shown: &Snapshot,
    view: &View,
    trouble: Option<&(Instant, Failure)>,
) -> Result<usize, Failure> {
    let size = screen.size();
    let told = trouble.map(|(since, failure)| {
        format!("no answer for {} s: {failure}; trying again", since.elapsed().as_secs())
    });
    let frame = Frame { snapshot: shown, view, trouble: told.as_deref() };
    screen.draw(&frame.lines(size))?;
    Ok(frame::rows_that_fit(size.rows))
}
