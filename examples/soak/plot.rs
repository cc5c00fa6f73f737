//! The chart: a panel for each kind of line, a line for each instance, faults as dashed lines. Its
//! background is transparent, and its colours follow the reader's light or dark scheme.

use std::{io, time::Duration};

use plotters::{
    coord::Shift,
    drawing::{DrawingArea, DrawingAreaErrorKind},
    element::{PathElement, Text},
    prelude::{ChartBuilder, IntoDrawingArea as _, LineSeries, RGBColor, SVGBackend},
    series::DashedLineSeries,
    style::{IntoFont as _, ShapeStyle, TRANSPARENT, TextStyle},
};

use crate::sample::{Kind, Sample};

const WIDTH: u32 = 960;
/// The height of the legend, and of each panel.
const LEGEND: u32 = 36;
const PANEL: u32 = 132;
/// Room for the labels of the values.
const LEFT: u32 = 60;
const LABELS_MAX: usize = 13;
const FONT: (&str, i32) = ("sans-serif", 16);
const TEXT: RGBColor = RGBColor(0x22, 0x22, 0x22);
const AXIS: RGBColor = RGBColor(0x99, 0x99, 0x99);
const FAULT: RGBColor = RGBColor(0xbb, 0xbb, 0xbb);
/// Each instance: its colour, its name, and where this begins in the legend.
const INSTANCES: [(RGBColor, &str, i32); 3] = [
    (RGBColor(0x0b, 0x62, 0xa8), "peerd 1 (never restarted)", 60),
    (RGBColor(0xc2, 0x57, 0x0c), "peerd 2", 280),
    (RGBColor(0x1a, 0x7f, 0x52), "peerd 3", 390),
];
const FAULT_NAME: (&str, i32) = ("one is killed, restarted or paused", 500);
const LABEL: &str = "role=\"img\" aria-label=\"Resources of three peerds during a soak run\"";
/// The colours on a dark background, by those above as the SVG writes them.
const DARK: &str = "<style>@media (prefers-color-scheme: dark) {
[fill='#222222'] { fill: #ddd }
[stroke='#999999'] { stroke: #777 } [stroke='#BBBBBB'] { stroke: #555 }
[stroke='#0B62A8'] { stroke: #6cb6ff } [stroke='#C2570C'] { stroke: #f0a45d }
[stroke='#1A7F52'] { stroke: #5fd3a0 }
}</style>";

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Drawn = Result<(), DrawingAreaErrorKind<io::Error>>;

/// The chart of a run.
pub(crate) fn svg(
    samples: &[Sample],
    faults: &[(Duration, String)],
    span: Duration,
) -> io::Result<String> {
    let mut svg = String::new();
    let panels = u32::try_from(Kind::ALL.len()).unwrap_or_default();
    let size = (WIDTH, LEGEND + panels * PANEL);
    let root = SVGBackend::with_string(&mut svg, size).into_drawing_area();
    draw(&root, samples, faults, span).map_err(io::Error::other)?;
    drop(root);
    let labelled = svg.replacen("<svg ", &format!("<svg {LABEL} "), 1);
    Ok(labelled.replacen(">\n", &format!(">\n{DARK}\n"), 1))
}

fn draw(
    root: &Area<'_>,
    samples: &[Sample],
    faults: &[(Duration, String)],
    span: Duration,
) -> Drawn {
    let (head, panels) = root.split_vertically(LEGEND);
    let text = TextStyle::from(FONT.into_font()).color(&TEXT);
    for (color, name, x) in INSTANCES {
        let line = PathElement::new([(x, 18), (x + 24, 18)], line(color, 2));
        head.draw(&line)?;
        head.draw(&Text::new(name, (x + 30, 12), text.clone()))?;
    }
    let (name, x) = FAULT_NAME;
    head.draw(&PathElement::new([(x, 10), (x, 26)], line(FAULT, 1)))?;
    head.draw(&Text::new(name, (x + 8, 12), text.clone()))?;
    let ends = samples.iter().map(|sample| sample.at).fold(span, Duration::max);
    for (area, kind) in panels.split_evenly((Kind::ALL.len(), 1)).iter().zip(Kind::ALL) {
        panel(area, kind, samples, faults, minutes(ends), &text)?;
    }
    root.present()
}

/// A panel. Its scale begins at zero, so that rises are shown in proportion.
fn panel(
    area: &Area<'_>,
    kind: Kind,
    samples: &[Sample],
    faults: &[(Duration, String)],
    ends: f64,
    text: &TextStyle<'_>,
) -> Drawn {
    let most = samples.iter().filter_map(|sample| kind.of(sample)).fold(1.0, f64::max) * 1.05;
    let mut chart = ChartBuilder::on(area)
        .caption(kind.title(), text.clone())
        .margin_right(16)
        .x_label_area_size(22)
        .y_label_area_size(LEFT)
        .build_cartesian_2d(0.0..ends, 0.0..most)?;
    chart
        .configure_mesh()
        .bold_line_style(TRANSPARENT)
        .light_line_style(TRANSPARENT)
        .axis_style(AXIS)
        .label_style(text.clone())
        .x_labels(LABELS_MAX)
        .y_labels(3)
        .x_label_formatter(&|at| format!("{} min", rounded(*at)))
        .y_label_formatter(&|value| rounded(*value).to_string())
        .draw()?;
    for (at, _) in faults {
        let x = minutes(*at);
        chart.draw_series(DashedLineSeries::new([(x, 0.0), (x, most)], 2, 3, line(FAULT, 1)))?;
    }
    for (instance, (color, ..)) in INSTANCES.into_iter().enumerate() {
        let its: Vec<&Sample> =
            samples.iter().filter(|sample| sample.instance == instance).collect();
        // A line is interrupted where a process ended and where no value is known.
        let goes_on = |one: &&Sample, next: &&Sample| {
            one.life == next.life && kind.of(one).is_some() == kind.of(next).is_some()
        };
        for part in its.chunk_by(goes_on) {
            let points =
                part.iter().filter_map(|sample| Some((minutes(sample.at), kind.of(sample)?)));
            chart.draw_series(LineSeries::new(points, line(color, 2)))?;
        }
    }
    Ok(())
}

fn line(color: RGBColor, width: u32) -> ShapeStyle {
    ShapeStyle::from(color).stroke_width(width)
}

/// To tenths, which no step between labels is below.
fn rounded(number: f64) -> f64 {
    (number * 10.0).round() / 10.0
}

fn minutes(at: Duration) -> f64 {
    at.as_secs_f64() / 60.0
}
