use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::*;

#[tokio::test]
async fn stopping_waits_for_what_was_begun() {
    let shutdown = Shutdown::new();
    let finished = Arc::new(AtomicBool::new(false));
    let token = shutdown.token();
    shutdown.spawn("slow", {
        let finished = Arc::clone(&finished);
        async move {
            token.cancelled().await;
            tokio::time::sleep(Duration::from_millis(50)).await;
            finished.store(true, Ordering::Relaxed);
        }
    });
    assert!(!shutdown.is_stopping());
    shutdown.stop();
    assert!(shutdown.finish(Duration::from_secs(5)).await);
    assert!(finished.load(Ordering::Relaxed));
}

#[tokio::test]
async fn what_does_not_finish_is_not_waited_for_for_ever() {
    let shutdown = Shutdown::new();
    shutdown.spawn("stuck", std::future::pending());
    shutdown.stop();
    assert!(!shutdown.finish(Duration::from_millis(50)).await);
}

#[tokio::test]
async fn a_task_that_panics_stops_the_service() {
    let shutdown = Shutdown::new();
    shutdown.spawn("broken", async { panic!("on purpose") });
    tokio::time::timeout(Duration::from_secs(5), shutdown.stopping())
        .await
        .unwrap();
    assert!(shutdown.finish(Duration::from_secs(5)).await);
}

/// Signals reach whole processes, so the test runs itself again as one of its own.
#[test]
fn one_signal_asks_and_a_second_insists() {
    const CHILD: &str = "HARPO_SHUTDOWN_CHILD";
    let stubborn = match std::env::var(CHILD).as_deref() {
        Ok(mode) => mode == "stubborn",
        Err(_) => return parent(CHILD),
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let shutdown = Shutdown::new();
        shutdown.on_signals().unwrap();
        eprintln!("listening");
        shutdown.stopping().await;
        eprintln!("stopping");
        if stubborn {
            std::future::pending::<()>().await;
        }
    });
    std::process::exit(0);
}

fn parent(variable: &str) {
    use std::io::BufRead as _;
    use std::process::{Command, Stdio};
    for (mode, signal, status) in [("polite", "TERM", 0), ("stubborn", "INT", INTERRUPTED)] {
        let name = "shutdown::tests::one_signal_asks_and_a_second_insists";
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([name, "--exact", "--nocapture", "--test-threads=1"])
            .env(variable, mode)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = std::io::BufReader::new(child.stderr.take().unwrap()).lines();
        let mut wait_for = |word: &str| {
            assert!(lines.any(|line| line.unwrap().contains(word)), "{word}");
        };
        let pid = child.id().to_string();
        let send = || {
            let kill = Command::new("kill")
                .args([&format!("-{signal}"), &pid])
                .status();
            assert!(kill.unwrap().success());
        };
        wait_for("listening");
        send();
        wait_for("stopping");
        if mode == "stubborn" {
            send();
        }
        assert_eq!(child.wait().unwrap().code(), Some(status), "{mode}");
    }
}
