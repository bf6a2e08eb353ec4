//! Comma-separated values (RFC 4180) that a spreadsheet does not take for formulas.

use clap::ValueEnum;
use serde::Serialize;
use serde_json::Value;

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

/// A heading, and a row for each item. A column shows the field of its name in the JSON of the item, or in `more`.
pub fn rows<T: Serialize>(
    columns: &str,
    items: &[T],
    more: impl Fn(&T) -> Value,
) -> serde_json::Result<Vec<String>> {
    let mut rows = vec![columns.to_owned()];
    for item in items {
        let (fields, more) = (serde_json::to_value(item)?, more(item));
        let value = |name: &str| more.get(name).or_else(|| fields.get(name));
        let cells: Vec<String> = columns
            .split(',')
            .map(|name| quoted(&value(name).map(cell).unwrap_or_default()))
            .collect();
        rows.push(cells.join(","));
    }
    Ok(rows)
}

fn cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(cell).collect::<Vec<_>>().join(" "),
        other => other.to_string(),
    }
}

/// A cell; a spreadsheet must not take it for a formula.
fn quoted(text: &str) -> String {
    let cell = match text.chars().next() {
        Some('=' | '+' | '-' | '@' | '\t' | '\r' | '\n' | '＝' | '＋' | '－' | '＠') => {
            format!("'{text}")
        }
        _ => text.to_owned(),
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
