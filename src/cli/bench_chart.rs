//! One picture of a benchmark: how the latencies are distributed, and how much was delivered over time.

use super::bench_report::{Curves, Report};
use super::bench_stream::BIN;
use super::failure::Failure;
use plotters::prelude::*;
use std::path::Path;

const SIZE: (u32, u32) = (960, 720);
const COLORS: [RGBColor; 4] =
    [RGBColor(31, 119, 180), RGBColor(214, 39, 40), RGBColor(44, 160, 44), RGBColor(148, 103, 189)];
/// Where the upper axis ends: 99.999 %.
const NINES_MAX: f64 = 5.0;
const FONT: (&str, i32) = ("sans-serif", 15);

/// A curve and its name.
struct Named<'a> {
    name: String,
    curves: &'a Curves,
}

pub fn draw(path: &Path, reports: &[Report]) -> Result<(), Failure> {
    let named = reports.iter().filter_map(|report| {
        let name = format!("{} {}", report.scenario, report.shape.protocol);
        report.curves.as_ref().map(|curves| Named { name, curves })
    });
    let named: Vec<Named<'_>> = named.collect();
    let area = SVGBackend::new(path, SIZE).into_drawing_area();
    let failed = |error: Box<dyn std::error::Error>| Failure::new(format!("{}: {error}", path.display()));
    area.fill(&WHITE).map_err(|error| failed(error.into()))?;
    let (upper, lower) = area.split_vertically(SIZE.1 / 2);
    draw_latencies(&upper, &named).map_err(failed)?;
    draw_throughput(&lower, &named).map_err(failed)?;
    area.present().map_err(|error| failed(error.into()))
}

type Drawn = Result<(), Box<dyn std::error::Error>>;
type Area<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;

/// The share of messages on an axis that shows each nine as wide as the one before.
fn draw_latencies(area: &Area<'_>, named: &[Named<'_>]) -> Drawn {
    let highest = named.iter().map(|it| it.curves.latency_ns.max()).max().unwrap_or(0) as f64 / 1e3;
    let lowest = named.iter().map(|it| it.curves.latency_ns.min()).min().unwrap_or(0) as f64 / 1e3;
    let range = (lowest.max(1.0) / 1.2..highest.max(10.0) * 1.2).log_scale();
    let mut chart = ChartBuilder::on(area)
        .caption("latency, µs, from the (intended) start to the push", FONT)
        .margin(12)
        .x_label_area_size(32)
        .y_label_area_size(70)
        .build_cartesian_2d(0.0..NINES_MAX, range)?;
    let share = |nines: &f64| match *nines {
        nines if nines < 0.1 => "0".to_owned(),
        nines => format!("{:.*} %", (nines.round() as usize).saturating_sub(2), 100.0 * (1.0 - 10_f64.powf(-nines))),
    };
    let labels = |nines: &f64| if nines.fract() < 0.01 { share(nines) } else { String::new() };
    chart.configure_mesh().x_labels(6).x_label_formatter(&labels).y_label_formatter(&|us| format!("{us:.0}")).draw()?;
    for (Named { name, curves }, color) in named.iter().zip(COLORS.iter().cycle()) {
        let points = (0..=200).map(|step| {
            let nines = NINES_MAX * f64::from(step) / 200.0;
            (nines, curves.latency_ns.value_at_quantile(1.0 - 10_f64.powf(-nines)).max(1) as f64 / 1e3)
        });
        let drawn = chart.draw_series(LineSeries::new(points, color.stroke_width(2)))?;
        drawn.label(name.clone()).legend(move |(x, y)| PathElement::new([(x, y), (x + 20, y)], color.stroke_width(2)));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .background_style(WHITE)
        .border_style(BLACK)
        .draw()?;
    Ok(())
}

fn draw_throughput(area: &Area<'_>, named: &[Named<'_>]) -> Drawn {
    let per_s = |count: u64| count as f64 / BIN.as_secs_f64();
    let longest = named.iter().map(|it| it.curves.timeline.len()).max().unwrap_or(0).max(2);
    let highest = named.iter().flat_map(|it| &it.curves.timeline).copied().max().unwrap_or(1);
    let mut chart = ChartBuilder::on(area)
        .caption("delivered per second, over the seconds measured", FONT)
        .margin(12)
        .x_label_area_size(32)
        .y_label_area_size(70)
        .build_cartesian_2d(0.0..longest as f64 * BIN.as_secs_f64(), 0.0..per_s(highest) * 1.1)?;
    chart.configure_mesh().y_label_formatter(&|value| format!("{value:.0}")).draw()?;
    for (Named { curves, .. }, color) in named.iter().zip(COLORS.iter().cycle()) {
        let bins = curves.timeline.iter().zip(0_u32..);
        let points = bins.map(|(count, bin)| (f64::from(bin) * BIN.as_secs_f64(), per_s(*count)));
        chart.draw_series(LineSeries::new(points, color.stroke_width(2)))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::bench_crowd::histogram;
    use crate::cli::bench_report::{Conditions, Shape};

    #[test]
    fn a_chart_is_an_svg_with_a_curve_for_each_report() {
        let mut latency_ns = histogram();
        (1..10_000).for_each(|n| latency_ns.record(n * 1_000).unwrap());
        let conditions = Conditions::of_own_server(0, 1, "balanced", "none");
        let mut report = Report::new("p2p", conditions, Shape { protocol: "binary", ..Shape::default() });
        report.curves = Some(Curves { latency_ns, timeline: vec![10, 30, 20] });
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("chart.svg");
        draw(&path, &[report.clone(), report]).unwrap();
        let svg = std::fs::read_to_string(&path).unwrap();
        assert!(svg.starts_with("<svg") && svg.contains("p2p binary") && svg.matches("<polyline").count() >= 4);
        assert!(svg.contains("99.999 %") && svg.contains("90 %"), "{svg}");
        assert!(draw(Path::new("/nowhere/at/all.svg"), &[]).is_err());
    }
}
