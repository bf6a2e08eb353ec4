//! The tables that the benches print: each row ends with its budget and whether it is inside.

use std::fmt::Display;

use comfy_table::{Cell, CellAlignment, Table, presets};

/// A row is over its budget, and nothing says why it cannot be inside.
#[derive(Debug)]
pub struct OverBudget;

/// A number that was measured, and the most that it may be.
pub struct Limit {
    budget: String,
    excess: Option<String>,
}

impl Limit {
    /// `measured` may be `most` at the most; `unit` says of what.
    pub fn at_most<N: PartialOrd + Display>(measured: N, most: N, unit: &str) -> Self {
        Self {
            budget: format!("{most} {unit}").trim_end().to_owned(),
            excess: (measured > most).then(String::new),
        }
    }

    /// Which bound the number ran into, if it is over: what was measured about that.
    #[allow(dead_code, reason = "most benches keep theirs")]
    pub fn unless(mut self, reason: impl FnOnce() -> String) -> Self {
        self.excess = self.excess.map(|_| reason());
        self
    }
}

/// A table of measurements.
pub struct Sheet {
    table: Table,
    unexplained: usize,
}

impl Sheet {
    /// With `columns`, and two more: budget, and inside.
    pub fn new(columns: &[&str]) -> Self {
        let mut table = Table::new();
        table
            .load_style(presets::ASCII_MARKDOWN)
            .set_header(columns.iter().chain(&["budget", "inside"]));
        Self {
            table,
            unexplained: 0,
        }
    }

    /// A row named `name`. Without limits it has no budget.
    pub fn row<const N: usize>(&mut self, name: &str, numbers: [String; N], limits: &[Limit]) {
        let number = |text: String| Cell::new(text).set_alignment(CellAlignment::Right);
        let mut cells = vec![Cell::new(name)];
        cells.extend(numbers.map(number));
        let budgets: Vec<&str> = limits.iter().map(|limit| limit.budget.as_str()).collect();
        cells.push(number(budgets.join(", ")));
        let over: Vec<&str> = limits
            .iter()
            .filter_map(|limit| limit.excess.as_deref())
            .collect();
        cells.push(Cell::new(match (limits, over.as_slice()) {
            ([], _) => String::new(),
            (_, []) => "yes".to_owned(),
            (_, over) if over.contains(&"") => {
                self.unexplained += 1;
                "NO".to_owned()
            }
            (_, over) => format!("NO: {}", over.join("; ")),
        }));
        self.table.add_row(cells);
    }

    /// Prints the table.
    pub fn print(&self) -> Result<(), OverBudget> {
        println!("{}\n", self.table);
        if self.unexplained > 0 {
            return Err(OverBudget);
        }
        Ok(())
    }
}
