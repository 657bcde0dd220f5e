//! Prints measurements as tables. Figures are medians, with least and greatest in brackets.

use std::collections::BTreeSet;

use harness::target;
use serde_json::Value;

use crate::measurements::Measurements;

/// CPU time of all processes but the load generator, which no user has.
fn all_cpu(run: &Measurements) -> f64 {
    run.cpu.iter().filter(|(name, _)| *name != "generator").map(|(_, value)| value).sum()
}

fn spread(values: impl IntoIterator<Item = f64>, digits: usize) -> String {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    match values.as_slice() {
        [] => "-".into(),
        [one] => format!("{one:.digits$}"),
        [least, .., most] => format!("{:.digits$} ({least:.digits$}–{most:.digits$})", median(&values)),
    }
}

fn median(sorted: &[f64]) -> f64 {
    let middle = sorted.len() / 2;
    if sorted.len() % 2 == 1 { sorted[middle] } else { f64::midpoint(sorted[middle - 1], sorted[middle]) }
}

/// Prints rows of cells under each other.
fn table(title: &str, rows: &[Vec<String>]) {
    println!("\n{title}");
    let columns = rows.iter().map(Vec::len).max().unwrap_or_default();
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or_default()).collect();
    for row in rows {
        let cells = row.iter().zip(&widths).enumerate().map(|(column, (cell, width))| {
            if column == 0 { format!("{cell:<width$}") } else { format!("{cell:>width$}") }
        });
        println!("  {}", cells.collect::<Vec<_>>().join("  ").trim_end());
    }
}

fn row(name: &str, cells: impl IntoIterator<Item = String>) -> Vec<String> {
    [name.to_owned()].into_iter().chain(cells).collect()
}

fn heads(names: &[&str]) -> Vec<String> {
    names.iter().map(ToString::to_string).collect()
}

/// Of plain Jobs of which 50 are kept going, of Tasks in a queue with room for 50 that Jobs run and that bare pods run, and of
/// Jobs in a queue of Kueue with room for 50, and of Tasks that a pool of eight warm workers runs.
pub fn queue(all: [&Vec<Measurements>; 5], count: usize) {
    let [jobs, tasks, pods, kueue, pool] = all;
    let mut rows =
        vec![heads(&["", "plain Jobs", "Tasks by Jobs", "Tasks by bare pods", "Jobs by Kueue", "Tasks by a pool"])];
    let mut each = |name: &str, figure: &dyn Fn(&Measurements) -> f64, digits: usize| {
        rows.push(row(name, all.map(|runs| spread(runs.iter().map(figure), digits))));
    };
    each("done a second", &|run| run.figures["rate"], 1);
    each("CPU ms of one, all processes", &all_cpu, 1);
    let processes: BTreeSet<&String> = all.into_iter().flatten().flat_map(|run| run.cpu.keys()).collect();
    for process in processes {
        each(&format!("  {process}"), &|run| run.cpu.get(process).copied().unwrap_or_default(), 1);
    }
    each("mutating requests of one", &|run| run.requests.values().sum(), 1);
    table(&format!("Saturated: {count} in each of {} runs, in turns", jobs.len()), &rows);
    println!("  Tasks to Jobs, run by run: {} of the Jobs' rate (target 0.75, aim 0.8)", rates(tasks, jobs));
    println!("  the same by CPU time: {}", cpu_times(tasks, jobs));
    println!("  Tasks by bare pods to Jobs, run by run: {} of the Jobs' rate (target 1.1, aim 1.3)", rates(pods, jobs));
    println!("  the same by CPU time: {}", cpu_times(pods, jobs));
    println!("  Tasks to Jobs by Kueue, run by run: {} times the rate", rates(tasks, kueue));
    println!("  the same by CPU time: {}", cpu_times(tasks, kueue));
    println!("  Tasks by a pool to Jobs, run by run: {} times the rate (target 3)", rates(pool, jobs));
    println!("  Tasks by a pool to Jobs by Kueue, run by run: {} times the rate (target 9)", rates(pool, kueue));
}

/// Of Tasks that eight warm workers run whose work takes no time.
pub fn pool(runs: &[Measurements], count: usize) {
    let figure = |name: &str, digits| spread(runs.iter().map(|run| run.figures[name]), digits);
    let cpu = |name: &str| spread(runs.iter().map(|run| run.cpu.get(name).copied().unwrap_or_default()), 2);
    let rows = [
        row("done a second", [figure("rate", 1)]),
        row("a writer of create and two statuses, a second", [figure("writer rate", 1)]),
        row("share of the writer's rate (target 0.6, aim 0.75)", [figure("of the writer's rate", 2)]),
        row("the writer's CPU time, through the pool's, operator included", [figure("of the writer's CPU", 2)]),
        row("CPU ms of one of the writer: API server and etcd", [figure("writer CPU ms", 2)]),
        row("CPU ms of one: API server", [cpu("kube-apiserver")]),
        row("  etcd", [cpu("etcd")]),
        row("  operator", [cpu("operator")]),
        row("  generator, workers included", [cpu("generator")]),
        row("the operator's writes of the status, of one", [figure("status writes", 2)]),
        row("all its other writes, the creation included", [figure("other writes", 2)]),
        row("its reads", [figure("reads", 2)]),
        row("idle pool: submitted to Complete, p50, ms (target 25)", [figure("p50 ms", 1)]),
        row("  p99 (target 75)", [figure("p99 ms", 1)]),
        row("idle pool: admitted until the worker has it, p50, ms", [figure("dispatch p50 ms", 1)]),
        row("  p99 (target 15)", [figure("dispatch p99 ms", 1)]),
        row("the same under load, p50, ms", [figure("dispatch under load p50 ms", 1)]),
        row("  p99", [figure("dispatch under load p99 ms", 1)]),
    ];
    table(&format!("A pool of eight workers: {count} tasks over REST in each of {} runs", runs.len()), &rows);
}

pub fn node(runs: &[Measurements], count: usize) {
    let figure = |name: &str, digits| spread(runs.iter().map(|run| run.figures[name]), digits);
    let rows = [
        row("idle pool: submitted to Complete, p50, ms (target 25)", [figure("p50 ms", 1)]),
        row("  p99 (target 75)", [figure("p99 ms", 1)]),
        row("a single plain Job: created to Complete, p50, ms", [figure("Job p50 ms", 0)]),
        row("Tasks done a second", [figure("rate", 1)]),
        row("plain Jobs done a second, 50 at once", [figure("Jobs rate", 1)]),
        row("Tasks to plain Jobs, run by run", [figure("of the Jobs' rate", 1)]),
    ];
    table(
        &format!("A pool of eight workers with the agent on a real node: {count} tasks over REST, {} runs", runs.len()),
        &rows,
    );
}

/// The rate of the ones to that of the others, run by run.
fn rates(ones: &[Measurements], others: &[Measurements]) -> String {
    spread(ones.iter().zip(others).map(|(one, other)| one.figures["rate"] / other.figures["rate"]), 2)
}

/// The CPU time of the others to that of the ones, run by run: how much more the ones do with as much of it.
fn cpu_times(ones: &[Measurements], others: &[Measurements]) -> String {
    spread(ones.iter().zip(others).map(|(one, other)| all_cpu(other) / all_cpu(one)), 2)
}

pub fn paced(runs: &[Measurements], count: usize) {
    let figure = |name: String| spread(runs.iter().map(|run| run.figures[&name]), 0);
    let rows = [
        heads(&["create to Complete", "plain Job", "Task"]),
        row("p50, ms", ["Job p50", "Task p50"].map(|name| figure(name.into()))),
        row("p99, ms", ["Job p99", "Task p99"].map(|name| figure(name.into()))),
    ];
    table(&format!("Unloaded: five a second, {count} of each in alternating blocks, {} runs", runs.len()), &rows);
    let added = runs.iter().map(|run| run.figures["Task p99"] - run.figures["Job p99"]);
    println!("  p99 of a Task above that of a plain Job: {} ms (target: at most 40)", spread(added, 0));
    let asked = |name: &str| spread(runs.iter().map(|run| run.figures[&format!("operator {name}")]), 2);
    let rows = [
        row("writes of its status", [asked("status")]),
        row("Jobs created", [asked("Job")]),
        row("all other writes (Leases apart)", [asked("else")]),
        row("reads", [asked("read")]),
    ];
    table("The operator's requests for one Task, as the API server counts them", &rows);
    table("Mutating requests of one, unloaded (Leases apart)", &by_kind(runs, |run| &run.requests, 2));
    table("CPU ms of one, unloaded (with the idle share)", &by_kind(runs, |run| &run.cpu, 1));
}

fn by_kind(
    runs: &[Measurements],
    of: impl Fn(&Measurements) -> &std::collections::BTreeMap<String, f64>,
    digits: usize,
) -> Vec<Vec<String>> {
    let without_kind = |name: &String| name.split_once(' ').map(|(_, name)| name.to_owned());
    let names: BTreeSet<String> = runs.iter().flat_map(|run| of(run).keys()).filter_map(without_kind).collect();
    let cell = |kind: &str, name: &str| {
        let name = format!("{kind} {name}");
        spread(runs.iter().map(|run| of(run).get(&name).copied().unwrap_or_default()), digits)
    };
    let all = |kind: &str| {
        let sum = |run: &Measurements| {
            of(run).iter().filter(|(name, _)| name.starts_with(kind)).map(|(_, value)| value).sum()
        };
        spread(runs.iter().map(sum), digits)
    };
    let mut rows = vec![heads(&["", "plain Job", "Task"])];
    rows.extend(names.iter().map(|name| row(name, ["Job", "Task"].map(|kind| cell(kind, name)))));
    rows.push(row("all", ["Job", "Task"].map(all)));
    rows
}

pub fn queued(runs: &[Measurements], count: usize) {
    for run in runs {
        let figure = |name: &str| run.figures.get(name).copied().unwrap_or_default();
        let mib = |name: &str| format!("{:.1} MiB", figure(name) / 1024.0);
        let further = (figure("KiB at all") - figure("KiB at half")) / (count - count / 2) as f64;
        let overall = (figure("KiB at all") - figure("KiB at 0")) / count as f64;
        let rows = [
            row("memory with 50 running, 0 queued", [mib("KiB at 0")]),
            row(&format!("  {} queued", count / 2), [mib("KiB at half")]),
            row(&format!("  {count} queued"), [mib("KiB at all")]),
            row("  20 s later", [mib("KiB at rest")]),
            row("  after a restart", [mib("KiB after a start")]),
            row("a further task, second half", [format!("{further:.2} KiB")]),
            row("a further task, from none", [format!("{overall:.2} KiB (target: at most 3)")]),
            row("CPU to take one in, first half", [format!("{:.2} ms", figure("CPU ms a task to half"))]),
            row("CPU to take one in, second half", [format!("{:.2} ms", figure("CPU ms a task to all"))]),
            row("CPU at rest", [format!("{:.1} ms a second", figure("CPU ms a second at rest"))]),
            row("CPU to read all at a start", [format!("{:.0} ms", figure("CPU ms to read all at a start"))]),
        ];
        table(&format!("The operator with {count} queued Tasks, payload 1,000 bytes"), &rows);
    }
}

pub fn http(runs: &[Measurements], held: usize) {
    let figure = |name: String, digits: usize| spread(runs.iter().map(|run| run.figures[&name]), digits);
    let cells = |name: &str| {
        [("rate", 0), ("p50 ms", 2), ("p99 ms", 2)].map(|(what, digits)| figure(format!("{name} {what}"), digits))
    };
    let rows = [
        heads(&["", "a second", "p50, ms", "p99, ms"]),
        row("submit over REST", cells("submit")),
        row("create at the API server", cells("create")),
        row("a status, at rest", cells("status at rest")),
        row("a status, while 1,000 tasks are run", cells("status under load")),
        row("an answer that costs nothing, at rest", cells("healthz at rest")),
        row("an answer that costs nothing, while 1,000 tasks are run", cells("healthz under load")),
    ];
    table(&format!("REST: 16 clients submit as fast as it goes; 500 statuses a second of {held}"), &rows);
    let ratio = |run: &Measurements, above: &str, below: &str| run.figures[above] / run.figures[below];
    let ratios = |above: &str, below: &str| spread(runs.iter().map(|run| ratio(run, above, below)), 2);
    println!("  submissions to creations: {}", ratios("submit rate", "create rate"));
    println!(
        "  p99 of a status under load to at rest: {} (target: at most 4)",
        ratios("status under load p99 ms", "status at rest p99 ms")
    );
    println!(
        "  the same of an answer that costs nothing: {} (what the machine adds: all share its processors)",
        ratios("healthz under load p99 ms", "healthz at rest p99 ms")
    );
    println!(
        "  1,000 in one request: {} s, at best {} s (target: 3 s)",
        figure("bulk s".into(), 2),
        figure("bulk s, least".into(), 2)
    );
    println!("  memory of one status: {} bytes", figure("bytes a status".into(), 0));
}

/// The medians that Criterion has written.
pub fn admission() {
    let folder = target().join("criterion");
    let mut rows = vec![heads(&["", "1,000 queued", "10,000", "100,000"])];
    for (scene, what) in [
        ("full_queue", "one pass, no slot free"),
        ("type_at_its_maximum", "one pass, all but 50 held back by their type"),
        ("fifty_free_slots", "one pass, 50 slots free"),
        ("placing_anew", "placing all anew"),
    ] {
        let time = |size: &str| {
            let file = folder.join(scene).join(size).join("new/estimates.json");
            let text = std::fs::read_to_string(file).ok()?;
            let estimates: Value = serde_json::from_str(&text).ok()?;
            Some(format!("{:.3} ms", estimates["median"]["point_estimate"].as_f64()? / 1e6))
        };
        let times = ["1000", "10000", "100000"].map(|size| time(size).unwrap_or_else(|| "-".into()));
        rows.push(row(what, times));
    }
    table("Admission (target: one pass below 10 ms with 10,000 queued)", &rows);
}
