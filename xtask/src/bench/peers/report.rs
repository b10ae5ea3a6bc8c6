//! What was measured, as tables, and what the design asks of it.

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::super::table::{Figure, amount, print_rows};

/// Names for people, in the order of the tables; `locks` knows them by the first.
const SYSTEMS: [(&str, &str); 13] = [
    ("no_op", "no-op route of the same server"),
    ("fifo", "bare FIFO over the same server"),
    ("warden_pid", "Warden, the holder's process named"),
    ("warden", "Warden"),
    ("redis_set", "Redis, SET NX PX, tried every 200 ms"),
    ("redis_list", "Redis, BLPOP of a token"),
    ("postgres_row", "PostgreSQL, a lock row"),
    (
        "postgres_row_async",
        "PostgreSQL, the same, synchronous_commit off",
    ),
    ("postgres_for_update", "PostgreSQL, FOR UPDATE"),
    ("postgres_advisory", "PostgreSQL, advisory lock"),
    ("etcd_unsynced", "etcd, syncs off"),
    ("etcd", "etcd, syncs on"),
    ("flock", "flock"),
];
const CLIENTS: [u64; 3] = [1, 8, 64];
const WAITERS: [u64; 3] = [10, 100, 1000];

/// Every line of `locks`.
#[derive(Debug)]
pub struct Report(Vec<Value>);

impl Report {
    /// Of what `locks` printed.
    ///
    /// # Errors
    /// When a line is no JSON.
    pub fn parse(printed: &str) -> Result<Self> {
        let lines = printed.lines().map(serde_json::from_str);
        Ok(Self(lines.collect::<Result<_, _>>()?))
    }

    /// The tables.
    pub fn print(&self) {
        let pairs = ["lock + unlock, pairs a second", "1 client", "8", "64"];
        self.rates("uncontended", "clients", CLIENTS, pairs);
        let hand_offs = ["hand-offs a second", "10 waiters", "100", "1,000"];
        self.rates("hand_off", "waiters", WAITERS, hand_offs);
        let times = [
            "release → grant, p50 / p99 in µs",
            "10 waiters",
            "100",
            "1,000",
        ];
        self.table(&times, |system| {
            self.cells("hand_off", system, "waiters", WAITERS, |line| {
                let [p50, p99] = ["p50_us", "p99_us"].map(|key| line[key].as_f64());
                p50.zip(p99).map_or_else(
                    || "none in the time".to_owned(),
                    |(p50, p99)| format!("{p50:.0} / {p99:.0}"),
                )
            })
        });
        let order = [
            "100 patient ones wait, 20 urgent ones come",
            "grants that overtook",
            "patient ones before an urgent one",
        ];
        self.table(&order, |system| {
            let line = self.line("order", system, None)?;
            let overtaken = line["overtaken"].as_f64()? * 100.0;
            let ahead = line["ahead_of_urgent"].as_f64()?;
            Some(vec![amount(overtaken, "%"), amount(ahead, "")])
        });
        let killed = ["kill -9 of the holder", "the next one is granted after"];
        self.table(&killed, |system| {
            let line = self.line("killed", system, None)?;
            let watched = line["watched_s"].as_u64()?;
            Some(vec![match line["after_s"].as_f64() {
                Some(after_s) => duration(after_s),
                None => format!("never (watched for {watched} s)"),
            }])
        });
    }

    /// Rates by size, and how often ours holds each at the largest.
    fn rates(&self, bench: &str, key: &str, sizes: [u64; 3], head: [&str; 4]) {
        let over = format!("Warden's over it, at {}", head[3]);
        self.table(&[&head[..], &[&over]].concat(), |system| {
            let rate = |line: &Value| amount(line["per_s"].as_f64().unwrap_or(f64::NAN), "");
            let mut cells = self.cells(bench, system, key, sizes, rate)?;
            let over = self.over(bench, system, (key, sizes[2]));
            cells.push(over.map_or_else(|_| String::new(), |over| amount(over, "×")));
            Some(cells)
        });
    }

    /// A row for each system that has cells.
    fn table(&self, head: &[&str], cells: impl Fn(&str) -> Option<Vec<String>>) {
        let mut rows = vec![head.iter().map(|&cell| cell.to_owned()).collect()];
        for (system, name) in SYSTEMS {
            if let Some(cells) = cells(system) {
                rows.push(std::iter::once(name.to_owned()).chain(cells).collect());
            }
        }
        print_rows(&rows);
        println!();
    }

    /// A cell for each size; nothing where the system was not measured at one.
    fn cells(
        &self,
        bench: &str,
        system: &str,
        key: &str,
        sizes: [u64; 3],
        cell: impl Fn(&Value) -> String,
    ) -> Option<Vec<String>> {
        let lines = sizes.map(|size| self.line(bench, system, Some((key, size))));
        lines.into_iter().map(|line| line.map(&cell)).collect()
    }

    fn line(&self, bench: &str, system: &str, size: Option<(&str, u64)>) -> Option<&Value> {
        self.0.iter().find(|line| {
            line["bench"] == bench
                && line["system"] == system
                && size.is_none_or(|(key, size)| line[key] == size)
        })
    }

    fn number(&self, bench: &str, system: &str, size: (&str, u64), key: &str) -> Result<f64> {
        let line = self.line(bench, system, Some(size));
        let number = line.and_then(|line| line[key].as_f64());
        number.with_context(|| format!("{bench} of {system} was not measured"))
    }

    /// How often Warden's rate holds this system's.
    fn over(&self, bench: &str, system: &str, size: (&str, u64)) -> Result<f64> {
        let ours = self.number(bench, "warden", size, "per_s")?;
        Ok(ours / self.number(bench, system, size, "per_s")?)
    }

    /// What the design asks for.
    ///
    /// # Errors
    /// When something was not measured.
    pub fn figures(&self) -> Result<Vec<Figure>> {
        let mut figures = Vec::new();
        let all = ("clients", 64);
        let share = self.over("uncontended", "no_op", all)? * 100.0;
        figures.push(Figure::at_least(
            "lock + unlock, 64 clients, of the no-op route's rate",
            share,
            50.0,
            "%",
        ));
        for (system, least) in [
            ("etcd", 5.0),
            ("etcd_unsynced", 5.0),
            ("postgres_row", 2.5),
            ("postgres_for_update", 2.5),
            ("redis_set", 0.5),
        ] {
            let what = format!("lock + unlock, 64 clients, over {}", name(system));
            figures.push(Figure::at_least(
                what,
                self.over("uncontended", system, all)?,
                least,
                "×",
            ));
        }
        let crowd = ("waiters", 1000);
        let p99_ms = self.number("hand_off", "warden", crowd, "p99_us")? / 1e3;
        figures.push(Figure::at_most(
            "release → grant, 1,000 waiters, p99",
            p99_ms,
            0.5,
            "ms",
        ));
        let share = self.over("hand_off", "fifo", crowd)? * 100.0;
        figures.push(Figure::at_least(
            "hand-offs, 1,000 waiters, of the bare FIFO's rate",
            share,
            50.0,
            "%",
        ));
        for system in ["etcd", "etcd_unsynced", "postgres_for_update"] {
            let what = format!("hand-offs, 1,000 waiters, over {}", name(system));
            figures.push(Figure::at_least(
                what,
                self.over("hand_off", system, crowd)?,
                1.0,
                "×",
            ));
        }
        let order = self
            .line("order", "warden", None)
            .and_then(|line| line["overtaken"].as_f64());
        let overtaken = order.context("the order of Warden was not measured")? * 100.0;
        figures.push(Figure::at_most(
            "grants that a later, less urgent client got first",
            overtaken,
            0.0,
            "%",
        ));
        let killed = self
            .line("killed", "warden_pid", None)
            .and_then(|line| line["after_s"].as_f64());
        let after_ms = killed.unwrap_or(f64::INFINITY) * 1e3;
        figures.push(Figure::at_most(
            "holder's process killed → next waiter granted",
            after_ms,
            100.0,
            "ms",
        ));
        Ok(figures)
    }
}

fn name(system: &str) -> &str {
    let known = SYSTEMS.iter().find(|(known, _)| *known == system);
    known.map_or(system, |(_, name)| name)
}

fn duration(seconds: f64) -> String {
    if seconds < 1e-3 {
        amount(seconds * 1e6, "µs")
    } else if seconds < 1.0 {
        amount(seconds * 1e3, "ms")
    } else {
        amount(seconds, "s")
    }
}
