use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use super::*;
use crate::http::Server;
use crate::runtime::commands::{Called, Method};

/// A monitor of an instance that serves, with a sample of every family.
fn serving() -> Arc<Monitor> {
    let monitor = Monitor::new(Clock::system(), 8);
    let counters = Arc::<Counters>::default();
    counters.answered(Called::Method(Method::Login), Duration::from_millis(3), None);
    let look = || {
        let connection = ConnectionState { name: "bus", ..ConnectionState::default() };
        let (connections, dropped) = (vec![connection], vec![("queue_full", 0)]);
        Some(Look { is_settled: true, connections, dropped, ..Look::default() })
    };
    monitor.exists(Sources {
        counters,
        waits: Arc::default(),
        logins: Arc::default(),
        look: Box::new(look),
    });
    monitor.serves();
    monitor
}

fn repository(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The metrics: the name and the type of each family.
fn families() -> Vec<(String, String)> {
    let text = serving().metrics().body;
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    let family = |line: &str| {
        let (name, kind) = line.split_once(' ').expect("a name and a type");
        (name.to_owned(), kind.to_owned())
    };
    types.map(family).collect()
}

/// The words of a text that have the form of a metric's name.
fn metrics_in(text: &str) -> BTreeSet<&str> {
    let words = text.split(|it: char| !it.is_ascii_alphanumeric() && it != '_');
    words.filter(|word| word.starts_with("peerd_")).collect()
}

#[test]
fn every_metric_is_explained_and_every_explained_metric_exists() {
    let page = repository("docs/monitoring.md");
    let rows: BTreeSet<(String, String)> = page
        .lines()
        .filter_map(|line| line.strip_prefix("| `peerd_"))
        .map(|line| {
            let mut cells = line.split(" | ");
            let name = cells.next().and_then(|name| name.strip_suffix('`')).expect("a name");
            (format!("peerd_{name}"), cells.next().expect("a type").to_owned())
        })
        .collect();
    assert_eq!(rows, families().into_iter().collect());
}

#[test]
fn alerts_and_dashboard_use_metrics_that_exist() {
    let known: BTreeSet<String> = families()
        .into_iter()
        .flat_map(|(name, kind)| match &*kind {
            "histogram" => ["bucket", "sum", "count"].map(|part| format!("{name}_{part}")).to_vec(),
            _ => vec![name],
        })
        .collect();
    for path in ["deploy/prometheus/alerts.yaml", "deploy/grafana/peerd.json"] {
        let text = repository(path);
        for name in metrics_in(&text) {
            assert!(known.contains(name), "{path}: {name} does not exist");
        }
    }
}

#[test]
fn every_alert_has_a_section_to_which_it_links() {
    let (alerts, page) =
        (repository("deploy/prometheus/alerts.yaml"), repository("docs/monitoring.md"));
    let names: Vec<&str> =
        alerts.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    let sections: Vec<&str> = page
        .lines()
        .filter_map(|line| line.strip_prefix("### Peerd").map(|_| &line[4..]))
        .collect();
    assert_eq!(sections, names, "in the same order");
    for name in names {
        let link = format!("docs/monitoring.md#{}", name.to_lowercase());
        assert!(alerts.contains(&link), "{name} links to its section");
    }
}

#[test]
fn readiness_names_what_is_missing() {
    let monitor = Monitor::new(Clock::system(), 8);
    monitor.waits_for("NATS at nats://x:4222: connection refused");
    let page = monitor.readyz();
    assert_eq!(page.status, StatusCode::SERVICE_UNAVAILABLE);
    let expected = "not ready\nstarting: waits for NATS at nats://x:4222: connection refused\n";
    assert_eq!(page.body, expected);
    let monitor = serving();
    assert_eq!((monitor.readyz().status, &*monitor.readyz().body), (StatusCode::OK, "ready\n"));
    monitor.drains();
    assert!(monitor.readyz().body.starts_with("not ready\ndraining: "));
    assert_eq!(monitor.livez().status, StatusCode::OK);
    assert_eq!(monitor.page("/"), None);
}

/// The instance blocks all threads of its runtime; the listener still answers, and says so.
#[test]
fn a_stuck_instance_is_reported_by_the_listener() {
    let mut monitor = Monitor::new(Clock::system(), 8);
    Arc::get_mut(&mut monitor).expect("not shared yet").stuck_after = Duration::from_millis(50);
    let server = Server::start(([127, 0, 0, 1], 0).into(), Arc::new(monitor.clone()));
    let server = server.expect("a free port");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime");
    let (is_blocked, is_over) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicBool::new(false)));
    let (blocks, ends) = (is_blocked.clone(), is_over.clone());
    let thread = std::thread::spawn(move || {
        runtime.spawn(monitor.run());
        runtime.block_on(async {
            while blocks.load(Ordering::Acquire) {
                std::thread::yield_now();
            }
            while !ends.load(Ordering::Acquire) {
                tokio::task::yield_now().await;
            }
        });
    });
    let stuck = until(server.address(), "/livez", "HTTP/1.1 503 ");
    assert!(stuck.contains("stuck"), "{stuck}");
    assert!(get(server.address(), "/metrics").contains("\npeerd_live 0\n"));
    is_blocked.store(false, Ordering::Release);
    until(server.address(), "/livez", "HTTP/1.1 200 ");
    is_over.store(true, Ordering::Release);
    thread.join().expect("no panic");
}

/// Reads a page until its answer begins like this.
fn until(address: std::net::SocketAddr, path: &str, beginning: &str) -> String {
    let began = Instant::now();
    loop {
        let answer = get(address, path);
        if answer.starts_with(beginning) {
            return answer;
        }
        assert!(began.elapsed() < Duration::from_secs(20), "{answer}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn get(address: std::net::SocketAddr, path: &str) -> String {
    use std::io::{Read as _, Write as _};
    let mut stream = std::net::TcpStream::connect(address).expect("connected");
    write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    answer
}
