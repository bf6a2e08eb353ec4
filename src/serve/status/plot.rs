//! Plots as inline SVG: no script, no file from elsewhere.

use std::fmt::Write as _;

use super::series::Bar;
use super::text::{Escaped, clock_time, count, span, time};

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 150.0;
/// Left of the plot, for the numbers.
const LEFT: f64 = 56.0;
/// Below the plot, for the times.
const BELOW: f64 = 22.0;
const ABOVE: f64 = 10.0;

/// Events by time: done, and failed on top.
pub(crate) fn throughput(bars: &[Bar]) -> String {
    let largest = bars.iter().map(|bar| bar.done + bar.failed).max();
    let top = nice(to_f64(largest.unwrap_or(0)).max(4.0));
    let mut svg = begin("Events done and failed over time", bars);
    axis(&mut svg, top, |value| count(round(value)));
    let step = (WIDTH - LEFT) / to_f64(bars.len().max(1));
    for (position, bar) in bars.iter().enumerate() {
        if bar.done + bar.failed == 0 {
            continue;
        }
        let x = LEFT + to_f64(position) * step;
        let (done, failed) = (tall(to_f64(bar.done), top), tall(to_f64(bar.failed), top));
        let _ = write!(
            svg,
            "<g><title>{} UTC: {} done, {} failed</title>",
            Escaped(time(bar.at_ms)),
            count(bar.done),
            count(bar.failed)
        );
        for (class, height, base) in [("done", done, 0.0), ("failed", failed, done)] {
            if height > 0.0 {
                let y = floor() - base - height;
                let _ = write!(
                    svg,
                    "<rect class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{:.1}\" \
                     height=\"{height:.1}\"/>",
                    (step - 1.0).max(1.0)
                );
            }
        }
        svg.push_str("</g>");
    }
    svg.push_str("</svg>");
    svg
}

/// The time from publication until done: mean and longest of each bar.
pub fn lag(bars: &[Bar]) -> String {
    let largest = bars.iter().filter_map(|bar| bar.lag_max_ms);
    let top = nice(largest.fold(1_000.0, f64::max));
    let mut svg = begin("Time from publication until done, over time", bars);
    axis(&mut svg, top, span);
    let step = (WIDTH - LEFT) / to_f64(bars.len().max(1));
    let middle = |position: usize| LEFT + (to_f64(position) + 0.5) * step;
    for (position, bar) in bars.iter().enumerate() {
        if let (Some(mean), Some(max)) = (bar.lag_mean_ms, bar.lag_max_ms) {
            let x = middle(position);
            let (low, high) = (floor() - tall(mean, top), floor() - tall(max, top));
            let _ = write!(
                svg,
                "<g><title>{} UTC: mean {}, longest {}</title>\
                 <line class=\"spread\" x1=\"{x:.1}\" y1=\"{low:.1}\" x2=\"{x:.1}\" y2=\"{high:.1}\"/>\
                 <circle class=\"longest\" cx=\"{x:.1}\" cy=\"{high:.1}\" r=\"2\"/>\
                 <circle class=\"mean\" cx=\"{x:.1}\" cy=\"{low:.1}\" r=\"3\"/></g>",
                Escaped(time(bar.at_ms)),
                Escaped(span(mean)),
                Escaped(span(max)),
            );
        }
    }
    svg.push_str("</svg>");
    svg
}

fn begin(what: &str, bars: &[Bar]) -> String {
    let mut svg = format!(
        "<svg class=\"plot\" viewBox=\"0 0 {WIDTH} {}\" role=\"img\" aria-label=\"{}\">",
        HEIGHT + BELOW,
        Escaped(what)
    );
    if let (Some(first), Some(last)) = (bars.first(), bars.last()) {
        let days = last.at_ms - first.at_ms > 86_400_000;
        let label = |at_ms: i64| match days {
            true => time(at_ms).get(5..16).unwrap_or_default().to_owned(),
            false => clock_time(at_ms),
        };
        let y = HEIGHT + BELOW - 6.0;
        let middle = (first.at_ms + last.at_ms) / 2;
        for (x, anchor, at_ms) in [
            (LEFT, "start", first.at_ms),
            ((LEFT + WIDTH) / 2.0, "middle", middle),
            (WIDTH, "end", last.at_ms),
        ] {
            let _ = write!(
                svg,
                "<text x=\"{x}\" y=\"{y}\" text-anchor=\"{anchor}\">{}</text>",
                Escaped(label(at_ms))
            );
        }
    }
    svg
}

fn axis(svg: &mut String, top: f64, label: impl Fn(f64) -> String) {
    for share in [0.0, 0.5, 1.0] {
        let y = floor() - tall(top * share, top);
        let _ = write!(
            svg,
            "<line class=\"grid\" x1=\"{LEFT}\" y1=\"{y:.1}\" x2=\"{WIDTH}\" y2=\"{y:.1}\"/>\
             <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            LEFT - 6.0,
            y + 4.0,
            Escaped(label(top * share))
        );
    }
}

fn floor() -> f64 {
    HEIGHT
}

fn tall(value: f64, top: f64) -> f64 {
    (value / top).clamp(0.0, 1.0) * (HEIGHT - ABOVE)
}

/// The next of 1, 2, 4, 10, 20, 40, …: its half is a round number too.
fn nice(value: f64) -> f64 {
    let mut power = 1.0;
    while power * 10.0 < value {
        power *= 10.0;
    }
    let fits = [1.0, 2.0, 4.0, 10.0].map(|step| step * power);
    fits.into_iter()
        .find(|step| *step >= value)
        .unwrap_or(value)
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a plot shows three digits of a count"
)]
fn to_f64(count: impl TryInto<i64>) -> f64 {
    count.try_into().unwrap_or(i64::MAX) as f64
}

#[expect(clippy::cast_possible_truncation, reason = "labels of an axis")]
fn round(value: f64) -> i64 {
    value.round() as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scales_are_round() {
        assert_eq!(nice(4.0), 4.0);
        assert_eq!(nice(4.1), 10.0);
        assert_eq!(nice(1_200.0), 2_000.0);
    }

    #[test]
    fn a_bar_is_as_tall_as_its_count() {
        let bar = |done, failed| Bar {
            at_ms: 1_790_000_000_000,
            done,
            failed,
            lag_mean_ms: Some(500.0),
            lag_max_ms: Some(1_000.0),
        };
        let svg = throughput(&[bar(5, 5), bar(0, 0)]);
        assert_eq!(svg.matches("height=\"70.0\"").count(), 2, "{svg}");
        assert!(svg.contains("5 done, 5 failed"));
        assert!(lag(&[bar(1, 0)]).contains("mean 500 ms, longest 1 s"));
        assert!(throughput(&[]).ends_with("</svg>"));
    }
}
