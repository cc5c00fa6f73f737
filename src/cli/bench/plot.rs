//! A picture of latencies over the offered load, as SVG.

use std::fmt::Write as _;

use super::numbers::{Summary, float};
use super::report::{Load, Report, Round, Who};

const WIDTH: f64 = 900.0;
const HEIGHT: f64 = 540.0;
const LEFT: f64 = 80.0;
const RIGHT: f64 = 150.0;
const TOP: f64 = 50.0;
const BOTTOM: f64 = 60.0;
/// Lines across, and their labels.
const COLUMNS: u32 = 6;
/// Latencies that have a line, in microseconds: each tenth.
const DECADES_US: [f64; 8] = [1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8];

/// A curve: one figure of one side over the offered rate.
struct Curve {
    name: String,
    color: &'static str,
    dash: &'static str,
    /// Offered rate and latency in microseconds, by rate.
    points: Vec<(f64, f64)>,
}

/// Where things are in the picture: rates evenly, latencies by their logarithm.
struct Scale {
    rate_max: f64,
    lowest_us: f64,
    highest_us: f64,
}

/// The picture of all loads that were offered at a rate.
pub(super) fn svg(report: &Report) -> String {
    let loads: Vec<&Load> =
        report.loads.iter().filter(|load| load.offered_per_second.is_some()).collect();
    let curves: Vec<Curve> = [
        (Who::Peerd, "p50", "#1f6feb", "", p50 as fn(&Summary) -> u64),
        (Who::Peerd, "p99", "#1f6feb", "6 4", p99),
        (Who::Peerd, "p99.9", "#1f6feb", "2 4", p999),
        (Who::Floor, "p50", "#8a8a8a", "", p50),
        (Who::Floor, "p99", "#8a8a8a", "6 4", p99),
        (Who::Floor, "p99.9", "#8a8a8a", "2 4", p999),
    ]
    .into_iter()
    .map(|(of, figure, color, dash, value)| curve(&loads, of, figure, color, dash, value))
    .filter(|curve| !curve.points.is_empty())
    .collect();
    let Some(scale) = Scale::of(&curves) else {
        return format!(
            "{}{}</svg>\n",
            opening(),
            label(LEFT, TOP, "start", "nothing was accepted")
        );
    };
    let setting = &report.setting;
    let title = format!(
        "Send to reply over the offered load: {} pairs, {} bytes of text, {}",
        setting.pairs, setting.payload_bytes, setting.encoding,
    );
    let mut svg = opening();
    svg.push_str(&label(LEFT, TOP - 20.0, "start", &title));
    grid(&mut svg, &scale);
    for (place, curve) in (0_u32..).zip(&curves) {
        draw(&mut svg, &scale, curve, place);
    }
    svg.push_str("</svg>\n");
    svg
}

const fn p50(summary: &Summary) -> u64 {
    summary.p50_us
}

const fn p99(summary: &Summary) -> u64 {
    summary.p99_us
}

const fn p999(summary: &Summary) -> u64 {
    summary.p999_us
}

fn curve(
    loads: &[&Load],
    of: Who,
    figure: &str,
    color: &'static str,
    dash: &'static str,
    value: fn(&Summary) -> u64,
) -> Curve {
    let latency = |round: &Round| round.reply.map(|reply| float(value(&reply)));
    let point = |load: &&Load| Some((load.offered_per_second?, load.median(of, latency)?));
    let mut points: Vec<(f64, f64)> = loads.iter().filter_map(point).collect();
    points.sort_by(|one, other| one.0.total_cmp(&other.0));
    let of = match of {
        Who::Peerd => "peerd",
        Who::Floor => "floor",
    };
    Curve { name: format!("{of} {figure}"), color, dash, points }
}

impl Scale {
    fn of(curves: &[Curve]) -> Option<Self> {
        let points = || curves.iter().flat_map(|curve| &curve.points);
        let rate_max = points().map(|point| point.0).reduce(f64::max)?;
        let least = points().map(|point| point.1).reduce(f64::min)?;
        let most = points().map(|point| point.1).reduce(f64::max)?;
        let lowest_us = DECADES_US.into_iter().rfind(|decade| *decade <= least).unwrap_or(1.0);
        let highest_us =
            DECADES_US.into_iter().find(|decade| *decade >= most && *decade > lowest_us);
        Some(Self { rate_max, lowest_us, highest_us: highest_us.unwrap_or(1e9) })
    }

    fn x(&self, rate: f64) -> f64 {
        (WIDTH - LEFT - RIGHT).mul_add(rate / self.rate_max, LEFT)
    }

    fn y(&self, latency_us: f64) -> f64 {
        let part = (latency_us / self.lowest_us).ln() / (self.highest_us / self.lowest_us).ln();
        (HEIGHT - TOP - BOTTOM).mul_add(1.0 - part.clamp(0.0, 1.0), TOP)
    }
}

fn opening() -> String {
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
         font-family=\"sans-serif\" font-size=\"13\">\n\
         <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"white\"/>\n"
    )
}

fn label(x: f64, y: f64, anchor: &str, text: &str) -> String {
    format!("<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{text}</text>\n")
}

// Writing to a String cannot fail.
fn line(svg: &mut String, (x1, y1): (f64, f64), (x2, y2): (f64, f64)) {
    let _ = writeln!(
        svg,
        "<line x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\" stroke=\"#dddddd\"/>"
    );
}

fn grid(svg: &mut String, scale: &Scale) {
    let (right, bottom) = (WIDTH - RIGHT, HEIGHT - BOTTOM);
    let is_shown = |decade: &f64| (scale.lowest_us..=scale.highest_us).contains(decade);
    for decade in DECADES_US.into_iter().filter(is_shown) {
        let y = scale.y(decade);
        line(svg, (LEFT, y), (right, y));
        let ms = format!("{} ms", decade / 1000.0);
        svg.push_str(&label(LEFT - 8.0, y + 4.0, "end", &ms));
    }
    for column in 0..=COLUMNS {
        let rate = scale.rate_max * f64::from(column) / f64::from(COLUMNS);
        let x = scale.x(rate);
        line(svg, (x, TOP), (x, bottom));
        svg.push_str(&label(x, bottom + 20.0, "middle", &format!("{rate:.0}")));
    }
    let middle = f64::midpoint(LEFT, right);
    svg.push_str(&label(middle, bottom + 42.0, "middle", "messages offered in a second"));
}

fn draw(svg: &mut String, scale: &Scale, curve: &Curve, place: u32) {
    let Curve { name, color, dash, points } = curve;
    let corner =
        |(rate, latency): &(f64, f64)| format!("{:.1},{:.1}", scale.x(*rate), scale.y(*latency));
    let corners: Vec<String> = points.iter().map(corner).collect();
    let stroke =
        format!("fill=\"none\" stroke=\"{color}\" stroke-width=\"2\" stroke-dasharray=\"{dash}\"");
    let _ = writeln!(svg, "<polyline points=\"{}\" {stroke}/>", corners.join(" "));
    for (rate, latency) in points {
        let (x, y) = (scale.x(*rate), scale.y(*latency));
        let _ = writeln!(svg, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\" fill=\"{color}\"/>");
    }
    let (x, y) = (WIDTH - RIGHT + 16.0, 20.0_f64.mul_add(f64::from(place), TOP + 10.0));
    let sample = format!("M{x:.1} {:.1} h28", y - 4.0);
    let _ = writeln!(svg, "<path d=\"{sample}\" {stroke}/>");
    svg.push_str(&label(x + 36.0, y, "start", name));
}

#[cfg(test)]
mod tests {
    use super::super::load::Offer;
    use super::super::report::tests::{report, round};
    use super::*;

    #[test]
    fn a_picture_has_a_curve_for_each_figure_of_each_side() {
        let load = |rate, p50_us| {
            let rounds = vec![round(Who::Peerd, rate, p50_us), round(Who::Floor, rate, p50_us / 2)];
            Load::new(Offer::PerSecond(rate), rounds)
        };
        let svg = svg(&report(vec![load(2000.0, 900), load(1000.0, 300), load(4000.0, 70_000)]));
        assert_eq!(svg.matches("<polyline").count(), 6, "{svg}");
        assert_eq!(svg.matches("<circle").count(), 18);
        for name in ["peerd p50", "peerd p99.9", "floor p99", "1000 ms", "0.1 ms", ">4000<"] {
            assert!(svg.contains(name), "{name}: {svg}");
        }
        assert!(svg.starts_with("<svg") && svg.ends_with("</svg>\n"));
    }

    #[test]
    fn what_was_offered_without_a_rate_is_not_in_the_picture() {
        let load = Load::new(Offer::InFlight(8), vec![round(Who::Peerd, 9.0, 9)]);
        let svg = svg(&report(vec![load]));
        assert!(svg.contains("nothing was accepted") && !svg.contains("<polyline"), "{svg}");
    }

    #[test]
    fn higher_latencies_are_higher_up_and_all_are_inside() {
        let scale = Scale { rate_max: 100.0, lowest_us: 10.0, highest_us: 1000.0 };
        assert!(scale.y(1000.0) < scale.y(100.0) && scale.y(100.0) < scale.y(10.0));
        assert!((scale.y(5000.0) - TOP).abs() < 1e-9);
        assert!((scale.x(0.0) - LEFT).abs() < 1e-9);
        assert!((scale.x(100.0) - (WIDTH - RIGHT)).abs() < 1e-9);
    }
}
