//! The chart: a panel for each kind of line, a line for each instance, faults as marks. It is
//! legible on light and dark backgrounds.

use std::{fmt::Write as _, time::Duration};

use crate::sample::{Kind, Sample};

const WIDTH: f64 = 960.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 16.0;
const TOP: f64 = 64.0;
const PANEL: f64 = 92.0;
const GAP: f64 = 40.0;
const INSTANCES: usize = 3;
/// The most marks of time on the axis.
const TICKS: f64 = 12.0;
/// Steps between them, in minutes.
const STEPS: [f64; 8] = [0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 720.0];

const STYLE: &str = "\
text { font: 12px system-ui, sans-serif; fill: #222 }
.title { font-size: 13px; font-weight: 600 }
.axis { stroke: #999; stroke-width: 1 }
.fault { stroke: #bbb; stroke-width: 1; stroke-dasharray: 2 3 }
.line { fill: none; stroke-width: 1.6; stroke-linejoin: round }
.i0 { stroke: #0b62a8 } .i1 { stroke: #c2570c } .i2 { stroke: #1a7f52 }
@media (prefers-color-scheme: dark) {
text { fill: #ddd } .axis { stroke: #777 } .fault { stroke: #555 }
.i0 { stroke: #6cb6ff } .i1 { stroke: #f0a45d } .i2 { stroke: #5fd3a0 }
}";

/// The chart of a run.
pub(crate) fn svg(samples: &[Sample], faults: &[(Duration, String)], span: Duration) -> String {
    #[expect(clippy::cast_precision_loss, reason = "a handful")]
    let panels = Kind::ALL.len() as f64;
    let height = TOP + panels * (PANEL + GAP);
    let span_s = samples.iter().map(|sample| sample.at.as_secs_f64()).fold(1.0, f64::max);
    let span_s = span_s.max(span.as_secs_f64());
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" \
         aria-label=\"What three peerds held during a soak run\">\n<style>{STYLE}</style>\n"
    );
    legend(&mut out);
    let mut top = TOP;
    for kind in Kind::ALL {
        Panel { top, span_s, most: most(samples, kind) }.draw(&mut out, kind, samples, faults);
        top += PANEL + GAP;
    }
    out + "</svg>\n"
}

fn legend(out: &mut String) {
    for (instance, x) in (0..INSTANCES).zip([LEFT, LEFT + 230.0, LEFT + 330.0]) {
        let note = if instance == 0 { " (never restarted)" } else { "" };
        // Writing to a string cannot fail.
        let _ = writeln!(
            out,
            "<line class=\"line i{instance}\" x1=\"{x}\" y1=\"20\" x2=\"{}\" y2=\"20\"/>\
             <text x=\"{}\" y=\"24\">peerd {}{note}</text>",
            x + 24.0,
            x + 30.0,
            instance + 1,
        );
    }
    let x = LEFT + 430.0;
    let _ = writeln!(
        out,
        "<line class=\"fault\" x1=\"{x}\" y1=\"12\" x2=\"{x}\" y2=\"28\"/>\
         <text x=\"{}\" y=\"24\">one is killed, restarted or paused</text>",
        x + 8.0,
    );
}

/// The top of the scale: a round number above all values.
fn most(samples: &[Sample], kind: Kind) -> f64 {
    let most = samples.iter().filter_map(|sample| kind.of(sample)).fold(1.0, f64::max);
    let unit = 10_f64.powf(most.log10().floor());
    let steps = [1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0];
    let fits = steps.iter().map(|step| step * unit).find(|top| *top >= most);
    fits.unwrap_or(most)
}

/// A panel. Its scale begins at zero, so that rises are shown in proportion.
struct Panel {
    top: f64,
    span_s: f64,
    most: f64,
}

impl Panel {
    fn x(&self, at: Duration) -> f64 {
        LEFT + (WIDTH - LEFT - RIGHT) * at.as_secs_f64() / self.span_s
    }

    fn y(&self, value: f64) -> f64 {
        self.top + PANEL * (1.0 - value / self.most)
    }

    fn draw(
        &self,
        out: &mut String,
        kind: Kind,
        samples: &[Sample],
        faults: &[(Duration, String)],
    ) {
        let (top, bottom) = (self.top, self.top + PANEL);
        // Writing to a string cannot fail.
        let _ = writeln!(
            out,
            "<text class=\"title\" x=\"{LEFT}\" y=\"{}\">{}</text>",
            top - 7.0,
            kind.title()
        );
        for (at, what) in faults {
            let x = self.x(*at);
            let _ = writeln!(
                out,
                "<line class=\"fault\" x1=\"{x:.1}\" y1=\"{top}\" x2=\"{x:.1}\" y2=\"{bottom}\">\
                 <title>{what}</title></line>"
            );
        }
        self.axes(out);
        for instance in 0..INSTANCES {
            self.line(out, kind, samples.iter().filter(|sample| sample.instance == instance));
        }
    }

    fn axes(&self, out: &mut String) {
        let (top, bottom, right) = (self.top, self.top + PANEL, WIDTH - RIGHT);
        let _ = writeln!(
            out,
            "<path class=\"axis\" fill=\"none\" d=\"M{LEFT} {top}V{bottom}H{right}\"/>"
        );
        for value in [0.0, self.most / 2.0, self.most] {
            let y = self.y(value) + 4.0;
            let x = LEFT - 6.0;
            let _ = writeln!(out, "<text x=\"{x}\" y=\"{y}\" text-anchor=\"end\">{value}</text>");
        }
        let minutes = self.span_s / 60.0;
        let step = STEPS.into_iter().find(|step| minutes / step <= TICKS).unwrap_or(minutes);
        let mut at = 0.0;
        while at <= minutes {
            let x = self.x(Duration::from_secs_f64(at * 60.0));
            let y = bottom + 15.0;
            let unit = if at == 0.0 { " min" } else { "" };
            let _ = writeln!(
                out,
                "<text x=\"{x:.1}\" y=\"{y}\" text-anchor=\"middle\">{at}{unit}</text>"
            );
            at += step;
        }
    }

    /// The line of one instance, interrupted where a process ended and where no value is known.
    fn line<'a>(&self, out: &mut String, kind: Kind, samples: impl Iterator<Item = &'a Sample>) {
        let mut path = String::new();
        let mut life = None;
        let mut class = 0;
        for sample in samples {
            class = sample.instance;
            let Some(value) = kind.of(sample) else {
                life = None;
                continue;
            };
            let step = if life == Some(sample.life) { 'L' } else { 'M' };
            let _ = write!(path, "{step}{:.1} {:.1}", self.x(sample.at), self.y(value));
            life = Some(sample.life);
        }
        let _ = writeln!(out, "<path class=\"line i{class}\" d=\"{path}\"/>");
    }
}
