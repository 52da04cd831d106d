//! `frontgate run`: serves in the foreground until a signal ends it.

use std::io::{IsTerminal, Write};
use std::path::Path;
use std::process::ExitCode;

use tokio::signal::unix::{SignalKind, signal};

use super::{exit, fail, opened};
use crate::config;
use crate::server::{Running, start};
use crate::snapshot;

/// Serves the configuration at `path`.
pub(super) fn run(path: Option<&Path>) -> ExitCode {
    let loaded = match opened(path) {
        Ok(loaded) => loaded,
        Err(code) => return code,
    };
    if !loaded.warnings.is_empty() {
        let _ = writeln!(std::io::stderr(), "{}", loaded.warnings.render(std::io::stderr().is_terminal()));
    }
    // Each client in flight takes two descriptors, and the usual limit of 1024 is there for programs that use `select`.
    let _ = rlimit::increase_nofile_limit(u64::MAX);
    small_pages();
    let path = path.map(Path::to_owned);
    serve(start(loaded, Box::new(move || config::load(path.as_deref()).and_then(snapshot::opened))))
}

/// Runs what was started until a signal: HUP reloads, TERM drains, INT stops at once.
pub(super) fn serve(started: Result<Running, String>) -> ExitCode {
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("info,pingora_core=warn,pingora_proxy=warn")).init();
    let running = match started {
        Ok(running) => running,
        Err(why) => return fail(exit::RUNTIME, &why),
    };
    match wait_for_end(&running) {
        Ok(End::Drain) => {
            log::info!("draining: no new connections, {} requests in flight", running.requests());
            if !running.drain() {
                log::warn!("the drain timeout is over: the remaining requests were cut off");
            }
            ExitCode::SUCCESS
        }
        // Nothing is waited for, not even our own threads.
        Ok(End::Now) => std::process::exit(0),
        Err(why) => fail(exit::RUNTIME, &format!("signals cannot be received: {why}")),
    }
}

/// Keeps the kernel from giving two mebibytes where a few kibibytes are touched: a third of what is resident under load, and no difference in
/// the CPU of a request. Where the kernel does not know of it, nothing changes.
#[cfg(target_os = "linux")]
#[allow(unsafe_code, reason = "there is no safe way to ask for it")]
fn small_pages() {
    // SAFETY: this option takes numbers only, and concerns page sizes alone.
    unsafe { libc::prctl(libc::PR_SET_THP_DISABLE, 1, 0, 0, 0) };
}

#[cfg(not(target_os = "linux"))]
fn small_pages() {}

enum End {
    Drain,
    Now,
}

fn wait_for_end(running: &Running) -> std::io::Result<End> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut hangup = signal(SignalKind::hangup())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        for address in running.addresses() {
            log::info!("listening on {address}");
        }
        if let Some(admin) = running.admin() {
            log::info!("admin on {admin}");
        }
        loop {
            tokio::select! {
                _ = hangup.recv() => {
                    let reloader = running.reloader.clone();
                    // The reasons of a refusal are in the log already.
                    let _ = tokio::task::spawn_blocking(move || reloader.reload().is_ok()).await;
                }
                _ = terminate.recv() => return Ok(End::Drain),
                () = running.gateway.asked_to_drain() => return Ok(End::Drain),
                _ = interrupt.recv() => return Ok(End::Now),
            }
        }
    })
}
