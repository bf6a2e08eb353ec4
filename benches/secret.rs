//! Whether the time of the secret's comparison shows where the first wrong byte is.
//!
//! `cargo bench --bench secret` (under a minute), or `cargo bench --bench secret -- 1000000` for another
//! number of samples. `Gate::admit` is asked with secrets that are wrong from the first, the middle or the
//! last byte on, in random order, each copied into the same place first. Welch's t-test compares
//! the times of two kinds, as dudect does (Reparaz, Balasch, Verbauwhede, 2017): from |t| = 4.5 on the
//! means differ. The slowest tenth, which is the machine and not the program, is left out, the same
//! bound for all. The last three rows do the same with a comparison that stops at the first difference,
//! to show that the method sees a leak where there is one.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::hint::black_box;
use std::time::Instant;

use comfy_table::{Cell, CellAlignment, Table as Sheet, presets};
use futures_util::FutureExt as _;
use http::{HeaderValue, Request};
use okta_anypoint::deadline::Deadline;
use okta_anypoint::receiver::{ANSWER_TIME, Gate};
use rand::{RngExt as _, SeedableRng as _};

/// The length of an ordinary header.
const LENGTH: usize = 256;
const SAMPLES: usize = 600_000;
/// From here on the means differ (dudect).
const LEAK: f64 = 4.5;
/// The share of the times that counts.
const KEPT: f64 = 0.9;
/// Where the first wrong byte is.
const PLACES: [(&str, usize); 3] = [("first", 0), ("middle", LENGTH / 2), ("last", LENGTH - 1)];

/// The times of one kind of secret.
#[derive(Default, Clone)]
struct Times(Vec<f64>);

impl Times {
    fn kept(&self, bound: f64) -> Self {
        Self(
            self.0
                .iter()
                .copied()
                .filter(|time| *time <= bound)
                .collect(),
        )
    }

    fn mean(&self) -> f64 {
        self.0.iter().sum::<f64>() / self.0.len() as f64
    }

    /// The variance of the mean.
    fn variance_of_mean(&self) -> f64 {
        let (mean, count) = (self.mean(), self.0.len() as f64);
        let squares = self.0.iter().map(|time| (time - mean).powi(2));
        squares.sum::<f64>() / (count - 1.0) / count
    }
}

fn welch(one: &Times, two: &Times) -> f64 {
    (one.mean() - two.mean()) / (one.variance_of_mean() + two.variance_of_mean()).sqrt()
}

/// Times `compare` with each kind of wrong secret, in random order.
fn measured(secret: &[u8], samples: usize, compare: impl Fn(&[u8]) -> bool) -> [Times; 3] {
    let wrong = PLACES.map(|(_, place)| {
        let mut wrong = secret.to_vec();
        // What follows the first difference is wrong too, so that only its place differs.
        for byte in &mut wrong[place..] {
            *byte ^= 1;
        }
        wrong
    });
    let mut times = PLACES.map(|_| Times::default());
    let mut dice = rand::rngs::StdRng::seed_from_u64(1);
    let mut given = vec![0; secret.len()];
    for sample in 0..samples {
        let kind = dice.random_range(0..PLACES.len());
        given.copy_from_slice(&wrong[kind]);
        let given = black_box(given.as_slice());
        let begun = Instant::now();
        let is_accepted = black_box(compare(given));
        let took = begun.elapsed();
        assert!(!is_accepted);
        // The first ones meet cold caches.
        if sample > samples / 20 {
            times[kind].0.push(took.as_nanos() as f64);
        }
    }
    let mut all: Vec<f64> = times.iter().flat_map(|times| times.0.clone()).collect();
    all.sort_by(f64::total_cmp);
    let bound = all[(all.len() as f64 * KEPT) as usize];
    times.map(|times| times.kept(bound))
}

/// Adds the rows of one comparison; gives the largest |t|.
fn compared(sheet: &mut Sheet, what: &str, times: &[Times; 3]) -> f64 {
    let mut largest: f64 = 0.0;
    for (one, two) in [(0, 1), (0, 2), (1, 2)] {
        let t = welch(&times[one], &times[two]);
        largest = largest.max(t.abs());
        let right = |text: String| Cell::new(text).set_alignment(CellAlignment::Right);
        let verdict = if t.abs() < LEAK {
            "no difference"
        } else {
            "differs"
        };
        sheet.add_row([
            Cell::new(what),
            Cell::new(format!("{} / {}", PLACES[one].0, PLACES[two].0)),
            right(format!("{:.1} ns", times[one].mean())),
            right(format!("{:.1} ns", times[two].mean())),
            right(format!("{t:.2}")),
            Cell::new(verdict),
        ]);
    }
    largest
}

fn main() {
    let argument = std::env::args().skip(1).find_map(|text| text.parse().ok());
    let samples: usize = argument.unwrap_or(SAMPLES);
    let mut dice = rand::rng();
    let secret: String = (0..LENGTH).map(|_| dice.random_range('a'..='z')).collect();
    let gate = Gate::new("authorization".parse().unwrap(), &[secret.clone().into()]).unwrap();
    let admits = |given: &[u8]| {
        let mut request = Request::new(());
        let given = HeaderValue::from_bytes(given).unwrap();
        request.headers_mut().insert("authorization", given);
        let admitted = gate
            .admit(request, Deadline::within(ANSWER_TIME))
            .now_or_never();
        admitted
            .expect("fixed secrets are not waited for")
            .is_some()
    };
    let stops_early = |given: &[u8]| given.iter().zip(secret.as_bytes()).all(|(a, b)| a == b);

    let mut sheet = Sheet::new();
    sheet.load_style(presets::ASCII_MARKDOWN).set_header([
        "comparison",
        "first wrong byte",
        "mean of the one",
        "of the other",
        "t",
        "verdict",
    ]);
    let ours = compared(
        &mut sheet,
        "Gate::admit",
        &measured(secret.as_bytes(), samples, admits),
    );
    let naive = measured(secret.as_bytes(), samples, stops_early);
    let naive = compared(&mut sheet, "stops at the first difference", &naive);
    println!("{samples} samples of {LENGTH} bytes in each comparison; bound |t| = {LEAK}");
    println!("{sheet}");
    assert!(
        naive >= LEAK,
        "the method does not see a leak: too few samples"
    );
    assert!(ours < LEAK, "the time shows where the first wrong byte is");
}
