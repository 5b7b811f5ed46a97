//! Events for BORIS (Friard & Gamba 2016), in the five columns that its importer looks for by name
//! (`boris/import_observations.py`, version 9): two rows a state, where it begins and where it ends. Times are the player's.

use std::io::{self, Write};

use super::Writer;
use super::stretches::{PlayerStretch, What, seconds, stretches};
use crate::timeline::{Timeline, probability_in_file};

pub(super) struct Boris;

const COLUMNS: [&str; 5] = ["time", "subject", "code", "modifier", "comment"];

impl Writer for Boris {
    fn write(&self, timeline: &Timeline, out: &mut dyn Write) -> io::Result<()> {
        let stretches = stretches(timeline);
        let mut rows: Vec<(u64, bool, &PlayerStretch)> = stretches
            .iter()
            .flat_map(|stretch| [(stretch.start_ms, true, stretch), (stretch.end_ms, false, stretch)])
            .collect();
        // BORIS pairs the rows of a subject and a code in turn, so an end goes before the next beginning.
        rows.sort_by_key(|(time_ms, begins, _)| (*time_ms, *begins));
        let mut table = csv::Writer::from_writer(out);
        table.write_record(COLUMNS)?;
        for (time_ms, begins, stretch) in rows {
            let comment = if begins { comment(stretch.what) } else { String::new() };
            table.write_record([&seconds(time_ms), &stretch.signer, stretch.what.name(), "", &comment])?;
        }
        table.flush()
    }
}

/// What the program knows beyond the code.
fn comment(what: What) -> String {
    match what {
        What::Expression(segment) => {
            segment.confidence.map_or_else(String::new, |c| format!("confidence {}", probability_in_file(c)))
        }
        What::Event(event) => format!("peak {}", event.peak),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;
    use crate::sample;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn every_stretch_begins_and_ends_in_turn(timeline in sample::any_timeline()) {
            let mut bytes = Vec::new();
            Boris.write(&timeline, &mut bytes).unwrap();
            let mut reader = csv::Reader::from_reader(&bytes[..]);
            let rows: Vec<_> = reader.records().map(Result::unwrap).collect();
            let times: Vec<f64> = rows.iter().map(|row| row[0].parse().unwrap()).collect();
            prop_assert!(times.is_sorted());
            // What BORIS does: of the rows of a subject and a code, each odd one begins and each even one ends a state.
            let mut open: HashMap<(String, String), f64> = HashMap::new();
            let mut lasted_ms = 0;
            for (row, time_s) in rows.iter().zip(times) {
                let state = (row[1].to_owned(), row[2].to_owned());
                match open.remove(&state) {
                    Some(start_s) => lasted_ms += ((time_s - start_s) * 1000.0).round() as u64,
                    None => {
                        open.insert(state, time_s);
                    }
                }
            }
            prop_assert!(open.is_empty());
            let expected: u64 = stretches(&timeline).iter().map(|stretch| stretch.end_ms - stretch.start_ms).sum();
            prop_assert_eq!(lasted_ms, expected);
        }
    }
}
