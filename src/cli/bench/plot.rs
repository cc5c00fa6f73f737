//! A picture over the offered load, as SVG: latencies in one panel, and below it what was accepted
//! and refused in a second.

use std::fmt::Write as _;

use super::axis;
use super::numbers::{Summary, float};
use super::report::{Load, Report, Round, Who};

const WIDTH: f64 = 900.0;
const HEIGHT: f64 = 700.0;
const LEFT: f64 = 80.0;
const RIGHT: f64 = 170.0;
/// Top and bottom of the two panels.
const LATENCIES: (f64, f64) = (60.0, 360.0);
const RATES: (f64, f64) = (420.0, 640.0);

const PEERD: &str = "#1f6feb";
const PEERD_REFUSED: &str = "#c0392b";
const FLOOR: &str = "#8a8a8a";
const FLOOR_REFUSED: &str = "#d9a19b";

/// A curve: one figure of one side over the offered rate.
struct Curve {
    name: String,
    color: &'static str,
    dash: &'static str,
    /// Offered rate and figure, by rate.
    points: Vec<(f64, f64)>,
}

/// A figure of what is said of latencies.
type Figure = fn(&Summary) -> u64;

/// An axis, from its first tick to its last.
struct Axis {
    ticks: Vec<f64>,
    is_logarithmic: bool,
}

/// A panel: curves over the offered rate, which all panels have in common.
struct Panel<'a> {
    title: &'a str,
    unit: &'a str,
    edges: (f64, f64),
    offered: &'a Axis,
    figures: Axis,
    curves: &'a [Curve],
}

/// The picture of all loads that were offered at a rate.
pub(super) fn svg(report: &Report) -> String {
    let loads: Vec<&Load> =
        report.loads.iter().filter(|load| load.offered_per_second.is_some()).collect();
    let mut svg = opening();
    let Some(most) = loads.iter().filter_map(|load| load.offered_per_second).reduce(f64::max)
    else {
        svg.push_str(&text(LEFT, 30.0, "start", "nothing was measured at an offered rate"));
        svg.push_str("</svg>\n");
        return svg;
    };
    let setting = &report.setting;
    let title = format!(
        "Over the offered load: {} pairs, {} bytes of text, {}",
        setting.pairs, setting.payload_bytes, setting.encoding,
    );
    svg.push_str(&text(LEFT, 28.0, "start", &title));
    let offered = Axis { ticks: axis::linear(most), is_logarithmic: false };
    let latencies = latencies(&loads);
    let values = || latencies.iter().flat_map(|curve| &curve.points).map(|point| point.1);
    let range = values().reduce(f64::min).zip(values().reduce(f64::max));
    let (least, greatest) = range.unwrap_or((1.0, 10.0));
    let panel = Panel {
        title: if range.is_some() { "send to reply" } else { "nothing was accepted" },
        unit: " ms",
        edges: LATENCIES,
        offered: &offered,
        figures: Axis { ticks: axis::logarithmic(least, greatest), is_logarithmic: true },
        curves: &latencies,
    };
    panel.draw(&mut svg);
    let rates = rates(&loads);
    let values = rates.iter().flat_map(|curve| &curve.points).map(|point| point.1);
    let panel = Panel {
        title: "messages a second",
        unit: "",
        edges: RATES,
        offered: &offered,
        figures: Axis { ticks: axis::linear(values.fold(0.0, f64::max)), is_logarithmic: false },
        curves: &rates,
    };
    panel.draw(&mut svg);
    let middle = f64::midpoint(LEFT, WIDTH - RIGHT);
    svg.push_str(&text(middle, RATES.1 + 42.0, "middle", "messages offered in a second"));
    svg.push_str("</svg>\n");
    svg
}

/// Latencies in milliseconds, of each side that has any.
fn latencies(loads: &[&Load]) -> Vec<Curve> {
    const FIGURES: [(&str, &str, Figure); 3] = [
        ("p50", "", |summary| summary.p50_us),
        ("p99", "6 4", |summary| summary.p99_us),
        ("p99.9", "2 4", |summary| summary.p999_us),
    ];
    let curves = [(Who::Peerd, PEERD), (Who::Floor, FLOOR)].into_iter().flat_map(|(of, color)| {
        FIGURES.into_iter().map(move |(figure, dash, value)| {
            let ms = move |round: &Round| round.reply.map(|reply| float(value(&reply)) / 1000.0);
            curve(loads, of, figure, (color, dash), ms)
        })
    });
    curves.filter(|curve| !curve.points.is_empty()).collect()
}

/// What was accepted and refused in a second, of each side that was measured.
fn rates(loads: &[&Load]) -> Vec<Curve> {
    let accepted = |round: &Round| Some(round.accepted_per_second);
    let refused = |round: &Round| Some(round.refused_per_second);
    let curves = [
        curve(loads, Who::Peerd, "accepted", (PEERD, ""), accepted),
        curve(loads, Who::Peerd, "refused", (PEERD_REFUSED, "6 4"), refused),
        curve(loads, Who::Floor, "accepted", (FLOOR, ""), accepted),
        curve(loads, Who::Floor, "refused", (FLOOR_REFUSED, "6 4"), refused),
    ];
    curves.into_iter().filter(|curve| !curve.points.is_empty()).collect()
}

fn curve(
    loads: &[&Load],
    of: Who,
    figure: &str,
    (color, dash): (&'static str, &'static str),
    value: impl Fn(&Round) -> Option<f64>,
) -> Curve {
    let point = |load: &&Load| Some((load.offered_per_second?, load.median(of, &value)?));
    let mut points: Vec<(f64, f64)> = loads.iter().filter_map(point).collect();
    points.sort_by(|one, other| one.0.total_cmp(&other.0));
    let of = match of {
        Who::Peerd => "peerd",
        Who::Floor => "floor",
    };
    Curve { name: format!("{of} {figure}"), color, dash, points }
}

impl Axis {
    /// Where a number is along the axis, from 0 to 1.
    fn part(&self, number: f64) -> f64 {
        let (Some(first), Some(last)) = (self.ticks.first(), self.ticks.last()) else { return 0.0 };
        let part = if self.is_logarithmic {
            (number / first).ln() / (last / first).ln()
        } else {
            (number - first) / (last - first)
        };
        part.clamp(0.0, 1.0)
    }
}

impl Panel<'_> {
    fn x(&self, offered: f64) -> f64 {
        (WIDTH - LEFT - RIGHT).mul_add(self.offered.part(offered), LEFT)
    }

    fn y(&self, figure: f64) -> f64 {
        let (top, bottom) = self.edges;
        (bottom - top).mul_add(1.0 - self.figures.part(figure), top)
    }

    fn draw(&self, svg: &mut String) {
        let (top, bottom) = self.edges;
        svg.push_str(&text(LEFT, top - 8.0, "start", self.title));
        for tick in self.figures.ticks.iter().copied() {
            let y = self.y(tick);
            line(svg, (LEFT, y), (WIDTH - RIGHT, y));
            let label = format!("{}{}", axis::label(tick), self.unit);
            svg.push_str(&text(LEFT - 8.0, y + 4.0, "end", &label));
        }
        for tick in self.offered.ticks.iter().copied() {
            let x = self.x(tick);
            line(svg, (x, top), (x, bottom));
            svg.push_str(&text(x, bottom + 20.0, "middle", &axis::label(tick)));
        }
        for (place, curve) in (0_u32..).zip(self.curves) {
            self.draw_curve(svg, curve, place);
        }
    }

    fn draw_curve(&self, svg: &mut String, curve: &Curve, place: u32) {
        let Curve { name, color, dash, points } = curve;
        let corner = |(offered, figure): &(f64, f64)| {
            format!("{:.1},{:.1}", self.x(*offered), self.y(*figure))
        };
        let corners: Vec<String> = points.iter().map(corner).collect();
        let mut stroke = format!("fill=\"none\" stroke=\"{color}\" stroke-width=\"2\"");
        if !dash.is_empty() {
            // Writing to a String cannot fail.
            let _ = write!(stroke, " stroke-dasharray=\"{dash}\"");
        }
        let _ = writeln!(svg, "<polyline points=\"{}\" {stroke}/>", corners.join(" "));
        for (offered, figure) in points {
            let (x, y) = (self.x(*offered), self.y(*figure));
            let _ = writeln!(svg, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\" fill=\"{color}\"/>");
        }
        let (x, y) =
            (WIDTH - RIGHT + 16.0, 20.0_f64.mul_add(f64::from(place), self.edges.0 + 10.0));
        let _ = writeln!(svg, "<path d=\"M{x:.1} {:.1} h28\" {stroke}/>", y - 4.0);
        svg.push_str(&text(x + 36.0, y, "start", name));
    }
}

fn opening() -> String {
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
         font-family=\"sans-serif\" font-size=\"13\">\n\
         <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"white\"/>\n"
    )
}

fn text(x: f64, y: f64, anchor: &str, text: &str) -> String {
    let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    format!("<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{text}</text>\n")
}

fn line(svg: &mut String, (x1, y1): (f64, f64), (x2, y2): (f64, f64)) {
    // Writing to a String cannot fail.
    let _ = writeln!(
        svg,
        "<line x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\" stroke=\"#dddddd\"/>"
    );
}

#[cfg(test)]
mod tests {
    use super::super::load::Offer;
    use super::super::report::tests::{report, round};
    use super::*;

    fn load(rate: f64, p50_us: u64) -> Load {
        let rounds = vec![round(Who::Peerd, rate, p50_us), round(Who::Floor, rate, p50_us / 2)];
        Load::new(Offer::PerSecond(rate), rounds)
    }

    /// Asserts that every element is closed, and that no coordinate is anything but a number.
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
        let svg = svg(&report(vec![load(2000.0, 900), load(1000.0, 300), load(4000.0, 70_000)]));
        assert_eq!(svg.matches("<polyline").count(), 6 + 4, "{svg}");
        assert_eq!(svg.matches("<circle").count(), 3 * 10);
        for name in ["peerd p50", "peerd p99.9", "floor p99", "peerd accepted", "floor refused"] {
            assert!(svg.contains(name), "{name}: {svg}");
        }
        for tick in [">1000 ms<", ">0.1 ms<", ">4000<", ">500<"] {
            assert!(svg.contains(tick), "{tick}: {svg}");
        }
        assert!(svg.starts_with("<svg") && svg.ends_with("</svg>\n"));
        assert_well_formed(&svg);
    }

    #[test]
    fn what_was_offered_without_a_rate_is_not_in_the_picture() {
        let load = Load::new(Offer::InFlight(8), vec![round(Who::Peerd, 9.0, 9)]);
        let svg = svg(&report(vec![load]));
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
        let svg = svg(&report(vec![Load::new(Offer::PerSecond(700.0), vec![refused])]));
        assert!(svg.contains("nothing was accepted") && svg.contains("peerd refused"), "{svg}");
        assert_eq!(svg.matches("<polyline").count(), 2, "{svg}");
        assert_well_formed(&svg);
    }

    #[test]
    fn text_is_escaped() {
        assert!(text(0.0, 0.0, "start", "a<b>&c").contains(">a&lt;b&gt;&amp;c<"));
    }

    #[test]
    fn both_panels_share_the_axis_and_higher_figures_are_higher_up() {
        let offered = Axis { ticks: axis::linear(100.0), is_logarithmic: false };
        let panel = |edges, ticks, is_logarithmic| Panel {
            title: "",
            unit: "",
            edges,
            offered: &offered,
            figures: Axis { ticks, is_logarithmic },
            curves: &[],
        };
        let upper = panel(LATENCIES, vec![10.0, 100.0, 1000.0], true);
        let lower = panel(RATES, vec![0.0, 50.0, 100.0], false);
        assert!(upper.y(1000.0) < upper.y(100.0) && upper.y(100.0) < upper.y(10.0));
        assert!((upper.y(5000.0) - LATENCIES.0).abs() < 1e-9, "all are inside");
        assert!((lower.y(0.0) - RATES.1).abs() < 1e-9);
        for rate in [0.0, 33.0, 100.0] {
            assert!((upper.x(rate) - lower.x(rate)).abs() < 1e-9);
        }
        assert!((upper.x(0.0) - LEFT).abs() < 1e-9);
        assert!((upper.x(100.0) - (WIDTH - RIGHT)).abs() < 1e-9);
    }
}
