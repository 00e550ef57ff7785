//! The text of `holdfast stats`: charts of the machine or of one service, a table of all services, who uses most.

use serde_json::Value;

use super::page::{Page, Paint, Tone};
use super::table::table;
use super::words::{duration, size};

/// What charts are drawn with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cli) enum Signs {
    /// Blocks of eight heights.
    Blocks,
    /// Signs that every terminal has.
    Ascii,
}

impl Signs {
    fn heights(self) -> [char; 8] {
        match self {
            Signs::Blocks => ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'],
            Signs::Ascii => ['_', '.', '-', ':', '=', '+', '*', '#'],
        }
    }
}

/// How a figure is written.
#[derive(Clone, Copy)]
enum Form {
    Percent,
    Bytes,
    Rate,
    Number,
    Celsius,
}

impl Form {
    fn text(self, value: f64) -> String {
        match self {
            Form::Percent if value < 10.0 => format!("{value:.1} %"),
            Form::Percent => format!("{value:.0} %"),
            Form::Bytes => size(value as u64),
            Form::Rate => format!("{}/s", size(value as u64)),
            Form::Number => format!("{value:.2}"),
            Form::Celsius => format!("{value:.0} °C"),
        }
    }
}

/// A line of a chart: its title, the column and how its figures are written.
type Line = (&'static str, &'static str, Form);

const HOST: [Line; 7] = [
    ("processor", "cpu_percent", Form::Percent),
    ("memory", "memory_bytes", Form::Bytes),
    ("disk", "disk_bytes", Form::Bytes),
    ("load", "load", Form::Number),
    ("temperature", "temperature_celsius", Form::Celsius),
    ("received", "network_in_bytes_per_s", Form::Rate),
    ("sent", "network_out_bytes_per_s", Form::Rate),
];

const SERVICE: [Line; 6] = [
    ("processor", "cpu_percent", Form::Percent),
    ("memory", "memory_bytes", Form::Bytes),
    ("received", "network_in_bytes_per_s", Form::Rate),
    ("sent", "network_out_bytes_per_s", Form::Rate),
    ("read", "block_read_bytes_per_s", Form::Rate),
    ("written", "block_write_bytes_per_s", Form::Rate),
];

const TOP: [(&str, &str, Form); 4] = [
    ("processor", "cpu_percent", Form::Percent),
    ("memory", "memory_bytes", Form::Bytes),
    ("network", "network_bytes_per_s", Form::Rate),
    ("storage", "block_bytes_per_s", Form::Rate),
];

/// Figures over the time asked for; of single services with a chart of each.
pub(in crate::cli) fn stats(answer: &Value, single: bool, signs: Signs, paint: Paint) -> String {
    let mut page = Page::new(paint);
    let span = answer["to_ms"].as_i64().unwrap_or_default() - answer["from_ms"].as_i64().unwrap_or_default();
    let services = answer["services"].as_array().map(Vec::as_slice).unwrap_or_default();
    if answer["interval_s"].as_f64() == Some(0.0) {
        page.sentence("Statistics are switched off on this device (HOLDFAST_STATS_INTERVAL is 0).", Tone::Held);
        return page.finish();
    }
    if let Some(error) = answer["kept"]["error"].as_str() {
        page.sentence(error, Tone::Bad);
    }
    if answer["host"].is_object() {
        page.heading(&format!("Host, the last {}", duration(span)));
        charts(&mut page, &answer["host"], &HOST, signs);
        totals(&mut page, &answer["host"]);
    }
    if single {
        for service in services {
            page.heading(&format!("{}, the last {}", label(service), duration(span)));
            charts(&mut page, service, &SERVICE, signs);
            limits(&mut page, service);
        }
        return page.finish();
    }
    page.heading(&format!("Services, on average over the last {}", duration(span)));
    if services.is_empty() {
        page.item("There are no figures yet: the first come two looks after a start.");
        return page.finish();
    }
    let rows: Vec<[String; 8]> = services.iter().map(row).collect();
    page.block(&table(
        ["SERVICE", "CPU", "MEMORY", "IN", "OUT", "READ", "WRITTEN", "RESTARTS"],
        [22, 7, 9, 11, 11, 11, 11, 9],
        &rows,
    ));
    page.heading("Who uses most");
    for (title, name, form) in TOP {
        let users = answer["top"][name].as_array().map(Vec::as_slice).unwrap_or_default();
        let users: Vec<String> = users
            .iter()
            .map(|user| format!("{} {}", label(user), form.text(user["value"].as_f64().unwrap_or_default())))
            .collect();
        if !users.is_empty() {
            page.field(title, &users.join(", "));
        }
    }
    page.finish()
}

fn charts(page: &mut Page, subject: &Value, lines: &[Line], signs: Signs) {
    let points = &subject["points"];
    if subject["average"].is_null() {
        page.item("There are no figures of this time.");
        return;
    }
    for (title, name, form) in lines {
        let values: Vec<Option<f64>> = points[*name].as_array().into_iter().flatten().map(Value::as_f64).collect();
        let most = values.iter().flatten().copied().fold(f64::MIN, f64::max);
        let Some(average) = subject["average"][*name].as_f64().filter(|_| most > f64::MIN) else { continue };
        let most = subject["average"][format!("{name}_max")].as_f64().unwrap_or(most).max(most);
        let chart = chart(&values, most, signs);
        let text = ascii(format!("{} (most {})", form.text(average), form.text(most)), signs);
        page.block(&format!("  {title:<11} {chart} {text}\n"));
    }
    let step_ms = points["step_s"].as_f64().unwrap_or_default() * 1000.0;
    page.item(&format!("one mark is {}", duration(step_ms as i64)));
}

/// One sign for each point; nothing where nothing was measured. The lowest sign is nothing used, the highest the most.
fn chart(values: &[Option<f64>], most: f64, signs: Signs) -> String {
    let heights = signs.heights();
    let sign = |value: &Option<f64>| match value {
        // Between 0 and 7 by what stands before it.
        Some(value) if most > 0.0 => heights[((value / most).clamp(0.0, 1.0) * 7.0).round() as usize],
        Some(_) => heights[0],
        None => ' ',
    };
    values.iter().map(sign).collect()
}

/// Text for a terminal that may know nothing but ASCII.
fn ascii(text: String, signs: Signs) -> String {
    if signs == Signs::Ascii { text.replace("°C", "C") } else { text }
}

fn totals(page: &mut Page, host: &Value) {
    let bytes = |name: &str| host[name].as_u64().filter(|bytes| *bytes > 0).map(size);
    let parts = [
        host["processors"].as_u64().filter(|count| *count > 0).map(|count| format!("{count} processor(s)")),
        bytes("memory_total_bytes").map(|text| format!("{text} of memory")),
        bytes("disk_total_bytes").map(|text| format!("{text} of disk")),
    ];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    if !parts.is_empty() {
        page.item(&parts.join(", "));
    }
}

fn limits(page: &mut Page, service: &Value) {
    let limit = service["memory_limit_bytes"]
        .as_u64()
        .map_or_else(|| "no limit of memory".to_owned(), |bytes| format!("{} of memory at most", size(bytes)));
    let restarts = service["average"]["restarts"].as_u64().unwrap_or_default();
    let health = service["latest"]["health"].as_str().map(|word| format!("; {word}")).unwrap_or_default();
    page.item(&format!("{limit}; restarted {restarts} time(s) in this time{health}"));
}

fn label(service: &Value) -> String {
    let word = |name: &str| service[name].as_str().unwrap_or_default().to_owned();
    match word("app") {
        app if app.is_empty() => word("service"),
        app => format!("{app}/{}", word("service")),
    }
}

fn row(service: &Value) -> [String; 8] {
    let average = &service["average"];
    let figure = |name: &str, form: Form| average[name].as_f64().map(|value| form.text(value)).unwrap_or_default();
    [
        label(service),
        figure("cpu_percent", Form::Percent),
        figure("memory_bytes", Form::Bytes),
        figure("network_in_bytes_per_s", Form::Rate),
        figure("network_out_bytes_per_s", Form::Rate),
        figure("block_read_bytes_per_s", Form::Rate),
        figure("block_write_bytes_per_s", Form::Rate),
        average["restarts"].as_u64().map(|count| count.to_string()).unwrap_or_default(),
    ]
}

#[cfg(test)]
mod tests;
