//! The chart of a benchmark: the distribution of the latencies, and the deliveries over time if they were counted.

use crate::bench::load::report::{Curves, Report};
use crate::bench::load::stream::BIN;
use crate::terminal::date;
use crate::terminal::date::now;
use crate::terminal::failure::Failure;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use std::path::Path;

const SIZE: (u32, u32) = (960, 760);
const LEGEND_HEIGHT: u32 = 34;
const FOOT_HEIGHT: u32 = 30;
const COLORS: [RGBColor; 4] =
    [RGBColor(31, 119, 180), RGBColor(214, 39, 40), RGBColor(44, 160, 44), RGBColor(148, 103, 189)];
/// The largest end of the axis of shares: 99.999 %.
const NINES_MAX: f64 = 5.0;
/// The labels of that axis: a number of nines, and its name.
const SHARES: [(f64, &str); 6] =
    [(0.301, "50 %"), (1.0, "90 %"), (2.0, "99 %"), (3.0, "99.9 %"), (4.0, "99.99 %"), (5.0, "99.999 %")];
const FONT: (&str, i32) = ("sans-serif", 15);
const SMALL: (&str, i32) = ("sans-serif", 12);

/// A curve with its name.
struct NamedCurve<'a> {
    name: String,
    curves: &'a Curves,
}

pub fn draw(path: &Path, reports: &[Report]) -> Result<(), Failure> {
    let named = reports.iter().filter_map(|report| {
        let curves = report.curves.as_ref()?;
        let (scenario, protocol, count) = (report.scenario, report.shape.protocol, curves.latency_ns.len());
        Some(NamedCurve { name: format!("{scenario} {protocol} ({count} samples)"), curves })
    });
    let named: Vec<NamedCurve<'_>> = named.collect();
    let area = SVGBackend::new(path, SIZE).into_drawing_area();
    let failed = |error: Box<dyn std::error::Error>| Failure::new(format!("{}: {error}", path.display()));
    area.fill(&WHITE).map_err(|error| failed(error.into()))?;
    let (legend, rest) = area.split_vertically(LEGEND_HEIGHT);
    let (plots, foot) = rest.split_vertically(SIZE.1 - LEGEND_HEIGHT - FOOT_HEIGHT);
    draw_legend(&legend, &named).map_err(failed)?;
    if named.iter().any(|it| !it.curves.timeline.is_empty()) {
        let (upper, lower) = plots.split_vertically((SIZE.1 - LEGEND_HEIGHT - FOOT_HEIGHT) / 2);
        draw_latencies(&upper, &named).map_err(failed)?;
        draw_throughput(&lower, &named).map_err(failed)?;
    } else {
        draw_latencies(&plots, &named).map_err(failed)?;
    }
    if let Some(report) = reports.first() {
        let conditions = report.conditions.lines();
        let text = format!("{}; {}; {}", conditions[0], conditions[2], date::of_millis(now().0));
        foot.draw(&Text::new(text, (12, 8), SMALL.into_font())).map_err(|error| failed(error.into()))?;
    }
    area.present().map_err(|error| failed(error.into()))
}

type Drawn = Result<(), Box<dyn std::error::Error>>;
type Area<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;

/// Above the plots, so that it covers no curve.
fn draw_legend(area: &Area<'_>, named: &[NamedCurve<'_>]) -> Drawn {
    let width = i32::try_from(SIZE.0 as usize / named.len().max(1))?;
    for ((index, NamedCurve { name, .. }), color) in (0..).zip(named).zip(COLORS.iter().cycle()) {
        let (left, middle) = (index * width + 20, LEGEND_HEIGHT as i32 / 2);
        area.draw(&PathElement::new([(left, middle), (left + 24, middle)], color.stroke_width(3)))?;
        let style = FONT.into_font().color(&BLACK).pos(Pos::new(HPos::Left, VPos::Center));
        area.draw(&Text::new(name.clone(), (left + 32, middle), style))?;
    }
    Ok(())
}

/// The kind of the latencies, if all are of the same kind.
fn title(named: &[NamedCurve<'_>]) -> String {
    let mut kinds: Vec<&str> = named.iter().map(|it| it.curves.latency_of).collect();
    kinds.dedup();
    format!("Latency {}", kinds.join(" and "))
}

/// Plots the share of samples on an axis on which each nine has the same width.
fn draw_latencies(area: &Area<'_>, named: &[NamedCurve<'_>]) -> Drawn {
    let highest = named.iter().map(|it| it.curves.latency_ns.max()).max().unwrap_or(0) as f64 / 1e3;
    let lowest = named.iter().map(|it| it.curves.latency_ns.min()).min().unwrap_or(0) as f64 / 1e3;
    let (bottom, top) = (lowest.max(1.0) / 1.2, highest.max(10.0) * 1.2);
    let most = named.iter().map(|it| end_of(it.curves)).fold(2.0, f64::max);
    let nines_end = most.ceil();
    let mut chart = ChartBuilder::on(area)
        .caption(title(named), FONT)
        .margin(12)
        .margin_right(48)
        .x_label_area_size(44)
        .y_label_area_size(80)
        .build_cartesian_2d(0.0..nines_end, (bottom..top).log_scale())?;
    // The axis offers a mark for every tenth of a nine; only those in `SHARES` get a label.
    let share = |nines: &f64| {
        let named = SHARES.iter().find(|(at, _)| (at - nines).abs() < 0.05);
        named.map_or_else(String::new, |(_, name)| (*name).to_owned())
    };
    chart
        .configure_mesh()
        .disable_x_mesh()
        .light_line_style(TRANSPARENT)
        .x_labels(10 * nines_end as usize + 1)
        .x_label_formatter(&share)
        .y_label_formatter(&microseconds)
        .x_desc("share of samples that took at most so long")
        .y_desc("µs")
        .draw()?;
    for (nines, _) in SHARES.iter().filter(|(nines, _)| *nines <= nines_end) {
        let line = PathElement::new([(*nines, bottom), (*nines, top)], BLACK.mix(0.15));
        chart.draw_series([line])?;
    }
    for (NamedCurve { curves, .. }, color) in named.iter().zip(COLORS.iter().cycle()) {
        chart.draw_series(LineSeries::new(quantiles(curves), color.stroke_width(2)))?;
    }
    Ok(())
}

/// Labels 1, 2 and 5 of each power of ten of a logarithmic axis: more labels would overlap.
fn microseconds(us: &f64) -> String {
    let digits = format!("{us:.0}");
    if digits.starts_with(['1', '2', '5']) { digits } else { String::new() }
}

/// The number of nines that this number of samples can show.
fn end_of(curves: &Curves) -> f64 {
    (curves.latency_ns.len().max(2) as f64).log10().min(NINES_MAX)
}

/// Points of the curve, up to the share that the number of samples can show.
fn quantiles(curves: &Curves) -> impl Iterator<Item = (f64, f64)> + '_ {
    const STEPS: u32 = 200;
    let end = end_of(curves);
    (0..=STEPS).map(move |step| {
        let nines = end * f64::from(step) / f64::from(STEPS);
        (nines, curves.latency_ns.value_at_quantile(1.0 - 10_f64.powf(-nines)).max(1) as f64 / 1e3)
    })
}

/// Without the last bin, which the end of the run cuts short.
fn whole_bins(timeline: &[u64]) -> &[u64] {
    if timeline.len() > 1 { &timeline[..timeline.len() - 1] } else { timeline }
}

fn draw_throughput(area: &Area<'_>, named: &[NamedCurve<'_>]) -> Drawn {
    let per_s = |count: u64| count as f64 / BIN.as_secs_f64();
    let bins = || named.iter().map(|it| whole_bins(&it.curves.timeline));
    let longest = bins().map(<[u64]>::len).max().unwrap_or(0).max(2);
    let highest = bins().flatten().copied().max().unwrap_or(1);
    let mut chart = ChartBuilder::on(area)
        .caption("Messages delivered per second", FONT)
        .margin(12)
        .margin_right(48)
        .x_label_area_size(44)
        .y_label_area_size(80)
        .build_cartesian_2d(0.0..longest as f64 * BIN.as_secs_f64(), 0.0..per_s(highest) * 1.1)?;
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .x_label_formatter(&|seconds| format!("{seconds:.1}"))
        .y_label_formatter(&|value| format!("{value:.0}"))
        .x_desc("seconds since the measurement began")
        .y_desc("messages/s")
        .draw()?;
    for (bins, color) in bins().zip(COLORS.iter().cycle()) {
        // A bin's count is plotted in the middle of its time.
        let middle = |bin: u32| (f64::from(bin) + 0.5) * BIN.as_secs_f64();
        let points = bins.iter().zip(0_u32..).map(|(count, bin)| (middle(bin), per_s(*count)));
        chart.draw_series(LineSeries::new(points, color.stroke_width(2)))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::load::crowd::histogram;
    use crate::bench::load::report::{Conditions, Shape};

    fn svg_of(samples: u64, timeline: Vec<u64>) -> String {
        let mut latency_ns = histogram();
        (1..=samples).for_each(|n| latency_ns.record(n * 1_000).unwrap());
        let conditions = Conditions::of_own_server(0, 1, "balanced", "none");
        let mut report = Report::new("p2p", conditions, Shape { protocol: "binary", ..Shape::default() });
        report.curves = Some(Curves { latency_of: "from a send to its push", latency_ns, timeline });
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("chart.svg");
        draw(&path, &[report.clone(), report]).unwrap();
        std::fs::read_to_string(&path).unwrap()
    }

    #[test]
    fn a_chart_is_an_svg_with_a_curve_for_each_report() {
        let svg = svg_of(100_000, vec![10, 30, 20]);
        assert!(svg.starts_with("<svg") && svg.contains("p2p binary (100000 samples)"));
        for text in ["50 %", "90 %", "99.999 %", "from a send to its push", "µs", "messages/s", " UTC"] {
            assert!(svg.contains(text), "{text}: {svg}");
        }
        assert!(draw(Path::new("/nowhere/at/all.svg"), &[]).is_err());
    }

    #[test]
    fn where_nothing_is_counted_over_time_there_is_one_plot() {
        assert!(!svg_of(100, Vec::new()).contains("delivered per second"));
        assert!(svg_of(100, vec![1, 2]).contains("delivered per second"));
    }

    #[test]
    fn a_curve_ends_where_its_samples_do_and_the_last_bin_is_left_out() {
        let mut latency_ns = histogram();
        (1..=400).for_each(|n| latency_ns.record(n * 1_000).unwrap());
        let curves = Curves { latency_of: "", latency_ns, timeline: Vec::new() };
        let last = quantiles(&curves).last().expect("points").0;
        assert!((last - 400_f64.log10()).abs() < 1e-9, "{last}");
        assert_eq!((whole_bins(&[4, 5, 1]), whole_bins(&[4]), whole_bins(&[])), (&[4, 5][..], &[4][..], &[][..]));
    }
}
