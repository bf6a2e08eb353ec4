//! Comma-separated values (RFC 4180) that a spreadsheet does not take for formulas.

use clap::ValueEnum;

/// The form of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    /// Comma-separated values (RFC 4180).
    Csv,
}

/// The options of a command that prints a list.
#[derive(Debug, Clone, Copy, clap::Args)]
#[group(skip)]
pub struct Form {
    /// In which form.
    #[arg(long, value_name = "FORM", conflicts_with = "json")]
    output: Option<Output>,
    /// The same as --output csv.
    #[arg(long, conflicts_with_all = ["json", "output"])]
    csv: bool,
}

impl Form {
    /// Whether a spreadsheet reads it.
    pub fn is_csv(self) -> bool {
        self.csv || self.output == Some(Output::Csv)
    }
}

/// A line.
pub fn row(cells: &[String]) -> String {
    let cells: Vec<String> = cells.iter().map(|cell| quoted(cell)).collect();
    cells.join(",")
}

/// A cell; a spreadsheet must not take it for a formula.
fn quoted(cell: &str) -> String {
    let cell = match cell.chars().next() {
        Some('=' | '+' | '-' | '@' | '\t' | '\r' | '\n' | '＝' | '＋' | '－' | '＠') => {
            format!("'{cell}")
        }
        _ => cell.to_owned(),
    };
    if cell.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", cell.replace('"', "\"\""))
    } else {
        cell
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_cannot_break_out_of_its_row_or_be_a_formula() {
        assert_eq!(quoted("a,b"), "\"a,b\"");
        assert_eq!(quoted("a \"b\""), "\"a \"\"b\"\"\"");
        assert_eq!(quoted("=1+1"), "'=1+1");
        // Some spreadsheets skip what stands in front, or read the full-width form.
        assert_eq!(quoted("\t=1+1"), "'\t=1+1");
        assert_eq!(quoted("\n=1+1"), "\"'\n=1+1\"");
        assert_eq!(quoted("＝1+1"), "'＝1+1");
        assert_eq!(quoted("plain"), "plain");
    }
}
