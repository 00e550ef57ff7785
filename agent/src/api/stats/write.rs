//! The answer as text, made directly: as values it would take many times its size in memory.

use std::fmt::Write;

use holdfast_plan::policy::Now;
use holdfast_plan::target::AppId;

use super::Wanted;
use crate::api::moment::rfc3339;
use crate::reconcile::View;
use crate::telemetry::{BLOCK, Book, CPU, Column, Columns, HEALTH, Keeping, LOOKS, MEMORY, NETWORK, Row, Series, Service, Unit};

/// How many are named of those that use most.
const TOP: usize = 5;
/// A text is always written; what the compiler asks about cannot happen.
type Written = std::fmt::Result;

type Found<'a> = (AppId, &'a str, &'a Service);

/// The whole answer.
pub(super) fn answer<'a>(
    book: &'a Book,
    wanted: &Wanted,
    services: impl Iterator<Item = Found<'a>>,
    whole: bool,
    view: &View,
    now: Now,
) -> String {
    let mut writer = Writer { out: String::new(), book, wanted, view, now };
    // See [`Written`].
    let _ = writer.answer(&services.collect::<Vec<_>>(), whole);
    writer.out
}

struct Writer<'a> {
    out: String,
    book: &'a Book,
    wanted: &'a Wanted,
    view: &'a View,
    now: Now,
}

impl Writer<'_> {
    fn answer(&mut self, services: &[Found<'_>], whole: bool) -> Written {
        let (book, wanted) = (self.book, self.wanted);
        let utc = self.now.wall_ms.map_or_else(|| "null".to_owned(), |ms| format!("\"{}\"", rfc3339(ms)));
        let interval = book.interval.as_secs_f64();
        let days = book.retention.as_secs() / 86_400;
        write!(self.out, "{{\"utc\":{utc},\"interval_s\":{interval},\"retention_days\":{days},")?;
        write!(self.out, "\"from_ms\":{},\"to_ms\":{},\"host\":", wanted.from_ms, wanted.to_ms)?;
        if whole {
            self.machine()?
        } else {
            self.out.push_str("null")
        }
        self.out.push_str(",\"services\":[");
        for (place, found) in services.iter().enumerate() {
            self.comma(place);
            self.service(*found)?;
        }
        self.out.push(']');
        if wanted.top {
            self.top(services)?;
        }
        if whole {
            self.keeping(&book.keeping)?;
        }
        self.out.push('}');
        Ok(())
    }

    fn keeping(&mut self, keeping: &Keeping) -> Written {
        let ago = keeping.written_boot_ms.map_or_else(|| "null".to_owned(), |ms| (self.now.boot_ms - ms).max(0).to_string());
        let Keeping { looks, written, error, .. } = keeping;
        write!(self.out, ",\"kept\":{{\"looks\":{looks},\"file_written\":{written},\"file_written_ago_ms\":{ago},\"error\":")?;
        match error {
            Some(error) => self.text(error),
            None => self.out.push_str("null"),
        }
        self.out.push('}');
        Ok(())
    }

    fn machine(&mut self) -> Written {
        let book = self.book;
        let latest = book.machine_latest.unwrap_or_default();
        let processors = latest.usage.processors;
        write!(self.out, "{{\"processors\":{processors},\"memory_total_bytes\":{}", latest.usage.memory_total_bytes)?;
        let disk = latest.disk.map_or_else(|| "null".to_owned(), |disk| disk.total_bytes.to_string());
        write!(self.out, ",\"disk_total_bytes\":{disk}")?;
        self.figures(&book.machine, book.machine_latest.and_then(|latest| Some((latest.row?, latest.boot_ms))))?;
        self.out.push('}');
        Ok(())
    }

    fn service(&mut self, (app, name, service): Found<'_>) -> Written {
        self.out.push('{');
        self.identity(app, name)?;
        let latest = service.latest.as_ref();
        self.out.push_str(",\"container\":");
        match latest {
            Some(latest) => self.text(&latest.container),
            None => self.out.push_str("null"),
        }
        let limit = latest.and_then(|latest| latest.usage?.memory_limit_bytes);
        let limit = limit.map_or_else(|| "null".to_owned(), |limit| limit.to_string());
        let (running, restarts) = latest.map_or((false, 0), |latest| (latest.is_up, latest.restarts));
        write!(self.out, ",\"running\":{running},\"container_restarts\":{restarts},\"memory_limit_bytes\":{limit}")?;
        self.figures(&service.series, latest.and_then(|latest| Some((latest.row?, latest.boot_ms))))?;
        self.out.push('}');
        Ok(())
    }

    fn identity(&mut self, app: AppId, name: &str) -> Written {
        write!(self.out, "\"app_id\":{app},\"app\":")?;
        self.text(&self.view.app_name(app));
        self.out.push_str(",\"service\":");
        self.text(name);
        Ok(())
    }

    /// What is asked for of a series.
    fn figures(&mut self, series: &Series, latest: Option<(Row, i64)>) -> Written {
        let (columns, wanted) = (series.columns(), self.wanted);
        if wanted.latest {
            self.out.push_str(",\"latest\":");
            match latest {
                Some((row, boot_ms)) => {
                    write!(self.out, "{{\"ago_ms\":{},", (self.now.boot_ms - boot_ms).max(0))?;
                    self.row(&row, columns)?;
                }
                None => self.out.push_str("null"),
            }
        }
        if wanted.average {
            self.out.push_str(",\"average\":");
            match series.average(wanted.from_ms, wanted.to_ms) {
                Some(row) => {
                    self.out.push('{');
                    self.row(&row, columns)?;
                }
                None => self.out.push_str("null"),
            }
        }
        if wanted.range {
            self.points(series, columns)?;
        }
        Ok(())
    }

    /// The fields of an object whose beginning stands there already, and its end.
    fn row(&mut self, row: &Row, columns: &Columns) -> Written {
        for (place, column) in columns.iter().enumerate() {
            self.comma(place);
            write!(self.out, "\"{}\":", column.name)?;
            self.value(row, place, column)?;
        }
        self.out.push('}');
        Ok(())
    }

    /// A list for each column: the shortest way to write many points, and the one charts are drawn from.
    fn points(&mut self, series: &Series, columns: &Columns) -> Written {
        let wanted = self.wanted;
        let points = series.points(wanted.from_ms, wanted.to_ms, wanted.step_ms);
        let step_s = points.step_ms as f64 / 1000.0;
        write!(self.out, ",\"points\":{{\"first_ms\":{},\"step_s\":{step_s}", points.first_ms)?;
        for (place, column) in columns.iter().enumerate() {
            write!(self.out, ",\"{}\":[", column.name)?;
            for (number, row) in points.rows.iter().enumerate() {
                self.comma(number);
                match row {
                    Some(row) => self.value(row, place, column)?,
                    None => self.out.push_str("null"),
                }
            }
            self.out.push(']');
        }
        self.out.push('}');
        Ok(())
    }

    fn value(&mut self, row: &Row, place: usize, column: &Column) -> Written {
        let value = row[place];
        let rounded = |value: f64| (value * 1000.0).round() / 1000.0;
        match column.unit {
            Unit::Count | Unit::Bytes => write!(self.out, "{value}"),
            Unit::Percent => write!(self.out, "{}", rounded(value as f64 / 10_000.0)),
            Unit::Passed => write!(self.out, "{}", per_second(value, row, self.book)),
            Unit::Milli => write!(self.out, "{}", rounded(value as f64 / 1000.0)),
            Unit::Kelvin if value == 0 => write!(self.out, "null"),
            Unit::Kelvin => write!(self.out, "{}", i128::from(value) - 273),
            Unit::Health => match usize::try_from(value).ok().and_then(|place| HEALTH.get(place)).filter(|_| value > 0) {
                Some(word) => write!(self.out, "\"{word}\""),
                None => write!(self.out, "null"),
            },
        }
    }

    /// Who uses most, for each kind of thing there is to use.
    fn top(&mut self, services: &[Found<'_>]) -> Written {
        let (book, wanted) = (self.book, self.wanted);
        let averages = services.iter().map(|found| (*found, found.2.series.average(wanted.from_ms, wanted.to_ms)));
        let rows: Vec<(Found<'_>, Row)> = averages.filter_map(|(found, row)| Some((found, row?))).collect();
        let both = |row: &Row, places: [usize; 2]| per_second(row[places[0]].saturating_add(row[places[1]]), row, book);
        self.out.push_str(",\"top\":{\"cpu_percent\":");
        self.ranking(&rows, &|row: &Row| (row[CPU] as f64 / 10.0).round() / 1000.0)?;
        self.out.push_str(",\"memory_bytes\":");
        self.ranking(&rows, &|row: &Row| row[MEMORY] as f64)?;
        self.out.push_str(",\"network_bytes_per_s\":");
        self.ranking(&rows, &|row: &Row| both(row, NETWORK) as f64)?;
        self.out.push_str(",\"block_bytes_per_s\":");
        self.ranking(&rows, &|row: &Row| both(row, BLOCK) as f64)?;
        self.out.push('}');
        Ok(())
    }

    fn ranking(&mut self, rows: &[(Found<'_>, Row)], measure: &dyn Fn(&Row) -> f64) -> Written {
        let mut ranked: Vec<(f64, Found<'_>)> = rows.iter().map(|(found, row)| (measure(row), *found)).collect();
        ranked.sort_by(|one, other| other.0.total_cmp(&one.0));
        self.out.push('[');
        for (place, (value, (app, name, _))) in ranked.into_iter().filter(|(value, _)| *value > 0.0).take(TOP).enumerate() {
            self.comma(place);
            self.out.push('{');
            self.identity(app, name)?;
            write!(self.out, ",\"value\":{value}}}")?;
        }
        self.out.push(']');
        Ok(())
    }

    fn comma(&mut self, place: usize) {
        if place > 0 {
            self.out.push(',');
        }
    }

    /// A text as JSON writes it.
    fn text(&mut self, text: &str) {
        self.out.push_str(&serde_json::Value::from(text).to_string());
    }
}

/// How much passed in a second of the time that was looked at.
fn per_second(bytes: u64, row: &Row, book: &Book) -> u64 {
    let ms = u128::from(row[LOOKS]) * book.interval.as_millis();
    u64::try_from(u128::from(bytes) * 1000 / ms.max(1)).unwrap_or(u64::MAX)
}
