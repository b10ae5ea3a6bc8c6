//! Figures beside their budgets.

/// One measured figure.
#[derive(Clone, Debug)]
pub struct Figure {
    what: String,
    measured: String,
    budget: String,
    met: Option<bool>,
}

impl Figure {
    /// A figure without a budget of its own: a part of another, or a peer.
    pub fn plain(what: impl Into<String>, measured: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            measured: measured.into(),
            budget: String::new(),
            met: None,
        }
    }

    /// A figure that should be at most `budget`.
    pub fn at_most(what: impl Into<String>, measured: f64, budget: f64, unit: &str) -> Self {
        let within = measured <= budget;
        Self::judged(
            what,
            measured,
            format!("≤ {}", amount(budget, unit)),
            unit,
            within,
        )
    }

    /// A figure that should be at least `budget`.
    pub fn at_least(what: impl Into<String>, measured: f64, budget: f64, unit: &str) -> Self {
        let within = measured >= budget;
        Self::judged(
            what,
            measured,
            format!("≥ {}", amount(budget, unit)),
            unit,
            within,
        )
    }

    fn judged(
        what: impl Into<String>,
        measured: f64,
        budget: String,
        unit: &str,
        met: bool,
    ) -> Self {
        Self {
            what: what.into(),
            measured: amount(measured, unit),
            budget,
            met: Some(met),
        }
    }
}

/// A number as a person reads it: three digits that mean something, then the unit.
pub fn amount(value: f64, unit: &str) -> String {
    let number = match value.abs() {
        large if large >= 10_000.0 => thousands(value),
        middle if middle >= 100.0 => format!("{value:.0}"),
        middle if middle >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    };
    if unit.is_empty() {
        number
    } else {
        format!("{number} {unit}")
    }
}

fn thousands(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut grouped = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// The median of what was measured.
pub fn median(values: &[f64]) -> f64 {
    percentile(values, 0.5)
}

/// The value that this part of all values does not exceed, by the nearest rank; 0 of nothing.
pub fn percentile(values: &[f64], part: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "an index into what fits into memory"
    )]
    let rank = ((sorted.len() as f64 * part).ceil() as usize).max(1);
    sorted.get(rank - 1).copied().unwrap_or(0.0)
}

/// Prints them as a table that is also Markdown.
pub fn print(figures: &[Figure]) {
    let mut rows = vec![
        ["what", "measured", "budget", ""]
            .map(str::to_owned)
            .to_vec(),
    ];
    rows.extend(figures.iter().map(|figure| {
        let verdict = match figure.met {
            Some(true) => "met",
            Some(false) => "MISSED",
            None => "",
        };
        vec![
            figure.what.clone(),
            figure.measured.clone(),
            figure.budget.clone(),
            verdict.to_owned(),
        ]
    }));
    print_rows(&rows);
}

/// Prints rows, of which the first is the head, as a table that is also Markdown.
pub fn print_rows(rows: &[Vec<String>]) {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    for (at, row) in rows.iter().enumerate() {
        line(row, &widths);
        if at == 0 {
            let rules: Vec<String> = widths.iter().map(|width| "-".repeat(*width)).collect();
            line(&rules, &widths);
        }
    }
}

/// Names are read from the left, figures from the right.
fn line(cells: &[String], widths: &[usize]) {
    let mut line = String::from("|");
    for (column, (cell, &width)) in cells.iter().zip(widths).enumerate() {
        line += &match column {
            0 => format!(" {cell:<width$} |"),
            _ => format!(" {cell:>width$} |"),
        };
    }
    println!("{line}");
}
