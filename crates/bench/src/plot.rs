//! A chart over the offered load, as SVG: latencies in one panel, and below it the messages that
//! were accepted and refused in each second.

use std::ops::{Range, RangeInclusive};

use plotters::coord::Shift;
use plotters::coord::combinators::{BindKeyPoints as _, IntoLogRange as _};
use plotters::coord::ranged1d::{AsRangedCoord, Ranged};
use plotters::drawing::DrawingArea;
use plotters::element::{PathElement, Text};
use plotters::prelude::{ChartBuilder, IntoDrawingArea as _, LineSeries, RGBColor, SVGBackend};
use plotters::style::{ShapeStyle, TRANSPARENT, WHITE};

use super::numbers::{Summary, float};
use super::report::{Load, Report, Round, Who};

const WIDTH: u32 = 900;
const HEIGHT: u32 = 700;
/// The height of the title, and of the panel of latencies below it.
const TITLE: u32 = 40;
const LATENCIES: u32 = 340;
/// Room at the sides: labels of the axes, and the legend.
const LEFT: u32 = 70;
const RIGHT: u32 = 150;
/// Room for the part of an axis's last label beyond its end.
const MARGIN: i32 = 20;
const LEGEND_TOP: i32 = 50;
const LEGEND_STEP: usize = 20;
const FONT: (&str, i32) = ("sans-serif", 16);
const MESH: RGBColor = RGBColor(0xdd, 0xdd, 0xdd);
/// The most labels of a linear axis.
const LABELS_MAX: usize = 10;
/// The first digits of labels of the logarithmic axis.
const ROUND: [f64; 3] = [1.0, 2.0, 5.0];
/// The most labels of the logarithmic axis with all round numbers; beyond that, only powers of ten
/// have labels.
const LOG_LABELS_MAX: usize = 10;
/// The possible ends of the logarithmic axis as powers of ten, in milliseconds: from a microsecond
/// to longer than any run.
const EXPONENTS: RangeInclusive<i32> = -3..=9;

/// The look of a curve: the color names the side, shade and width the figure.
#[derive(Clone, Copy)]
struct Look {
    color: RGBColor,
    width: u32,
}

const fn look(color: (u8, u8, u8), width: u32) -> Look {
    Look { color: RGBColor(color.0, color.1, color.2), width }
}

/// The looks of each side: p50, p99 and p99.9, and refusals.
const SIDES: [(Who, [Look; 3], Look); 3] = [
    (
        Who::Peerd,
        [look((0x0b, 0x3d, 0x91), 3), look((0x1f, 0x6f, 0xeb), 2), look((0x79, 0xb0, 0xff), 1)],
        look((0xc0, 0x39, 0x2b), 2),
    ),
    (
        Who::Baseline,
        [look((0x4a, 0x4a, 0x4a), 3), look((0x8a, 0x8a, 0x8a), 2), look((0xb5, 0xb5, 0xb5), 1)],
        look((0xd9, 0xa1, 0x9b), 2),
    ),
    (
        Who::Limit,
        [look((0x1e, 0x6b, 0x3a), 3), look((0x3f, 0xa3, 0x5f), 2), look((0x9a, 0xd4, 0xac), 1)],
        look((0xe0, 0xb0, 0x70), 2),
    ),
];

/// A curve: one figure of one side over the offered rate.
struct Curve {
    name: String,
    look: Look,
    /// Pairs of offered rate and figure, by rate.
    points: Vec<(f64, f64)>,
}

/// A percentile of a summary, in microseconds.
type Figure = fn(&Summary) -> u64;

/// The error of drawing a chart into memory, as text.
pub(super) type DrawError = String;

/// The chart of all loads that were offered at a rate.
pub(super) fn svg(report: &Report) -> Result<String, DrawError> {
    let loads: Vec<&Load> =
        report.loads.iter().filter(|load| load.offered_per_second.is_some()).collect();
    let mut svg = String::new();
    draw(&SVGBackend::with_string(&mut svg, (WIDTH, HEIGHT)).into_drawing_area(), report, &loads)?;
    Ok(svg)
}

fn draw(root: &Area<'_>, report: &Report, loads: &[&Load]) -> Result<(), DrawError> {
    root.fill(&WHITE).map_err(text_of)?;
    let Some(most) = loads.iter().filter_map(|load| load.offered_per_second).reduce(f64::max)
    else {
        root.titled("nothing was measured at an offered rate", FONT).map_err(text_of)?;
        return root.present().map_err(text_of);
    };
    let setting = &report.setting;
    let title = format!(
        "Over the offered load: {} pairs, {} bytes of text, {}",
        setting.pairs, setting.payload_bytes, setting.encoding,
    );
    let (head, panels) = root.split_vertically(TITLE);
    head.titled(&title, FONT).map_err(text_of)?;
    let (upper, lower) = panels.split_vertically(LATENCIES);
    let latencies = latencies(loads);
    let values = || latencies.iter().flat_map(|curve| &curve.points).map(|point| point.1);
    let range = values().reduce(f64::min).zip(values().reduce(f64::max));
    let labels = log_labels(range.unwrap_or((1.0, 10.0)));
    let ends = labels.first().copied().zip(labels.last().copied()).unwrap_or((1.0, 10.0));
    Panel {
        title: if range.is_some() { "send to reply" } else { "nothing was accepted" },
        unit: " ms",
        offered: (0.0..most, ""),
        figures: (ends.0..ends.1).log_scale().with_key_points(labels),
        curves: &latencies,
    }
    .draw(&upper)?;
    let rates = rates(loads);
    let values = rates.iter().flat_map(|curve| &curve.points).map(|point| point.1);
    Panel {
        title: "messages a second",
        unit: "",
        offered: (0.0..most, "messages offered in a second"),
        figures: 0.0..values.fold(1.0, f64::max),
        curves: &rates,
    }
    .draw(&lower)?;
    root.present().map_err(text_of)
}

/// The area of a panel.
type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

fn text_of(error: impl std::fmt::Display) -> DrawError {
    format!("the chart: {error}")
}

/// A panel: curves over the offered rate, which all panels share.
struct Panel<'a, Y> {
    title: &'a str,
    /// The unit of the figures.
    unit: &'a str,
    /// The axis of offered rates, and its title.
    offered: (Range<f64>, &'a str),
    figures: Y,
    curves: &'a [Curve],
}

impl<Y> Panel<'_, Y>
where
    Y: AsRangedCoord<Value = f64>,
    Y::CoordDescType: Ranged<ValueType = f64> + plotters::coord::ranged1d::ValueFormatter<f64>,
{
    fn draw(self, area: &Area<'_>) -> Result<(), DrawError> {
        let (offered, name) = self.offered;
        let (panel, legend) = area.split_horizontally(WIDTH - RIGHT);
        let mut chart = ChartBuilder::on(&panel)
            .caption(self.title, FONT)
            .margin_right(MARGIN)
            .x_label_area_size(if name.is_empty() { 30 } else { 50 })
            .y_label_area_size(LEFT)
            .build_cartesian_2d(offered, self.figures)
            .map_err(text_of)?;
        chart
            .configure_mesh()
            .bold_line_style(MESH)
            .light_line_style(TRANSPARENT)
            .axis_style(TRANSPARENT)
            .label_style(FONT)
            .x_desc(name)
            .x_labels(LABELS_MAX)
            .y_labels(LABELS_MAX)
            .x_label_formatter(&|rate| label(*rate))
            .y_label_formatter(&|figure| format!("{}{}", label(*figure), self.unit))
            .draw()
            .map_err(text_of)?;
        for Curve { look, points, .. } in self.curves {
            let style = ShapeStyle::from(look.color).filled().stroke_width(look.width);
            chart
                .draw_series(LineSeries::new(points.iter().copied(), style).point_size(3))
                .map_err(text_of)?;
        }
        draw_legend(&legend, self.curves)
    }
}

/// A line and a name for each curve.
fn draw_legend(area: &Area<'_>, curves: &[Curve]) -> Result<(), DrawError> {
    for (y, Curve { name, look, .. }) in (LEGEND_TOP..).step_by(LEGEND_STEP).zip(curves) {
        let style = ShapeStyle::from(look.color).stroke_width(look.width);
        area.draw(&PathElement::new([(12, y), (40, y)], style)).map_err(text_of)?;
        area.draw(&Text::new(name.as_str(), (48, y - 7), FONT)).map_err(text_of)?;
    }
    Ok(())
}

/// The latencies in milliseconds of each side that has any.
fn latencies(loads: &[&Load]) -> Vec<Curve> {
    const FIGURES: [(&str, Figure); 3] = [
        ("p50", |summary| summary.p50_us),
        ("p99", |summary| summary.p99_us),
        ("p99.9", |summary| summary.p999_us),
    ];
    let curves = SIDES.into_iter().flat_map(|(of, looks, _)| {
        FIGURES.into_iter().zip(looks).map(move |((figure, value), look)| {
            let ms = move |round: &Round| round.reply.map(|reply| float(value(&reply)) / 1000.0);
            curve(loads, of, figure, look, ms)
        })
    });
    curves.filter(|curve| !curve.points.is_empty()).collect()
}

/// The messages accepted and refused in a second, of each measured side.
fn rates(loads: &[&Load]) -> Vec<Curve> {
    let accepted = |round: &Round| Some(round.accepted_per_second);
    let refused = |round: &Round| Some(round.refused_per_second);
    let curves = SIDES.into_iter().flat_map(|(of, [_, look, _], refused_look)| {
        [
            curve(loads, of, "accepted", look, accepted),
            curve(loads, of, "refused", refused_look, refused),
        ]
    });
    curves.filter(|curve| !curve.points.is_empty()).collect()
}

fn curve(
    loads: &[&Load],
    of: Who,
    figure: &str,
    look: Look,
    value: impl Fn(&Round) -> Option<f64>,
) -> Curve {
    let point = |load: &&Load| Some((load.offered_per_second?, load.median(of, &value)?));
    let mut points: Vec<(f64, f64)> = loads.iter().filter_map(point).collect();
    points.sort_by(|one, other| one.0.total_cmp(&other.0));
    Curve { name: format!("{} {figure}", of.name()), look, points }
}

/// The labels of a logarithmic axis that contains both latencies. The ends of the axis are labels
/// too.
fn log_labels(latencies: (f64, f64)) -> Vec<f64> {
    let labels = enclosing(latencies, &ROUND);
    if labels.len() <= LOG_LABELS_MAX { labels } else { enclosing(latencies, &ROUND[..1]) }
}

/// The numbers that begin with one of these digits, from the last one below both latencies to the
/// first one above both.
fn enclosing((least, most): (f64, f64), digits: &[f64]) -> Vec<f64> {
    // Parsed, so that a label is exactly a round number.
    let number = |exponent, digit: &f64| format!("{digit}e{exponent}").parse::<f64>().ok();
    let in_decade = |exponent| digits.iter().filter_map(move |digit| number(exponent, digit));
    let all: Vec<f64> = EXPONENTS.flat_map(in_decade).collect();
    let from = all.iter().rposition(|label| *label <= least).unwrap_or_default();
    let to = all.iter().position(|label| *label >= most).unwrap_or(all.len());
    all.into_iter().take(to.max(from + 1) + 1).skip(from).collect()
}

/// A number without trailing zeros.
fn label(number: f64) -> String {
    let rounded = format!("{number:.6}");
    rounded.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::super::report::tests::{report, round};
    use super::super::shared::Offer;
    use super::*;

    fn load(rate: f64, p50_us: u64) -> Load {
        let rounds = vec![
            round(Who::Peerd, rate, p50_us),
            round(Who::Baseline, rate, p50_us / 2),
            round(Who::Limit, rate, p50_us / 3),
        ];
        Load::new(Offer::PerSecond(rate), rounds)
    }

    fn drawn(report: &Report) -> String {
        svg(report).expect("drawn into memory")
    }

    /// Asserts that every element is closed, and that every coordinate is a number.
    fn assert_well_formed(svg: &str) {
        let mut open = Vec::new();
        for tag in svg.split('<').skip(1) {
            let (tag, _) = tag.split_once('>').unwrap_or_else(|| panic!("no end: {tag}"));
            let name = tag.split(' ').next().unwrap_or_default();
            if let Some(name) = name.strip_prefix('/') {
                assert_eq!(open.pop(), Some(name), "{svg}");
            } else if !tag.ends_with('/') {
                open.push(name);
            }
            assert_eq!(tag.matches('"').count() % 2, 0, "{tag}");
        }
        assert_eq!(open, Vec::<&str>::new(), "{svg}");
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
    }

    #[test]
    fn a_picture_has_a_curve_for_each_figure_of_each_side() {
        let svg = drawn(&report(vec![load(2000.0, 900), load(1000.0, 300), load(4000.0, 70_000)]));
        // Each has a line in the legend too.
        assert_eq!(svg.matches("<polyline").count(), 2 * (9 + 6), "{svg}");
        assert_eq!(svg.matches("<circle").count(), 3 * 15);
        for name in
            ["peerd p50", "limit p99.9", "baseline p99", "peerd accepted", "baseline refused"]
        {
            assert!(svg.contains(name), "{name}: {svg}");
        }
        for tick in [">\n1000 ms\n<", ">\n0.1 ms\n<", ">\n4000\n<", ">\n500\n<"] {
            assert!(svg.contains(tick), "{tick}: {svg}");
        }
        assert!(svg.starts_with("<svg") && svg.ends_with("</svg>\n"), "{svg}");
        assert_well_formed(&svg);
    }

    #[test]
    fn a_load_without_a_rate_is_not_in_the_chart() {
        let load = Load::new(Offer::InFlight(8), vec![round(Who::Peerd, 9.0, 9)]);
        let svg = drawn(&report(vec![load]));
        assert!(svg.contains("nothing was measured") && !svg.contains("<polyline"), "{svg}");
        assert_well_formed(&svg);
    }

    #[test]
    fn refusals_are_shown_also_where_nothing_was_accepted() {
        let refused = Round {
            accepted_per_second: 0.0,
            reply: None,
            refused_per_second: 700.0,
            ..round(Who::Peerd, 0.0, 9)
        };
        let svg = drawn(&report(vec![Load::new(Offer::PerSecond(700.0), vec![refused])]));
        assert!(svg.contains("nothing was accepted") && svg.contains("peerd refused"), "{svg}");
        assert_eq!(svg.matches("<polyline").count(), 2 * 2, "{svg}");
        assert_well_formed(&svg);
    }

    #[test]
    fn a_logarithmic_axis_holds_what_is_shown_between_round_labels() {
        let labels = |range| log_labels(range).into_iter().map(label).collect::<Vec<_>>();
        assert_eq!(labels((0.3, 2.1)), ["0.2", "0.5", "1", "2", "5"]);
        assert_eq!(labels((0.15, 280.0)), ["0.1", "1", "10", "100", "1000"]);
        assert_eq!(labels((1.0, 1.0)), ["1", "2"], "an axis has two ends");
        assert_eq!(labels((0.0, 0.0)), ["0.001", "0.002"]);
        let most = ["0.2", "0.5", "1", "2", "5", "10", "20", "50", "100"];
        assert_eq!(labels((0.2, 100.0)), most);
    }
}
